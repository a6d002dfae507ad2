/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's find, match, gmatch and gsub. Each step of the matcher is charged. */
#include <lauxlib.h>

#include "pattern.h"
#include "sandbox.h"

enum { STEPS_PER_UNIT = 4, BYTES_PER_UNIT = 16 };

static weir_str check_text(lua_State *L, int arg)
{
    weir_str s;
    s.p = luaL_checklstring(L, arg, &s.n);
    luaL_argcheck(L, s.n <= LUA_SANDBOX_MAX_STRING_BYTES, arg, "string is too long");
    lua_sandbox_charge(L, s.n / BYTES_PER_UNIT + 1);
    return s;
}

static void compile(lua_State *L, struct pattern *p, weir_str text)
{
    if (!pattern_compile(p, text)) {
        (void)luaL_error(L, "%s", p->error);
    }
}

/* With as many steps as the budget still pays for. */
static bool search(lua_State *L, const struct pattern *p, weir_str s, size_t from,
                   struct pattern_match *ret_match)
{
    int64_t steps = (int64_t)lua_sandbox_left(L) * STEPS_PER_UNIT + 1, begun = steps;
    int rc = pattern_search(p, s, from, &steps, ret_match);
    lua_sandbox_charge(L, (size_t)(begun - steps) / STEPS_PER_UNIT + 1); /* ends a rc below 0 */
    return rc > 0;
}

static void push_capture(lua_State *L, weir_str s, const struct pattern_capture *c)
{
    if (c->is_position) {
        lua_pushinteger(L, (lua_Integer)c->at + 1);
    } else {
        lua_pushlstring(L, s.p + c->at, c->n);
    }
}

/* All captures, or the whole match when there are none. */
static int push_captures(lua_State *L, const struct pattern *p, weir_str s,
                         const struct pattern_match *m, bool whole)
{
    luaL_checkstack(L, PATTERN_MAX_CAPTURES + 2, "too many captures");
    for (uint32_t i = 0; i < p->n_captures; i++) {
        push_capture(L, s, &m->captures[i]);
    }
    if (p->n_captures == 0 && whole) {
        lua_pushlstring(L, s.p + m->at, m->n);
        return 1;
    }
    return (int)p->n_captures;
}

/* Lua's 1-based start, negative from the end. False: behind the end. */
static bool read_start(lua_State *L, int arg, size_t n, size_t *ret_from)
{
    lua_Integer first = luaL_optinteger(L, arg, 1), len = (lua_Integer)n;
    first = first < 0 ? (first < -len ? 1 : first + len + 1) : first == 0 ? 1 : first;
    *ret_from = (size_t)first - 1;
    return first <= len + 1;
}

static int find_plain(lua_State *L, weir_str s, weir_str needle, size_t from)
{
    /* memmem is two-way, so linear. */
    const char *at = memmem(s.p + from, s.n - from, needle.p, needle.n);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s.p + 1);
    lua_pushinteger(L, at - s.p + (lua_Integer)needle.n);
    return 2;
}

static bool has_specials(weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] && strchr("^$*+?.()[%-", s.p[i])) {
            return true;
        }
    }
    return false;
}

static int find_or_match(lua_State *L, bool find)
{
    weir_str s = check_text(L, 1), text = check_text(L, 2);
    struct pattern p;
    struct pattern_match m;
    size_t from;
    if (!read_start(L, 3, s.n, &from)) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !has_specials(text))) {
        return find_plain(L, s, text, from);
    }
    compile(L, &p, text);
    if (!search(L, &p, s, from, &m)) {
        lua_pushnil(L);
        return 1;
    }
    if (!find) {
        return push_captures(L, &p, s, &m, true);
    }
    lua_pushinteger(L, (lua_Integer)m.at + 1);
    lua_pushinteger(L, (lua_Integer)m.at + (lua_Integer)m.n);
    return 2 + push_captures(L, &p, s, &m, false);
}

