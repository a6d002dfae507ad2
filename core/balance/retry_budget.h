/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How many second attempts there may be: a part of the first ones.
 *
 * Why: when everything fails, retries would double the load of what is failing. How: each request
 * puts `percent` hundredths into a purse, each retry or hedge takes one out; a little comes in by
 * itself, so that a quiet model has retries, too. All workers share the purse.
 * Threads: any. Bound: the purse holds at most WEIR_RETRY_PURSE. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { WEIR_RETRY_PURSE = 100, WEIR_RETRY_FIRST = 10 };

struct weir_retry_budget {
    _Atomic int64_t hundredths;
    uint32_t percent;
    uint64_t last_tick_us;
};

void weir_retry_budget_init(struct weir_retry_budget *b, uint32_t percent);
void weir_retry_budget_earn(struct weir_retry_budget *b); /* a request begins */
bool weir_retry_budget_take(struct weir_retry_budget *b); /* false: there is none left */
/* One comes in each second. By one thread. */
void weir_retry_budget_tick(struct weir_retry_budget *b, uint64_t now_us);
