/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One Lua state that runs a tenant's policy within budgets.
 *
 * Why: policies are other people's. One may be wrong, slow or hostile; it must neither stop the
 * loop, nor fill memory, nor reach the host or another tenant. The walls: text chunks only; an
 * environment of allow-listed functions; own string and table functions that charge the same budget
 * as the VM's count hook; an allocator with a cap on live and on allocated bytes; processor time
 * checked in the hook; and an abort that is sticky: a state that ran out of budget takes no more
 * calls. There is no pcall, so a policy cannot swallow it.
 * Runs: each call of a hook is a coroutine of the host's, so that a function of the API can suspend
 * it; several may be suspended in one state. A run's budget carries over a suspension.
 * Time is the thread's processor time, so that a busy machine does not fail a good policy.
 * Ownership: the sandbox owns its state; a run is the caller's memory. Threads: one at a time.
 * Errors: WEIR_E_FORMAT (the script is wrong), WEIR_E_NOMEM, WEIR_E_TIMEOUT (out of instructions or
 * time); the sentence has file and line where Lua knows them. */
#include <lua.h>
#include <stdbool.h>

#include "weir/types.h"

enum {
    LUA_SANDBOX_MAX_SCRIPT_BYTES = 64 * 1024,
    LUA_SANDBOX_MAX_STRING_BYTES = 64 * 1024, /* made or searched by one library call */
    LUA_SANDBOX_MAX_RUNS = 256,               /* suspended in one state */
    LUA_SANDBOX_ERROR_BYTES = 256,
};

struct lua_limits {
    int64_t instructions; /* VM instructions, and what library calls charge */
    uint64_t cpu_us;
    size_t live_bytes;      /* memory of a state at a time */
    size_t allocated_bytes; /* in one run */
};

enum lua_hook { LUA_ON_REQUEST, LUA_ON_ROUTE, LUA_ON_CHUNK, LUA_ON_COMPLETE, LUA_HOOK__COUNT };
extern const char *const lua_hook_names[LUA_HOOK__COUNT];

struct lua_sandbox;

struct lua_budget {
    int64_t instructions;
    uint64_t cpu_left_us, segment_us; /* segment_us: when this stretch was first looked at; 0 */
    size_t allocated_bytes;           /* left */
    uint32_t refusals;                /* of memory, each after a whole garbage collection */
    bool aborted;
    const char *why;
};

struct lua_run {
    lua_State *L; /* NULL: not running */
    int anchor;   /* keeps L alive */
    void *arg;    /* for functions of the API: lua_sandbox_arg() */
    struct lua_budget budget;
};

/* Loads the script and runs its top level, which defines the hooks. needs_hook: refuse a script
 * that defines none. `setup` (may be NULL) adds to the table of globals on top of the stack. */
struct lua_script_source {
    weir_str text;
    const char *name; /* "@FILE" */
    bool needs_hook;
    void (*setup)(lua_State *L);
    void *arg; /* lua_sandbox_arg() while the top level runs */
};
int lua_sandbox_create(const struct lua_limits *limits, const struct lua_script_source *source,
                       struct lua_sandbox **ret_sandbox, char error[LUA_SANDBOX_ERROR_BYTES]);
void lua_sandbox_destroy(struct lua_sandbox *s); /* NULL ok; no run is left */

bool lua_sandbox_has(const struct lua_sandbox *s, enum lua_hook hook);
/* Ran out of budget: finish what is suspended, then destroy it. */
bool lua_sandbox_is_spent(const struct lua_sandbox *s);
uint32_t lua_sandbox_n_runs(const struct lua_sandbox *s);
size_t lua_sandbox_live_bytes(const struct lua_sandbox *s);
/* Counts single instructions rather than steps of a thousand: slow, exact. */
void lua_sandbox_count_exactly(struct lua_sandbox *s, bool exactly);

enum lua_run_state { LUA_RUN_DONE, LUA_RUN_SUSPENDED }; /* or WEIR_E_*, WEIR_E_BUSY: too many */

/* Calls the hook with `req` and, where the hook has one, its second object. After DONE the value is
 * on top of run->L until lua_run_end(). */
int lua_run_start(struct lua_sandbox *s, struct lua_run *run, enum lua_hook hook, void *arg,
                  char error[LUA_SANDBOX_ERROR_BYTES]);
/* Goes on behind the function of the API that suspended it. */
int lua_run_resume(struct lua_sandbox *s, struct lua_run *run, char error[LUA_SANDBOX_ERROR_BYTES]);
/* Ends it in any state; no-op when it has ended. */
void lua_run_end(struct lua_sandbox *s, struct lua_run *run);

/* Compiles and calls a piece of source with the environment writable (for a prompt). The printed
 * values are appended to `out`. */
int lua_sandbox_evaluate(struct lua_sandbox *s, weir_str source, void *arg, char *out, size_t n_out,
                         bool *ret_incomplete, char error[LUA_SANDBOX_ERROR_BYTES]);
/* Calls fn(L) within a fresh budget, in a run that cannot be suspended. */
int lua_sandbox_protect(struct lua_sandbox *s, lua_CFunction fn, void *arg,
                        char error[LUA_SANDBOX_ERROR_BYTES]);

/* ---- for functions of the API and the libraries ---- */

/* Takes `units` (about one VM instruction each) from the budget, or does not return. */
void lua_sandbox_charge(lua_State *L, size_t units);
size_t lua_sandbox_left(lua_State *L); /* units that can still be charged */
void *lua_sandbox_arg(lua_State *L);   /* of the run; NULL: none */
/* Replaces the table on top by a read-only proxy. */
void lua_sandbox_freeze(lua_State *L);
/* Pops the object that hooks are given as "weir.req", "weir.chunk" or "weir.usage". */
void lua_sandbox_set_object(lua_State *L, const char *name);
/* What the script itself defined under this name, nil otherwise. */
void lua_sandbox_push_global(lua_State *L, const char *name);

/* environment.c: leaves the table of globals on the stack. */
void lua_environment_push(lua_State *L);
/* The libraries; each pushes a read-only table. */
void lua_sandbox_push_string(lua_State *L); /* lib_string.c; also makes s:upper() work */
void lua_sandbox_push_table(lua_State *L);  /* lib_table.c */
void lua_pattern_functions(lua_State *L);   /* lib_pattern.c; adds to the table on top */
