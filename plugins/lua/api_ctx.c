/* SPDX-License-Identifier: Apache-2.0 */
/* weir.ctx: what a policy keeps with the request, from one hook to the next. */
#include <lauxlib.h>

#include "api.h"

static int index_ctx(lua_State *L)
{
    const struct lua_call *call = lua_api_call(L, "weir.ctx", LUA_IN_ALL);
    weir_str name;
    name.p = luaL_checklstring(L, 2, &name.n);
    const struct lua_note *note = lua_notes_find(*call->notes, name);
    if (!note) {
        lua_pushnil(L);
        return 1;
    }
    switch (note->type) {
    case LUA_NOTE_NUMBER: lua_pushnumber(L, note->number); break;
    case LUA_NOTE_INTEGER: lua_pushinteger(L, note->integer); break;
    case LUA_NOTE_BOOLEAN: lua_pushboolean(L, note->integer != 0); break;
    case LUA_NOTE_TEXT: lua_pushlstring(L, note->text, note->n); break;
    }
    return 1;
}

static int set_ctx(lua_State *L)
{
    struct lua_call *call = lua_api_call(L, "weir.ctx", LUA_IN_ALL);
    struct lua_note note = {.n = 0};
    weir_str name;
    name.p = luaL_checklstring(L, 2, &name.n);
    switch (lua_type(L, 3)) {
    case LUA_TNIL: lua_notes_remove(*call->notes, name); return 0;
    case LUA_TBOOLEAN:
        note.type = LUA_NOTE_BOOLEAN;
        note.integer = lua_toboolean(L, 3);
        break;
    case LUA_TNUMBER:
        note.type = lua_isinteger(L, 3) ? LUA_NOTE_INTEGER : LUA_NOTE_NUMBER;
        note.integer = lua_tointeger(L, 3);
        note.number = lua_tonumber(L, 3);
        break;
    case LUA_TSTRING:
        note.type = LUA_NOTE_TEXT;
        note.text = (char *)lua_tolstring(L, 3, &note.n); /* copied, not changed */
        break;
    default: return luaL_error(L, "weir.ctx keeps texts, numbers and booleans only");
    }
    lua_sandbox_charge(L, 10 + note.n / 16);
    if (lua_notes_put(call->notes, name, &note) < 0) {
        return luaL_error(L, "weir.ctx is full: 16 names of 31 bytes, texts of 1024");
    }
    return 0;
}

void lua_api_setup_ctx(lua_State *L, int weir)
{
    (void)lua_newuserdatauv(L, 0, 0);
    lua_newtable(L);
    lua_pushcfunction(L, index_ctx);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, set_ctx);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_setfield(L, weir, "ctx");
}