static int s_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int s_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Upvalues: subject, pattern, where to go on, end of the last match. */
static int next_match(lua_State *L)
{
    weir_str s, text;
    struct pattern p;
    struct pattern_match m;
    s.p = lua_tolstring(L, lua_upvalueindex(1), &s.n);
    text.p = lua_tolstring(L, lua_upvalueindex(2), &text.n);
    size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    lua_sandbox_charge(L, text.n / 4 + 1);
    compile(L, &p, text);
    p.anchored = false; /* in gmatch a '^' has no meaning, as it would never go on */
    while (from <= s.n && search(L, &p, s, from, &m)) {
        lua_Integer end = (lua_Integer)m.at + (lua_Integer)m.n;
        if (end == last && m.n == 0) { /* an empty match right behind the last one */
            from = m.at + 1;
            continue;
        }
        lua_pushinteger(L, end);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(L, &p, s, &m, true);
    }
    lua_pushinteger(L, (lua_Integer)s.n + 1);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int s_gmatch(lua_State *L)
{
    struct pattern p;
    (void)check_text(L, 1);
    compile(L, &p, check_text(L, 2));
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, next_match, 4);
    return 1;
}

/* "%1" and "%0" in a replacement. */
static void add_template(lua_State *L, luaL_Buffer *b, const struct pattern *p, weir_str s,
                         const struct pattern_match *m)
{
    weir_str t;
    t.p = lua_tolstring(L, 3, &t.n);
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] != '%') {
            luaL_addchar(b, t.p[i]);
            continue;
        }
        char c = ++i < t.n ? t.p[i] : '\0';
        uint32_t number = (uint32_t)(c - '1');
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0' || (c == '1' && p->n_captures == 0)) {
            luaL_addlstring(b, s.p + m->at, m->n);
        } else if (c >= '1' && c <= '9' && number < p->n_captures) {
            push_capture(L, s, &m->captures[number]);
            luaL_addvalue(b);
        } else {
            (void)luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* A table's or function's answer replaces the match; nil and false keep it. */
static void add_answer(lua_State *L, luaL_Buffer *b, const struct pattern *p, weir_str s,
                       const struct pattern_match *m)
{
    if (lua_isfunction(L, 3)) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, p, s, m, true), 1);
    } else {
        (void)push_captures(L, p, s, m, true);
        if (p->n_captures > 1) {
            lua_pop(L, (int)p->n_captures - 1);
        }
        lua_rawget(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s.p + m->at, m->n);
    } else if (lua_isstring(L, -1)) {
        luaL_addvalue(b);
    } else {
        (void)luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
}

static void check_size(lua_State *L, const luaL_Buffer *b, size_t before)
{
    size_t n = luaL_bufflen(b);
    lua_sandbox_charge(L, (n - before) / BYTES_PER_UNIT + 1);
    if (n > LUA_SANDBOX_MAX_STRING_BYTES) {
        (void)luaL_error(L, "gsub: result is too long");
    }
}

static int s_gsub(lua_State *L)
{
    weir_str s = check_text(L, 1), text = check_text(L, 2);
    int type = lua_type(L, 3);
    luaL_argcheck(L,
                  type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                      type == LUA_TTABLE,
                  3, "string, table or function expected");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)s.n + 1), count = 0;
    struct pattern p;
    struct pattern_match m;
    size_t from = 0, copied = 0;
    lua_Integer last = -1;
    luaL_Buffer b;
    compile(L, &p, text);
    lua_settop(L, 3);
    if (type == LUA_TNUMBER) {
        (void)lua_tostring(L, 3); /* in place */
    }
    luaL_buffinit(L, &b);
    while (count < most && from <= s.n && search(L, &p, s, from, &m)) {
        size_t end = m.at + m.n;
        if ((lua_Integer)end == last && m.n == 0) {
            from = end + 1;
            continue;
        }
        size_t before = luaL_bufflen(&b);
        luaL_addlstring(&b, s.p + copied, m.at - copied);
        if (type == LUA_TFUNCTION || type == LUA_TTABLE) {
            add_answer(L, &b, &p, s, &m);
        } else {
            add_template(L, &b, &p, s, &m);
        }
        check_size(L, &b, before);
        count++;
        copied = from = end;
        last = (lua_Integer)end;
        if (p.anchored) {
            break;
        }
    }
    size_t before = luaL_bufflen(&b);
    luaL_addlstring(&b, s.p + copied, s.n - copied);
    check_size(L, &b, before);
    luaL_pushresult(&b);
    lua_pushinteger(L, count);
    return 2;
}

void lua_pattern_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", s_find}, {"gmatch", s_gmatch}, {"gsub", s_gsub}, {"match", s_match}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
