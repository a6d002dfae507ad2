/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "lua": a tenant's own script decides on its requests.
 *
 * BODY: on_request(req) of the script named by tenants.<tenant>.policy, else of `file`, else the
 * request goes on. A script that fails hurts its own tenant's request only: the plugin applies
 * on_error itself rather than return WEIR_FAIL, which would count towards the quarantine of the
 * plugin and so towards everybody's. */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "api.h"
#include "scripts.h"
#include "weir/plugin.h"
#include "weir/policy.h"

struct lua_policy {
    const weir_host *host;
    const weir_ext_metrics *metrics;
    weir_metric calls, aborts;
    struct lua_scripts *scripts;
    bool fail_open;
};

static uint64_t number(yyjson_val *root, const char *key, uint64_t otherwise)
{
    yyjson_val *v = yyjson_obj_get(root, key);
    return v ? yyjson_get_uint(v) : otherwise;
}

static struct lua_limits read_limits(yyjson_val *root)
{
    size_t live = (size_t)number(root, "memory_kib", 1024) * 1024;
    return (struct lua_limits){
        .instructions = (int64_t)number(root, "instructions", 50000),
        .cpu_us = number(root, "cpu_ms", 5) * 1000,
        .live_bytes = live,
        .allocated_bytes = live * 8,
    };
}

static void define_metrics(struct lua_policy *p)
{
    static const char *const calls[] = {"tenant", "result"};
    static const char *const aborts[] = {"tenant", "reason"};
    const weir_ext_metrics *m = p->host->get_ext(p->host, WEIR_EXT_METRICS);
    if (m && WEIR_HAS_FN(m, record)) {
        p->metrics = m;
        p->calls =
            m->define(p->host, WEIR_METRIC_COUNTER, "calls", "Decisions of scripts.", calls, 2);
        p->aborts =
            m->define(p->host, WEIR_METRIC_COUNTER, "aborts", "Scripts that failed.", aborts, 2);
    }
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    static char error[LUA_SANDBOX_ERROR_BYTES]; /* [main] only; outlives a failed instance */
    const weir_ext_tenants *tenants = host->get_ext(host, WEIR_EXT_TENANTS);
    struct lua_policy *p = host->alloc(host, sizeof(*p));
    yyjson_doc *doc = yyjson_read(config_json.p, config_json.n, 0);
    *err = weir_str_from("out of memory");
    if (!p || !doc) {
        host->free(host, p);
        yyjson_doc_free(doc);
        return NULL;
    }
    *p = (struct lua_policy){.host = host};
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *file = yyjson_get_str(yyjson_obj_get(root, "file"));
    const char *on_error = yyjson_get_str(yyjson_obj_get(root, "on_error"));
    p->fail_open = on_error && strcmp(on_error, "open") == 0;
    define_metrics(p);
    struct lua_limits limits = read_limits(root);
    p->scripts = lua_scripts_create(tenants->config_json(host), file ? file : "", &limits, error);
    yyjson_doc_free(doc);
    if (!p->scripts) {
        *err = weir_str_from(error);
        host->free(host, p);
        return NULL;
    }
    return p;
}

static void instance_destroy(void *instance)
{
    struct lua_policy *p = instance;
    lua_scripts_destroy(p->scripts);
    p->host->free(p->host, p);
}

static void count(const struct lua_policy *p, weir_metric metric, weir_str tenant, const char *what)
{
    const weir_str values[] = {tenant, weir_str_from(what)};
    if (p->metrics) {
        p->metrics->record(p->host, metric, 1, values, 2);
    }
}

static const char *reason_of(int rc)
{
    return rc == WEIR_E_TIMEOUT ? "budget" : rc == WEIR_E_NOMEM ? "memory" : "error";
}

static int fail(const struct lua_policy *p, weir_req *r, struct lua_script *script, weir_str tenant,
                int rc, const char *error)
{
    const weir_host *h = p->host;
    char text[LUA_SANDBOX_ERROR_BYTES + 160];
    (void)snprintf(text, sizeof(text), "policy of tenant \"%.*s\" failed: %s",
                   (int)(tenant.n < 100 ? tenant.n : 100), tenant.p ? tenant.p : "", error);
    if (lua_script_may_log(script, h->now_us(h))) {
        h->log(h, WEIR_LEVEL_WARN, r, weir_str_from(text));
    }
    count(p, p->aborts, tenant, reason_of(rc));
    if (p->fail_open) {
        return WEIR_CONTINUE;
    }
    (void)h->deny(h, r, 503, weir_str_from("server_error"), weir_str_from("policy_failed"),
                  weir_str_from("The tenant's policy failed; the request was not run."));
    return WEIR_DENY;
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    (void)phase;
    const struct lua_policy *p = instance;
    const weir_host *h = p->host;
    weir_str tenant = {NULL, 0};
    if (h->req_get(h, r, WEIR_FIELD_TENANT, &tenant) < 0) {
        tenant = (weir_str){NULL, 0};
    }
    struct lua_script *script = lua_scripts_find(p->scripts, tenant);
    if (!script) {
        return WEIR_CONTINUE;
    }
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_sandbox *sandbox = NULL;
    int rc = lua_script_take(p->scripts, script, &sandbox, error);
    if (rc < 0) {
        return fail(p, r, script, tenant, rc, error);
    }
    struct lua_api_call call = {.host = h, .request = r};
    bool dead = false;
    rc = lua_sandbox_call(sandbox, lua_api_on_request, &call, &dead, error);
    lua_script_give(script, sandbox, dead || rc < 0);
    if (rc < 0) {
        return fail(p, r, script, tenant, rc, error);
    }
    count(p, p->calls, tenant, call.denied ? "deny" : "continue");
    if (!call.denied) {
        return WEIR_CONTINUE;
    }
    (void)h->deny(h, r, call.status, weir_str_from("invalid_request_error"),
                  weir_str_from(call.code), weir_str_from(call.message));
    return WEIR_DENY;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY),
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
    "\"file\":{\"type\":\"string\",\"minLength\":1,\"description\":"
    "\"Script for requests whose tenant has none.\"},"
    "\"on_error\":{\"enum\":[\"closed\",\"open\"],\"default\":\"closed\",\"description\":"
    "\"A request whose script fails: closed answers 503, open lets it go on.\"},"
    "\"instructions\":{\"type\":\"integer\",\"minimum\":1000,\"maximum\":10000000,"
    "\"default\":50000,\"description\":\"Per call.\"},"
    "\"cpu_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":40,\"default\":5,"
    "\"description\":\"Processor time per call.\"},"
    "\"memory_kib\":{\"type\":\"integer\",\"minimum\":128,\"maximum\":65536,\"default\":1024,"
    "\"description\":\"Memory of one state.\"}}}";

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_TENANTS, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, NULL};
static const char *const after[] = {"auth", NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .name = "lua",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Tenants' own policies in Lua.",
    .config_schema = schema,
    .needs = needs,
    .wants = wants,
    .after = after,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
