/* SPDX-License-Identifier: Apache-2.0 */
/* The table `weir`: verdicts, changes of the request, log and tags. */
#include "api.h"

#include <lauxlib.h>
#include <stdio.h>

static const char verdict_key = 'v'; /* its address is the registry key of verdicts' metatable */

enum { MAX_LOG_BYTES = 512 };

struct lua_call *lua_api_call(lua_State *L, const char *function, unsigned hooks)
{
    struct lua_call *call = lua_sandbox_arg(L);
    if (!call) {
        (void)luaL_error(L, "%s cannot be used at the top level", function);
    } else if (!(hooks & LUA_HOOK_BIT(call->hook))) {
        (void)luaL_error(L, "%s cannot be used in %s", function, lua_hook_names[call->hook]);
    }
    return call;
}

/* ---- verdicts ---- */

void lua_api_push_verdict(lua_State *L, const struct lua_verdict *v)
{
    struct lua_verdict *to = lua_newuserdatauv(L, sizeof(*to), 0);
    *to = *v;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &verdict_key);
    lua_setmetatable(L, -2);
}

static void copy_text(lua_State *L, int arg, const char *otherwise, char *out, size_t n_out)
{
    size_t n;
    const char *s =
        otherwise ? luaL_optlstring(L, arg, otherwise, &n) : luaL_checklstring(L, arg, &n);
    luaL_argcheck(L, n < n_out, arg, "text is too long");
    luaL_argcheck(L, strlen(s) == n, arg, "text has a NUL in it");
    memcpy(out, s, n + 1);
}

/* deny(status [, message [, code [, retry_after_seconds]]]) */
static int deny(lua_State *L)
{
    struct lua_verdict v = {.kind = LUA_VERDICT_DENY};
    (void)lua_api_call(L, "weir.deny", LUA_IN_DECISIONS);
    lua_Integer status = luaL_checkinteger(L, 1);
    luaL_argcheck(L, status >= 400 && status <= 499, 1, "status must be 400 to 499");
    v.status = (int)status;
    copy_text(L, 2, "The request was denied by the tenant's policy.", v.message, sizeof(v.message));
    copy_text(L, 3, "policy_denied", v.code, sizeof(v.code));
    v.retry_after_s = luaL_optnumber(L, 4, 0);
    luaL_argcheck(L, v.retry_after_s >= 0 && v.retry_after_s <= 1e7, 4, "0 to 1e7 seconds");
    lua_api_push_verdict(L, &v);
    return 1;
}

/* route(model [, target]) */
static int route(lua_State *L)
{
    struct lua_verdict v = {.kind = LUA_VERDICT_ROUTE};
    (void)lua_api_call(L, "weir.route", LUA_IN_DECISIONS);
    luaL_argcheck(L, !lua_isnoneornil(L, 1) || !lua_isnoneornil(L, 2), 1, "model or target");
    copy_text(L, 1, "", v.model, sizeof(v.model));
    copy_text(L, 2, "", v.target, sizeof(v.target));
    lua_api_push_verdict(L, &v);
    return 1;
}

static int replace(lua_State *L)
{
    (void)lua_api_call(L, "weir.replace", LUA_IN_CHUNKS);
    (void)luaL_checkstring(L, 1);
    lua_settop(L, 1);
    return 1;
}

static int hold(lua_State *L)
{
    (void)lua_api_call(L, "weir.hold", LUA_IN_CHUNKS);
    lua_pushlightuserdata(L, (void *)hold); /* any address of our own; scripts cannot make one */
    return 1;
}

static int abort_choice(lua_State *L)
{
    (void)lua_api_call(L, "weir.abort", LUA_IN_CHUNKS);
    lua_pushlightuserdata(L, (void *)abort_choice);
    return 1;
}

static const struct lua_verdict *to_verdict(lua_State *L, int at)
{
    if (lua_type(L, at) != LUA_TUSERDATA || !lua_getmetatable(L, at)) {
        return NULL;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &verdict_key);
    bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is ? lua_touserdata(L, at) : NULL;
}

