/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One immutable version of a tenant's policy, and its Lua states: one for each thread that runs it.
 *
 * A hook and what resumes it run on the request's own loop, so a state belongs to a thread and
 * needs no lock. A state that ran out of budget takes no new calls and goes when its last one has
 * ended. A version whose calls run out of budget again and again is paused, so that it does not
 * take the workers' time from others. Ownership: reference-counted; requests keep theirs until they
 * end. Threads: [any], take and give on the thread of the call. */
#include <stdatomic.h>

#include "sandbox.h"

enum { LUA_MAX_THREADS = 128, LUA_PAUSE_FAILURES = 5 };
#define LUA_PAUSE_WINDOW_US UINT64_C(10000000)
#define LUA_PAUSE_US UINT64_C(10000000)

struct lua_version {
    atomic_uint refs;
    uint32_t number; /* 0: a file of the configuration */
    char *name;      /* "@FILE", as Lua names it in messages */
    char *text;
    size_t n_text;
    struct lua_limits limits;
    bool has[LUA_HOOK__COUNT];
    struct lua_sandbox *states[LUA_MAX_THREADS]; /* each touched by its own thread only */
    atomic_uint_least64_t window_us, paused_until_us, next_log_us, log_second;
    atomic_uint failures, log_lines;
};

/* Compiles and runs the top level once, so that mistakes show now. */
int lua_version_create(weir_str text, const char *name, uint32_t number,
                       const struct lua_limits *limits, struct lua_version **ret_version,
                       char error[LUA_SANDBOX_ERROR_BYTES]);
struct lua_version *lua_version_ref(struct lua_version *v); /* NULL ok */
void lua_version_unref(struct lua_version **v);             /* NULL ok */

/* WEIR_E_NOMEM, WEIR_E_FORMAT and so on: no state can be made. */
int lua_version_take(struct lua_version *v, struct lua_sandbox **ret_sandbox,
                     char error[LUA_SANDBOX_ERROR_BYTES]);
/* After a run has ended. */
void lua_version_give(struct lua_version *v, struct lua_sandbox *s);

bool lua_version_is_paused(struct lua_version *v, uint64_t now_us);
/* A call ran out of budget. True: the version is paused from now on. */
bool lua_version_failed(struct lua_version *v, uint64_t now_us);
/* Failures are logged once a second, lines of weir.log ten a second. */
bool lua_version_may_log_failure(struct lua_version *v, uint64_t now_us);
bool lua_version_may_log_line(struct lua_version *v, uint64_t now_us);
