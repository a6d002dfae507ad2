/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "lua": a tenant's own policy decides on its requests. docs/lua.md. */
#include "instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "admin_op.h"
#include "weir/plugin.h"
#include "zone.h"

static void destroy(void *instance)
{
    struct lua_plugin *p = instance;
    records_destroy(p->records);
    lua_policies_destroy(p->policies);
    zones_destroy(p->services.zones);
    p->host->free(p->host, p);
}

static int start(struct lua_plugin *p, yyjson_val *config, char error[LUA_SANDBOX_ERROR_BYTES])
{
    p->defaults = (struct lua_settings){
        .limits = {.instructions = 50000, .cpu_us = 5000, .live_bytes = 1024 * 1024}};
    settings_read(config, &p->defaults);
    yyjson_val *wait = yyjson_obj_get(config, "wait_ms");
    p->wait_ms = wait ? (uint32_t)yyjson_get_uint(wait) : 1000;
    p->services = (struct lua_services){.host = p->host,
                                        .store = p->store,
                                        .zones = zones_create(),
                                        .woken = decide_woken,
                                        .may_log = decide_may_log};
    p->policies = lua_policies_create(&p->defaults);
    if (!p->policies || !p->services.zones) {
        return WEIR_E_NOMEM;
    }
    int rc = settings_load(p, yyjson_get_str(yyjson_obj_get(config, "file")), error);
    rc = rc < 0 ? rc : records_create(p, &p->records);
    return rc < 0 || !p->admin || !p->store ? rc : admin_define(p);
}

static void *create(const weir_host *host, weir_str config_json, weir_str *err)
{
    static char error[LUA_SANDBOX_ERROR_BYTES]; /* [main] only; outlives a failed instance */
    struct lua_plugin *p = host->alloc(host, sizeof(*p));
    yyjson_doc *doc = yyjson_read(config_json.p, config_json.n, 0);
    *err = weir_str_from("out of memory");
    if (!p || !doc) {
        host->free(host, p);
        yyjson_doc_free(doc);
        return NULL;
    }
    *p = (struct lua_plugin){.host = host,
                             .store = host->get_ext(host, WEIR_EXT_STORE),
                             .admin = host->get_ext(host, WEIR_EXT_ADMIN),
                             .tenants = host->get_ext(host, WEIR_EXT_TENANTS)};
    metrics_define(p);
    (void)snprintf(error, sizeof(error), "out of memory");
    int rc = start(p, yyjson_doc_get_root(doc), error);
    yyjson_doc_free(doc);
    if (rc < 0) {
        *err = weir_str_from(error);
        destroy(p);
        return NULL;
    }
    return p;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY) | WEIR_PHASE_BIT(WEIR_PHASE_ROUTE),
    .req_state_size = sizeof(struct lua_request),
    .instance_create = create,
    .instance_destroy = destroy,
    .on_phase = decide_on_phase,
    .on_resume = decide_on_resume,
    .on_chunk = decide_on_chunk,
    .on_complete = decide_on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_TENANTS, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, WEIR_EXT_STORE, WEIR_EXT_ADMIN, NULL};
static const char *const after[] = {"auth", NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .name = "lua",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Tenants' own policies in Lua.",
    .config_schema = lua_schema,
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
