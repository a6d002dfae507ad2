/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/redis/breaker.h"

static uint32_t or_default(uint32_t given, uint32_t otherwise)
{
    return given ? given : otherwise;
}

void weir_redis_breaker_init(struct weir_redis_breaker *b,
                             const struct weir_store_redis_breaker *rules)
{
    uint32_t open_ms = or_default(rules->open_ms, 1000);
    uint32_t max_open_ms = or_default(rules->max_open_ms, 8000);
    b->rules = (struct weir_store_redis_breaker){
        .failure_threshold = or_default(rules->failure_threshold, 5),
        .failure_percent = or_default(rules->failure_percent, 50),
        .min_operations = or_default(rules->min_operations, 20),
        .window_ms = or_default(rules->window_ms, 10000),
        .open_ms = open_ms,
        .max_open_ms = max_open_ms > open_ms ? max_open_ms : open_ms,
    };
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

/* Counts a failure; true: too large a part of the window failed. */
static bool is_window_bad(const struct weir_store_redis_breaker *rules, struct weir_redis_window *w,
                          uint64_t now_us)
{
    if (w->from_us == 0 || now_us - w->from_us > (uint64_t)rules->window_ms * 1000) {
        *w = (struct weir_redis_window){.from_us = now_us};
    }
    w->n_bad++;
    uint64_t n = (uint64_t)w->n_good + w->n_bad;
    return n >= rules->min_operations && (uint64_t)w->n_bad * 100 >= n * rules->failure_percent;
}

bool weir_redis_breaker_failed(struct weir_redis_breaker *b, struct weir_redis_window *w,
                               uint64_t now_us)
{
    unsigned n = atomic_fetch_add_explicit(&b->n_failures, 1, memory_order_relaxed) + 1;
    bool opens = is_window_bad(&b->rules, w, now_us);
    int closed = WEIR_REDIS_CLOSED;
    if ((n < b->rules.failure_threshold && !opens) ||
        !atomic_compare_exchange_strong_explicit(&b->state, &closed, WEIR_REDIS_OPEN,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return false;
    }
    w->from_us = 0;
    atomic_fetch_add_explicit(&b->n_entered[WEIR_REDIS_OPEN], 1, memory_order_relaxed);
    return true;
}

/* Reads first: the line is shared by all loops, and nearly always 0 already. */
void weir_redis_breaker_succeeded(struct weir_redis_breaker *b, struct weir_redis_window *w)
{
    w->n_good += w->n_good < UINT32_MAX;
    if (atomic_load_explicit(&b->n_failures, memory_order_relaxed)) {
        atomic_store_explicit(&b->n_failures, 0, memory_order_relaxed);
    }
}

uint64_t weir_redis_backoff_ms(const struct weir_redis_breaker *b, unsigned n, uint32_t random)
{
    enum { MAX_DOUBLINGS = 16 };
    uint64_t ms = (uint64_t)b->rules.open_ms << (n < MAX_DOUBLINGS ? n : MAX_DOUBLINGS);
    ms = ms < b->rules.max_open_ms ? ms : b->rules.max_open_ms;
    return ms + ms * (random % 1024) / 4096;
}
