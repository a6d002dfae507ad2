/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tenants' scripts, and for each the Lua states that are idle now.
 *
 * Why a pool: a hook runs on whichever worker has the request and the ABI names no worker. A worker
 * takes an idle state or makes one, so a tenant never has more states than workers ran its policy
 * at a time, and no state is ever used by two. Ownership: the set owns scripts and idle states; a
 * taken state is the taker's until given back. Threads: create and destroy [main]; take and give
 * [any]. Errors: a sentence that names the file. */
#include <pthread.h>

#include "sandbox.h"

enum { LUA_MAX_SCRIPTS = 10000, LUA_MAX_IDLE = 64 };

struct lua_script {
    char *tenant; /* NULL: the default script, for everybody without one */
    char *name;   /* "@FILE", as Lua names it in messages */
    char *text;
    size_t text_len;
    pthread_mutex_t lock; /* all below */
    uint64_t next_log_us; /* failures are logged once a second at most */
    struct lua_sandbox *idle[LUA_MAX_IDLE];
    uint32_t n_idle;
};

struct lua_scripts;

/* default_file may be "". The scripts are compiled and run once, so that mistakes show at start. */
struct lua_scripts *lua_scripts_create(weir_str tenants_json, const char *default_file,
                                       const struct lua_limits *limits,
                                       char error[LUA_SANDBOX_ERROR_BYTES]);
void lua_scripts_destroy(struct lua_scripts *set);

/* The tenant's script, else the default one, else NULL. */
struct lua_script *lua_scripts_find(const struct lua_scripts *set, weir_str tenant);
int lua_script_take(const struct lua_scripts *set, struct lua_script *script,
                    struct lua_sandbox **ret_sandbox, char error[LUA_SANDBOX_ERROR_BYTES]);
/* May a failure of this script be logged now? */
bool lua_script_may_log(struct lua_script *script, uint64_t now_us);
void lua_script_give(struct lua_script *script, struct lua_sandbox *sandbox, bool dead);
