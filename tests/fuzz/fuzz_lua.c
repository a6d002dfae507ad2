/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's source: loaded and run under its budgets, every hook that it defines. Properties: it
 * ends, failures say why, the state survives what is not about budgets, and what check reads of the
 * compiled code is sound. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/buf.h"
#include "cli/lua_code.h"
#include "cli/lua_stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static int append(lua_State *L, const void *p, size_t n, void *arg)
{
    (void)L;
    weir_buf_add_str(arg, (weir_str){p, n});
    return 0;
}

static void read_code(weir_str text)
{
    struct weir_buf code;
    struct lua_code_uses uses;
    lua_State *L = luaL_newstate();
    weir_buf_init(&code, 8 * 1024 * 1024);
    if (L && luaL_loadbufferx(L, text.p, text.n, "=", "t") == LUA_OK) {
        (void)lua_dump(L, append, &code, 0);
        require(lua_code_read(weir_buf_view(&code), &uses) == 0);
        for (size_t i = 0; i < uses.n; i++) {
            require(uses.list[i].name.p && uses.list[i].line >= 1);
        }
        lua_code_uses_finish(&uses);
    }
    if (L) {
        lua_close(L);
    }
    weir_buf_finish(&code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const weir_chunk chunk = {.struct_size = sizeof(chunk),
                                     .kind = WEIR_CHUNK_TEXT,
                                     .text = WEIR_STR_INIT("some text of an answer "),
                                     .n_tokens = 5};
    static const weir_usage usage = {.struct_size = sizeof(usage), .http_status = 200};
    weir_str text = {(const char *)data, size};
    struct lua_stage stage;
    char error[LUA_SANDBOX_ERROR_BYTES] = "";
    if (size > LUA_SANDBOX_MAX_SCRIPT_BYTES) {
        return 0;
    }
    int rc = lua_stage_init(&stage, text, "=fuzz", error);
    require(rc == 0 || *error);
    if (rc == 0) {
        for (int round = 0; round < 2; round++) {
            for (int hook = 0; hook < LUA_HOOK__COUNT; hook++) {
                struct lua_call *call;
                *error = '\0';
                rc = lua_stage_run(&stage, (enum lua_hook)hook, &chunk, &usage, &call, error);
                require(rc >= 0 || *error);
                lua_call_end(call);
            }
        }
        read_code(text);
    }
    lua_stage_finish(&stage);
    return 0;
}
