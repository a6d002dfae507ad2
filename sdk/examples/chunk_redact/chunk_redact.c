/* SPDX-License-Identifier: Apache-2.0 */
/* Example: blots out a word in the output, also where it is cut across chunks.
 *
 * Shows HOLD and REPLACE: text whose end could begin the word is held back; the host gives it again
 * with the next piece behind it, so that the plugin keeps no text of its own between calls. */
#include <stdbool.h>

#include "weir/plugin.h"
#include "weir/policy.h"

enum { MAX_WORD = 64 };

struct redact {
    const weir_host *host;
    char word[MAX_WORD];
    size_t word_len;
};

/* What on_chunk gives back lives here until its next call for this request. */
struct state {
    char *text;
    size_t cap;
};

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    static const char key[] = "\"word\":\"";
    struct redact *x = host->alloc(host, sizeof(*x));
    if (!x) {
        *err = weir_str_from("out of memory");
        return NULL;
    }
    *x = (struct redact){.host = host};
    /* The schema has made sure of the key and of a word without quotes and escapes. */
    for (size_t i = 0; i + sizeof(key) - 1 < config_json.n; i++) {
        if (memcmp(config_json.p + i, key, sizeof(key) - 1) == 0) {
            for (i += sizeof(key) - 1; config_json.p[i] != '"' && x->word_len < MAX_WORD; i++) {
                x->word[x->word_len++] = config_json.p[i];
            }
        }
    }
    return x;
}

static void instance_destroy(void *instance)
{
    struct redact *x = instance;
    x->host->free(x->host, x);
}

/* Copies text to `out` with the word as asterisks; true when it was there. */
static bool blot(const struct redact *x, weir_str text, char *out)
{
    bool found = false;
    memcpy(out, text.p, text.n);
    for (size_t i = 0; i + x->word_len <= text.n;) {
        if (memcmp(text.p + i, x->word, x->word_len) == 0) {
            memset(out + i, '*', x->word_len);
            i += x->word_len;
            found = true;
        } else {
            i++;
        }
    }
    return found;
}

/* Could the end of the text be the beginning of the word? */
static bool ends_in_part(const struct redact *x, weir_str text)
{
    size_t n = x->word_len - 1 < text.n ? x->word_len - 1 : text.n;
    for (; n > 0; n--) {
        if (memcmp(text.p + text.n - n, x->word, n) == 0) {
            return true;
        }
    }
    return false;
}

static int on_chunk(void *instance, weir_req *r, const weir_chunk *c, weir_str *out)
{
    const struct redact *x = instance;
    if (c->kind == WEIR_CHUNK_FINISH || c->text.n == 0) {
        return WEIR_CHUNK_PASS;
    }
    if (!(c->flags & WEIR_CHUNK_LAST) && ends_in_part(x, c->text)) {
        return WEIR_CHUNK_HOLD;
    }
    struct state *s = x->host->req_state(x->host, r);
    if (s->cap < c->text.n) {
        x->host->free(x->host, s->text);
        s->text = x->host->alloc(x->host, c->text.n);
        s->cap = s->text ? c->text.n : 0;
        if (!s->text) {
            return WEIR_CHUNK_ABORT; /* nothing may go out unseen */
        }
    }
    if (!blot(x, c->text, s->text)) {
        return WEIR_CHUNK_PASS;
    }
    *out = (weir_str){s->text, c->text.n};
    return WEIR_CHUNK_REPLACE;
}

static void on_complete(void *instance, weir_req *r, const weir_usage *u)
{
    (void)u;
    const struct redact *x = instance;
    struct state *s = x->host->req_state(x->host, r);
    x->host->free(x->host, s->text);
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .req_state_size = sizeof(struct state),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_chunk = on_chunk,
    .on_complete = on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"word\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9 _.-]{1,64}$\","
    "\"default\":\"secret\",\"description\":\"The word that must not go out.\"}}}";

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,        .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "chunk_redact",  .version = "1.0.0",
    .license = "Apache-2.0", .description = "Blots out a word in the output.",
    .config_schema = schema, .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
