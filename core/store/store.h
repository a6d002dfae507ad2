/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shared store behind "weir.store/1": one interface, several drivers.
 *
 * Why one struct for all calls: they are checked, counted and handed on in one place each, and a
 * driver cannot be called with arguments that are out of bounds. Meaning, bounds and errors are
 * those of weir/store.h. A driver embeds struct weir_store as its first member.
 * Ownership: destroy frees the driver; every loop was detached before. What a call points to is
 * borrowed until weir_store_call() returns.
 * Threads: call() on a thread that attached its loop (a driver without WEIR_STORE_SHARED: on any);
 * `done` runs on the same thread, and by a driver that needs no waiting before call() returns.
 * Subscriptions, turn, create and destroy [main].
 * Errors: a negative return means that `done` is not called: WEIR_E_ARG, WEIR_E_TOOBIG,
 * WEIR_E_NOMEM. */
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/store/messages.h"
#include "weir/store.h"

enum {
    WEIR_STORE_MAX_KEY_BYTES = 512,
    WEIR_STORE_MAX_VALUE_BYTES = 1024 * 1024,
    WEIR_STORE_MAX_REPLY_BYTES = 1024 * 1024, /* of all items of list, read and claim */
};
#define WEIR_STORE_MAX_UNITS (UINT64_C(1) << 53) /* of budgets: exact in a double */
#define WEIR_STORE_ANY_VERSION UINT64_MAX
/* Of a set: nothing is written when the mark of its tags is another one now. */
#define WEIR_STORE_MARKED (1u << 31)
#define WEIR_STORE_MARK_MS (UINT64_C(24) * 3600 * 1000)
/* How long ids are remembered: of logs, and of reservations that are settled, or over and kept. */
#define WEIR_STORE_LOG_ID_MS (UINT64_C(40) * 24 * 3600 * 1000)
#define WEIR_STORE_SETTLED_MS (UINT64_C(60) * 1000)
#define WEIR_STORE_BUDGET_IDLE_MS (UINT64_C(40) * 24 * 3600 * 1000)

enum weir_store_op {
    WEIR_STORE_TAKE,
    WEIR_STORE_GIVE,
    WEIR_STORE_RESERVE,
    WEIR_STORE_SETTLE,
    WEIR_STORE_GET,
    WEIR_STORE_SET,
    WEIR_STORE_INVALIDATE,
    WEIR_STORE_REMOVE,
    WEIR_STORE_ADD,
    WEIR_STORE_PUT,
    WEIR_STORE_FIND,
    WEIR_STORE_LIST,
    WEIR_STORE_APPEND,
    WEIR_STORE_READ,
    WEIR_STORE_JOB_PUT,
    WEIR_STORE_JOB_CLAIM,
    WEIR_STORE_JOB_ACK,
    WEIR_STORE_PUBLISH,
    WEIR_STORE_ERASE,
    WEIR_STORE_N_OPS
};
const char *weir_store_op_name(enum weir_store_op op);

/* Keeps `done` from being called for somebody who has gone, and tells when nothing is under way.
 * Reference-counted: one for its maker, one for each call. [any] */
struct weir_store_owner {
    atomic_uint refs;
    atomic_uint n_calls; /* not completed */
    atomic_bool closing; /* idle(arg) is to be called when n_calls becomes 0 */
    atomic_bool gone;    /* `done` is not called any more */
    void (*idle)(void *arg);
    void *arg;
};

struct weir_store_call {
    enum weir_store_op op;
    weir_str tenant;
    weir_str key;   /* key, tag, collection, log, queue or channel */
    weir_str id;    /* reservation, name, log entry or job; list: the name to go on behind */
    weir_str value; /* or message */
    const weir_store_limit *levels; /* take, give: [n] */
    const weir_store_hold *holds;   /* reserve, settle: [n] */
    const weir_str *tags;           /* set, and get for a mark: [n] */
    uint32_t n;                     /* of the array; list, read, claim: how many are wanted */
    uint32_t flags;                 /* reserve; set: WEIR_STORE_MARKED */
    uint64_t
        number;    /* ttl_ms, delay_ms or lease_ms; put: version; read: the place to go on behind */
    int64_t delta; /* add; set: the mark */
    struct weir_store_owner *owner; /* NULL: none */
    uint64_t now_us; /* the system's monotonic time, where the caller has just looked; 0: unknown */
};

/* Who is told about an operation's end; filled by weir_store_call(), kept by the driver. */
struct weir_store_then {
    weir_store_done done;
    void *arg;
    struct weir_store_owner *owner;
    enum weir_store_op op;
    uint64_t started_us; /* of drivers with WEIR_STORE_SHARED */
};

struct weir_store;
struct uv_loop_s;
struct weir_metrics;

