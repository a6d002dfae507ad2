/* SPDX-License-Identifier: Apache-2.0 */
/* weir.kv and weir.set_limit: the tenant's own corner of the shared store.
 *
 * A call to a store that answers later suspends the run; the continuation behind it pushes what the
 * store said. Keys lie under the tenant and a prefix, so no policy can name what is not its own. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"

enum kind { KV_GET, KV_SET, KV_ADD, KV_REMOVE, KV_TAKE, KV_LIMIT };

enum { MAX_TTL_S = 40 * 24 * 3600, CHARGE = 50 };
static const double max_units = 9007199254740992.0; /* 2^53 */

void lua_operation_finish(struct lua_operation *op)
{
    free((char *)op->value.p);
    op->value = (weir_str){NULL, 0};
}

static void keep_value(struct lua_operation *op, weir_str value)
{
    char *copy = value.n <= LUA_MAX_VALUE_BYTES ? malloc(value.n + 1) : NULL;
    if (!copy) {
        op->rc = value.n <= LUA_MAX_VALUE_BYTES ? WEIR_E_NOMEM : WEIR_E_TOOBIG;
        return;
    }
    if (value.n) {
        memcpy(copy, value.p, value.n);
    }
    op->value = (weir_str){copy, value.n};
}

static void done(void *arg, const weir_store_result *result)
{
    struct lua_call *call = arg;
    struct lua_operation *op = &call->op;
    op->state = LUA_OP_DONE;
    op->rc = result->rc;
    op->number = result->number;
    op->retry_after_us = result->retry_after_us;
    if (result->rc >= 0 && op->kind == KV_GET) {
        keep_value(op, result->value);
    }
    if (op->waiting) {
        call->services->woken(call);
    }
}

/* ---- what the store said, for the script ---- */

static const char *words_of(int rc)
{
    return rc == WEIR_E_TIMEOUT ? "timeout" : rc == WEIR_E_NOMEM ? "full" : "unavailable";
}

static int push_failure(lua_State *L, int rc)
{
    lua_pushnil(L);
    lua_pushstring(L, words_of(rc));
    return 2;
}

static int push_taken(lua_State *L, const struct lua_operation *op)
{
    bool refused = op->rc == WEIR_E_BUSY || op->rc == WEIR_E_TOOBIG;
    if (op->rc < 0 && !refused) {
        return push_failure(L, op->rc);
    }
    lua_pushboolean(L, !refused);
    if (!refused) {
        return 1;
    }
    lua_pushnumber(L, (lua_Number)op->retry_after_us / 1e6);
    return 2;
}

static int push_limit(lua_State *L, const struct lua_operation *op)
{
    if (op->rc >= 0) {
        lua_pushnil(L);
        return 1;
    }
    if (op->rc != WEIR_E_BUSY && op->rc != WEIR_E_TOOBIG) {
        return luaL_error(L, "weir.set_limit: the store is %s", words_of(op->rc));
    }
    struct lua_verdict v = {.kind = LUA_VERDICT_DENY, .status = 429};
    v.retry_after_s = (double)op->retry_after_us / 1e6;
    (void)snprintf(v.code, sizeof(v.code), "rate_limit_exceeded");
    (void)snprintf(v.message, sizeof(v.message),
                   "The limit '%s' of your organisation is reached.%s", op->limit_name,
                   op->rc == WEIR_E_TOOBIG ? " This request is larger than the limit." : "");
    lua_api_push_verdict(L, &v);
    return 1;
}

static int push_result(lua_State *L, struct lua_call *call)
{
    struct lua_operation *op = &call->op;
    op->state = LUA_OP_NONE;
    switch (op->kind) {
    case KV_TAKE: return push_taken(L, op);
    case KV_LIMIT: return push_limit(L, op);
    default: break;
    }
    if (op->rc == WEIR_E_NOTFOUND) {
        lua_pushnil(L);
        return 1;
    }
    if (op->rc < 0) {
        return push_failure(L, op->rc);
    }
    switch (op->kind) {
    case KV_GET:
        lua_sandbox_charge(L, op->value.n / 16 + 1);
        lua_pushlstring(L, op->value.p, op->value.n);
        lua_operation_finish(op);
        return 1;
    case KV_ADD: lua_pushinteger(L, op->number); return 1;
    case KV_REMOVE: lua_pushboolean(L, op->number > 0); return 1;
    default: lua_pushboolean(L, true); return 1;
    }
}

static int go_on(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return push_result(L, lua_sandbox_arg(L));
}

/* ---- calls ---- */

static struct lua_call *begin(lua_State *L, const char *function, enum kind kind)
{
    struct lua_call *call = lua_api_call(L, function, LUA_IN_ASYNC);
    if (!lua_isyieldable(L) && !call->never_waits) {
        (void)luaL_error(L, "%s cannot be used inside another function's callback", function);
    }
    if (++call->n_operations > LUA_MAX_OPERATIONS) {
        (void)luaL_error(L, "%s: more than %d store operations in one call", function,
                         LUA_MAX_OPERATIONS);
    }
    lua_sandbox_charge(L, CHARGE);
    lua_operation_finish(&call->op);
    call->op = (struct lua_operation){.state = LUA_OP_PENDING, .kind = (uint8_t)kind};
    return call;
}

/* The operation was handed over; rc is what the store returned. */
static int finish(lua_State *L, struct lua_call *call, int rc)
{
    if (rc < 0) {
        call->op.state = LUA_OP_DONE;
        call->op.rc = rc;
    }
    if (call->op.state == LUA_OP_DONE) {
        return push_result(L, call);
    }
    call->op.waiting = true;
    return lua_yieldk(L, 0, 0, go_on);
}

