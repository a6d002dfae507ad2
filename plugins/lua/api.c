/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <lauxlib.h>
#include <stdio.h>

#define REQUEST "weir.request"
#define VERDICT "weir.verdict"

struct verdict {
    int status;
    char message[512], code[64];
};

static struct lua_api_call *check_request(lua_State *L, int arg)
{
    struct lua_api_call **at = luaL_checkudata(L, arg, REQUEST);
    if (!*at) {
        (void)luaL_error(L, "the request has ended: keep values, not req itself");
    }
    return *at;
}

/* req.header(name) and req:header(name) */
static int header(lua_State *L)
{
    struct lua_api_call *call = check_request(L, lua_upvalueindex(1));
    int arg = lua_isuserdata(L, 1) ? 2 : 1;
    weir_str name, value;
    name.p = luaL_checklstring(L, arg, &name.n);
    if (call->host->req_header(call->host, call->request, name, &value) < 0) {
        lua_pushnil(L);
    } else {
        lua_sandbox_charge(L, value.n / 16 + 1);
        lua_pushlstring(L, value.p, value.n);
    }
    return 1;
}

static const struct {
    const char *name;
    int field;
} fields[] = {
    {"request_id", WEIR_FIELD_REQUEST_ID},
    {"method", WEIR_FIELD_METHOD},
    {"path", WEIR_FIELD_PATH},
    {"model", WEIR_FIELD_MODEL},
    {"tenant", WEIR_FIELD_TENANT},
    {"key_id", WEIR_FIELD_KEY_ID},
    {"user", WEIR_FIELD_USER},
    {"class", WEIR_FIELD_CLASS},
    {"peer", WEIR_FIELD_PEER},
};

static const struct {
    const char *name;
    int number;
} numbers[] = {
    {"prompt_tokens", WEIR_NUMBER_PROMPT_TOKENS},
    {"max_tokens", WEIR_NUMBER_MAX_TOKENS},
    {"n", WEIR_NUMBER_N},
    {"priority", WEIR_NUMBER_PRIORITY},
};

static int push_text(lua_State *L, const struct lua_api_call *call, int field)
{
    weir_str value;
    if (call->host->req_get(call->host, call->request, field, &value) < 0) {
        lua_pushnil(L);
    } else {
        lua_pushlstring(L, value.p ? value.p : "", value.n);
    }
    return 1;
}

static int push_number(lua_State *L, const struct lua_api_call *call, int number)
{
    int64_t value;
    if (call->host->req_get_num(call->host, call->request, number, &value) < 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, value);
    }
    return 1;
}

static int request_index(lua_State *L)
{
    const struct lua_api_call *call = check_request(L, 1);
    const char *name = luaL_checkstring(L, 2);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(name, fields[i].name) == 0) {
            return push_text(L, call, fields[i].field);
        }
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return push_number(L, call, numbers[i].number);
        }
    }
    if (strcmp(name, "stream") == 0) {
        int64_t value = 0;
        (void)call->host->req_get_num(call->host, call->request, WEIR_NUMBER_STREAM, &value);
        lua_pushboolean(L, value != 0);
        return 1;
    }
    if (strcmp(name, "header") == 0) {
        lua_pushvalue(L, 1);
        lua_pushcclosure(L, header, 1);
        return 1;
    }
    return luaL_error(L, "req has no field '%s'", name);
}

static int request_newindex(lua_State *L)
{
    return luaL_error(L, "req cannot be changed");
}

static int deny(lua_State *L)
{
    lua_Integer status = luaL_checkinteger(L, 1);
    const char *message = luaL_optstring(L, 2, "The request was denied by the tenant's policy.");
    const char *code = luaL_optstring(L, 3, "policy_denied");
    luaL_argcheck(L, status >= 400 && status <= 499, 1, "status must be 400 to 499");
    struct verdict *v = lua_newuserdatauv(L, sizeof(*v), 0);
    v->status = (int)status;
    (void)snprintf(v->message, sizeof(v->message), "%s", message);
    (void)snprintf(v->code, sizeof(v->code), "%s", code);
    luaL_setmetatable(L, VERDICT);
    return 1;
}

static int seconds(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "weir.call");
    const struct lua_api_call *call = lua_touserdata(L, -1);
    lua_pushinteger(L, call ? (lua_Integer)(call->host->wall_us(call->host) / 1000000) : 0);
    return 1;
}

void lua_api_push_weir(lua_State *L)
{
    static const luaL_Reg functions[] = {{"deny", deny}, {"time", seconds}, {NULL, NULL}};
    (void)luaL_newmetatable(L, REQUEST);
    lua_pushcfunction(L, request_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, request_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pop(L, 1);
    (void)luaL_newmetatable(L, VERDICT);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    lua_sandbox_freeze(L);
}

static void take_verdict(lua_State *L, struct lua_api_call *call)
{
    if (lua_isnil(L, -1)) {
        return;
    }
    const struct verdict *v = luaL_testudata(L, -1, VERDICT);
    if (!v) {
        (void)luaL_error(L, "on_request must return nothing or weir.deny(...), not a %s",
                         luaL_typename(L, -1));
        return;
    }
    call->denied = true;
    call->status = v->status;
    memcpy(call->message, v->message, sizeof(call->message));
    memcpy(call->code, v->code, sizeof(call->code));
}

int lua_api_on_request(lua_State *L)
{
    struct lua_api_call *call = lua_touserdata(L, 1);
    lua_pushlightuserdata(L, call);
    lua_setfield(L, LUA_REGISTRYINDEX, "weir.call");
    lua_sandbox_push_global(L, "on_request");
    struct lua_api_call **handle = lua_newuserdatauv(L, sizeof(*handle), 0);
    *handle = call;
    luaL_setmetatable(L, REQUEST);
    lua_pushvalue(L, -1);
    lua_insert(L, 2); /* keeps the handle while the function runs */
    lua_call(L, 1, 1);
    *handle = NULL;
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "weir.call");
    take_verdict(L, call);
    return 0;
}
