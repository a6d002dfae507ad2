/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a policy sees of weir: `req`, `chunk`, `usage` and the table `weir`. docs/lua.md is the
 * reference; a test holds it against the tables here.
 *
 * The objects are one each per state and mean whatever call runs now, so that a call allocates
 * nothing; fields are read when they are asked for. The verdict is what the hook returns.
 * Ownership: a call is its maker's, see call.h. Threads: the state's. */
#include "notes.h"
#include "sandbox.h"
#include "weir/policy.h"
#include "weir/store.h"

enum { LUA_MAX_OPERATIONS = 16, LUA_MAX_KEY_BYTES = 256, LUA_MAX_VALUE_BYTES = 64 * 1024 };

struct lua_call;
struct lua_version;
struct zones;

enum lua_verdict_kind {
    LUA_VERDICT_NONE, /* nil: go on */
    LUA_VERDICT_DENY,
    LUA_VERDICT_ROUTE,
    LUA_VERDICT_REPLACE, /* `text` */
    LUA_VERDICT_HOLD,
    LUA_VERDICT_ABORT,
};

struct lua_verdict {
    enum lua_verdict_kind kind;
    int status;
    double retry_after_s; /* 0: none */
    char message[512], code[64];
    char model[256], target[128]; /* "": as it is */
};

/* What the outside gives to policies. */
struct lua_services {
    const weir_host *host;
    const weir_ext_store *store; /* NULL: there is none */
    struct zones *zones;
    void (*woken)(struct lua_call *call);   /* an operation that suspended it has ended */
    bool (*may_log)(struct lua_call *call); /* NULL: always */
};

/* One operation of weir.kv at a time. */
struct lua_operation {
    enum { LUA_OP_NONE, LUA_OP_PENDING, LUA_OP_DONE } state;
    uint8_t kind; /* api_kv.c */
    bool waiting; /* the run is suspended until it is done */
    int rc;
    int64_t number;
    uint64_t retry_after_us;
    weir_str value; /* owned */
    char limit_name[64];
};

/* The request as it was, for a hook that goes on when the request has ended. */
struct lua_snapshot;

struct lua_call {
    struct lua_run run;
    const struct lua_services *services;
    struct lua_sandbox *sandbox;
    enum lua_hook hook;
    bool shadow;                   /* must change nothing */
    bool never_waits;              /* the store answers at once: no suspension is needed */
    weir_req *req;                 /* NULL: ended; the snapshot is read */
    struct lua_snapshot *snapshot; /* owned */
    struct lua_notes **notes;      /* the request's; made when first written */
    weir_str tenant;               /* owned by the call's maker */
    const weir_chunk *chunk;       /* on_chunk */
    weir_usage usage;              /* on_complete */
    uint32_t n_operations;
    struct lua_operation op;
    enum lua_verdict_kind verdict;
    const struct lua_verdict *said; /* DENY, ROUTE: borrowed from the run, until it is ended */
    weir_str text;                  /* REPLACE: likewise */
    /* For who runs it. */
    struct lua_version *version; /* a reference */
    void *owner;
    weir_ticket ticket;
    uint64_t deadline_us; /* of all its suspensions */
    bool detached;        /* the request goes on, or has ended, without it */
    bool orphan;          /* ended while an operation was under way, which frees it */
};

/* lua_script_source.setup. */
void lua_api_setup(lua_State *L);
/* Reads what the hook returned, on top of the run's stack, into call->verdict. WEIR_E_FORMAT with a
 * sentence: it is not a verdict, or not one of this hook. */
int lua_api_read_verdict(struct lua_call *call, char error[LUA_SANDBOX_ERROR_BYTES]);

/* The call that runs now; raises when there is none. `hooks`: bits of those that may use it. */
struct lua_call *lua_api_call(lua_State *L, const char *function, unsigned hooks);
#define LUA_HOOK_BIT(hook) (1u << (hook))
enum {
    LUA_IN_DECISIONS = LUA_HOOK_BIT(LUA_ON_REQUEST) | LUA_HOOK_BIT(LUA_ON_ROUTE),
    LUA_IN_CHUNKS = LUA_HOOK_BIT(LUA_ON_CHUNK),
    LUA_IN_ALL = LUA_IN_DECISIONS | LUA_HOOK_BIT(LUA_ON_CHUNK) | LUA_HOOK_BIT(LUA_ON_COMPLETE),
    LUA_IN_ASYNC = LUA_IN_ALL & ~LUA_HOOK_BIT(LUA_ON_CHUNK),
};

/* ---- parts ---- */

void lua_api_push_verdict(lua_State *L, const struct lua_verdict *v);
void lua_api_setup_objects(lua_State *L);        /* api_objects.c */
void lua_api_setup_kv(lua_State *L, int weir);   /* api_kv.c; fields of the table at `weir` */
void lua_api_setup_time(lua_State *L, int weir); /* api_time.c */
void lua_api_setup_ctx(lua_State *L, int weir);  /* api_ctx.c */
/* A text or number of the request, from it or from the snapshot. WEIR_E_NOTFOUND. */
int lua_api_field(const struct lua_call *call, int field, weir_str *out);
int lua_api_number(const struct lua_call *call, int number, int64_t *out);
/* Copies all that can be asked for later. */
int lua_snapshot_take(struct lua_call *call);
void lua_snapshot_free(struct lua_snapshot *s); /* NULL ok */
/* What an operation left; for who ends a call. */
void lua_operation_finish(struct lua_operation *op);
