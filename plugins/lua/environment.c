/* SPDX-License-Identifier: Apache-2.0 */
/* The globals of a policy. Whole libraries are opened only to take allow-listed functions out;
 * nothing else of them can be reached. */
#include <lauxlib.h>
#include <lualib.h>

#include "sandbox.h"

/* tostring() without addresses, which would tell where things lie in memory. */
static int safe_tostring(lua_State *L)
{
    switch (lua_type(L, 1)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TSTRING: (void)luaL_tolstring(L, 1, NULL); return 1;
    default: lua_pushstring(L, luaL_typename(L, 1)); return 1;
    }
}

static void copy_fields(lua_State *L, int from, int to, const char *const *names)
{
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        lua_setfield(L, to, *names);
    }
}

void lua_environment_push(lua_State *L)
{
    static const char *const base[] = {"assert", "error",    "ipairs", "next", "pairs",
                                       "select", "tonumber", "type",   NULL};
    static const char *const math[] = {"abs",        "ceil", "floor",      "fmod",
                                       "huge",       "max",  "maxinteger", "min",
                                       "mininteger", "pi",   "tointeger",  NULL};
    lua_newtable(L);
    int globals = lua_gettop(L);
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    copy_fields(L, globals + 1, globals, base);
    lua_pop(L, 1);
    luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 0);
    lua_newtable(L);
    copy_fields(L, globals + 1, globals + 2, math);
    lua_sandbox_freeze(L);
    lua_setfield(L, globals, "math");
    lua_pop(L, 1);
    /* The two whole libraries are reachable for nobody now; let them go. */
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushnil(L);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, safe_tostring);
    lua_setfield(L, globals, "tostring");
    lua_sandbox_push_string(L);
    lua_setfield(L, globals, "string");
    lua_sandbox_push_table(L);
    lua_setfield(L, globals, "table");
}
