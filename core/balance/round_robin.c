/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "core/balance/algorithm.h"

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A step through 0..total-1 that reaches each number once, near the golden section: turns of a
 * heavy target lie far apart. */
static uint64_t stride_of(uint64_t total)
{
    uint64_t stride = (uint64_t)((double)total * 0.6180339887);
    stride = stride ? stride : 1;
    while (gcd(stride, total) != 1) {
        stride++;
    }
    return stride;
}

/* Parts per thousand are fine enough for a slow start. */
static uint64_t turns_of(const struct weir_balance *b, uint32_t i, bool is_scaled)
{
    uint64_t share = atomic_load_explicit(&b->targets[i].share_ppm, memory_order_relaxed);
    uint64_t turns = (uint64_t)b->targets[i].weight * (is_scaled ? (share + 999) / 1000 : 1);
    return turns ? turns : 1;
}

/* In turn, each as often as its weight says: exactly so in every round of as many requests as the
 * weights' sum, divided by what they have in common. All workers share one count. */
static uint32_t choose(struct weir_balance *b, const struct weir_balance_ask *ask,
                       uint64_t candidates, uint64_t now_us)
{
    (void)ask;
    (void)now_us;
    bool is_scaled = false;
    for (uint64_t left = candidates; left; left &= left - 1) {
        is_scaled |= atomic_load_explicit(&b->targets[weir_balance_first(left)].share_ppm,
                                          memory_order_relaxed) != WEIR_BALANCE_FULL_SHARE;
    }
    uint64_t common = turns_of(b, weir_balance_first(candidates), is_scaled), total = 0;
    for (uint64_t left = candidates; left; left &= left - 1) {
        uint64_t turns = turns_of(b, weir_balance_first(left), is_scaled);
        common = gcd(turns, common);
        total += turns;
    }
    total /= common;
    assert(total > 0); /* a sum of multiples */
    uint64_t turn = atomic_fetch_add_explicit(&b->turn, 1, memory_order_relaxed) % total;
    uint64_t place = (uint64_t)((unsigned __int128)turn * stride_of(total) % total);
    uint32_t i = weir_balance_first(candidates);
    for (uint64_t left = candidates; left; left &= left - 1) {
        i = weir_balance_first(left);
        uint64_t turns = turns_of(b, i, is_scaled) / common;
        if (place < turns) {
            break;
        }
        place -= turns;
    }
    return i;
}

const struct weir_balance_algorithm weir_balance_round_robin = {"round_robin", choose};
