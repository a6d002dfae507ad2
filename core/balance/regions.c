/* SPDX-License-Identifier: Apache-2.0 */
#include "regions.h"

/* Another order of regions needs a difference that is more than noise. */
static const double NEARER = 0.8;

void weir_regions_note_rtt(struct weir_balance *b, uint32_t target, uint64_t rtt_us)
{
    struct weir_balance_region *r = &b->regions[b->targets[target].region];
    uint64_t old = atomic_load_explicit(&r->rtt_us, memory_order_relaxed);
    uint64_t next = old ? (old * 7 + rtt_us) / 8 : rtt_us;
    atomic_store_explicit(&r->rtt_us, next ? next : 1, memory_order_relaxed);
}

static bool is_healthy(const struct weir_balance *b, const struct weir_balance_region *r,
                       uint32_t min_percent)
{
    uint64_t usable = atomic_load_explicit(&b->usable, memory_order_relaxed);
    uint64_t all = 0, good = 0;
    for (uint64_t left = r->targets; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        all += b->targets[i].weight;
        good += usable >> i & 1 ? b->targets[i].weight : 0;
    }
    return all > 0 && good > 0 && good * 100 >= all * min_percent;
}

/* True when the region's place among those in use has changed. */
static bool watch(const struct weir_balance *b, struct weir_balance_region *r,
                  const struct weir_regions_config *config, uint64_t now_us)
{
    bool is_out = atomic_load_explicit(&r->is_out, memory_order_relaxed);
    if (is_healthy(b, r, config->min_healthy_percent)) {
        r->bad_since_us = 0;
        r->good_since_us = r->good_since_us ? r->good_since_us : now_us;
    } else {
        r->good_since_us = 0;
        r->bad_since_us = r->bad_since_us ? r->bad_since_us : now_us;
    }
    uint64_t since_us = is_out ? r->good_since_us : r->bad_since_us;
    uint64_t after_us =
        (uint64_t)(is_out ? config->return_after_ms : config->leave_after_ms) * 1000;
    if (since_us == 0 || now_us - since_us < after_us) {
        return false;
    }
    atomic_store_explicit(&r->is_out, !is_out, memory_order_relaxed);
    return true;
}

/* Neighbours in the order change places when the farther one is clearly nearer. */
static void order(struct weir_balance *b)
{
    for (uint32_t i = 0; i < b->n_regions; i++) {
        for (uint32_t k = 0; k < b->n_regions; k++) {
            struct weir_balance_region *near = &b->regions[i], *far = &b->regions[k];
            uint32_t rank_near = atomic_load_explicit(&near->rank, memory_order_relaxed);
            uint32_t rank_far = atomic_load_explicit(&far->rank, memory_order_relaxed);
            uint64_t rtt_near = atomic_load_explicit(&near->rtt_us, memory_order_relaxed);
            uint64_t rtt_far = atomic_load_explicit(&far->rtt_us, memory_order_relaxed);
            bool is_wrong = rank_far == rank_near + 1 && i != b->home && rtt_near && rtt_far &&
                            (double)rtt_far < NEARER * (double)rtt_near;
            if (is_wrong) {
                atomic_store_explicit(&near->rank, rank_far, memory_order_relaxed);
                atomic_store_explicit(&far->rank, rank_near, memory_order_relaxed);
            }
        }
    }
}

bool weir_regions_tick(struct weir_balance *b, const struct weir_regions_config *config,
                       uint64_t now_us, uint32_t *ret_region)
{
    if (b->n_regions < 2) {
        return false;
    }
    order(b);
    for (uint32_t i = 0; i < b->n_regions; i++) {
        if (b->regions[i].targets && watch(b, &b->regions[i], config, now_us)) {
            *ret_region = i;
            return true; /* the others at the next tick */
        }
    }
    return false;
}