/* "lua:KEY", or "lua-shadow:KEY" for what a shadow must not change. */
static weir_str read_key(lua_State *L, const struct lua_call *call, int arg, bool writes,
                         char out[LUA_MAX_KEY_BYTES + 32], const char *space)
{
    size_t n;
    const char *key = luaL_checklstring(L, arg, &n);
    luaL_argcheck(L, n > 0 && n <= LUA_MAX_KEY_BYTES, arg, "keys have 1 to 256 bytes");
    int head = snprintf(out, 32, "lua%s%s:", call->shadow && writes ? "-shadow" : "", space);
    memcpy(out + head, key, n);
    return (weir_str){out, (size_t)head + n};
}

static const weir_ext_store *store_of(const struct lua_call *call)
{
    return call->services->store;
}

static int kv_get(lua_State *L)
{
    struct lua_call *call = begin(L, "weir.kv.get", KV_GET);
    char buffer[LUA_MAX_KEY_BYTES + 32];
    weir_str key = read_key(L, call, 1, false, buffer, "");
    const weir_ext_store *s = store_of(call);
    return finish(L, call,
                  s ? s->get(call->services->host, call->tenant, key, done, call) : WEIR_E_IO);
}

static uint64_t read_ttl_ms(lua_State *L, int arg)
{
    lua_Number ttl = luaL_optnumber(L, arg, 24 * 3600);
    luaL_argcheck(L, ttl >= 1 && ttl <= MAX_TTL_S, arg, "1 second to 40 days");
    return (uint64_t)(ttl * 1000);
}

/* set(key, value [, ttl_seconds]) */
static int kv_set(lua_State *L)
{
    struct lua_call *call = begin(L, "weir.kv.set", KV_SET);
    char buffer[LUA_MAX_KEY_BYTES + 32];
    weir_str value, key = read_key(L, call, 1, true, buffer, "");
    value.p = luaL_checklstring(L, 2, &value.n);
    luaL_argcheck(L, value.n <= LUA_MAX_VALUE_BYTES, 2, "values have at most 64 KiB");
    uint64_t ttl_ms = read_ttl_ms(L, 3);
    lua_sandbox_charge(L, value.n / 16);
    const weir_ext_store *s = store_of(call);
    return finish(
        L, call,
        s ? s->set(call->services->host, call->tenant, key, value, ttl_ms, NULL, 0, done, call)
          : WEIR_E_IO);
}

/* add(key, number [, ttl_seconds]) */
static int kv_add(lua_State *L)
{
    struct lua_call *call = begin(L, "weir.kv.add", KV_ADD);
    char buffer[LUA_MAX_KEY_BYTES + 32];
    weir_str key = read_key(L, call, 1, true, buffer, "-count");
    lua_Integer delta = luaL_checkinteger(L, 2);
    uint64_t ttl_ms = read_ttl_ms(L, 3);
    const weir_ext_store *s = store_of(call);
    return finish(L, call,
                  s ? s->add(call->services->host, call->tenant, key, delta, ttl_ms, done, call)
                    : WEIR_E_IO);
}

static int kv_remove(lua_State *L)
{
    struct lua_call *call = begin(L, "weir.kv.remove", KV_REMOVE);
    char buffer[LUA_MAX_KEY_BYTES + 32];
    weir_str key = read_key(L, call, 1, true, buffer, "");
    const weir_ext_store *s = store_of(call);
    return finish(L, call,
                  s ? s->remove(call->services->host, call->tenant, key, done, call) : WEIR_E_IO);
}

static uint64_t read_units(lua_State *L, int arg, lua_Number otherwise, lua_Number least)
{
    lua_Number units = luaL_optnumber(L, arg, otherwise);
    luaL_argcheck(L, units >= least && units <= max_units, arg, "number out of range");
    return (uint64_t)units;
}

/* (key, limit, seconds [, units]) */
static int take(lua_State *L, const char *function, enum kind kind)
{
    struct lua_call *call = begin(L, function, kind);
    char buffer[LUA_MAX_KEY_BYTES + 32];
    weir_store_limit level = {.key = read_key(L, call, 1, true, buffer, "-take")};
    level.limit = level.burst = read_units(L, 2, 0, 1);
    lua_Number seconds = luaL_checknumber(L, 3);
    luaL_argcheck(L, seconds >= 1 && seconds <= MAX_TTL_S, 3, "1 second to 40 days");
    level.period_us = (uint64_t)(seconds * 1e6);
    level.units = read_units(L, 4, 1, 0);
    (void)snprintf(call->op.limit_name, sizeof(call->op.limit_name), "%.60s", lua_tostring(L, 1));
    const weir_ext_store *s = store_of(call);
    return finish(L, call,
                  s ? s->take(call->services->host, call->tenant, &level, 1, done, call)
                    : WEIR_E_IO);
}

static int kv_take(lua_State *L)
{
    return take(L, "weir.kv.take", KV_TAKE);
}

static int set_limit(lua_State *L)
{
    (void)lua_api_call(L, "weir.set_limit", LUA_IN_DECISIONS);
    return take(L, "weir.set_limit", KV_LIMIT);
}

void lua_api_setup_kv(lua_State *L, int weir)
{
    static const luaL_Reg functions[] = {
        {"add", kv_add}, {"get", kv_get},   {"remove", kv_remove},
        {"set", kv_set}, {"take", kv_take}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_sandbox_freeze(L);
    lua_setfield(L, weir, "kv");
    lua_pushcfunction(L, set_limit);
    lua_setfield(L, weir, "set_limit");
}
