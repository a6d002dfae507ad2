/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api.h"

enum { HOOK_PERIOD = 200 }; /* instructions between two looks at the budget */

struct lua_sandbox {
    lua_State *L;
    struct lua_limits limits;
    int64_t instructions; /* left of this call */
    uint64_t end_cpu_us;
    size_t live_bytes, allocated_bytes;
    bool aborted; /* sticky */
    const char *why;
};

static const char globals_key = 'g'; /* its address is the registry key of the globals */

static uint64_t cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct lua_sandbox *of(lua_State *L)
{
    return *(struct lua_sandbox **)lua_getextraspace(L);
}

static void *allocate(void *arg, void *p, size_t old_bytes, size_t n_bytes)
{
    struct lua_sandbox *s = arg;
    old_bytes = p ? old_bytes : 0; /* Lua passes a type there for new blocks */
    if (n_bytes == 0) {
        free(p);
        s->live_bytes -= old_bytes;
        return NULL;
    }
    if (n_bytes > old_bytes) {
        size_t more = n_bytes - old_bytes;
        if (s->aborted || more > s->limits.live_bytes - s->live_bytes ||
            more > s->limits.allocated_bytes - s->allocated_bytes) {
            return NULL;
        }
        s->allocated_bytes += more;
    }
    void *q = realloc(p, n_bytes);
    if (q) {
        s->live_bytes = s->live_bytes - old_bytes + n_bytes;
    }
    return q;
}

/* Raises without allocating. */
static void abort_call(lua_State *L, const char *why)
{
    struct lua_sandbox *s = of(L);
    s->aborted = true;
    s->why = why;
    lua_pushlightuserdata(L, s);
    (void)lua_error(L);
}

static void look_at_budget(lua_State *L)
{
    struct lua_sandbox *s = of(L);
    if (s->aborted || s->instructions <= 0) {
        abort_call(L, "out of instructions");
    }
    if (cpu_us() >= s->end_cpu_us) {
        abort_call(L, "out of time");
    }
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    of(L)->instructions -= HOOK_PERIOD;
    look_at_budget(L);
}

void lua_sandbox_charge(lua_State *L, size_t units)
{
    struct lua_sandbox *s = of(L);
    s->instructions -= units > INT32_MAX ? INT32_MAX : (int64_t)units;
    if (s->instructions <= 0 || s->aborted) {
        abort_call(L, "out of instructions");
    }
}

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "this table is read-only");
}

void lua_sandbox_freeze(lua_State *L)
{
    lua_newtable(L); /* the proxy stays empty, so that every write goes through __newindex */
    lua_newtable(L);
    lua_rotate(L, -3, -1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
}

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

static int new_global(lua_State *L)
{
    return luaL_error(L, "globals can be set at the top level only, not in on_request");
}

/* Leaves the table of real globals on the stack. Whole libraries are opened only to take
 * allow-listed functions out; nothing of them can be reached otherwise. */
static void push_globals(lua_State *L)
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
    lua_pushcfunction(L, safe_tostring);
    lua_setfield(L, globals, "tostring");
    lua_sandbox_push_string(L);
    lua_setfield(L, globals, "string");
    lua_sandbox_push_table(L);
    lua_setfield(L, globals, "table");
    lua_api_push_weir(L);
    lua_setfield(L, globals, "weir");
}

struct load {
    weir_str script;
    const char *name;
};

static int load_script(lua_State *L)
{
    const struct load *load = lua_touserdata(L, 1);
    push_globals(L);
    int globals = lua_gettop(L);
    lua_pushvalue(L, globals);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &globals_key);

    /* "t": text only; a binary chunk could do anything to memory. */
    if (luaL_loadbufferx(L, load->script.p, load->script.n, load->name, "t") != LUA_OK) {
        return lua_error(L);
    }
    /* While the top level runs, its environment is a proxy whose writes go to the globals; after
     * that they are refused. */
    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, globals);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, globals);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, -1);
    lua_insert(L, globals + 1); /* the metatable, below chunk and proxy */
    lua_setmetatable(L, -2);
    (void)lua_setupvalue(L, -2, 1); /* _ENV */
    lua_call(L, 0, 0);
    lua_pushcfunction(L, new_global);
    lua_setfield(L, globals + 1, "__newindex");

    lua_getfield(L, globals, "on_request");
    if (!lua_isfunction(L, -1)) {
        return luaL_error(L, "the script defines no function on_request");
    }
    return 0;
}

static void start_budget(struct lua_sandbox *s)
{
    s->instructions = s->limits.instructions;
    s->end_cpu_us = cpu_us() + s->limits.cpu_us;
    s->allocated_bytes = 0;
    s->why = NULL;
    lua_sethook(s->L, on_count, LUA_MASKCOUNT, HOOK_PERIOD);
}

static int judge(struct lua_sandbox *s, int status, char error[LUA_SANDBOX_ERROR_BYTES])
{
    if (s->aborted) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "%s", s->why ? s->why : "aborted");
        return WEIR_E_TIMEOUT;
    }
    if (status == LUA_OK) {
        return 0;
    }
    if (status == LUA_ERRMEM) {
        s->aborted = true;
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
        return WEIR_E_NOMEM;
    }
    const char *text = lua_type(s->L, -1) == LUA_TSTRING ? lua_tostring(s->L, -1) : NULL;
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "%s", text ? text : "error without a message");
    return WEIR_E_FORMAT;
}

int lua_sandbox_call(struct lua_sandbox *s, lua_CFunction fn, void *arg, bool *ret_dead,
                     char error[LUA_SANDBOX_ERROR_BYTES])
{
    start_budget(s);
    /* Neither push allocates: everything that may fail happens inside the protected call. */
    lua_pushcfunction(s->L, fn);
    lua_pushlightuserdata(s->L, arg);
    int rc = judge(s, lua_pcall(s->L, 1, 0, 0), error);
    lua_settop(s->L, 0);
    *ret_dead = s->aborted;
    return rc;
}

int lua_sandbox_create(const struct lua_limits *limits, weir_str script, const char *name,
                       struct lua_sandbox **ret_sandbox, char error[LUA_SANDBOX_ERROR_BYTES])
{
    if (script.n > LUA_SANDBOX_MAX_SCRIPT_BYTES) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "larger than %d bytes",
                       LUA_SANDBOX_MAX_SCRIPT_BYTES);
        return WEIR_E_TOOBIG;
    }
    struct lua_sandbox *s = calloc(1, sizeof(*s));
    if (!s) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
        return WEIR_E_NOMEM;
    }
    s->limits = *limits;
    s->L = lua_newstate(allocate, s);
    if (!s->L) {
        free(s);
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
        return WEIR_E_NOMEM;
    }
    *(struct lua_sandbox **)lua_getextraspace(s->L) = s;
    struct load load = {script, name};
    bool dead = false;
    int rc = lua_sandbox_call(s, load_script, &load, &dead, error);
    if (rc < 0) {
        lua_sandbox_destroy(s);
        return rc;
    }
    *ret_sandbox = s;
    return 0;
}

void lua_sandbox_destroy(struct lua_sandbox *s)
{
    if (s) {
        lua_sethook(s->L, NULL, 0, 0);
        lua_close(s->L); /* no finalizers: scripts cannot set metatables */
        free(s);
    }
}

void lua_sandbox_push_global(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}
