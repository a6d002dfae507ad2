/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shapes shared inside the Redis driver: the driver, a loop's part of it, the main loop's control.
 *
 * Who tells whom: a loop that meets a failure calls weir_redis_suspect(); control, on the main
 * loop, finds and checks a server, publishes its address under `lock` with a new epoch, and wakes
 * the loops, which then connect. Nobody else connects, so a lost server is not stormed. Lock order:
 * `lock` is a leaf. */
#include <pthread.h>
#include <uv.h>

#include "base/waker.h"
#include "core/metrics/metrics.h"
#include "core/store/redis/link.h"
#include "core/store/redis/op.h"
#include "core/store/redis/redis.h"

/* What all keys are written as; a daemon that knows another number refuses to use the store. */
#define WEIR_REDIS_SCHEMA "1"

struct weir_redis;

struct weir_redis_connection {
    struct weir_redis_loop *loop;
    struct weir_redis_link *link; /* NULL: none */
    bool is_ready;
    struct weir_redis_op *first, **last; /* sent, in the order of their answers */
    uint32_t n;
};

struct weir_redis_loop { /* loop.c; [its thread], but `waker` and `next` */
    struct weir_redis *r;
    struct weir_redis_loop *next; /* under r->lock */
    uv_loop_t *uv;
    uv_prepare_t prepare; /* writes what this turn asked for */
    uv_idle_t spinner;    /* while there is such: what comes behind `prepare` does not wait */
    uv_timer_t timer;     /* the first deadline */
    struct weir_waker waker;
    uint32_t n_handles; /* not closed */
    uint64_t epoch;     /* whose address the connections have */
    struct weir_redis_address address;
    struct weir_redis_login login;
    struct weir_redis_connection connections[WEIR_STORE_REDIS_MAX_CONNECTIONS];
    struct weir_redis_op *oldest, *newest;         /* not told, by deadline */
    struct weir_redis_op *waiting, **last_waiting; /* for a connection */
    struct weir_redis_op *spare;
    uint32_t n_spare, n_ops, n_untold;
    size_t n_bytes;                     /* of all operations' commands */
    bool has_fresh;                     /* operations without a deadline */
    struct weir_redis_control *control; /* of the main loop */
    struct weir_redis_window window;
    struct weir_redis_room room;
    struct weir_redis_scratch scratch;
};

struct weir_redis {
    struct weir_store base; /* first: callers hold this */
    struct weir_store_redis_options options;
    char prefix[WEIR_STORE_REDIS_MAX_PREFIX_BYTES + 1];
    char *tls_name;
    struct weir_redis_scripts scripts;
    struct weir_tls_client_context *tls;
    pthread_key_t loop_key;
    pthread_mutex_t lock;
    struct weir_redis_loop *loops;
    struct weir_redis_loop *main; /* NULL: not attached */
    struct weir_redis_address address;
    uint64_t epoch; /* 0: no address yet */
    struct weir_redis_breaker breaker;
    atomic_bool suspected; /* for control to look at */
    atomic_bool tripped;   /* because a server said that it cannot serve us */
    _Atomic uint32_t n_links, n_in_flight;
    _Atomic uint64_t n_connects, n_overflows, n_loads;
    struct weir_metrics *metrics;
    struct weir_metric_family *in_flight, *state, *transitions, *connects, *connections, *overflows,
        *loads;
};

static inline weir_str weir_redis_prefix(const struct weir_redis *r)
{
    return weir_str_from(r->prefix);
}

/* Something is wrong with the server: control looks into it. [any] */
void weir_redis_suspect(struct weir_redis *r);
/* The server of that epoch is known to be unusable: refuse from now on, until control has found
 * another. What is said of an earlier one is no news. [any] */
void weir_redis_trip(struct weir_redis *r, uint64_t epoch);
/* The state or the address has changed. [main] */
void weir_redis_wake_loops(struct weir_redis *r);
/* How to log in to a server or a Sentinel. */
void weir_redis_login_fill(const struct weir_redis *r, bool is_sentinel,
                           struct weir_redis_login *ret_login);

/* ---- loop.c ---- */

int weir_redis_loop_create(struct weir_redis *r, uv_loop_t *uv, struct weir_redis_loop **ret_loop);
/* Ends what is under way, closes handles, and then frees it. */
void weir_redis_loop_close(struct weir_redis_loop *l);
int weir_redis_loop_call(struct weir_redis_loop *l, const struct weir_store_call *call,
                         const struct weir_store_then *then);

/* ---- control.c [main] ---- */

int weir_redis_control_create(struct weir_redis *r, struct weir_redis_loop *loop,
                              struct weir_redis_control **ret_control);
void weir_redis_control_close(struct weir_redis_control *c); /* frees it later */
/* Something was suspected or tripped. */
void weir_redis_control_look(struct weir_redis_control *c);
void weir_redis_control_subscribed(struct weir_redis_control *c, weir_str channel, bool first);
