/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether operations are sent to the store at all: one for the process.
 *
 * STARTING: nothing is known yet, operations wait. CLOSED: they are sent. OPEN: they are refused at
 * once, without a system call. HALF_OPEN: the same, while the main loop tries whether the store is
 * back. Failures in a row open it, or a part of one loop's operations within a window; only a probe
 * that succeeded closes it.
 * Threads: [any]; a window is its loop's. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum weir_redis_state {
    WEIR_REDIS_CLOSED,
    WEIR_REDIS_OPEN,
    WEIR_REDIS_HALF_OPEN,
    WEIR_REDIS_STARTING,
    WEIR_REDIS_N_STATES
};

struct weir_store_redis_breaker {  /* 0: as in parentheses */
    uint32_t failure_threshold;    /* in a row (5) */
    uint32_t failure_percent;      /* of a window; above 100: this does not open it (50) */
    uint32_t min_operations;       /* in a window, for failure_percent to say anything (20) */
    uint32_t window_ms;            /* (10000) */
    uint32_t open_ms, max_open_ms; /* before it is tried; doubled, but not longer (1000, 8000) */
};

/* What one loop has seen since the window's first failure. */
struct weir_redis_window {
    uint64_t from_us; /* 0: nothing */
    uint32_t n_good, n_bad;
};

struct weir_redis_breaker {
    struct weir_store_redis_breaker rules; /* no zeros */
    atomic_int state;                      /* enum weir_redis_state */
    atomic_uint n_failures;                /* since the last success */
    _Atomic uint64_t n_entered[WEIR_REDIS_N_STATES];
};

void weir_redis_breaker_init(struct weir_redis_breaker *b,
                             const struct weir_store_redis_breaker *rules);
static inline enum weir_redis_state weir_redis_breaker_state(const struct weir_redis_breaker *b)
{
    return (enum weir_redis_state)atomic_load_explicit(&b->state, memory_order_acquire);
}
/* True when it was in another state. */
bool weir_redis_breaker_enter(struct weir_redis_breaker *b, enum weir_redis_state state);
/* True when this one opened it. */
bool weir_redis_breaker_failed(struct weir_redis_breaker *b, struct weir_redis_window *w,
                               uint64_t now_us);
void weir_redis_breaker_succeeded(struct weir_redis_breaker *b, struct weir_redis_window *w);

/* How long to wait after the n-th failed try in a row (from 0): open_ms, doubled up to max_open_ms,
 * and up to a quarter more by `random`, so that replicas do not come together. */
uint64_t weir_redis_backoff_ms(const struct weir_redis_breaker *b, unsigned n, uint32_t random);
