/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One call of a hook, from its start to its verdict, over suspensions.
 *
 *   struct lua_call *call;
 *   int rc = lua_call_start(&about, &call, error);     LUA_RUN_DONE: call->verdict
 *   ... LUA_RUN_SUSPENDED: later, when services->woken(call) came: lua_call_resume(call, error)
 *   lua_call_end(call);                                 in any state, once
 *
 * Ownership: lua_call_end() frees it; with an operation of the store under way it is freed when
 * that has ended. Threads: the request's loop, from start to end. Errors: after a negative result
 * the call has failed and only lua_call_end() is left; rc is that of the sandbox. */
#include "api.h"
#include "version.h"

struct lua_call_about {
    const struct lua_services *services;
    struct lua_version *version; /* a reference of its own is taken */
    enum lua_hook hook;
    weir_req *req;
    struct lua_notes **notes; /* must live as long as the call, see lua_call_detach() */
    weir_str tenant;          /* copied */
    const weir_chunk *chunk;
    const weir_usage *usage;
    bool shadow;
    void *owner;
};

/* On a negative result *ret_call may be NULL. */
int lua_call_start(const struct lua_call_about *about, struct lua_call **ret_call,
                   char error[LUA_SANDBOX_ERROR_BYTES]);
int lua_call_resume(struct lua_call *call, char error[LUA_SANDBOX_ERROR_BYTES]);
/* Takes what it may need of the request, which it does not touch again: the caller goes on without
 * it. Its notes are its own from then on. */
int lua_call_detach(struct lua_call *call);
void lua_call_end(struct lua_call *call); /* NULL ok */
/* For services->woken: true when the call had been ended; it is gone now. */
bool lua_call_was_orphan(struct lua_call *call);
