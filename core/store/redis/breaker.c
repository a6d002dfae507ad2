/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/redis/breaker.h"

void weir_redis_breaker_init(struct weir_redis_breaker *b)
{
    atomic_init(&b->state, WEIR_REDIS_STARTING);
    atomic_init(&b->n_failures, 0);
    for (int i = 0; i < WEIR_REDIS_N_STATES; i++) {
        atomic_init(&b->n_entered[i], 0);
    }
}

bool weir_redis_breaker_enter(struct weir_redis_breaker *b, enum weir_redis_state state)
{
    if (state == WEIR_REDIS_CLOSED) {
        atomic_store_explicit(&b->n_failures, 0, memory_order_relaxed);
    }
    bool changed =
        atomic_exchange_explicit(&b->state, (int)state, memory_order_acq_rel) != (int)state;
    if (changed) {
        atomic_fetch_add_explicit(&b->n_entered[state], 1, memory_order_relaxed);
    }
    return changed;
}

bool weir_redis_breaker_failed(struct weir_redis_breaker *b)
{
    unsigned n = atomic_fetch_add_explicit(&b->n_failures, 1, memory_order_relaxed) + 1;
    int closed = WEIR_REDIS_CLOSED;
    if (n < WEIR_REDIS_MAX_FAILURES ||
        !atomic_compare_exchange_strong_explicit(&b->state, &closed, WEIR_REDIS_OPEN,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return false;
    }
    atomic_fetch_add_explicit(&b->n_entered[WEIR_REDIS_OPEN], 1, memory_order_relaxed);
    return true;
}

/* Reads first: the line is shared by all loops, and nearly always 0 already. */
void weir_redis_breaker_succeeded(struct weir_redis_breaker *b)
{
    if (atomic_load_explicit(&b->n_failures, memory_order_relaxed)) {
        atomic_store_explicit(&b->n_failures, 0, memory_order_relaxed);
    }
}

uint64_t weir_redis_backoff_ms(unsigned n, uint32_t random)
{
    uint64_t ms = UINT64_C(1000) << (n < 3 ? n : 3);
    return ms + ms / 4 * (random % 1024) / 1024;
}
