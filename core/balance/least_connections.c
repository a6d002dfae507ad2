/* SPDX-License-Identifier: Apache-2.0 */
#include "core/balance/algorithm.h"

/* Fewest taken places for the weight; equals take turns by chance, so that an idle group is used
 * as a whole. */
static uint32_t choose(struct weir_balance *b, const struct weir_balance_ask *ask,
                       uint64_t candidates, uint64_t now_us)
{
    (void)ask;
    (void)now_us;
    uint32_t best = WEIR_BALANCE_NONE, n_equal = 0;
    double best_load = 0;
    for (uint64_t left = candidates; left; left &= left - 1) {
        uint32_t i = weir_balance_first(left);
        double load = (weir_balance_load(b, i) + 1.0) / weir_balance_weight(b, i);
        if (best == WEIR_BALANCE_NONE || load < best_load) {
            best = i;
            best_load = load;
            n_equal = 1;
        } else if (load == best_load && weir_balance_random(b) % ++n_equal == 0) {
            best = i;
        }
    }
    return best;
}

const struct weir_balance_algorithm weir_balance_least_connections = {"least_connections", choose};
