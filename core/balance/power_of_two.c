/* SPDX-License-Identifier: Apache-2.0 */
#include "core/balance/algorithm.h"

static uint32_t draw(struct weir_balance *b, uint64_t candidates)
{
    uint64_t n = weir_balance_random(b) % (uint64_t)__builtin_popcountll(candidates);
    while (n--) {
        candidates &= candidates - 1;
    }
    return weir_balance_first(candidates);
}

/* The less loaded of two drawn ones: nearly as even as looking at all, and many gateways that do
 * the same do not all rush to one target (Mitzenmacher, 2001). */
static uint32_t choose(struct weir_balance *b, const struct weir_balance_ask *ask,
                       uint64_t candidates, uint64_t now_us)
{
    (void)ask;
    (void)now_us;
    uint32_t one = draw(b, candidates);
    uint32_t two = draw(b, candidates & ~(UINT64_C(1) << one));
    double load_one = (weir_balance_load(b, one) + 1.0) / weir_balance_weight(b, one);
    double load_two = (weir_balance_load(b, two) + 1.0) / weir_balance_weight(b, two);
    return load_one <= load_two ? one : two;
}

const struct weir_balance_algorithm weir_balance_power_of_two = {"power_of_two", choose};
