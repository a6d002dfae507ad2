/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lua_test_api.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/store/store.h"
#include "plugins/lua/zone.h"

static const char tests_key = 't'; /* its address is the registry key of the functions */

static struct lua_test_file *file_of(lua_State *L)
{
    return lua_sandbox_arg(L);
}

static struct lua_stage *stage_of(lua_State *L)
{
    struct lua_test_file *f = file_of(L);
    if (!f->stage) {
        (void)luaL_error(L, "this can be used inside test(name, function) only");
    }
    return f->stage;
}

/* ---- tests ---- */

static int define_test(lua_State *L)
{
    struct lua_test_file *f = file_of(L);
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (f->stage || f->n == LUA_TEST_MAX) {
        return luaL_error(L, "tests are defined at the top level, at most %d", LUA_TEST_MAX);
    }
    (void)snprintf(f->names[f->n++], LUA_TEST_NAME_BYTES, "%s", name);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &tests_key);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, f->n);
    return 0;
}

int lua_test_api_run(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &tests_key);
    lua_rawgeti(L, -1, file_of(L)->running + 1);
    lua_call(L, 0, 0);
    return 0;
}

/* Raises with the place of the test's line. */
static int expect(lua_State *L)
{
    (void)stage_of(L);
    if (!lua_toboolean(L, 1)) {
        return luaL_error(L, "%s", luaL_optstring(L, 2, "expectation failed"));
    }
    return 0;
}

static int equal(lua_State *L)
{
    (void)stage_of(L);
    luaL_checkany(L, 2);
    if (!lua_compare(L, 1, 2, LUA_OPEQ)) {
        const char *got = luaL_tolstring(L, 1, NULL), *want = luaL_tolstring(L, 2, NULL);
        const char *about = luaL_optstring(L, 3, "");
        return luaL_error(L, "%s%sgot %s, want %s", about, *about ? ": " : "", got, want);
    }
    return 0;
}

/* ---- the request ---- */

static void set_headers(lua_State *L, struct lua_stage *s)
{
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1) ||
            lua_stage_header(s, weir_str_from(lua_tostring(L, -2)),
                             weir_str_from(lua_tostring(L, -1))) < 0) {
            (void)luaL_error(L, "request: headers are a table of texts, at most 32");
        }
    }
}

static void set_one(lua_State *L, struct lua_stage *s, const char *name)
{
    int field = lua_stage_field_named(name), number = lua_stage_number_named(name);
    weir_str text = {NULL, 0};
    if (strcmp(name, "headers") == 0) {
        set_headers(L, s);
    } else if (strcmp(name, "body") == 0) {
        text.p = luaL_checklstring(L, -1, &text.n);
        if (lua_stage_body(s, text) < 0) {
            (void)luaL_error(L, "request: body is not JSON");
        }
    } else if (field) {
        text.p = lua_isboolean(L, -1) ? "" : luaL_checklstring(L, -1, &text.n);
        lua_stage_field(s, field, lua_isboolean(L, -1) ? (weir_str){NULL, 0} : text);
    } else if (number) {
        lua_stage_number(s, number,
                         lua_isboolean(L, -1) ? lua_toboolean(L, -1) : luaL_checkinteger(L, -1));
    } else {
        (void)luaL_error(L, "request: there is no field '%s'", name);
    }
}

/* request{model = "m", prompt_tokens = 12, headers = {...}, body = "..."}; false unsets a text. */
static int request(lua_State *L)
{
    struct lua_stage *s = stage_of(L);
    lua_stage_request(s);
    if (lua_isnoneornil(L, 1)) {
        return 0;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, 1, "names and values");
        set_one(L, s, lua_tostring(L, -2));
    }
    return 0;
}

/* field(name): as the request has it now. */
static int get_field(lua_State *L)
{
    struct lua_stage *s = stage_of(L);
    const char *name = luaL_checkstring(L, 1);
    int field = lua_stage_field_named(name), number = lua_stage_number_named(name);
    if (field) {
        lua_pushlstring(L, s->fields[field].p ? s->fields[field].p : "", s->fields[field].n);
    } else if (number) {
        lua_pushinteger(L, s->numbers[number]);
    } else {
        return luaL_error(L, "field: there is no field '%s'", name);
    }
    return 1;
}

static int tags(lua_State *L)
{
    const struct lua_stage *s = stage_of(L);
    lua_newtable(L);
    for (uint32_t i = 0; s->notes && i < s->notes->n_tags; i++) {
        lua_pushstring(L, s->notes->tags[i].value);
        lua_setfield(L, -2, s->notes->tags[i].name);
    }
    return 1;
}

static int logs(lua_State *L)
{
    const struct lua_stage *s = stage_of(L);
    lua_newtable(L);
    for (uint32_t i = 0; i < s->n_logs; i++) {
        lua_pushlstring(L, s->logs[i].text.p ? s->logs[i].text.p : "", s->logs[i].text.n);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ---- hooks ---- */

static void set_text(lua_State *L, const char *name, const char *value)
{
    if (*value) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, name);
    }
}