static bool read_chunk_verdict(struct lua_call *call, lua_State *L)
{
    if (lua_type(L, -1) == LUA_TSTRING) {
        call->verdict = LUA_VERDICT_REPLACE;
        call->text.p = lua_tolstring(L, -1, &call->text.n);
        return true;
    }
    const void *at = lua_type(L, -1) == LUA_TLIGHTUSERDATA ? lua_touserdata(L, -1) : NULL;
    call->verdict = at == (void *)hold           ? LUA_VERDICT_HOLD
                    : at == (void *)abort_choice ? LUA_VERDICT_ABORT
                                                 : LUA_VERDICT_NONE;
    return at != NULL;
}

/* Nothing here allocates in the state, so nothing can raise. */
int lua_api_read_verdict(struct lua_call *call, char error[LUA_SANDBOX_ERROR_BYTES])
{
    static const char *const allowed[LUA_HOOK__COUNT] = {
        "weir.deny(...), weir.route(...)", "weir.deny(...), weir.route(...)",
        "weir.replace(text), weir.hold(), weir.abort()", "nothing else"};
    lua_State *L = call->run.L;
    call->verdict = LUA_VERDICT_NONE;
    if (lua_gettop(L) == 0 || lua_isnil(L, 1)) {
        return 0;
    }
    lua_settop(L, 1);
    const struct lua_verdict *v = to_verdict(L, 1);
    if (v && (LUA_IN_DECISIONS & LUA_HOOK_BIT(call->hook))) {
        call->verdict = v->kind;
        call->said = v;
        return 0;
    }
    if (call->hook == LUA_ON_CHUNK && read_chunk_verdict(call, L)) {
        return 0;
    }
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "%s must return nothing or %s, not a %s",
                   lua_hook_names[call->hook], allowed[call->hook],
                   v ? "verdict of another hook" : lua_typename(L, lua_type(L, 1)));
    return WEIR_E_FORMAT;
}

/* ---- changes of the request ---- */

static void set_text(lua_State *L, const struct lua_call *call, int field)
{
    weir_str value;
    value.p = luaL_checklstring(L, 2, &value.n);
    const weir_host *h = call->services->host;
    if (!call->shadow && h->req_set(h, call->req, field, value) < 0) {
        (void)luaL_error(L, "weir.set: '%s' is not a value for %s", value.p, lua_tostring(L, 1));
    }
}

static void set_number(lua_State *L, const struct lua_call *call, int number, lua_Integer least)
{
    const weir_host *h = call->services->host;
    lua_Integer value = luaL_checkinteger(L, 2);
    int64_t now = 0;
    luaL_argcheck(L, value >= least && value <= INT32_MAX, 2, "number out of range");
    bool downwards = number == WEIR_NUMBER_MAX_TOKENS || number == WEIR_NUMBER_DEADLINE_MS;
    if (downwards && h->req_get_num(h, call->req, number, &now) == 0 && now > 0 && now <= value) {
        return; /* tighter already */
    }
    if (!call->shadow && h->req_set_num(h, call->req, number, value) < 0) {
        (void)luaL_error(L, "weir.set: %s cannot be %d", lua_tostring(L, 1), (int)value);
    }
}

/* set(name, value) */
static int set(lua_State *L)
{
    static const char *const names[] = {"max_tokens",  "priority", "class",
                                        "deadline_ms", "user",     NULL};
    const struct lua_call *call = lua_api_call(L, "weir.set", LUA_IN_DECISIONS);
    int which = luaL_checkoption(L, 1, NULL, names);
    if (!call->req) {
        return 0; /* a shadow that goes on without its request */
    }
    switch (which) {
    case 0: set_number(L, call, WEIR_NUMBER_MAX_TOKENS, 1); break;
    case 1: set_number(L, call, WEIR_NUMBER_PRIORITY, 0); break;
    case 2: set_text(L, call, WEIR_FIELD_CLASS); break;
    case 3: set_number(L, call, WEIR_NUMBER_DEADLINE_MS, 1); break;
    default: set_text(L, call, WEIR_FIELD_USER); break;
    }
    return 0;
}

