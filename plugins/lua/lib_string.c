/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's `string`, but for patterns (lib_pattern.c). Work on long strings is charged by
 * length. */
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>

#include "sandbox.h"

enum { BYTES_PER_UNIT = 16, MAX_BYTES_VALUES = 250 };

static const char *check_text(lua_State *L, int arg, size_t *ret_n)
{
    const char *s = luaL_checklstring(L, arg, ret_n);
    luaL_argcheck(L, *ret_n <= LUA_SANDBOX_MAX_STRING_BYTES, arg, "string is too long");
    lua_sandbox_charge(L, *ret_n / BYTES_PER_UNIT + 1);
    return s;
}

/* Lua's 1-based positions, negative from the end, clamped to first..last of n. */
static void clamp(lua_Integer *first, lua_Integer *last, size_t n)
{
    lua_Integer len = (lua_Integer)n;
    *first = *first < 0 ? (*first < -len ? 1 : *first + len + 1) : *first == 0 ? 1 : *first;
    *last = *last < 0 ? (*last < -len ? 0 : *last + len + 1) : *last > len ? len : *last;
}

static int s_len(lua_State *L)
{
    size_t n;
    (void)luaL_checklstring(L, 1, &n);
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

static int s_sub(lua_State *L)
{
    size_t n;
    const char *s = check_text(L, 1, &n);
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_optinteger(L, 3, -1);
    clamp(&first, &last, n);
    lua_pushlstring(L, first <= last ? s + first - 1 : "",
                    first <= last ? (size_t)(last - first + 1) : 0);
    return 1;
}

static int change_case(lua_State *L, char low, char high, int shift)
{
    size_t n;
    const char *s = check_text(L, 1, &n);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, n);
    for (size_t i = 0; i < n; i++) {
        out[i] = s[i] >= low && s[i] <= high ? (char)(s[i] + shift) : s[i];
    }
    luaL_pushresultsize(&b, n);
    return 1;
}

static int s_upper(lua_State *L)
{
    return change_case(L, 'a', 'z', 'A' - 'a');
}

static int s_lower(lua_State *L)
{
    return change_case(L, 'A', 'Z', 'a' - 'A');
}

static int s_reverse(lua_State *L)
{
    size_t n;
    const char *s = check_text(L, 1, &n);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, n);
    for (size_t i = 0; i < n; i++) {
        out[i] = s[n - 1 - i];
    }
    luaL_pushresultsize(&b, n);
    return 1;
}

static int s_byte(lua_State *L)
{
    size_t n;
    const char *s = check_text(L, 1, &n);
    lua_Integer first = luaL_optinteger(L, 2, 1), last = luaL_optinteger(L, 3, first);
    clamp(&first, &last, n);
    lua_Integer count = first <= last ? last - first + 1 : 0;
    luaL_argcheck(L, count <= MAX_BYTES_VALUES, 3, "too many values");
    luaL_checkstack(L, (int)count, "too many values");
    for (lua_Integer i = 0; i < count; i++) {
        lua_pushinteger(L, (unsigned char)s[first - 1 + i]);
    }
    return (int)count;
}

static int s_char(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_argcheck(L, n <= MAX_BYTES_VALUES, 1, "too many values");
    char out[MAX_BYTES_VALUES];
    for (int i = 1; i <= n; i++) {
        lua_Integer c = luaL_checkinteger(L, i);
        luaL_argcheck(L, c >= 0 && c <= 255, i, "value out of range");
        out[i - 1] = (char)(unsigned char)c;
    }
    lua_pushlstring(L, out, (size_t)n);
    return 1;
}

static int s_rep(lua_State *L)
{
    size_t n, sep_n;
    const char *s = check_text(L, 1, &n);
    lua_Integer times = luaL_checkinteger(L, 2);
    const char *sep = luaL_optlstring(L, 3, "", &sep_n);
    if (times <= 0 || n + sep_n == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    luaL_argcheck(L,
                  sep_n <= LUA_SANDBOX_MAX_STRING_BYTES &&
                      (size_t)times <= LUA_SANDBOX_MAX_STRING_BYTES / (n + sep_n),
                  2, "result is too long");
    lua_sandbox_charge(L, (size_t)times * (n + sep_n) / BYTES_PER_UNIT + (size_t)times);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = 0; i < times; i++) {
        luaL_addlstring(&b, s, n);
        if (i + 1 < times) {
            luaL_addlstring(&b, sep, sep_n);
        }
    }
    luaL_pushresult(&b);
    return 1;
}

/* One conversion: "%-08.3f". */
struct spec {
    bool left, zeros;
    int width, precision; /* precision -1: none */
    char letter;
};

