/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a script sees of weir: the request, and the verdicts.
 *
 *   function on_request(req)
 *       if req.prompt_tokens > 1000 then return weir.deny(400, "Too long.") end
 *   end
 *
 * req: request_id method path model tenant key_id user class peer; prompt_tokens max_tokens n
 * stream priority; header(name). A field that is not set is nil. The request cannot be changed, and
 * is gone when on_request has returned. weir: deny(status, message [, code]), time() in whole
 * seconds. Threads: the state's. */
#include "sandbox.h"
#include "weir/host.h"

struct lua_api_call {
    const weir_host *host;
    weir_req *request;
    bool denied; /* the result */
    int status;
    char message[512], code[64];
};

/* A lua_CFunction for lua_sandbox_call(); its argument is a struct lua_api_call. */
int lua_api_on_request(lua_State *L);
void lua_api_push_weir(lua_State *L);
