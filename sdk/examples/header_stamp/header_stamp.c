/* SPDX-License-Identifier: Apache-2.0 */
/* Example: adds a header to every response.
 *
 * The smallest useful policy: one phase, one line of configuration, no state. */
#include "weir/plugin.h"
#include "weir/policy.h"

struct stamp {
    const weir_host *host;
    char name[64], value[256];
    size_t name_len, value_len;
};

/* The configuration is valid JSON that satisfies the schema below, so the value of a key stands
 * between the first two quotes behind it; the schema's patterns forbid escapes. */
static size_t copy_text(weir_str json, const char *key, char *out, size_t cap)
{
    size_t key_len = strlen(key), n = 0;
    for (size_t i = 0; i + key_len < json.n; i++) {
        if (memcmp(json.p + i, key, key_len) != 0) {
            continue;
        }
        for (i += key_len; i < json.n && json.p[i] != '"' && n < cap; i++) {
            out[n++] = json.p[i];
        }
        break;
    }
    return n;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    struct stamp *s = host->alloc(host, sizeof(*s));
    if (!s) {
        *err = weir_str_from("out of memory");
        return NULL;
    }
    s->host = host;
    s->name_len = copy_text(config_json, "\"header\":\"", s->name, sizeof(s->name));
    s->value_len = copy_text(config_json, "\"value\":\"", s->value, sizeof(s->value));
    return s;
}

static void instance_destroy(void *instance)
{
    struct stamp *s = instance;
    s->host->free(s->host, s);
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    (void)phase;
    const struct stamp *s = instance;
    weir_str name = {s->name, s->name_len}, value = {s->value, s->value_len};
    return s->host->set_header(s->host, r, name, value) < 0 ? WEIR_FAIL : WEIR_CONTINUE;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_HEADERS),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"header\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9-]{1,64}$\","
    "\"default\":\"x-served-by\",\"description\":\"Name of the header.\"},"
    "\"value\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9 ._/-]{1,256}$\","
    "\"default\":\"weir\",\"description\":\"Its value.\"}}}";

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,        .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "header_stamp",  .version = "1.0.0",
    .license = "Apache-2.0", .description = "Adds a header to every response.",
    .config_schema = schema, .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
