/* SPDX-License-Identifier: Apache-2.0 */
#include "core/balance/algorithm.h"

/* Where the longest known beginning of the prompt was last, while that target has no more than its
 * bounded part of the load: its pages are cached there. Else the least loaded one. */
static uint32_t choose(struct weir_balance *b, const struct weir_balance_ask *ask,
                       uint64_t candidates, uint64_t now_us)
{
    uint32_t known = weir_prefix_index_find(b->prefixes, ask->tenant, ask->prompt, candidates);
    if (known != WEIR_BALANCE_NONE &&
        weir_balance_within_bound(b, known, b->config.load_bound, candidates)) {
        return known;
    }
    return weir_balance_least_connections.choose(b, ask, candidates, now_us);
}

const struct weir_balance_algorithm weir_balance_prefix_affinity = {"prefix_affinity", choose};