struct weir_store_driver {
    const char *name; /* "memory" */
    uint32_t flags;   /* enum weir_store_flags */
    /* The call is within bounds. 0: weir_store_complete() is or will be called once. */
    int (*call)(struct weir_store *, const struct weir_store_call *,
                const struct weir_store_then *);
    /* Optional: a channel got its first subscriber, or lost its last. [main] */
    void (*subscribed)(struct weir_store *, weir_str channel, bool first);
    /* Of drivers without WEIR_STORE_SHARED: limits at hand, as weir/store.h says of them. now_us as
     * in a call. [any] */
    int (*limit_open)(struct weir_store *, weir_str tenant, const weir_store_limit *,
                      weir_store_limit_state **ret_state);
    void (*limit_close)(struct weir_store *, weir_store_limit_state *);
    int (*limit_take)(struct weir_store *, weir_store_limit_state *const *, const uint64_t *units,
                      uint32_t n, uint64_t now_us, int64_t *ret_left);
    void (*limit_give)(struct weir_store *, weir_store_limit_state *const *, const uint64_t *units,
                       uint32_t n, uint64_t now_us);
    /* And budgets. */
    int (*budget_open)(struct weir_store *, weir_str tenant, weir_str key,
                       weir_store_budget_state **ret_state);
    void (*budget_close)(struct weir_store *, weir_store_budget_state *);
    int (*budget_hold)(struct weir_store *, weir_store_holding *, uint32_t n, uint64_t now_us,
                       uint32_t *ret_refused_by);
    int (*budget_settle)(struct weir_store *, weir_store_holding *, uint32_t n, uint64_t now_us);
    /* Optional: see below. */
    int (*attach)(struct weir_store *, struct uv_loop_s *, bool is_main);
    bool (*detach)(struct weir_store *, bool force);
    bool (*is_idle)(const struct weir_store *);
    bool (*is_up)(const struct weir_store *);
    /* Optional: the driver's own metrics. define once; collect before each scrape. */
    int (*define_metrics)(struct weir_store *, struct weir_metrics *);
    void (*collect)(struct weir_store *);
    void (*destroy)(struct weir_store *);
};

enum weir_store_outcome {
    WEIR_STORE_DONE,
    WEIR_STORE_REFUSED, /* BUSY, TOOBIG, GONE: the answer to a question */
    WEIR_STORE_MISSING, /* NOTFOUND */
    WEIR_STORE_TIMED_OUT,
    WEIR_STORE_AWAY, /* IO */
    WEIR_STORE_FULL, /* NOMEM */
    WEIR_STORE_FAILED,
    WEIR_STORE_N_OUTCOMES
};

struct weir_store_meters; /* metrics.h */

struct weir_store {
    const struct weir_store_driver *driver;
    struct weir_store_messages messages;
    _Atomic uint64_t counts[WEIR_STORE_N_OPS][WEIR_STORE_N_OUTCOMES];
    struct weir_store_meters *meters; /* NULL: none */
};

/* Checks the call against its bounds and hands it to the driver. */
int weir_store_call(struct weir_store *s, const struct weir_store_call *call, weir_store_done done,
                    void *arg);
void weir_store_destroy(struct weir_store *s); /* NULL ok */

/* Limits at hand; WEIR_E_UNSUPPORTED where the driver has none. Checked and counted as calls. */
int weir_store_limit_open(struct weir_store *s, weir_str tenant, const weir_store_limit *limit,
                          weir_store_limit_state **ret_state);
int weir_store_limit_take(struct weir_store *s, weir_store_limit_state *const *limits,
                          const uint64_t *units, uint32_t n, uint64_t now_us, int64_t *ret_left);
int weir_store_limit_give(struct weir_store *s, weir_store_limit_state *const *limits,
                          const uint64_t *units, uint32_t n, uint64_t now_us);
/* Budgets at hand, likewise. */
int weir_store_budget_open(struct weir_store *s, weir_str tenant, weir_str key,
                           weir_store_budget_state **ret_state);
int weir_store_budget_hold(struct weir_store *s, weir_store_holding *holdings, uint32_t n,
                           uint64_t now_us, uint32_t *ret_refused_by);
int weir_store_budget_settle(struct weir_store *s, weir_store_holding *holdings, uint32_t n,
                             uint64_t now_us);

/* Lets the calling thread, which turns `loop`, use the store; main: the one thread that also takes
 * messages. Before the loop is closed, detach: false while operations are under way (each ends
 * within store.timeout); force ends them with WEIR_E_TIMEOUT. After true, the loop needs some more
 * turns to close its handles. A driver without loops does nothing. */
int weir_store_attach(struct weir_store *s, struct uv_loop_s *loop, bool is_main);
bool weir_store_detach(struct weir_store *s, bool force); /* NULL ok */
/* Has everything that the calling thread asked for ended? */
bool weir_store_is_idle(const struct weir_store *s);
/* Is the store there, as far as is known? [any] */
bool weir_store_is_up(const struct weir_store *s);

/* fn runs on [main], out of weir_store_turn(); from inside it, subscribing and unsubscribing is
 * fine. `wake` [any] is called when turn() has something to do. */
int weir_store_subscribe(struct weir_store *s, weir_str channel, weir_store_message fn, void *arg,
                         struct weir_store_subscription **ret_subscription);
void weir_store_unsubscribe(struct weir_store *s, struct weir_store_subscription *subscription);
void weir_store_set_wake(struct weir_store *s, void (*wake)(void *arg), void *arg);
void weir_store_turn(struct weir_store *s);

struct weir_store_owner *weir_store_owner_create(void (*idle)(void *arg), void *arg);
void weir_store_owner_unref(struct weir_store_owner *owner); /* NULL ok */

/* ---- for drivers ---- */

int weir_store_init(struct weir_store *s, const struct weir_store_driver *driver);
void weir_store_finish(struct weir_store *s);
/* Counts and tells; struct_size is filled in. */
void weir_store_complete(struct weir_store *s, const struct weir_store_then *then,
                         weir_store_result *result);
