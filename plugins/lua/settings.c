/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "instance.h"

#define LIMITS_SCHEMA                                                                              \
    "\"on_error\":{\"enum\":[\"closed\",\"open\"],\"default\":\"closed\",\"description\":"         \
    "\"A request whose policy fails: closed answers 503, open lets it go on.\"},"                  \
    "\"instructions\":{\"type\":\"integer\",\"minimum\":1000,\"maximum\":10000000,"                \
    "\"default\":50000,\"description\":\"Per call of a hook.\"},"                                  \
    "\"cpu_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":40,\"default\":5,"                 \
    "\"description\":\"Processor time per call.\"},"                                               \
    "\"memory_kib\":{\"type\":\"integer\",\"minimum\":128,\"maximum\":65536,\"default\":1024,"     \
    "\"description\":\"Memory of one state.\"}"

const char lua_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"file\":{\"type\":\"string\",\"minLength\":1,\"description\":"
    "\"Policy for requests whose tenant has none.\"},"
    "\"wait_ms\":{\"type\":\"integer\",\"minimum\":10,\"maximum\":60000,\"default\":1000,"
    "\"description\":\"Time that one call may wait for the store, in all.\"}," LIMITS_SCHEMA "}}";

static uint64_t number(yyjson_val *root, const char *key, uint64_t otherwise)
{
    yyjson_val *v = yyjson_obj_get(root, key);
    return yyjson_is_uint(v) ? yyjson_get_uint(v) : otherwise;
}

void settings_read(yyjson_val *root, struct lua_settings *s)
{
    const char *on_error = yyjson_get_str(yyjson_obj_get(root, "on_error"));
    struct lua_limits *l = &s->limits;
    s->fail_open = on_error ? strcmp(on_error, "open") == 0 : s->fail_open;
    l->instructions = (int64_t)number(root, "instructions", (uint64_t)l->instructions);
    l->cpu_us = number(root, "cpu_ms", l->cpu_us / 1000) * 1000;
    l->live_bytes = (size_t)number(root, "memory_kib", l->live_bytes / 1024) * 1024;
    l->allocated_bytes = l->live_bytes * 8;
}

static char *read_file(const char *path, size_t *ret_n, char error[LUA_SANDBOX_ERROR_BYTES])
{
    FILE *f = fopen(path, "rb");
    char *text = f ? malloc(LUA_SANDBOX_MAX_SCRIPT_BYTES + 1) : NULL;
    size_t n = text ? fread(text, 1, LUA_SANDBOX_MAX_SCRIPT_BYTES + 1, f) : 0;
    bool ok = text && ferror(f) == 0 && n <= LUA_SANDBOX_MAX_SCRIPT_BYTES;
    if (!ok) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "policy %.150s: %s", path,
                       n > LUA_SANDBOX_MAX_SCRIPT_BYTES ? "larger than 64 KiB" : strerror(errno));
        free(text);
        text = NULL;
    }
    if (f) {
        (void)fclose(f);
    }
    *ret_n = n;
    return text;
}

static struct lua_version *load_file(const char *path, const struct lua_limits *limits,
                                     char error[LUA_SANDBOX_ERROR_BYTES])
{
    char name[512], why[LUA_SANDBOX_ERROR_BYTES];
    struct lua_version *v = NULL;
    size_t n = 0;
    char *text = read_file(path, &n, error);
    if (!text) {
        return NULL;
    }
    (void)snprintf(name, sizeof(name), "@%s", path);
    if (lua_version_create((weir_str){text, n}, name, 0, limits, &v, why) < 0) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "policy %.200s", why);
    }
    free(text);
    return v;
}

static int load_tenant(struct lua_plugin *p, weir_str tenant, yyjson_val *entry,
                       char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct lua_settings settings = p->defaults;
    yyjson_val *own = yyjson_obj_get(entry, "lua");
    const char *path = yyjson_get_str(yyjson_obj_get(entry, "policy"));
    int rc = 0;
    settings_read(own, &settings);
    if (own) {
        rc = lua_policies_set_settings(p->policies, tenant, &settings);
    }
    if (rc == 0 && path) {
        struct lua_version *v = load_file(path, &settings.limits, error);
        rc = v ? lua_policies_set_file(p->policies, tenant, v) : WEIR_E_FORMAT;
    }
    return rc;
}

int settings_load(struct lua_plugin *p, const char *fallback_file,
                  char error[LUA_SANDBOX_ERROR_BYTES])
{
    weir_str json = p->tenants->config_json(p->host);
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *name, *tenant;
    size_t i, max;
    int rc = doc ? 0 : WEIR_E_FORMAT;
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "the tenants cannot be loaded");
    yyjson_obj_foreach(yyjson_doc_get_root(doc), i, max, name, tenant)
    {
        if (rc == 0) {
            rc = load_tenant(p, (weir_str){yyjson_get_str(name), yyjson_get_len(name)}, tenant,
                             error);
        }
    }
    yyjson_doc_free(doc);
    if (rc == 0 && fallback_file) {
        struct lua_version *v = load_file(fallback_file, &p->defaults.limits, error);
        lua_policies_set_fallback(p->policies, v);
        rc = v ? 0 : WEIR_E_FORMAT;
    }
    return rc;
}

void settings_reread(struct lua_plugin *p, weir_str tenant)
{
    struct lua_settings settings = p->defaults;
    weir_str json = {NULL, 0};
    if (p->tenants->get(p->host, tenant, &json, NULL) == 0) {
        yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
        settings_read(yyjson_obj_get(yyjson_doc_get_root(doc), "lua"), &settings);
        yyjson_doc_free(doc);
    }
    (void)lua_policies_set_settings(p->policies, tenant, &settings);
}
