/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The arithmetic of limits and budgets, the same in every driver.
 *
 * A limit is a point in time until which it is used up; taking units moves it on by their span, and
 * it may be at most the depth ahead of now. Integers in nanoseconds, rounded up, so that rounding
 * never lets more through. [any] */
#include "core/store/store.h"

struct weir_store_span {
    uint64_t units_ns; /* what the call's units take */
    uint64_t depth_ns; /* of the whole burst */
};

/* Both at most about 2^61, 73 years, so that sums of two do not overflow. */
struct weir_store_span weir_store_limit_span(const weir_store_limit *limit);

/* What l->units take. */
uint64_t weir_store_limit_units_ns(const weir_store_limit *l);
/* What is left, taken_ns ahead of now. */
weir_store_left weir_store_limit_left(const weir_store_limit *l, uint64_t taken_ns,
                                      uint64_t depth_ns);

/* Fills rc, left and what goes with a refusal. taken_ns[i] is how far level i is ahead of now after
 * the call; passed: the units were taken. left: the caller's array [n], alive with the result. */
void weir_store_limit_result(const weir_store_limit *levels, uint32_t n, const uint64_t *taken_ns,
                             bool passed, weir_store_left *left, weir_store_result *result);

/* What is left of a budget of which `taken` is used or reserved. */
weir_store_left weir_store_budget_left(uint64_t limit, uint64_t taken);
