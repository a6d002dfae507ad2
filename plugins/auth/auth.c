/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "auth": API keys to tenants.
 *
 * HEADERS: finds the key, sets tenant, key and user, or answers 401. BODY: the key's models; one
 * that it may not use is answered as if it did not exist.
 * A tenant's `models:` is the core's business; a key can only narrow it further. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <yyjson.h>

#include "keys.h"
#include "weir/plugin.h"
#include "weir/policy.h"

struct auth {
    const weir_host *host;
    const weir_ext_metrics *metrics;
    weir_metric requests; /* by result */
    struct auth_keys *keys;
    bool required;
    char header[65];
};

struct state { /* per request */
    const struct auth_key *key;
};

static void count(const struct auth *a, const char *result)
{
    if (a->metrics) {
        weir_str value = weir_str_from(result);
        a->metrics->record(a->host, a->requests, 1, &value, 1);
    }
}

static bool read_config(struct auth *a, weir_str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *header = yyjson_get_str(yyjson_obj_get(root, "header"));
    a->required = !yyjson_is_false(yyjson_obj_get(root, "required"));
    (void)snprintf(a->header, sizeof(a->header), "%s", header ? header : "authorization");
    yyjson_doc_free(doc);
    return doc != NULL;
}

static void instance_destroy(void *instance)
{
    struct auth *a = instance;
    auth_keys_destroy(a->keys);
    a->host->free(a->host, a);
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    static char error[AUTH_ERROR_BYTES]; /* [main] only; outlives a failed instance */
    static const char *const labels[] = {"result"};
    const weir_ext_tenants *tenants = host->get_ext(host, WEIR_EXT_TENANTS);
    const weir_ext_metrics *metrics = host->get_ext(host, WEIR_EXT_METRICS);
    struct auth *a = host->alloc(host, sizeof(*a));
    *err = weir_str_from("out of memory");
    if (!a) {
        return NULL;
    }
    *a = (struct auth){.host = host};
    if (metrics && WEIR_HAS_FN(metrics, record)) {
        a->metrics = metrics;
        a->requests = metrics->define(host, WEIR_METRIC_COUNTER, "requests",
                                      "Requests by what became of their key.", labels, 1);
    }
    if (!read_config(a, config_json)) {
        host->free(host, a);
        return NULL;
    }
    a->keys = auth_keys_create(tenants->config_json(host), error);
    if (!a->keys) {
        *err = weir_str_from(error);
        host->free(host, a);
        return NULL;
    }
    if (a->required && auth_keys_count(a->keys) == 0) {
        static const char warning[] = "no tenant has a key: every request will be refused";
        host->log(host, WEIR_LEVEL_WARN, NULL, weir_str_from(warning));
    }
    return a;
}

/* "Bearer SECRET" of RFC 6750, or the bare secret of another header (x-api-key). */
static weir_str secret_of(const struct auth *a, weir_str value)
{
    static const char scheme[] = "bearer ";
    const size_t n = sizeof(scheme) - 1;
    if (value.n > n && strncasecmp(value.p, scheme, n) == 0) {
        value.p += n;
        value.n -= n;
        while (value.n > 0 && *value.p == ' ') {
            value.p++;
            value.n--;
        }
    } else if (strcasecmp(a->header, "authorization") == 0) {
        value.n = 0;
    }
    while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t')) {
        value.n--;
    }
    return value;
}

static int refuse(const struct auth *a, weir_req *r, const char *result, const char *message)
{
    const weir_host *h = a->host;
    count(a, result);
    (void)h->set_header(h, r, weir_str_from("www-authenticate"), weir_str_from("Bearer"));
    (void)h->deny(h, r, 401, weir_str_from("invalid_request_error"),
                  weir_str_from("invalid_api_key"), weir_str_from(message));
    return WEIR_DENY;
}

static int on_headers(const struct auth *a, weir_req *r)
{
    const weir_host *h = a->host;
    weir_str value = {NULL, 0};
    if (h->req_header(h, r, weir_str_from(a->header), &value) < 0) {
        if (!a->required) {
            count(a, "anonymous");
            return WEIR_CONTINUE;
        }
        return refuse(a, r, "missing",
                      "You didn't provide an API key. Send it as \"Authorization: Bearer KEY\".");
    }
    const struct auth_key *key = auth_keys_find(a->keys, secret_of(a, value));
    if (!key) {
        return refuse(a, r, "unknown", "Incorrect API key provided.");
    }
    if (h->wall_us(h) > key->expires_us) {
        return refuse(a, r, "expired", "This API key has expired.");
    }
    struct state *s = h->req_state(h, r);
    s->key = key;
    int rc = h->req_set(h, r, WEIR_FIELD_TENANT, weir_str_from(key->tenant));
    if (rc == 0) {
        rc = h->req_set(h, r, WEIR_FIELD_KEY_ID, weir_str_from(key->name));
    }
    if (rc == 0 && key->user) {
        rc = h->req_set(h, r, WEIR_FIELD_USER, weir_str_from(key->user));
    }
    if (rc < 0) {
        return WEIR_FAIL;
    }
    count(a, "ok");
    return WEIR_CONTINUE;
}

static int on_body(const struct auth *a, weir_req *r)
{
    const weir_host *h = a->host;
    const struct state *s = h->req_state(h, r);
    weir_str model;
    if (!s->key || h->req_get(h, r, WEIR_FIELD_MODEL, &model) < 0 ||
        auth_key_allows(s->key, model)) {
        return WEIR_CONTINUE;
    }
    char message[256];
    (void)snprintf(message, sizeof(message),
                   "The model `%.*s` does not exist or you do not have access to it.",
                   (int)(model.n < 128 ? model.n : 128), model.p);
    count(a, "model_denied");
    (void)h->deny(h, r, 404, weir_str_from("invalid_request_error"),
                  weir_str_from("model_not_found"), weir_str_from(message));
    return WEIR_DENY;
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    return phase == WEIR_PHASE_HEADERS ? on_headers(instance, r) : on_body(instance, r);
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_HEADERS) | WEIR_PHASE_BIT(WEIR_PHASE_BODY),
    .req_state_size = sizeof(struct state),
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
    "\"required\":{\"type\":\"boolean\",\"default\":true,\"description\":"
    "\"false: requests without a key pass, without tenant; a wrong key is refused all the same.\"},"
    "\"header\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9-]{1,64}$\","
    "\"default\":\"authorization\",\"description\":\"The header that carries the key.\"}}}";

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_TENANTS, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,        .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "auth",          .version = "0.1.0",
    .license = "Apache-2.0", .description = "API keys to tenants.",
    .config_schema = schema, .needs = needs,
    .wants = wants,          .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
