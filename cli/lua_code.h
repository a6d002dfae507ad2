/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which globals a compiled chunk reads and sets, and where: from Lua 5.4's own code, so that it is
 * right about scopes.
 *
 * The code comes from our own compiler call, never from outside; all the same every read is
 * bounded. Errors: WEIR_E_UNSUPPORTED: another version of Lua wrote it; WEIR_E_FORMAT;
 * WEIR_E_NOMEM. Threads: any. */
#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

struct lua_code_use {
    weir_str name;  /* of the global; points into the code */
    weir_str field; /* "deny" of weir.deny; .p NULL: none, or not a name */
    int line;
    bool is_set, in_function;
};

struct lua_code_uses {
    struct lua_code_use *list;
    size_t n, cap;
};

int lua_code_read(weir_str code, struct lua_code_uses *ret_uses);
void lua_code_uses_finish(struct lua_code_uses *uses);
