/* SPDX-License-Identifier: Apache-2.0 */
#include "core/balance/algorithm.h"

static const double UNMEASURED_NS = 1e15; /* for the second and later requests of an unknown one */

/* Expected time to the first token: the moving average, times those already there. An unknown
 * target gets one request at a time until it has answered. */
static double cost_of(const struct weir_balance *b, uint32_t i, uint64_t now_us)
{
    double ns = weir_balance_ttft_ns(b, i, now_us);
    double load = weir_balance_load(b, i);
    if (ns < 1) {
        return load > 0 ? UNMEASURED_NS + load : 0;
    }
    /* A target that starts slowly, or has a smaller weight, seems slower by as much. */
    return ns * (load + 1) * WEIR_BALANCE_FULL_SHARE / weir_balance_weight(b, i);
}

static uint32_t choose(struct weir_balance *b, const struct weir_balance_ask *ask,
                       uint64_t candidates, uint64_t now_us)
{
    (void)ask;
    uint32_t best = WEIR_BALANCE_NONE;
    double best_cost = 0;
    for (uint64_t left = candidates; left; left &= left - 1) {
        uint32_t i = weir_balance_first(left);
        double cost = cost_of(b, i, now_us);
        if (best == WEIR_BALANCE_NONE || cost < best_cost) {
            best = i;
            best_cost = cost;
        }
    }
    return best;
}

const struct weir_balance_algorithm weir_balance_latency = {"latency", choose};