/* ---- log and tags ---- */

/* log([level,] text) */
static int log_line(lua_State *L)
{
    static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
    struct lua_call *call = lua_api_call(L, "weir.log", LUA_IN_ALL);
    bool has_level = lua_gettop(L) > 1;
    int level = has_level ? luaL_checkoption(L, 1, NULL, levels) : WEIR_LEVEL_INFO;
    size_t n;
    const char *text = luaL_checklstring(L, has_level ? 2 : 1, &n);
    char line[MAX_LOG_BYTES + 64];
    n = n < MAX_LOG_BYTES ? n : MAX_LOG_BYTES;
    lua_sandbox_charge(L, 100);
    if (call->services->may_log && !call->services->may_log(call)) {
        return 0;
    }
    int head = snprintf(line, 64, "%spolicy of %.40s: ", call->shadow ? "shadow " : "",
                        call->tenant.n ? call->tenant.p : "nobody");
    size_t used = head < 0 ? 0 : (size_t)head < 63 ? (size_t)head : 63;
    for (size_t i = 0; i < n; i++) { /* one line, whatever a client has put into it */
        line[used++] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    }
    const weir_host *h = call->services->host;
    h->log(h, level, call->req, (weir_str){line, used});
    return 0;
}

/* tag(name, value) */
static int tag(lua_State *L)
{
    struct lua_call *call = lua_api_call(L, "weir.tag", LUA_IN_ALL);
    weir_str name, value;
    name.p = luaL_checklstring(L, 1, &name.n);
    value.p = luaL_checklstring(L, 2, &value.n);
    if (call->shadow) {
        return 0;
    }
    int rc = lua_notes_tag(call->notes, name, value);
    if (rc < 0) {
        return luaL_error(L, rc == WEIR_E_ARG
                                 ? "weir.tag: bad name or value: names are a-z, 0-9 and "
                                   "_, values printable, at most 64 bytes"
                                 : "weir.tag: too many tags");
    }
    if (call->req) {
        char json[LUA_TAGS_JSON_BYTES];
        const weir_host *h = call->services->host;
        (void)h->req_set(h, call->req, WEIR_FIELD_TAGS, lua_notes_tags_json(*call->notes, json));
    }
    return 0;
}

/* hash(text): the same everywhere and for ever. FNV-1a, then the finisher of MurmurHash3, since the
 * low bits are what is looked at. */
static int hash(lua_State *L)
{
    size_t n;
    const unsigned char *s = (const unsigned char *)luaL_checklstring(L, 1, &n);
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    lua_sandbox_charge(L, n / 16 + 1);
    for (size_t i = 0; i < n; i++) {
        h = (h ^ s[i]) * UINT64_C(0x100000001b3);
    }
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 33;
    lua_pushinteger(L, (lua_Integer)(h >> 11)); /* 53 bits: a whole number in every arithmetic */
    return 1;
}

void lua_api_setup(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"abort", abort_choice},
        {"deny", deny},
        {"hash", hash},
        {"hold", hold},
        {"log", log_line},
        {"replace", replace},
        {"route", route},
        {"set", set},
        {"tag", tag},
        {NULL, NULL},
    };
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &verdict_key);
    lua_api_setup_objects(L);
    luaL_newlib(L, functions);
    int weir = lua_gettop(L);
    lua_api_setup_kv(L, weir);
    lua_api_setup_time(L, weir);
    lua_api_setup_ctx(L, weir);
    lua_settop(L, weir);
    lua_sandbox_freeze(L);
    lua_setfield(L, -2, "weir");
}