static int read_digits(const char **p, const char *end, int max_digits)
{
    int value = 0;
    for (int i = 0; *p < end && **p >= '0' && **p <= '9'; i++) {
        value = i < max_digits ? value * 10 + (**p - '0') : 1000;
        (*p)++;
    }
    return value;
}

/* `p` is behind the '%'. Returns what follows the letter, NULL when it is malformed. */
static const char *read_spec(const char *p, const char *end, struct spec *spec)
{
    *spec = (struct spec){.precision = -1};
    for (; p < end && (*p == '-' || *p == '0'); p++) {
        spec->left = spec->left || *p == '-';
        spec->zeros = spec->zeros || *p == '0';
    }
    spec->width = read_digits(&p, end, 2);
    if (p < end && *p == '.') {
        p++;
        spec->precision = read_digits(&p, end, 2);
    }
    if (p >= end || spec->width > 99 || spec->precision > 99) {
        return NULL;
    }
    spec->letter = *p;
    return p + 1;
}

static void add_padded(luaL_Buffer *b, const struct spec *spec, const char *text, size_t n)
{
    size_t width = (size_t)spec->width, pad = n < width ? width - n : 0;
    bool zeros = spec->zeros && !spec->left && spec->letter != 's';
    if (zeros && n && *text == '-') {
        luaL_addchar(b, '-');
        text++;
        n--;
    }
    for (size_t i = 0; i < pad && !spec->left; i++) {
        luaL_addchar(b, zeros ? '0' : ' ');
    }
    luaL_addlstring(b, text, n);
    for (size_t i = 0; i < pad && spec->left; i++) {
        luaL_addchar(b, ' ');
    }
}

static void add_number(lua_State *L, luaL_Buffer *b, const struct spec *spec, int arg)
{
    char out[512]; /* "%.99f" of the largest double has 409 bytes */
    int precision = spec->precision < 0 ? 6 : spec->precision, n = 0;
    switch (spec->letter) {
    case 'd':
    case 'i': n = snprintf(out, sizeof(out), "%lld", (long long)luaL_checkinteger(L, arg)); break;
    case 'x': n = snprintf(out, sizeof(out), "%llx", (long long)luaL_checkinteger(L, arg)); break;
    case 'X': n = snprintf(out, sizeof(out), "%llX", (long long)luaL_checkinteger(L, arg)); break;
    case 'f': n = snprintf(out, sizeof(out), "%.*f", precision, luaL_checknumber(L, arg)); break;
    case 'g': n = snprintf(out, sizeof(out), "%.*g", precision, luaL_checknumber(L, arg)); break;
    case 'e': n = snprintf(out, sizeof(out), "%.*e", precision, luaL_checknumber(L, arg)); break;
    default: (void)luaL_error(L, "format: only %%d %%i %%x %%X %%f %%g %%e %%s %%%% are available");
    }
    add_padded(b, spec, out, n > 0 ? (size_t)n : 0);
}

static void add_text(lua_State *L, luaL_Buffer *b, const struct spec *spec, int arg)
{
    size_t n;
    const char *s = luaL_checklstring(L, arg, &n);
    luaL_argcheck(L, n <= LUA_SANDBOX_MAX_STRING_BYTES, arg, "string is too long");
    lua_sandbox_charge(L, n / BYTES_PER_UNIT + 1);
    n = spec->precision >= 0 && n > (size_t)spec->precision ? (size_t)spec->precision : n;
    add_padded(b, spec, s, n);
}

static int s_format(lua_State *L)
{
    size_t n;
    const char *p = check_text(L, 1, &n);
    const char *end = p + n;
    int arg = 1, top = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (p < end) {
        if (*p != '%') {
            luaL_addchar(&b, *p++);
            continue;
        }
        struct spec spec;
        p = read_spec(p + 1, end, &spec);
        if (!p) {
            return luaL_error(L, "format: bad conversion");
        }
        if (spec.letter == '%') {
            luaL_addchar(&b, '%');
            continue;
        }
        if (++arg > top) {
            return luaL_argerror(L, arg, "no value");
        }
        lua_sandbox_charge(L, 10);
        if (spec.letter == 's') {
            add_text(L, &b, &spec, arg);
        } else {
            add_number(L, &b, &spec, arg);
        }
    }
    luaL_pushresult(&b);
    return 1;
}

void lua_sandbox_push_string(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"byte", s_byte},   {"char", s_char}, {"format", s_format},   {"len", s_len},
        {"lower", s_lower}, {"rep", s_rep},   {"reverse", s_reverse}, {"sub", s_sub},
        {"upper", s_upper}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_pattern_functions(L);
    lua_sandbox_freeze(L);
    /* s:upper(): the metatable of strings. Scripts have no getmetatable. */
    lua_pushliteral(L, "");
    lua_newtable(L);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}
