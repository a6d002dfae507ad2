/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's `table`. Moving elements is charged one unit each. Raw access throughout: scripts
 * have no metatables of their own, and frozen tables must not be written to. */
#include <lauxlib.h>

#include "sandbox.h"

enum { MAX_UNPACK = 250, BYTES_PER_UNIT = 16, MAX_MOVE = 1 << 30 };

static lua_Integer check_table(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_getmetatable(L, 1)) {
        return luaL_error(L, "this table is read-only");
    }
    return (lua_Integer)lua_rawlen(L, 1);
}

static int t_insert(lua_State *L)
{
    lua_Integer n = check_table(L), at = n + 1;
    luaL_argcheck(L, lua_gettop(L) == 2 || lua_gettop(L) == 3, 3, "insert(t, [pos,] value)");
    if (lua_gettop(L) == 3) {
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "position out of bounds");
    }
    lua_sandbox_charge(L, (size_t)(n + 2 - at));
    for (lua_Integer i = n; i >= at; i--) {
        lua_rawgeti(L, 1, i);
        lua_rawseti(L, 1, i + 1);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, 1, at);
    return 0;
}

static int t_remove(lua_State *L)
{
    lua_Integer n = check_table(L), at = luaL_optinteger(L, 2, n);
    if (n == 0) {
        lua_pushnil(L);
        return 1;
    }
    luaL_argcheck(L, at >= 1 && at <= n, 2, "position out of bounds");
    lua_sandbox_charge(L, (size_t)(n + 1 - at));
    lua_rawgeti(L, 1, at);
    for (lua_Integer i = at; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawseti(L, 1, i);
    }
    lua_pushnil(L);
    lua_rawseti(L, 1, n);
    return 1;
}

static int t_concat(lua_State *L)
{
    lua_Integer n = check_table(L);
    size_t sep_n, total = 0;
    const char *sep = luaL_optlstring(L, 2, "", &sep_n);
    lua_Integer first = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, n);
    luaL_argcheck(L, first >= 1, 3, "position out of bounds");
    luaL_argcheck(L, last <= n, 4, "position out of bounds");
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = first; i <= last; i++) {
        lua_rawgeti(L, 1, i);
        if (!lua_isstring(L, -1)) {
            return luaL_error(L, "concat: element %d is no string or number", (int)i);
        }
        size_t len = lua_rawlen(L, -1);
        total += len + sep_n;
        if (total > LUA_SANDBOX_MAX_STRING_BYTES) {
            return luaL_error(L, "concat: result is too long");
        }
        lua_sandbox_charge(L, (len + sep_n) / BYTES_PER_UNIT + 1);
        luaL_addvalue(&b);
        if (i < last) {
            luaL_addlstring(&b, sep, sep_n);
        }
    }
    luaL_pushresult(&b);
    return 1;
}

static int t_unpack(lua_State *L)
{
    lua_Integer n = check_table(L);
    lua_Integer first = luaL_optinteger(L, 2, 1), last = luaL_optinteger(L, 3, n);
    if (first > last) {
        return 0;
    }
    luaL_argcheck(L, first >= 1 && last <= n && last - first < MAX_UNPACK, 3, "too many values");
    luaL_checkstack(L, (int)(last - first + 1), "too many values");
    lua_sandbox_charge(L, (size_t)(last - first + 1));
    for (lua_Integer i = first; i <= last; i++) {
        lua_rawgeti(L, 1, i);
    }
    return (int)(last - first + 1);
}

static int t_pack(lua_State *L)
{
    int n = lua_gettop(L);
    lua_sandbox_charge(L, (size_t)n + 1);
    lua_createtable(L, n, 1);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--) {
        lua_rawseti(L, 1, i);
    }
    lua_pushinteger(L, n);
    lua_setfield(L, 1, "n");
    return 1;
}

/* move(from, first, last, to [, table]) */
static int t_move(lua_State *L)
{
    (void)check_table(L);
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    lua_Integer to = luaL_checkinteger(L, 4);
    int dest = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, dest, LUA_TTABLE);
    if (dest == 5 && lua_getmetatable(L, 5)) {
        return luaL_error(L, "this table is read-only");
    }
    lua_pushvalue(L, dest);
    if (first > last) {
        return 1;
    }
    luaL_argcheck(L, first > -MAX_MOVE && last < MAX_MOVE && to > -MAX_MOVE && to < MAX_MOVE, 3,
                  "too many elements to move");
    lua_Integer n = last - first + 1;
    lua_sandbox_charge(L, (size_t)n);
    bool backwards = dest == 1 && to > first && to <= last;
    for (lua_Integer k = 0; k < n; k++) {
        lua_Integer i = backwards ? n - 1 - k : k;
        lua_rawgeti(L, 1, first + i);
        lua_rawseti(L, dest, to + i);
    }
    return 1;
}

/* Is element i before element j? Without a function: by <, numbers and strings only. */
static bool is_before(lua_State *L, lua_Integer i, lua_Integer j)
{
    bool before;
    lua_sandbox_charge(L, 2);
    if (lua_isfunction(L, 2)) {
        lua_pushvalue(L, 2);
        lua_rawgeti(L, 1, i);
        lua_rawgeti(L, 1, j);
        lua_call(L, 2, 1);
        before = lua_toboolean(L, -1);
        lua_pop(L, 1);
    } else {
        lua_rawgeti(L, 1, i);
        lua_rawgeti(L, 1, j);
        lua_sandbox_charge(L, (lua_rawlen(L, -1) + lua_rawlen(L, -2)) / BYTES_PER_UNIT);
        before = lua_compare(L, -2, -1, LUA_OPLT);
        lua_pop(L, 2);
    }
    return before;
}

static void swap(lua_State *L, lua_Integer i, lua_Integer j)
{
    lua_rawgeti(L, 1, i);
    lua_rawgeti(L, 1, j);
    lua_rawseti(L, 1, i);
    lua_rawseti(L, 1, j);
}

static void sift_down(lua_State *L, lua_Integer at, lua_Integer n)
{
    for (lua_Integer child; (child = 2 * at) <= n; at = child) {
        if (child < n && is_before(L, child, child + 1)) {
            child++;
        }
        if (!is_before(L, at, child)) {
            return;
        }
        swap(L, at, child);
    }
}

/* Heapsort: no recursion, and never more than 2 n log n comparisons, whatever the function says. */
static int t_sort(lua_State *L)
{
    lua_Integer n = check_table(L);
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TFUNCTION);
    }
    lua_settop(L, 2);
    for (lua_Integer i = n / 2; i >= 1; i--) {
        sift_down(L, i, n);
    }
    for (lua_Integer i = n; i > 1; i--) {
        swap(L, 1, i);
        sift_down(L, 1, i - 1);
    }
    return 0;
}

void lua_sandbox_push_table(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"concat", t_concat}, {"insert", t_insert}, {"move", t_move},     {"pack", t_pack},
        {"remove", t_remove}, {"sort", t_sort},     {"unpack", t_unpack}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_sandbox_freeze(L);
}
