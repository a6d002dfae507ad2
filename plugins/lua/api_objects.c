/* SPDX-License-Identifier: Apache-2.0 */
/* req, chunk and usage: userdata whose fields are read from the call that runs now. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"

/* What a name in the field tables stands for. */
enum source { TEXT_FIELD = 0x100, NUMBER_FIELD = 0x200, OTHER = 0x300, SOURCE_MASK = 0xf00 };
enum { OTHER_STREAM, OTHER_HEADER, OTHER_JSON };

struct name {
    const char *name;
    int means;
};

static const struct name request_names[] = {
    {"request_id", TEXT_FIELD | WEIR_FIELD_REQUEST_ID},
    {"method", TEXT_FIELD | WEIR_FIELD_METHOD},
    {"path", TEXT_FIELD | WEIR_FIELD_PATH},
    {"model", TEXT_FIELD | WEIR_FIELD_MODEL},
    {"target", TEXT_FIELD | WEIR_FIELD_TARGET},
    {"tenant", TEXT_FIELD | WEIR_FIELD_TENANT},
    {"key_id", TEXT_FIELD | WEIR_FIELD_KEY_ID},
    {"user", TEXT_FIELD | WEIR_FIELD_USER},
    {"class", TEXT_FIELD | WEIR_FIELD_CLASS},
    {"peer", TEXT_FIELD | WEIR_FIELD_PEER},
    {"prompt_tokens", NUMBER_FIELD | WEIR_NUMBER_PROMPT_TOKENS},
    {"max_tokens", NUMBER_FIELD | WEIR_NUMBER_MAX_TOKENS},
    {"n", NUMBER_FIELD | WEIR_NUMBER_N},
    {"priority", NUMBER_FIELD | WEIR_NUMBER_PRIORITY},
    {"deadline_ms", NUMBER_FIELD | WEIR_NUMBER_DEADLINE_MS},
    {"stream", OTHER | OTHER_STREAM},
    {"header", OTHER | OTHER_HEADER},
    {"json", OTHER | OTHER_JSON},
    {NULL, 0},
};

/* ---- the request when it has ended ---- */

enum { N_FIELDS = WEIR_FIELD_TRACEPARENT + 1, N_NUMBERS = WEIR_NUMBER_ARRIVED_US + 1 };

struct lua_snapshot {
    weir_str fields[N_FIELDS]; /* .p NULL: not set */
    int64_t numbers[N_NUMBERS];
    bool has_number[N_NUMBERS];
    char bytes[];
};

static bool is_kept(int field)
{
    return field != WEIR_FIELD_BODY && field != WEIR_FIELD_TRACEPARENT;
}

static size_t copy_at(struct lua_snapshot *s, size_t at, weir_str from, weir_str *to)
{
    if (from.n) {
        memcpy(s->bytes + at, from.p, from.n);
        *to = (weir_str){s->bytes + at, from.n};
    }
    return at + from.n;
}

