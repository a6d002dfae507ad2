/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One way to choose among usable targets; one file each.
 *
 * `candidates` are the bits of at least two targets, all with a weight above 0. Threads: [any]. */
#include "core/balance/balance.h"

struct weir_balance_algorithm {
    const char *name;
    uint32_t (*choose)(struct weir_balance *b, const struct weir_balance_ask *ask,
                       uint64_t candidates, uint64_t now_us);
};

extern const struct weir_balance_algorithm weir_balance_least_connections;
extern const struct weir_balance_algorithm weir_balance_round_robin;
extern const struct weir_balance_algorithm weir_balance_power_of_two;
extern const struct weir_balance_algorithm weir_balance_latency;
extern const struct weir_balance_algorithm weir_balance_prefix_affinity;
extern const struct weir_balance_algorithm weir_balance_canary;

/* The same target for the same key, by weight, while it has no more than its bounded part of the
 * load; else the next in the key's own order. Rendezvous hashing: when a target goes, only its keys
 * move. bound 0: whatever the load. */
uint32_t weir_balance_rendezvous(struct weir_balance *b, uint64_t key, double bound,
                                 uint64_t candidates);

/* ---- what algorithms share ---- */

static inline uint32_t weir_balance_first(uint64_t bits)
{
    return (uint32_t)__builtin_ctzll(bits);
}

/* Weight as it counts now; above 0 for candidates. */
static inline double weir_balance_weight(const struct weir_balance *b, uint32_t i)
{
    return (double)b->targets[i].weight *
           (double)atomic_load_explicit(&b->targets[i].share_ppm, memory_order_relaxed);
}

static inline uint32_t weir_balance_load(const struct weir_balance *b, uint32_t i)
{
    return atomic_load_explicit(&b->loads[i], memory_order_relaxed);
}

/* May one more go to target i, when nobody should have more than `bound` times what is its part of
 * the load of all candidates? */
bool weir_balance_within_bound(const struct weir_balance *b, uint32_t i, double bound,
                               uint64_t candidates);

/* Fast, not for secrets. */
uint64_t weir_balance_random(struct weir_balance *b);
uint64_t weir_balance_mix(uint64_t x);
