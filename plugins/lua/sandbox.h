/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One Lua state that runs a tenant's script within a budget.
 *
 * Why: the scripts are other people's. A script may be wrong, slow or hostile; it must neither stop
 * the loop, nor fill memory, nor reach the host or another tenant. The walls: text chunks only; an
 * environment of allow-listed functions; own string and table functions that charge the same budget
 * as the VM's count hook; an allocator with a cap on live and on allocated bytes; processor time
 * checked in the hook; and an abort that is sticky: once out of budget the state is only good for
 * being destroyed. There is no pcall, so a script cannot swallow it.
 * Time is the thread's processor time, so that a busy machine does not fail a good policy.
 * Ownership: the sandbox owns its state. Threads: one at a time.
 * Errors: WEIR_E_FORMAT (the script is wrong), WEIR_E_NOMEM, WEIR_E_TIMEOUT (out of instructions or
 * time); the sentence has file and line where Lua knows them. */
#include <lua.h>
#include <stdbool.h>

#include "weir/types.h"

enum {
    LUA_SANDBOX_MAX_SCRIPT_BYTES = 64 * 1024,
    LUA_SANDBOX_MAX_STRING_BYTES = 64 * 1024, /* made or searched by one library call */
    LUA_SANDBOX_ERROR_BYTES = 256,
};

struct lua_limits {
    int64_t instructions; /* VM instructions, and what library calls charge */
    uint64_t cpu_us;
    size_t live_bytes;      /* memory at a time */
    size_t allocated_bytes; /* in one call */
};

struct lua_sandbox;

/* Loads the script and runs its top level, which defines on_request. */
int lua_sandbox_create(const struct lua_limits *limits, weir_str script, const char *name,
                       struct lua_sandbox **ret_sandbox, char error[LUA_SANDBOX_ERROR_BYTES]);
void lua_sandbox_destroy(struct lua_sandbox *s); /* NULL ok */

/* Calls fn(L) with lua_touserdata(L, 1) == arg within a fresh budget. After a failure of the budget
 * the sandbox must be destroyed: *ret_dead. */
int lua_sandbox_call(struct lua_sandbox *s, lua_CFunction fn, void *arg, bool *ret_dead,
                     char error[LUA_SANDBOX_ERROR_BYTES]);

/* For library functions: takes `units` (about one VM instruction each) from the budget, or does not
 * return. */
void lua_sandbox_charge(lua_State *L, size_t units);

/* Pushes the environment's value of a global, nil when there is none. */
void lua_sandbox_push_global(lua_State *L, const char *name);

/* The libraries; each pushes a read-only table. */
void lua_sandbox_push_string(lua_State *L); /* lib_string.c; also makes s:upper() work */
void lua_sandbox_push_table(lua_State *L);  /* lib_table.c */
/* Replaces the table on top by a read-only proxy. */
void lua_sandbox_freeze(lua_State *L);
