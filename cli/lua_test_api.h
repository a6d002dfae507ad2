/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a test file of a policy can use besides Lua's own: test, request, on_request, on_route,
 * stream, on_complete, field, tags, logs, clock, advance, kv, expect, equal. docs/lua.md.
 *
 * A test runs in a sandbox of its own with generous budgets, the policy beside it in one with the
 * daemon's. Threads: one. */
#include "cli/lua_stage.h"

enum { LUA_TEST_MAX = 200, LUA_TEST_NAME_BYTES = 120 };

struct lua_test_file {
    struct lua_stage *stage; /* of the test that runs; NULL while the file is loaded */
    char names[LUA_TEST_MAX][LUA_TEST_NAME_BYTES];
    uint32_t n;
    uint32_t running; /* index of the test that is to run */
};

void lua_test_api_setup(lua_State *L); /* lua_script_source.setup; arg: struct lua_test_file */
int lua_test_api_run(lua_State *L);    /* for lua_sandbox_protect(): runs test `running` */
