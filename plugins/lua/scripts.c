/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

struct lua_scripts {
    struct lua_limits limits;
    struct lua_script *list; /* [n], sorted by tenant */
    size_t n;
    struct lua_script fallback; /* text NULL: none */
};

static bool read_file(struct lua_script *s, const char *path, char error[LUA_SANDBOX_ERROR_BYTES])
{
    FILE *f = fopen(path, "rb");
    s->text = f ? malloc(LUA_SANDBOX_MAX_SCRIPT_BYTES + 1) : NULL;
    if (!s->text) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "policy %.150s: %s", path, strerror(errno));
        if (f) {
            (void)fclose(f);
        }
        return false;
    }
    s->text_len = fread(s->text, 1, LUA_SANDBOX_MAX_SCRIPT_BYTES + 1, f);
    bool ok = ferror(f) == 0;
    (void)fclose(f);
    if (!ok || s->text_len > LUA_SANDBOX_MAX_SCRIPT_BYTES) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "policy %.150s: %s", path,
                       ok ? "larger than 64 KiB" : strerror(errno));
        return false;
    }
    return true;
}

static bool load(const struct lua_scripts *set, struct lua_script *s, const char *tenant,
                 const char *path, char error[LUA_SANDBOX_ERROR_BYTES])
{
    *s = (struct lua_script){.tenant = tenant ? strdup(tenant) : NULL};
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
        return false;
    }
    size_t name_len = strlen(path) + 2;
    s->name = malloc(name_len);
    if (!s->name || (tenant && !s->tenant)) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
        return false;
    }
    (void)snprintf(s->name, name_len, "@%s", path);
    struct lua_sandbox *first = NULL;
    char why[LUA_SANDBOX_ERROR_BYTES];
    if (!read_file(s, path, error)) {
        return false;
    }
    if (lua_script_take(set, s, &first, why) < 0) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "policy %.200s", why);
        return false;
    }
    lua_script_give(s, first, false);
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct lua_script *)a)->tenant, ((const struct lua_script *)b)->tenant);
}

static bool load_tenants(struct lua_scripts *set, yyjson_val *tenants,
                         char error[LUA_SANDBOX_ERROR_BYTES])
{
    size_t n = yyjson_obj_size(tenants), i, max;
    if (n > LUA_MAX_SCRIPTS || !(set->list = calloc(n + 1, sizeof(*set->list)))) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "too many tenants, or out of memory");
        return false;
    }
    yyjson_val *name, *tenant;
    yyjson_obj_foreach(tenants, i, max, name, tenant)
    {
        const char *path = yyjson_get_str(yyjson_obj_get(tenant, "policy"));
        /* Counted before loading, so that a half-loaded one is freed with the others. */
        if (path && !load(set, &set->list[set->n++], yyjson_get_str(name), path, error)) {
            return false;
        }
    }
    qsort(set->list, set->n, sizeof(*set->list), compare);
    return true;
}

static void finish(struct lua_script *s)
{
    for (uint32_t i = 0; i < s->n_idle; i++) {
        lua_sandbox_destroy(s->idle[i]);
    }
    free(s->tenant);
    free(s->name);
    free(s->text);
    pthread_mutex_destroy(&s->lock);
}

struct lua_scripts *lua_scripts_create(weir_str tenants_json, const char *default_file,
                                       const struct lua_limits *limits,
                                       char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct lua_scripts *set = calloc(1, sizeof(*set));
    yyjson_doc *doc = set ? yyjson_read(tenants_json.p, tenants_json.n, 0) : NULL;
    if (!doc) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "the tenants block cannot be read");
        free(set);
        return NULL;
    }
    set->limits = *limits;
    bool ok = load_tenants(set, yyjson_doc_get_root(doc), error) &&
              (!*default_file || load(set, &set->fallback, NULL, default_file, error));
    yyjson_doc_free(doc);
    if (!ok) {
        lua_scripts_destroy(set);
        return NULL;
    }
    return set;
}

void lua_scripts_destroy(struct lua_scripts *set)
{
    if (!set) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        finish(&set->list[i]);
    }
    if (set->fallback.name) {
        finish(&set->fallback);
    }
    free(set->list);
    free(set);
}

struct lua_script *lua_scripts_find(const struct lua_scripts *set, weir_str tenant)
{
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct lua_script *s = &set->list[mid];
        if (weir_str_is(tenant, s->tenant)) {
            return s;
        }
        size_t n = strlen(s->tenant), shorter = n < tenant.n ? n : tenant.n;
        int d = shorter ? memcmp(s->tenant, tenant.p, shorter) : 0;
        if (d < 0 || (d == 0 && n < tenant.n)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return set->fallback.text ? (struct lua_script *)&set->fallback : NULL;
}

int lua_script_take(const struct lua_scripts *set, struct lua_script *script,
                    struct lua_sandbox **ret_sandbox, char error[LUA_SANDBOX_ERROR_BYTES])
{
    pthread_mutex_lock(&script->lock);
    struct lua_sandbox *s = script->n_idle ? script->idle[--script->n_idle] : NULL;
    pthread_mutex_unlock(&script->lock);
    if (s) {
        *ret_sandbox = s;
        return 0;
    }
    return lua_sandbox_create(&set->limits, (weir_str){script->text, script->text_len},
                              script->name, ret_sandbox, error);
}

void lua_script_give(struct lua_script *script, struct lua_sandbox *sandbox, bool dead)
{
    pthread_mutex_lock(&script->lock);
    bool keep = !dead && script->n_idle < LUA_MAX_IDLE;
    if (keep) {
        script->idle[script->n_idle++] = sandbox;
    }
    pthread_mutex_unlock(&script->lock);
    if (!keep) {
        lua_sandbox_destroy(sandbox);
    }
}

bool lua_script_may_log(struct lua_script *script, uint64_t now_us)
{
    pthread_mutex_lock(&script->lock);
    bool may = now_us >= script->next_log_us;
    script->next_log_us = may ? now_us + 1000000 : script->next_log_us;
    pthread_mutex_unlock(&script->lock);
    return may;
}
