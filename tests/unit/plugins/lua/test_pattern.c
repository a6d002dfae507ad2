/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns against Lua's own string library: the same results for the same calls. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugins/lua/pattern.h"
#include "plugins/lua/sandbox.h"
#include "tests/support/cmocka.h"

enum { ROUNDS = 20000 };

static lua_State *own, *real; /* with our library, with Lua's */
static struct lua_sandbox *sandbox;
static uint32_t seed = 1;

static uint32_t pick(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void make_text(char *out, size_t n)
{
    static const char alphabet[] = "aabbc1 2-_.%()[]";
    size_t len = pick((uint32_t)n);
    for (size_t i = 0; i < len; i++) {
        out[i] = alphabet[pick(sizeof(alphabet) - 1)];
    }
    out[len] = '\0';
}

static void make_pattern(char *out, size_t n)
{
    static const char *const parts[] = {
        "a",        "b",     "c",    ".",      "%a", "%d",   "%s",   "%w",   "%W", "[ab]", "[^a]",
        "[a-c1-2]", "[%w_]", "%.",   "%%",     "(",  ")",    "()",   "*",    "+",  "-",    "?",
        "^",        "$",     "%b()", "%f[%a]", "%1", "[%]]", "[]a]", "%bab", "%D", "[^%s]"};
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = pick(8); i > 0; i--) {
        const char *part = parts[pick(sizeof(parts) / sizeof(parts[0]))];
        int more = snprintf(out + len, n - len, "%s", part);
        len += more > 0 ? (size_t)more : 0;
    }
}

/* The results of a call as one text, or "error". */
static void describe(lua_State *L, const char *code, const char *s, const char *p, char *out,
                     size_t n)
{
    lua_settop(L, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, code);
    lua_pushstring(L, s);
    lua_pushstring(L, p);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
        (void)snprintf(out, n, "error");
        return;
    }
    (void)snprintf(out, n, "%s", lua_tostring(L, -1));
}

static const struct {
    const char *name, *code;
} calls[] = {
    {"find", "local s, p = ... local function f(...) local t = {} for i = 1, select('#', ...) do "
             "t[i] = tostring((select(i, ...))) end return table.concat(t, ',') end "
             "return f(string.find(s, p)) .. ';' .. f(string.find(s, p, 3)) .. ';' .. "
             "f(string.find(s, p, -2)) .. ';' .. f(string.match(s, p))"},
    {"gmatch", "local s, p = ... local t = {} for a, b in string.gmatch(s, p) do "
               "t[#t + 1] = tostring(a) .. '|' .. tostring(b) end return table.concat(t, ',')"},
    {"gsub", "local s, p = ... local function f(...) return (select(1, ...)) .. "
             "tostring((select(2, ...))) end return f(string.gsub(s, p, '<%0>')) .. ';' .. "
             "f(string.gsub(s, p, {a = 'A', b = false}, 2)) .. ';' .. "
             "f(string.gsub(s, p, function(x) if x == 'a' then return 'Q' end end))"},
};

static void load_calls(lua_State *L)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        assert_int_equal(luaL_loadstring(L, calls[i].code), LUA_OK);
        lua_setfield(L, LUA_REGISTRYINDEX, calls[i].name);
    }
}

static void matches_are_those_of_lua(void **state)
{
    (void)state;
    char s[40], p[80], a[512], b[512];
    for (int round = 0; round < ROUNDS; round++) {
        make_text(s, 24);
        make_pattern(p, sizeof(p));
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
            if (i == 1 && *p == '^') {
                continue; /* in gmatch Lua takes it for a character, we for nothing */
            }
            describe(real, calls[i].name, s, p, a, sizeof(a));
            describe(own, calls[i].name, s, p, b, sizeof(b));
            /* We refuse at compile time what Lua notices only when it gets there. */
            if (strcmp(a, b) != 0 && strcmp(b, "error") != 0) {
                fail_msg("%s('%s', '%s'): '%s', Lua says '%s'", calls[i].name, s, p, b, a);
            }
            struct pattern compiled;
            if (strcmp(a, b) != 0 && pattern_compile(&compiled, weir_str_from(p))) {
                fail_msg("%s('%s', '%s') fails, Lua says '%s'", calls[i].name, s, p, a);
            }
        }
    }
}

static void well_formed_patterns_compile(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",     "^",      "$",     "a$b", "(a)(b)%2", "%f[%w]%w+", "[%a-z]",  "[a-%%]", "[]]",
        "[^]]", "%b\"\"", "()a()", "-",   "*a",       "%-",        "[%w%-]*", "((a)b)", "a-$"};
    static const char *const bad[] = {"(",   ")",  "(()", "[",  "[a",   "[^",    "%", "%b",
                                      "%bx", "%f", "%fa", "%1", "(%1)", "(a)%2", "[%"};
    struct pattern p;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!pattern_compile(&p, weir_str_from(good[i]))) {
            fail_msg("%s: %s", good[i], p.error);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (pattern_compile(&p, weir_str_from(bad[i]))) {
            fail_msg("%s compiles", bad[i]);
        }
    }
}

static void steps_are_bounded(void **state)
{
    (void)state;
    static char subject[60000];
    static const char *const patterns[] = {"a-a-a-a-a-a-b", "a*a*a*a*a*b", "(a+)(a+)(a+)%1%2%3b",
                                           "%b()%b()", ".-.-.-.-.-.-c"};
    memset(subject, 'a', sizeof(subject));
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct pattern p;
        struct pattern_match m;
        int64_t steps = 100000;
        assert_true(pattern_compile(&p, weir_str_from(patterns[i])));
        int rc = pattern_search(&p, (weir_str){subject, sizeof(subject)}, 0, &steps, &m);
        assert_true(rc == WEIR_E_TIMEOUT || rc == 0);
        /* One look may be at the whole subject, no more. */
        assert_true(steps > -(int64_t)sizeof(subject) - 100);
    }
}

static int keep_state(lua_State *L)
{
    own = L;
    lua_environment_push(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "env");
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (luaL_loadstring(L, calls[i].code) != LUA_OK) {
            return lua_error(L);
        }
        lua_getfield(L, LUA_REGISTRYINDEX, "env");
        (void)lua_setupvalue(L, -2, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, calls[i].name);
    }
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    static const struct lua_limits limits = {INT64_MAX / 2, UINT64_MAX / 2, 64 * 1024 * 1024,
                                             SIZE_MAX / 2};
    const struct lua_script_source source = {.name = "=test"};
    char error[LUA_SANDBOX_ERROR_BYTES];
    real = luaL_newstate();
    luaL_openlibs(real);
    load_calls(real);
    return lua_sandbox_create(&limits, &source, &sandbox, error) < 0 ||
                   lua_sandbox_protect(sandbox, keep_state, NULL, error) < 0
               ? -1
               : 0;
}

static int tear_down(void **state)
{
    (void)state;
    lua_close(real);
    lua_sandbox_destroy(sandbox);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_are_those_of_lua),
        cmocka_unit_test(well_formed_patterns_compile),
        cmocka_unit_test(steps_are_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
