/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <yyjson.h>

enum { MAX_SECRET_BYTES = 512, MAX_MODELS = 1000 };

struct auth_keys {
    yyjson_doc *doc;       /* owns every string that the keys point to */
    struct auth_key *list; /* [n], sorted by digest */
    uint32_t n;
};

static int compare(const void *a, const void *b)
{
    return memcmp(((const struct auth_key *)a)->digest, ((const struct auth_key *)b)->digest, 32);
}

static bool hash_secret(weir_str secret, unsigned char digest[32])
{
    return EVP_Digest(secret.p, secret.n, digest, NULL, EVP_sha256(), NULL) == 1;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool parse_digest(const char *hex, unsigned char digest[32])
{
    if (strlen(hex) != 64) {
        return false;
    }
    for (int i = 0; i < 32; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* "2026-12-31" (the end of that day, UTC) or "2026-12-31T23:59:59Z". */
static bool parse_time(const char *text, uint64_t *ret_us)
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

static bool fail(char error[AUTH_ERROR_BYTES], const char *tenant, const char *name,
                 const char *what)
{
    (void)snprintf(error, AUTH_ERROR_BYTES, "tenants.%.60s.keys: %.60s%s%s", tenant, name,
                   *name ? ": " : "", what);
    return false;
}

static bool read_models(yyjson_val *models, struct auth_key *key)
{
    size_t n = yyjson_arr_size(models);
    if (!models) {
        return true;
    }
    if (!yyjson_is_arr(models) || n == 0 || n > MAX_MODELS) {
        return false;
    }
    key->models = calloc(n, sizeof(char *));
    size_t i, max;
    yyjson_val *v;
    yyjson_arr_foreach(models, i, max, v)
    {
        if (!key->models || !yyjson_is_str(v)) {
            return false;
        }
        key->models[key->n_models++] = yyjson_get_str(v);
    }
    return true;
}

static bool read_key(yyjson_val *v, const char *tenant, struct auth_key *key,
                     char error[AUTH_ERROR_BYTES])
{
    const char *name = yyjson_get_str(yyjson_obj_get(v, "name"));
    const char *sha256 = yyjson_get_str(yyjson_obj_get(v, "sha256"));
    yyjson_val *secret = yyjson_obj_get(v, "secret");
    yyjson_val *expires = yyjson_obj_get(v, "expires");
    if (!name || !*name) {
        return fail(error, tenant, "", "a key needs a name");
    }
    *key = (struct auth_key){.tenant = tenant,
                             .name = name,
                             .user = yyjson_get_str(yyjson_obj_get(v, "user")),
                             .expires_us = UINT64_MAX};
    if ((sha256 != NULL) == (secret != NULL)) {
        return fail(error, tenant, name, "needs either sha256 or secret");
    }
    if (sha256 && !parse_digest(sha256, key->digest)) {
        return fail(error, tenant, name, "sha256 must be 64 hexadecimal digits");
    }
    if (secret) {
        size_t len = yyjson_get_len(secret);
        if (!yyjson_is_str(secret) || len < 8 || len > MAX_SECRET_BYTES ||
            !hash_secret((weir_str){yyjson_get_str(secret), len}, key->digest)) {
            return fail(error, tenant, name, "secret must be a text of 8 to 512 bytes");
        }
    }
    if (expires &&
        (!yyjson_is_str(expires) || !parse_time(yyjson_get_str(expires), &key->expires_us))) {
        return fail(error, tenant, name, "expires must be like 2026-12-31 or 2026-12-31T12:00:00Z");
    }
    if (!read_models(yyjson_obj_get(v, "models"), key)) {
        return fail(error, tenant, name, "models must be a list of names");
    }
    return true;
}

static uint32_t count(yyjson_val *tenants)
{
    size_t n = 0, i, max;
    yyjson_val *name, *tenant;
    yyjson_obj_foreach(tenants, i, max, name, tenant)
    {
        n += yyjson_arr_size(yyjson_obj_get(tenant, "keys"));
    }
    return n > AUTH_MAX_KEYS ? AUTH_MAX_KEYS + 1 : (uint32_t)n;
}

static bool read_tenant(struct auth_keys *keys, const char *tenant, yyjson_val *list,
                        char error[AUTH_ERROR_BYTES])
{
    size_t i, max;
    yyjson_val *v;
    if (list && !yyjson_is_arr(list)) {
        return fail(error, tenant, "", "must be a list");
    }
    yyjson_arr_foreach(list, i, max, v)
    {
        /* Counted before reading, so that a half-read key is freed with the others. */
        if (!read_key(v, tenant, &keys->list[keys->n++], error)) {
            return false;
        }
    }
    return true;
}

static bool check_unique(const struct auth_keys *keys, char error[AUTH_ERROR_BYTES])
{
    for (uint32_t i = 1; i < keys->n; i++) {
        if (compare(&keys->list[i - 1], &keys->list[i]) == 0) {
            return fail(error, keys->list[i].tenant, keys->list[i].name,
                        "has the same secret as another key");
        }
    }
    return true;
}

static bool read_all(struct auth_keys *keys, char error[AUTH_ERROR_BYTES])
{
    yyjson_val *root = yyjson_doc_get_root(keys->doc);
    uint32_t n = count(root);
    if (n > AUTH_MAX_KEYS) {
        (void)snprintf(error, AUTH_ERROR_BYTES, "more than %d keys", AUTH_MAX_KEYS);
        return false;
    }
    keys->list = calloc(n + 1, sizeof(*keys->list));
    if (!keys->list) {
        (void)snprintf(error, AUTH_ERROR_BYTES, "out of memory");
        return false;
    }
    size_t i, max;
    yyjson_val *name, *tenant;
    yyjson_obj_foreach(root, i, max, name, tenant)
    {
        if (!read_tenant(keys, yyjson_get_str(name), yyjson_obj_get(tenant, "keys"), error)) {
            return false;
        }
    }
    qsort(keys->list, keys->n, sizeof(*keys->list), compare);
    return check_unique(keys, error);
}

struct auth_keys *auth_keys_create(weir_str tenants_json, char error[AUTH_ERROR_BYTES])
{
    struct auth_keys *keys = calloc(1, sizeof(*keys));
    if (!keys) {
        (void)snprintf(error, AUTH_ERROR_BYTES, "out of memory");
        return NULL;
    }
    keys->doc = yyjson_read(tenants_json.p, tenants_json.n, 0);
    if (!keys->doc) {
        (void)snprintf(error, AUTH_ERROR_BYTES, "the tenants block is no JSON");
        auth_keys_destroy(keys);
        return NULL;
    }
    if (!read_all(keys, error)) {
        auth_keys_destroy(keys);
        return NULL;
    }
    return keys;
}

void auth_keys_destroy(struct auth_keys *keys)
{
    if (!keys) {
        return;
    }
    for (uint32_t i = 0; i < keys->n; i++) {
        free(keys->list[i].models);
    }
    free(keys->list);
    yyjson_doc_free(keys->doc);
    free(keys);
}

uint32_t auth_keys_count(const struct auth_keys *keys)
{
    return keys->n;
}

const struct auth_key *auth_keys_find(const struct auth_keys *keys, weir_str secret)
{
    struct auth_key wanted = {0};
    if (secret.n == 0 || secret.n > MAX_SECRET_BYTES || !hash_secret(secret, wanted.digest)) {
        return NULL;
    }
    const struct auth_key *found =
        bsearch(&wanted, keys->list, keys->n, sizeof(*keys->list), compare);
    return found && CRYPTO_memcmp(found->digest, wanted.digest, 32) == 0 ? found : NULL;
}

bool auth_key_allows(const struct auth_key *key, weir_str model)
{
    for (uint32_t i = 0; i < key->n_models; i++) {
        if (weir_str_is(model, key->models[i])) {
            return true;
        }
    }
    return key->n_models == 0;
}
