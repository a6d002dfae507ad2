/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <stdio.h>
#include <stdlib.h>

struct auth_keys {
    struct auth_key **list; /* [n], sorted by digest */
    uint32_t n;
};

static int compare(const void *a, const void *b)
{
    const struct auth_key *const *x = a, *const *y = b;
    return memcmp((*x)->digest, (*y)->digest, AUTH_DIGEST_BYTES);
}

static bool fail(char error[AUTH_ERROR_BYTES], const char *tenant, const char *name,
                 const char *what)
{
    char text[AUTH_ERROR_BYTES];
    (void)snprintf(text, sizeof(text), "tenants.%.60s.keys: %.60s%s%s", tenant, name,
                   *name ? ": " : "", what);
    memcpy(error, text, sizeof(text));
    return false;
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

static bool read_key(struct auth_keys *keys, const weir_host *host, const char *tenant,
                     yyjson_val *v, char error[AUTH_ERROR_BYTES])
{
    char why[AUTH_ERROR_BYTES] = "";
    size_t n = 0;
    char *json = yyjson_val_write(v, 0, &n);
    struct auth_key *key = auth_key_create(host, weir_str_from(tenant), (weir_str){NULL, 0},
                                           (weir_str){json, json ? n : 0}, why);
    free(json);
    if (!key) {
        const char *name = yyjson_get_str(yyjson_obj_get(v, "name"));
        return fail(error, tenant, name ? name : "", why);
    }
    keys->list[keys->n++] = key;
    return true;
}

static bool read_tenant(struct auth_keys *keys, const weir_host *host, const char *tenant,
                        yyjson_val *list, char error[AUTH_ERROR_BYTES])
{
    size_t i, max;
    yyjson_val *v;
    if (list && !yyjson_is_arr(list)) {
        return fail(error, tenant, "", "must be a list");
    }
    yyjson_arr_foreach(list, i, max, v)
    {
        if (!read_key(keys, host, tenant, v, error)) {
            return false;
        }
    }
    return true;
}

static bool check_unique(const struct auth_keys *keys, char error[AUTH_ERROR_BYTES])
{
    for (uint32_t i = 1; i < keys->n; i++) {
        if (compare(&keys->list[i - 1], &keys->list[i]) == 0) {
            return fail(error, keys->list[i]->tenant.p, keys->list[i]->name.p,
                        "has the same secret as another key");
        }
    }
    return true;
}

static bool read_all(struct auth_keys *keys, const weir_host *host, yyjson_val *root,
                     char error[AUTH_ERROR_BYTES])
{
    uint32_t n = count(root);
    if (n > AUTH_MAX_KEYS) {
        (void)snprintf(error, AUTH_ERROR_BYTES, "more than %d keys", AUTH_MAX_KEYS);
        return false;
    }
    keys->list = calloc(n + 1, sizeof(keys->list[0]));
    if (!keys->list) {
        (void)snprintf(error, AUTH_ERROR_BYTES, "out of memory");
        return false;
    }
    size_t i, max;
    yyjson_val *name, *tenant;
    yyjson_obj_foreach(root, i, max, name, tenant)
    {
        if (!read_tenant(keys, host, yyjson_get_str(name), yyjson_obj_get(tenant, "keys"), error)) {
            return false;
        }
    }
    qsort(keys->list, keys->n, sizeof(keys->list[0]), compare);
    return check_unique(keys, error);
}

struct auth_keys *auth_keys_create(const weir_host *host, weir_str tenants_json,
                                   char error[AUTH_ERROR_BYTES])
{
    struct auth_keys *keys = calloc(1, sizeof(*keys));
    yyjson_doc *doc = yyjson_read(tenants_json.p, tenants_json.n, 0);
    bool good = keys && doc;
    if (!good) {
        (void)snprintf(error, AUTH_ERROR_BYTES, "the tenants block is no JSON");
    }
    good = good && read_all(keys, host, yyjson_doc_get_root(doc), error);
    yyjson_doc_free(doc);
    if (!good) {
        auth_keys_destroy(keys);
        return NULL;
    }
    return keys;
}

void auth_keys_destroy(struct auth_keys *keys)
{
    for (uint32_t i = 0; keys && i < keys->n; i++) {
        auth_key_unref(keys->list[i]);
    }
    if (keys) {
        free(keys->list);
    }
    free(keys);
}

uint32_t auth_keys_count(const struct auth_keys *keys)
{
    return keys->n;
}

struct auth_key *auth_keys_at(const struct auth_keys *keys, uint32_t i)
{
    return keys->list[i];
}

static int compare_digest(const void *digest, const void *key)
{
    const struct auth_key *const *k = key;
    return memcmp(digest, (*k)->digest, AUTH_DIGEST_BYTES);
}

struct auth_key *auth_keys_find(const struct auth_keys *keys,
                                const unsigned char digest[AUTH_DIGEST_BYTES])
{
    struct auth_key **found =
        bsearch(digest, keys->list, keys->n, sizeof(keys->list[0]), compare_digest);
    return found && auth_digest_equal((*found)->digest, digest) ? *found : NULL;
}
