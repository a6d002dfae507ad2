/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/balance/algorithm.h"

/* Weighted rendezvous hashing (Thaler and Ravishankar, with the weights of Schindelhauer and
 * Schomaker): -weight / ln(hash in (0, 1)); the largest wins. */
static double score_of(const struct weir_balance *b, uint32_t i, uint64_t key)
{
    uint64_t hash = weir_balance_mix(key ^ b->targets[i].name_hash);
    double unit = ((double)(hash >> 11) + 0.5) / 9007199254740992.0;
    /* The configured weight: a slow start must not move keys twice. */
    return -(double)b->targets[i].weight / log(unit);
}

uint32_t weir_balance_rendezvous(struct weir_balance *b, uint64_t key, double bound,
                                 uint64_t candidates)
{
    for (uint64_t left = candidates; left;) {
        uint32_t best = weir_balance_first(left);
        double best_score = 0;
        for (uint64_t rest = left; rest; rest &= rest - 1) {
            uint32_t i = weir_balance_first(rest);
            double score = score_of(b, i, key);
            if (score > best_score) {
                best = i;
                best_score = score;
            }
        }
        if (bound <= 0 || weir_balance_within_bound(b, best, bound, candidates)) {
            return best;
        }
        left &= ~(UINT64_C(1) << best); /* at least one target is within the bound */
    }
    return weir_balance_first(candidates);
}

static uint32_t choose_canary(struct weir_balance *b, const struct weir_balance_ask *ask,
                              uint64_t candidates, uint64_t now_us)
{
    (void)now_us;
    uint64_t key = ask->client ? ask->client : weir_balance_random(b);
    return weir_balance_rendezvous(b, key, 0, candidates);
}

const struct weir_balance_algorithm weir_balance_canary = {"canary", choose_canary};