/* {verdict = "deny", status = 403, ...} */
static void push_verdict(lua_State *L, struct lua_stage *s, const struct lua_call *call)
{
    lua_newtable(L);
    if (!call || call->verdict == LUA_VERDICT_NONE) {
        set_text(L, "verdict", "continue");
        return;
    }
    const struct lua_verdict *v = call->said;
    if (v->kind == LUA_VERDICT_ROUTE) {
        set_text(L, "verdict", "route");
        set_text(L, "model", v->model);
        set_text(L, "target", v->target);
        if (*v->model) {
            lua_stage_field(s, WEIR_FIELD_MODEL, weir_str_from(v->model));
        }
        return;
    }
    set_text(L, "verdict", "deny");
    set_text(L, "message", v->message);
    set_text(L, "code", v->code);
    lua_pushinteger(L, v->status);
    lua_setfield(L, -2, "status");
    if (v->retry_after_s > 0) {
        lua_pushnumber(L, v->retry_after_s);
        lua_setfield(L, -2, "retry_after");
    }
}

static void push_failure(lua_State *L, const char *error)
{
    lua_newtable(L);
    set_text(L, "verdict", "failed");
    set_text(L, "error", error);
}

static int decide(lua_State *L, enum lua_hook hook, const weir_usage *usage)
{
    struct lua_stage *s = stage_of(L);
    struct lua_call *call;
    char error[LUA_SANDBOX_ERROR_BYTES];
    int rc = lua_stage_run(s, hook, NULL, usage, &call, error);
    if (rc < 0) {
        push_failure(L, error);
    } else {
        /* The call is ended below: nothing between may raise but for lack of memory, which ends the
         * test run. */
        push_verdict(L, s, call);
    }
    lua_call_end(call);
    return 1;
}

static int on_request(lua_State *L)
{
    return decide(L, LUA_ON_REQUEST, NULL);
}

static int on_route(lua_State *L)
{
    return decide(L, LUA_ON_ROUTE, NULL);
}

static uint64_t usage_number(lua_State *L, const char *name, lua_Integer otherwise)
{
    if (lua_istable(L, 1)) {
        lua_getfield(L, 1, name);
        otherwise = luaL_optinteger(L, -1, otherwise);
        lua_pop(L, 1);
    }
    return otherwise > 0 ? (uint64_t)otherwise : 0;
}

/* on_complete{status = 200, completion_tokens = 100, ...} */
static int on_complete(lua_State *L)
{
    const struct lua_stage *s = stage_of(L);
    const weir_usage usage = {
        .struct_size = sizeof(usage),
        .http_status = (uint32_t)usage_number(L, "status", 200),
        .finish = WEIR_FINISH_STOP,
        .n_choices = 1,
        .prompt_tokens = usage_number(L, "prompt_tokens", s->numbers[WEIR_NUMBER_PROMPT_TOKENS]),
        .cached_tokens = usage_number(L, "cached_tokens", 0),
        .completion_tokens = usage_number(L, "completion_tokens", 100),
        .delivered_tokens = usage_number(L, "delivered_tokens", 100),
        .total_us = usage_number(L, "total_ms", 1000) * 1000,
        .first_token_us = usage_number(L, "first_token_ms", 100) * 1000,
        .queue_us = usage_number(L, "queue_ms", 0) * 1000,
        .model = s->fields[WEIR_FIELD_MODEL],
    };
    return decide(L, LUA_ON_COMPLETE, &usage);
}

/* ---- output ---- */

struct output {
    luaL_Buffer buffer;
    bool aborted;
};

/* One chunk through on_chunk, as the daemon would do it; text is what was held with the new behind.
 * True: it went out, or was replaced. */
static bool pass_chunk(lua_State *L, struct lua_stage *s, weir_str text, bool last,
                       struct output *out)
{
    const weir_chunk chunk = {.struct_size = sizeof(chunk),
                              .kind = WEIR_CHUNK_TEXT,
                              .text = text,
                              .n_tokens = 1,
                              .flags = last ? WEIR_CHUNK_LAST : 0};
    struct lua_call *call;
    char error[LUA_SANDBOX_ERROR_BYTES];
    if (lua_stage_run(s, LUA_ON_CHUNK, &chunk, NULL, &call, error) < 0) {
        (void)luaL_error(L, "on_chunk failed: %s", error);
    }
    enum lua_verdict_kind verdict = call ? call->verdict : LUA_VERDICT_NONE;
    weir_str replaced = call ? weir_arena_copy(&s->arena, call->text) : (weir_str){NULL, 0};
    lua_call_end(call);
    switch (verdict) {
    case LUA_VERDICT_HOLD:
        if (last) {
            (void)luaL_error(L, "on_chunk holds the last chunk");
        }
        return false;
    case LUA_VERDICT_ABORT: out->aborted = true; return true;
    case LUA_VERDICT_REPLACE: luaL_addlstring(&out->buffer, replaced.p, replaced.n); return true;
    default: luaL_addlstring(&out->buffer, text.p, text.n); return true;
    }
}