int lua_snapshot_take(struct lua_call *call)
{
    const weir_host *h = call->services->host;
    weir_str found[N_FIELDS] = {{NULL, 0}};
    weir_str *of_usage[] = {&call->usage.model, &call->usage.target, &call->usage.error_code};
    size_t n = 0, at = 0;
    for (int f = 1; f < N_FIELDS; f++) {
        if (is_kept(f) && h->req_get(h, call->req, f, &found[f]) == 0) {
            n += found[f].n;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        n += of_usage[i]->n;
    }
    struct lua_snapshot *s = calloc(1, sizeof(*s) + n);
    if (!s) {
        return WEIR_E_NOMEM;
    }
    for (int f = 1; f < N_FIELDS; f++) {
        at = copy_at(s, at, found[f], &s->fields[f]);
    }
    for (size_t i = 0; i < 3; i++) {
        at = copy_at(s, at, *of_usage[i], of_usage[i]);
    }
    for (int i = 1; i < N_NUMBERS; i++) {
        s->has_number[i] = h->req_get_num(h, call->req, i, &s->numbers[i]) == 0;
    }
    call->snapshot = s;
    call->req = NULL;
    return 0;
}

void lua_snapshot_free(struct lua_snapshot *s)
{
    free(s);
}

int lua_api_field(const struct lua_call *call, int field, weir_str *out)
{
    const weir_host *h = call->services->host;
    if (call->req) {
        return h->req_get(h, call->req, field, out);
    }
    *out = call->snapshot->fields[field];
    return out->p ? 0 : WEIR_E_NOTFOUND;
}

int lua_api_number(const struct lua_call *call, int number, int64_t *out)
{
    const weir_host *h = call->services->host;
    if (call->req) {
        return h->req_get_num(h, call->req, number, out);
    }
    *out = call->snapshot->numbers[number];
    return call->snapshot->has_number[number] ? 0 : WEIR_E_NOTFOUND;
}

/* ---- req ---- */

static int push_bounded(lua_State *L, weir_str value)
{
    if (value.n > LUA_SANDBOX_MAX_STRING_BYTES) {
        return luaL_error(L, "the value is longer than 64 KiB");
    }
    lua_sandbox_charge(L, value.n / 16 + 1);
    lua_pushlstring(L, value.p ? value.p : "", value.n);
    return 1;
}

/* req.header(name) and req:header(name) */
static int header(lua_State *L)
{
    const struct lua_call *call = lua_api_call(L, "req.header", LUA_IN_ALL);
    const weir_host *h = call->services->host;
    weir_str name, value;
    name.p = luaL_checklstring(L, lua_isuserdata(L, 1) ? 2 : 1, &name.n);
    if (!call->req || h->req_header(h, call->req, name, &value) < 0) {
        lua_pushnil(L);
        return 1;
    }
    return push_bounded(L, value);
}

/* req.json(pointer): a piece of the body. */
static int json(lua_State *L)
{
    const struct lua_call *call = lua_api_call(L, "req.json", LUA_IN_ALL);
    const weir_host *h = call->services->host;
    const char *pointer = luaL_checkstring(L, lua_isuserdata(L, 1) ? 2 : 1);
    weir_str value, body = {NULL, 0};
    /* Numbers and objects are written anew: charge by what could be written. */
    if (call->req && h->req_get(h, call->req, WEIR_FIELD_BODY, &body) == 0) {
        lua_sandbox_charge(L, body.n / 64 + 20);
    }
    if (!call->req || h->req_json(h, call->req, pointer, &value) < 0) {
        lua_pushnil(L);
        return 1;
    }
    return push_bounded(L, value);
}

static int push_text(lua_State *L, const struct lua_call *call, int field)
{
    weir_str value;
    if (lua_api_field(call, field, &value) < 0) {
        lua_pushnil(L);
    } else {
        lua_pushlstring(L, value.p ? value.p : "", value.n);
    }
    return 1;
}

static int push_number(lua_State *L, const struct lua_call *call, int number)
{
    int64_t value;
    if (lua_api_number(call, number, &value) < 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, value);
    }
    return 1;
}

static int push_other(lua_State *L, const struct lua_call *call, int what)
{
    int64_t value = 0;
    switch (what) {
    case OTHER_STREAM:
        (void)lua_api_number(call, WEIR_NUMBER_STREAM, &value);
        lua_pushboolean(L, value != 0);
        return 1;
    case OTHER_HEADER: lua_pushcfunction(L, header); return 1;
    default: lua_pushcfunction(L, json); return 1;
    }
}

/* Looks the name at index 2 up in the table that is the upvalue. */
static int look_up(lua_State *L, const char *object)
{
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_isnil(L, -1)) {
        return luaL_error(L, "%s has no field '%s'", object,
                          lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2));
    }
    return (int)lua_tointeger(L, -1);
}

static int request_index(lua_State *L)
{
    const struct lua_call *call = lua_api_call(L, "req", LUA_IN_ALL);
    int means = look_up(L, "req");
    switch (means & SOURCE_MASK) {
    case TEXT_FIELD: return push_text(L, call, means & 0xff);
    case NUMBER_FIELD: return push_number(L, call, means & 0xff);
    default: return push_other(L, call, means & 0xff);
    }
}

/* ---- chunk ---- */

enum { CHUNK_TEXT, CHUNK_KIND, CHUNK_CHOICE, CHUNK_LAST, CHUNK_TOOL, CHUNK_FINISH, CHUNK_TOKENS };
static const struct name chunk_names[] = {
    {"text", CHUNK_TEXT},       {"kind", CHUNK_KIND},
    {"choice", CHUNK_CHOICE},   {"last", CHUNK_LAST},
    {"tool_name", CHUNK_TOOL},  {"finish", CHUNK_FINISH},
    {"n_tokens", CHUNK_TOKENS}, {NULL, 0},
};

static const char *finish_name(uint32_t finish)
{
    static const char *const names[] = {NULL,     "stop", "length", "tool_calls", "content_filter",
                                        "cancel", "error"};
    return finish < sizeof(names) / sizeof(names[0]) ? names[finish] : NULL;
}

