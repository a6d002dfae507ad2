/* SPDX-License-Identifier: Apache-2.0 */
#include "retry_budget.h"

static void put(struct weir_retry_budget *b, int64_t hundredths)
{
    int64_t old = atomic_load_explicit(&b->hundredths, memory_order_relaxed);
    int64_t sum;
    do {
        if (old >= WEIR_RETRY_PURSE * 100) {
            return; /* the usual case: full, and nothing is written */
        }
        sum = old + hundredths < WEIR_RETRY_PURSE * 100 ? old + hundredths : WEIR_RETRY_PURSE * 100;
    } while (!atomic_compare_exchange_weak_explicit(&b->hundredths, &old, sum, memory_order_relaxed,
                                                    memory_order_relaxed));
}

void weir_retry_budget_init(struct weir_retry_budget *b, uint32_t percent)
{
    atomic_store_explicit(&b->hundredths, percent ? WEIR_RETRY_FIRST * 100 : 0,
                          memory_order_relaxed);
    b->percent = percent;
    b->last_tick_us = 0;
}

void weir_retry_budget_earn(struct weir_retry_budget *b)
{
    put(b, b->percent);
}

bool weir_retry_budget_take(struct weir_retry_budget *b)
{
    int64_t old = atomic_load_explicit(&b->hundredths, memory_order_relaxed);
    do {
        if (old < 100) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&b->hundredths, &old, old - 100,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void weir_retry_budget_tick(struct weir_retry_budget *b, uint64_t now_us)
{
    if (b->percent && now_us - b->last_tick_us >= 1000000) {
        b->last_tick_us = now_us;
        put(b, 100);
    }
}
