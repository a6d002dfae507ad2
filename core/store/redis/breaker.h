/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether operations are sent to the store at all: one for the process.
 *
 * STARTING: nothing is known yet, operations wait. CLOSED: they are sent. OPEN: they are refused at
 * once, without a system call. HALF_OPEN: the same, while the main loop tries whether the store is
 * back. Consecutive failures open it; only a probe that succeeded closes it.
 * Threads: [any]. */
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

enum { WEIR_REDIS_MAX_FAILURES = 5 };

struct weir_redis_breaker {
    atomic_int state;       /* enum weir_redis_state */
    atomic_uint n_failures; /* since the last success */
    _Atomic uint64_t n_entered[WEIR_REDIS_N_STATES];
};

void weir_redis_breaker_init(struct weir_redis_breaker *b);
static inline enum weir_redis_state weir_redis_breaker_state(const struct weir_redis_breaker *b)
{
    return (enum weir_redis_state)atomic_load_explicit(&b->state, memory_order_acquire);
}
/* True when it was in another state. */
bool weir_redis_breaker_enter(struct weir_redis_breaker *b, enum weir_redis_state state);
/* True when this one opened it. */
bool weir_redis_breaker_failed(struct weir_redis_breaker *b);
void weir_redis_breaker_succeeded(struct weir_redis_breaker *b);

/* How long to wait after the n-th failed try in a row (from 0): 1 s, doubled up to 8 s, and up to a
 * quarter more by `random`, so that replicas do not come together. */
uint64_t weir_redis_backoff_ms(unsigned n, uint32_t random);
