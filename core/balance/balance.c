/* SPDX-License-Identifier: Apache-2.0 */
#include "balance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/random.h"
#include "core/balance/algorithm.h"

static const double TTFT_SMOOTH_US = 10e6; /* samples older than this hardly count */
static const double TTFT_FADE_US = 60e6;

static const struct weir_balance_algorithm *const algorithms[WEIR_BALANCE_KINDS] = {
    [WEIR_BALANCE_LEAST_CONNECTIONS] = &weir_balance_least_connections,
    [WEIR_BALANCE_ROUND_ROBIN] = &weir_balance_round_robin,
    [WEIR_BALANCE_POWER_OF_TWO] = &weir_balance_power_of_two,
    [WEIR_BALANCE_LATENCY] = &weir_balance_latency,
    [WEIR_BALANCE_PREFIX_AFFINITY] = &weir_balance_prefix_affinity,
    [WEIR_BALANCE_CANARY] = &weir_balance_canary,
};

bool weir_balance_kind_parse(weir_str name, enum weir_balance_kind *ret_kind)
{
    for (int i = 0; i < WEIR_BALANCE_KINDS; i++) {
        if (weir_str_is(name, algorithms[i]->name)) {
            *ret_kind = (enum weir_balance_kind)i;
            return true;
        }
    }
    return false;
}

const char *weir_balance_kind_name(enum weir_balance_kind kind)
{
    return algorithms[kind]->name;
}

/* The region's index, made when new. */
static uint32_t know_region(struct weir_balance *b, const char *name)
{
    for (uint32_t i = 0; i < b->n_regions; i++) {
        if (strcmp(b->regions[i].name, name) == 0) {
            return i;
        }
    }
    if (b->n_regions == WEIR_BALANCE_MAX_REGIONS || strlen(name) >= sizeof(b->regions[0].name)) {
        return WEIR_BALANCE_NONE;
    }
    struct weir_balance_region *r = &b->regions[b->n_regions];
    memcpy(r->name, name, strlen(name) + 1);
    /* Not measured: in the order of the file, the home region before all. */
    atomic_store_explicit(&r->rank, b->n_regions, memory_order_relaxed);
    return b->n_regions++;
}

int weir_balance_create(const struct weir_balance_config *config, const _Atomic uint32_t *loads,
                        struct weir_balance **ret_balance)
{
    struct weir_balance *b = calloc(1, sizeof(*b));
    if (!b) {
        return WEIR_E_NOMEM;
    }
    b->config = *config;
    b->config.home_region = NULL; /* the list has a copy */
    b->loads = loads;
    b->random_state = weir_random_u64(&(struct weir_random){.left = 0});
    b->home = know_region(b, config->home_region ? config->home_region : "");
    int r = b->home == WEIR_BALANCE_NONE ? WEIR_E_TOOBIG : 0;
    if (r == 0 && config->kind == WEIR_BALANCE_PREFIX_AFFINITY) {
        r = weir_prefix_index_create(&b->prefixes);
    }
    if (r < 0) {
        weir_balance_destroy(b);
        return r;
    }
    *ret_balance = b;
    return 0;
}

void weir_balance_destroy(struct weir_balance *b)
{
    if (b) {
        weir_prefix_index_destroy(b->prefixes);
        free(b);
    }
}

int weir_balance_add(struct weir_balance *b, const char *name, uint32_t weight, const char *region)
{
    uint32_t r = region ? know_region(b, region) : b->home;
    if (b->n_targets == WEIR_BALANCE_MAX_TARGETS || r == WEIR_BALANCE_NONE) {
        return WEIR_E_TOOBIG;
    }
    struct weir_balance_target *t = &b->targets[b->n_targets];
    t->weight = weight;
    t->region = r;
    t->name_hash = XXH3_64bits(name, strlen(name));
    b->regions[r].targets |= UINT64_C(1) << b->n_targets;
    b->n_targets++;
    return 0;
}

void weir_balance_set_share(struct weir_balance *b, uint32_t target, uint32_t share_ppm)
{
    struct weir_balance_target *t = &b->targets[target];
    uint64_t bit = UINT64_C(1) << target;
    if (atomic_load_explicit(&t->share_ppm, memory_order_relaxed) != share_ppm) {
        atomic_store_explicit(&t->share_ppm, share_ppm, memory_order_relaxed);
    }
    bool is_usable = (atomic_load_explicit(&b->usable, memory_order_relaxed) & bit) != 0;
    if (share_ppm > 0 && t->weight > 0 && !is_usable) {
        (void)atomic_fetch_or_explicit(&b->usable, bit, memory_order_release);
    } else if ((share_ppm == 0 || t->weight == 0) && is_usable) {
        (void)atomic_fetch_and_explicit(&b->usable, ~bit, memory_order_release);
    }
}