static int chunk_index(lua_State *L)
{
    static const char *const kinds[] = {"?", "text", "tool_call", "finish"};
    const struct lua_call *call = lua_api_call(L, "chunk", LUA_IN_CHUNKS);
    const weir_chunk *c = call->chunk;
    switch (look_up(L, "chunk")) {
    case CHUNK_TEXT: return push_bounded(L, c->text);
    case CHUNK_KIND: lua_pushstring(L, kinds[c->kind <= WEIR_CHUNK_FINISH ? c->kind : 0]); break;
    case CHUNK_CHOICE: lua_pushinteger(L, c->choice); break;
    case CHUNK_LAST: lua_pushboolean(L, (c->flags & WEIR_CHUNK_LAST) != 0); break;
    case CHUNK_TOOL:
        lua_pushlstring(L, c->tool_name.p ? c->tool_name.p : "", c->tool_name.n);
        break;
    case CHUNK_FINISH: lua_pushstring(L, finish_name(c->finish)); break;
    default: lua_pushinteger(L, c->n_tokens); break;
    }
    return 1;
}

/* ---- usage ---- */

enum usage_field {
    USAGE_STATUS,
    USAGE_FINISH,
    USAGE_PROMPT,
    USAGE_CACHED,
    USAGE_COMPLETION,
    USAGE_DELIVERED,
    USAGE_QUEUE,
    USAGE_FIRST,
    USAGE_TOTAL,
    USAGE_MODEL,
    USAGE_TARGET,
    USAGE_ERROR
};
static const struct name usage_names[] = {
    {"status", USAGE_STATUS},
    {"finish", USAGE_FINISH},
    {"prompt_tokens", USAGE_PROMPT},
    {"cached_tokens", USAGE_CACHED},
    {"completion_tokens", USAGE_COMPLETION},
    {"delivered_tokens", USAGE_DELIVERED},
    {"queue_ms", USAGE_QUEUE},
    {"first_token_ms", USAGE_FIRST},
    {"total_ms", USAGE_TOTAL},
    {"model", USAGE_MODEL},
    {"target", USAGE_TARGET},
    {"error_code", USAGE_ERROR},
    {NULL, 0},
};

static int push_or_nil(lua_State *L, weir_str s)
{
    if (s.n) {
        lua_pushlstring(L, s.p, s.n);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int usage_index(lua_State *L)
{
    const struct lua_call *call = lua_api_call(L, "usage", LUA_HOOK_BIT(LUA_ON_COMPLETE));
    const weir_usage *u = &call->usage;
    uint64_t value = 0;
    switch (look_up(L, "usage")) {
    case USAGE_STATUS: value = u->http_status; break;
    case USAGE_FINISH: lua_pushstring(L, finish_name(u->finish)); return 1;
    case USAGE_PROMPT: value = u->prompt_tokens; break;
    case USAGE_CACHED: value = u->cached_tokens; break;
    case USAGE_COMPLETION: value = u->completion_tokens; break;
    case USAGE_DELIVERED: value = u->delivered_tokens; break;
    case USAGE_QUEUE: value = u->queue_us / 1000; break;
    case USAGE_FIRST: value = u->first_token_us / 1000; break;
    case USAGE_TOTAL: value = u->total_us / 1000; break;
    case USAGE_MODEL: return push_or_nil(L, u->model);
    case USAGE_TARGET: return push_or_nil(L, u->target);
    default: return push_or_nil(L, u->error_code);
    }
    lua_pushinteger(L, (lua_Integer)value);
    return 1;
}

/* ---- set-up ---- */

static int refuse_change(lua_State *L)
{
    return luaL_error(L, "this object cannot be changed; see weir.set and weir.ctx");
}

static void make_object(lua_State *L, const char *key, const struct name *names,
                        lua_CFunction index)
{
    (void)lua_newuserdatauv(L, 0, 0);
    lua_newtable(L);
    lua_newtable(L);
    for (; names->name; names++) {
        lua_pushinteger(L, names->means);
        lua_setfield(L, -2, names->name);
    }
    lua_pushcclosure(L, index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_change);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_sandbox_set_object(L, key);
}

void lua_api_setup_objects(lua_State *L)
{
    make_object(L, "weir.req", request_names, request_index);
    make_object(L, "weir.chunk", chunk_names, chunk_index);
    make_object(L, "weir.usage", usage_names, usage_index);
}
