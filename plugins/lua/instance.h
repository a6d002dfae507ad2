/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's instance, for its parts. Threads: as said at each. */
#include "call.h"
#include "policies.h"

struct records;

struct lua_plugin {
    const weir_host *host;
    const weir_ext_store *store; /* NULL: there is none */
    const weir_ext_metrics *metrics;
    const weir_ext_tenants *tenants;
    const weir_ext_admin *admin; /* NULL: there is none */
    weir_metric calls, aborts, shadows, paused, versions, syncs;
    struct lua_services services;
    struct lua_settings defaults;
    uint32_t wait_ms; /* for the store, in one call */
    struct lua_policies *policies;
    struct records *records;
};

/* settings.c: the configuration. */
extern const char lua_schema[];
struct yyjson_val;
void settings_read(struct yyjson_val *config, struct lua_settings *to); /* only what it has */
/* Files and settings of the tenants block, and the file for everybody. */
int settings_load(struct lua_plugin *p, const char *fallback_file,
                  char error[LUA_SANDBOX_ERROR_BYTES]);
/* A tenant's entry has changed. [main] */
void settings_reread(struct lua_plugin *p, weir_str tenant);

/* metrics.c: [any] */
void metrics_define(struct lua_plugin *p);
void metrics_count(const struct lua_plugin *p, weir_metric metric, weir_str tenant,
                   const char *what);

/* decide.c: the hooks of the policy interface. */
struct lua_request { /* of one request, zeroed at its start */
    struct lua_version *version, *shadow;
    struct lua_call *call; /* suspended */
    struct lua_notes *notes;
    char *text; /* what a chunk was replaced by, until the next */
    size_t n_text;
    uint64_t since_us; /* it waits for the records */
    bool chosen, fail_open;
    bool done; /* no more hooks: it failed */
};
int decide_on_phase(void *instance, weir_req *r, int phase);
int decide_on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data);
int decide_on_chunk(void *instance, weir_req *r, const weir_chunk *c, weir_str *out);
void decide_on_complete(void *instance, weir_req *r, const weir_usage *u);
void decide_woken(struct lua_call *call);
bool decide_may_log(struct lua_call *call);