double weir_balance_ttft_ns(const struct weir_balance *b, uint32_t target, uint64_t now_us)
{
    const struct weir_balance_target *t = &b->targets[target];
    double ns = (double)atomic_load_explicit(&t->ttft_ns, memory_order_relaxed);
    uint64_t at_us = atomic_load_explicit(&t->ttft_at_us, memory_order_relaxed);
    return now_us > at_us ? ns * exp(-(double)(now_us - at_us) / TTFT_FADE_US) : ns;
}

void weir_balance_note_ttft(struct weir_balance *b, uint32_t target, uint64_t ttft_us,
                            uint64_t now_us)
{
    struct weir_balance_target *t = &b->targets[target];
    uint64_t old_ns = atomic_load_explicit(&t->ttft_ns, memory_order_relaxed);
    uint64_t at_us = atomic_load_explicit(&t->ttft_at_us, memory_order_relaxed);
    double age_us = now_us > at_us ? (double)(now_us - at_us) : 0;
    /* A sample counts for at least a tenth: many within a moment must not all be forgotten. */
    double keep = old_ns == 0 ? 0 : fmin(exp(-age_us / TTFT_SMOOTH_US), 0.9);
    double ns = keep * (double)old_ns + (1 - keep) * (double)ttft_us * 1e3;
    /* Two at a time may lose one of the samples, which does not matter. */
    atomic_store_explicit(&t->ttft_ns, ns < 1 ? 1 : (uint64_t)ns, memory_order_relaxed);
    atomic_store_explicit(&t->ttft_at_us, now_us, memory_order_relaxed);
}

/* Of the candidates those in the nearest region that is in use; all regions count when none is. */
static uint64_t keep_nearest(const struct weir_balance *b, uint64_t candidates)
{
    if (b->n_regions == 1) {
        return candidates;
    }
    uint64_t best = 0;
    uint32_t best_rank = UINT32_MAX;
    for (uint32_t i = 0; i < b->n_regions; i++) {
        const struct weir_balance_region *r = &b->regions[i];
        uint64_t here = r->targets & candidates;
        uint32_t rank = atomic_load_explicit(&r->rank, memory_order_relaxed);
        if (atomic_load_explicit(&r->is_out, memory_order_relaxed)) {
            rank += WEIR_BALANCE_MAX_REGIONS; /* behind all that are in use */
        }
        if (here && rank < best_rank) {
            best = here;
            best_rank = rank;
        }
    }
    return best;
}

uint32_t weir_balance_choose(struct weir_balance *b, const struct weir_balance_ask *ask,
                             uint64_t now_us)
{
    uint64_t usable = atomic_load_explicit(&b->usable, memory_order_acquire);
    uint64_t candidates = keep_nearest(b, usable & ~ask->excluded);
    if (candidates == 0) {
        return WEIR_BALANCE_NONE;
    }
    if ((candidates & (candidates - 1)) == 0) {
        return weir_balance_first(candidates);
    }
    if (ask->session) {
        return weir_balance_rendezvous(b, ask->session, b->config.load_bound, candidates);
    }
    return algorithms[b->config.kind]->choose(b, ask, candidates, now_us);
}

void weir_balance_note_prompt(struct weir_balance *b, const struct weir_balance_ask *ask,
                              uint32_t target)
{
    if (b->prefixes && ask->prompt.n) {
        weir_prefix_index_note(b->prefixes, ask->tenant, ask->prompt, target);
    }
}

uint64_t weir_balance_in_regions(const struct weir_balance *b, const weir_str *names, size_t n)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < b->n_regions; i++) {
        for (size_t k = 0; k < n; k++) {
            if (weir_str_is(names[k], b->regions[i].name)) {
                bits |= b->regions[i].targets;
            }
        }
    }
    return bits;
}

bool weir_balance_within_bound(const struct weir_balance *b, uint32_t i, double bound,
                               uint64_t candidates)
{
    double load = 1, weight = 0; /* with the one that is to be placed */
    for (uint64_t left = candidates; left; left &= left - 1) {
        uint32_t k = weir_balance_first(left);
        load += weir_balance_load(b, k);
        weight += weir_balance_weight(b, k);
    }
    double part = load * weir_balance_weight(b, i) / weight;
    return weir_balance_load(b, i) + 1.0 <= ceil(part * bound);
}

uint64_t weir_balance_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* SplitMix64 (Steele, Lea, Flood, 2014). */
uint64_t weir_balance_random(struct weir_balance *b)
{
    return weir_balance_mix(atomic_fetch_add_explicit(
        &b->random_state, UINT64_C(0x9e3779b97f4a7c15), memory_order_relaxed));
}
