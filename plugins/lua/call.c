/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>

static void free_call(struct lua_call *call)
{
    if (call->detached) {
        lua_notes_destroy(*call->notes);
        free(call->notes);
    }
    lua_operation_finish(&call->op);
    lua_snapshot_free(call->snapshot);
    lua_version_unref(&call->version);
    free(call);
}

static int judge(struct lua_call *call, int rc, char error[LUA_SANDBOX_ERROR_BYTES])
{
    return rc == LUA_RUN_DONE ? lua_api_read_verdict(call, error) : rc;
}

int lua_call_start(const struct lua_call_about *about, struct lua_call **ret_call,
                   char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct lua_sandbox *sandbox = NULL;
    *ret_call = NULL;
    int rc = lua_version_take(about->version, &sandbox, error);
    if (rc < 0) {
        return rc;
    }
    struct lua_call *call = calloc(1, sizeof(*call) + about->tenant.n + 1);
    if (!call) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
        return WEIR_E_NOMEM;
    }
    char *tenant = (char *)(call + 1);
    if (about->tenant.n) {
        memcpy(tenant, about->tenant.p, about->tenant.n);
    }
    call->services = about->services;
    call->sandbox = sandbox;
    call->version = lua_version_ref(about->version);
    call->hook = about->hook;
    call->shadow = about->shadow;
    call->req = about->req;
    call->notes = about->notes;
    call->tenant = (weir_str){tenant, about->tenant.n};
    call->chunk = about->chunk;
    call->owner = about->owner;
    if (about->usage) {
        call->usage = *about->usage;
    }
    *ret_call = call;
    return judge(call, lua_run_start(sandbox, &call->run, about->hook, call, error), error);
}

int lua_call_resume(struct lua_call *call, char error[LUA_SANDBOX_ERROR_BYTES])
{
    call->op.waiting = false;
    return judge(call, lua_run_resume(call->sandbox, &call->run, error), error);
}

int lua_call_detach(struct lua_call *call)
{
    struct lua_notes **notes = calloc(1, sizeof(*notes));
    int rc = notes ? lua_snapshot_take(call) : WEIR_E_NOMEM;
    if (rc < 0) {
        free(notes);
        return rc;
    }
    call->notes = notes;
    call->detached = true;
    return 0;
}

void lua_call_end(struct lua_call *call)
{
    if (!call || call->orphan) {
        return;
    }
    lua_run_end(call->sandbox, &call->run);
    lua_version_give(call->version, call->sandbox);
    if (call->op.waiting && call->op.state == LUA_OP_PENDING) {
        call->orphan = true;
        call->req = NULL;
    } else {
        free_call(call);
    }
}

bool lua_call_was_orphan(struct lua_call *call)
{
    bool orphan = call->orphan;
    if (orphan) {
        free_call(call);
    }
    return orphan;
}
