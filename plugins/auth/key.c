/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

bool auth_time_read(const char *text, uint64_t *ret_us)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end) {
        tm = (struct tm){0};
        end = strptime(text, "%Y-%m-%d", &tm);
        if (!end || *end) {
            return false;
        }
        tm.tm_hour = 23;
        tm.tm_min = 59;
        tm.tm_sec = 59;
    }
    time_t t = timegm(&tm);
    if (t < 0) {
        return false;
    }
    *ret_us = (uint64_t)t * 1000000;
    return true;
}

void auth_time_write(uint64_t us, char ret_text[32])
{
    time_t t = (time_t)(us / 1000000);
    struct tm tm;
    (void)gmtime_r(&t, &tm);
    (void)strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

uint32_t auth_scopes_read(yyjson_val *list)
{
    static const struct {
        const char *name;
        uint32_t scope;
    } known[] = {
        {"inference", WEIR_SCOPE_INFERENCE},
        {"admin", WEIR_SCOPE_ADMIN},
        {"tenant_admin", WEIR_SCOPE_TENANT_ADMIN},
        {"metrics", WEIR_SCOPE_METRICS},
    };
    uint32_t scopes = 0;
    size_t i, max;
    yyjson_val *v;
    yyjson_arr_foreach(list, i, max, v)
    {
        size_t k = 0;
        while (k < 4 && !yyjson_equals_str(v, known[k].name)) {
            k++;
        }
        if (k == 4) {
            return 0;
        }
        scopes |= known[k].scope;
    }
    return scopes;
}

static bool fail(char error[AUTH_ERROR_BYTES], const char *what)
{
    (void)snprintf(error, AUTH_ERROR_BYTES, "%s", what);
    return false;
}

static bool read_secret(struct auth_key *key, yyjson_val *root, char error[AUTH_ERROR_BYTES])
{
    const char *sha256 = yyjson_get_str(yyjson_obj_get(root, "sha256"));
    yyjson_val *secret = yyjson_obj_get(root, "secret");
    if ((sha256 != NULL) == (secret != NULL)) {
        return fail(error, "needs either sha256 or secret");
    }
    if (sha256 && !auth_digest_read(sha256, key->digest)) {
        return fail(error, "sha256 must be 64 hexadecimal digits");
    }
    size_t len = yyjson_get_len(secret);
    if (secret && (!yyjson_is_str(secret) || len < 8 || len > AUTH_MAX_SECRET_BYTES)) {
        return fail(error, "secret must be a text of 8 to 512 bytes");
    }
    if (secret) {
        auth_digest((weir_str){yyjson_get_str(secret), len}, key->digest);
    }
    yyjson_val *previous = yyjson_obj_get(root, "previous");
    const char *until = yyjson_get_str(yyjson_obj_get(previous, "until"));
    if (until &&
        !(auth_digest_read(yyjson_get_str(yyjson_obj_get(previous, "sha256")), key->previous) &&
          auth_time_read(until, &key->previous_until_us))) {
        return fail(error, "previous needs sha256 and until");
    }
    return true;
}

static bool read_rest(struct auth_key *key, yyjson_val *root, char error[AUTH_ERROR_BYTES])
{
    yyjson_val *expires = yyjson_obj_get(root, "expires");
    yyjson_val *scopes = yyjson_obj_get(root, "scopes");
    key->expires_us = UINT64_MAX;
    if (expires &&
        !(yyjson_is_str(expires) && auth_time_read(yyjson_get_str(expires), &key->expires_us))) {
        return fail(error, "expires must be like 2026-12-31 or 2026-12-31T12:00:00Z");
    }
    key->scopes = scopes ? auth_scopes_read(scopes) : WEIR_SCOPE_INFERENCE;
    if (key->scopes == 0) {
        return fail(error, "scopes must be a list of inference, admin, tenant_admin and metrics");
    }
    return true;
}

/* The bytes of its models as lines; SIZE_MAX: they are wrong. */
static size_t models_size(yyjson_val *models)
{
    size_t i, max, n = 0, n_models = yyjson_arr_size(models);
    yyjson_val *v;
    if (models && (n_models == 0 || n_models > AUTH_MAX_MODELS)) {
        return SIZE_MAX;
    }
    yyjson_arr_foreach(models, i, max, v)
    {
        weir_str name = auth_text(v);
        if (name.n == 0 || name.n > AUTH_MAX_MODELS_BYTES || memchr(name.p, '\n', name.n)) {
            return SIZE_MAX;
        }
        n += name.n + 1;
    }
    return n <= AUTH_MAX_MODELS_BYTES ? n : SIZE_MAX;
}

static weir_str put_models(char **at, yyjson_val *models)
{
    weir_str all = {*at, 0};
    size_t i, max;
    yyjson_val *v;
    yyjson_arr_foreach(models, i, max, v)
    {
        weir_str name = auth_text(v);
        assert(name.p); /* models_size() has seen them */
        memcpy(*at, name.p, name.n);
        (*at)[name.n] = '\n';
        *at += name.n + 1;
        all.n += name.n + 1;
    }
    return all;
}

/* {"limits": …, "quota": …}, to be freed; NULL: it has none (or no memory: then `ret_failed`). */
static char *write_limits(yyjson_val *root, bool *ret_failed)
{
    static const char *const names[] = {"limits", "quota"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *out = yyjson_mut_obj(doc);
    *ret_failed = !out;
    for (size_t i = 0; i < 2; i++) {
        yyjson_val *v = yyjson_obj_get(root, names[i]);
        if (v && !yyjson_mut_obj_add_val(doc, out, names[i], yyjson_val_mut_copy(doc, v))) {
            *ret_failed = true;
        }
    }
    char *text = yyjson_mut_obj_size(out) ? yyjson_mut_val_write(out, 0, NULL) : NULL;
    *ret_failed = *ret_failed || (yyjson_mut_obj_size(out) && !text);
    yyjson_mut_doc_free(doc);
    return text;
}

static weir_str put_text(char **at, weir_str text)
{
    weir_str copy = {*at, text.n};
    if (text.n) {
        memcpy(*at, text.p, text.n);
    }
    (*at)[text.n] = '\0';
    *at += text.n + 1;
    return copy;
}

weir_str auth_text(yyjson_val *v)
{
    const char *text = yyjson_get_str(v);
    return (weir_str){text, text ? yyjson_get_len(v) : 0};
}

/* The document becomes the key's. */
static struct auth_key *create(const weir_host *host, weir_str tenant, weir_str id, yyjson_doc *doc,
                               char error[AUTH_ERROR_BYTES])
{
    yyjson_val *root = yyjson_doc_get_root(doc);
    weir_str name = auth_text(yyjson_obj_get(root, "name"));
    weir_str user = auth_text(yyjson_obj_get(root, "user"));
    yyjson_val *models = yyjson_obj_get(root, "models");
    size_t n_models = models_size(models);
    if (!yyjson_is_obj(root) || name.n == 0) {
        (void)fail(error, "a key needs a name");
        return NULL;
    }
    if (n_models == SIZE_MAX) {
        (void)fail(error, "models must be a list of names");
        return NULL;
    }
    bool failed = false;
    char *limits = write_limits(root, &failed);
    weir_str limits_text = weir_str_from(limits);
    id = id.n ? id : name;
    struct auth_key *key = failed ? NULL
                                  : host->alloc(host, sizeof(*key) + tenant.n + id.n + name.n +
                                                          user.n + limits_text.n + 5 + n_models);
    if (!key) {
        (void)fail(error, "out of memory");
        free(limits);
        return NULL;
    }
    *key = (struct auth_key){.host = host};
    atomic_init(&key->refs, 1);
    char *at = (char *)(key + 1);
    key->tenant = put_text(&at, tenant);
    key->id = put_text(&at, id);
    key->name = put_text(&at, name);
    key->user = put_text(&at, user);
    key->limits = put_text(&at, limits_text);
    key->models = put_models(&at, models);
    free(limits);
    if (!read_secret(key, root, error) || !read_rest(key, root, error)) {
        auth_key_unref(key);
        return NULL;
    }
    key->doc = doc;
    return key;
}

struct auth_key *auth_key_create(const weir_host *host, weir_str tenant, weir_str id, weir_str json,
                                 char error[AUTH_ERROR_BYTES])
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    struct auth_key *key = create(host, tenant, id, doc, error);
    if (!key) {
        yyjson_doc_free(doc);
    }
    return key;
}

struct auth_key *auth_key_ref(struct auth_key *key)
{
    /* relaxed: the caller has a reference, or the lock of the table that has one */
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void auth_key_unref(struct auth_key *key)
{
    /* release: our reads come before the freeing; acquire: others' do too */
    if (key && atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) == 1) {
        yyjson_doc_free(key->doc);
        key->host->free(key->host, key);
    }
}

bool auth_key_proves(const struct auth_key *key, const unsigned char digest[AUTH_DIGEST_BYTES],
                     uint64_t wall_us)
{
    static const unsigned char nothing[AUTH_DIGEST_BYTES] = {0};
    bool now = auth_digest_equal(key ? key->digest : nothing, digest);
    bool before = auth_digest_equal(key ? key->previous : nothing, digest);
    return key && (now | (before & (wall_us < key->previous_until_us)));
}