/* stream{"a", "b"}: what the client gets of these pieces, and whether the choice was ended. */
static int stream(lua_State *L)
{
    struct lua_stage *s = stage_of(L);
    struct output out = {.aborted = false};
    weir_str held = {NULL, 0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    luaL_buffinit(L, &out.buffer);
    for (lua_Integer i = 1; i <= n && !out.aborted; i++) {
        weir_str piece;
        lua_rawgeti(L, 1, i);
        piece.p = lua_tolstring(L, -1, &piece.n);
        char *joined = weir_arena_alloc(&s->arena, held.n + piece.n + 1);
        if (!joined || !piece.p) {
            return luaL_error(L, "stream: a table of texts, not too large");
        }
        memcpy(joined, held.n ? held.p : "", held.n);
        memcpy(joined + held.n, piece.p, piece.n);
        lua_pop(L, 1); /* before the buffer is used again */
        weir_str text = {joined, held.n + piece.n};
        held = pass_chunk(L, s, text, false, &out) ? (weir_str){NULL, 0} : text;
    }
    if (held.n && !out.aborted) {
        (void)pass_chunk(L, s, held, true, &out);
    }
    luaL_pushresult(&out.buffer);
    lua_pushboolean(L, out.aborted);
    return 2;
}

/* ---- clock and store ---- */

static int64_t days_before(int64_t year, int month, int day)
{
    static const int days[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + days[month - 1] + day - 1 +
           (leap && month > 2);
}

/* clock("2026-03-02 09:30" [, zone]), or clock(seconds) */
static int set_clock(lua_State *L)
{
    struct lua_stage *s = stage_of(L);
    int year, month, day, hour, minute;
    if (lua_type(L, 1) == LUA_TNUMBER) {
        s->wall_us = (uint64_t)luaL_checkinteger(L, 1) * 1000000;
        return 0;
    }
    if (sscanf(luaL_checkstring(L, 1), "%4d-%2d-%2d %2d:%2d", &year, &month, &day, &hour,
               &minute) != 5 ||
        year < 1971 || month < 1 || month > 12) {
        return luaL_argerror(L, 1, "seconds, or '2026-03-02 09:30'");
    }
    weir_str zone = weir_str_from(luaL_optstring(L, 2, "UTC"));
    int64_t local = days_before(year, month, day) * 86400 + hour * 3600 + minute * 60, at = local;
    for (int i = 0; i < 2; i++) { /* the offset depends on the time, which depends on it */
        struct zone_time t;
        if (zones_local_time(s->services.zones, zone, at, &t) < 0) {
            return luaL_error(L, "clock: there is no time zone '%s'", zone.p);
        }
        at = local - t.offset_s;
    }
    s->wall_us = (uint64_t)at * 1000000;
    return 0;
}

static int advance(lua_State *L)
{
    struct lua_stage *s = stage_of(L);
    lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= 1e9, 1, "0 to 1e9 seconds");
    s->wall_us += (uint64_t)(seconds * 1e6);
    s->mono_us += (uint64_t)(seconds * 1e6);
    return 0;
}

struct answer {
    lua_State *L;
    bool is_set;
};

static void got(void *arg, const weir_store_result *r)
{
    struct answer *a = arg;
    a->is_set = r->rc >= 0;
    if (a->is_set) {
        lua_pushlstring(a->L, r->value.p ? r->value.p : "", r->value.n);
    }
}

static void was_set(void *arg, const weir_store_result *r)
{
    (void)arg;
    (void)r;
}

/* kv(key [, value]): what the policy would see, or sets it. */
static int kv(lua_State *L)
{
    struct lua_stage *s = stage_of(L);
    char key[LUA_MAX_KEY_BYTES + 8];
    struct answer a = {.L = L};
    weir_str tenant = s->fields[WEIR_FIELD_TENANT];
    (void)snprintf(key, sizeof(key), "lua:%.256s", luaL_checkstring(L, 1));
    if (lua_isnoneornil(L, 2)) {
        (void)s->store.get(&s->host, tenant, weir_str_from(key), got, &a);
        if (!a.is_set) {
            lua_pushnil(L);
        }
        return 1;
    }
    weir_str value;
    value.p = luaL_checklstring(L, 2, &value.n);
    (void)s->store.set(&s->host, tenant, weir_str_from(key), value, 0, NULL, 0, was_set, NULL);
    return 0;
}

void lua_test_api_setup(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"advance", advance},   {"clock", set_clock},         {"equal", equal},
        {"expect", expect},     {"field", get_field},         {"kv", kv},
        {"logs", logs},         {"on_complete", on_complete}, {"on_request", on_request},
        {"on_route", on_route}, {"request", request},         {"stream", stream},
        {"tags", tags},         {"test", define_test},        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &tests_key);
}
