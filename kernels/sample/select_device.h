/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Selections on a row of logits by one block, without sorting: what sampling and top
 * log-probabilities are made of.
 *
 * Every filter keeps a prefix of an order (largest logit first, most typical first, lowest id
 * first). The order's keys are 32-bit integers, smaller first, ties by lowest id. A pivot search
 * finds where the prefix ends, 8 bits of the key at a time: a histogram of weights over the 256
 * next digits tells which digit the end lies in. Weights are integers (a probability times 2^43),
 * so that sums do not depend on their order: the result is the same however threads interleave, and
 * the same as that of engine/sampling but for ends that rounding there moves, about one in 10^7.
 * All functions are the whole block's: every thread calls them with the same arguments. */
#include "kernels/gpu.h"

enum {
    SELECT_DIGITS = 256,
    SELECT_COPIES = 8,   /* of the histogram, by lane: neighbours often have the same digit */
    SELECT_ID_BITS = 24, /* ids are below 2^20 */
    SELECT_WEIGHT_BITS = 43
};

struct select_shared {
    uint64_t histogram[SELECT_COPIES][SELECT_DIGITS];
    uint64_t sums[32];
    uint64_t rest;
    uint32_t digit;
    uint32_t is_all;
    uint32_t count;
    uint32_t maxima[1024]; /* keys of the threads' largest logits */
};

/* Candidates in device memory, in no order. */
struct candidates {
    uint32_t *keys;
    float *weights; /* 0: no candidate any more */
    int32_t *ids;
    uint32_t n;
};

/* The end of a prefix: kept are keys below `key`, and equal ones up to `id`. */
struct select_end {
    uint32_t key;
    uint32_t id;
};

GPU_DEVICE bool is_before(const struct select_end &end, uint32_t key, int32_t id)
{
    return key < end.key || (key == end.key && (uint32_t)id <= end.id);
}

/* Smaller for larger values; -0 as 0. */
GPU_DEVICE uint32_t key_of_logit(float v)
{
    const uint32_t bits = gpu_f32_bits(v + 0.0f);
    return bits >> 31 ? bits : ~bits ^ 0x80000000u;
}

GPU_DEVICE uint64_t weight_units(float weight)
{
    return (uint64_t)(weight * 8796093022208.0f);
}

GPU_DEVICE double weight_value(uint64_t units)
{
    return (double)units * 0x1p-43;
}

/* e^x for x <= 0 with the bits of weir_scan_exp (engine/sampling/scan.c): the same steps, each
 * rounded on its own. */
GPU_DEVICE float exp_negative(float x)
{
    const float t = x < -87.0f ? -87.0f : x;
    float n = gpu_add_exact(gpu_mul_exact(t, 1.44269504088896341f), 12582912.0f);
    n -= 12582912.0f;
    float r = gpu_add_exact(t, -gpu_mul_exact(n, 0.693359375f));
    r = gpu_add_exact(r, gpu_mul_exact(n, 2.12194440e-4f));
    float p = 1.9875691500e-4f;
    p = gpu_add_exact(gpu_mul_exact(p, r), 1.3981999507e-3f);
    p = gpu_add_exact(gpu_mul_exact(p, r), 8.3334519073e-3f);
    p = gpu_add_exact(gpu_mul_exact(p, r), 4.1665795894e-2f);
    p = gpu_add_exact(gpu_mul_exact(p, r), 1.6666665459e-1f);
    p = gpu_add_exact(gpu_mul_exact(p, r), 5.0000001201e-1f);
    p = gpu_add_exact(gpu_add_exact(gpu_mul_exact(gpu_mul_exact(p, r), r), r), 1.0f);
    const float power = gpu_f32_from_bits((uint32_t)((int32_t)n + 127) << 23);
    return x < -87.0f ? 0.0f : p * power;
}

GPU_DEVICE uint64_t block_sum_units(uint64_t v, struct select_shared &sh)
{
    for (int m = 16; m > 0; m /= 2) {
        v += gpu_shfl_xor(v, m);
    }
    if (gpu_sub_lane() == 0) {
        sh.sums[gpu_sub()] = v;
    }
    gpu_sync();
    uint64_t sum = 0;
    for (uint32_t i = 0; i < gpu_block_threads() / 32; i++) {
        sum += sh.sums[i];
    }
    gpu_sync();
    return sum;
}

GPU_DEVICE uint32_t block_min(uint32_t v, struct select_shared &sh)
{
    for (int m = 16; m > 0; m /= 2) {
        const uint32_t other = gpu_shfl_xor(v, m);
        v = other < v ? other : v;
    }
    if (gpu_sub_lane() == 0) {
        sh.sums[gpu_sub()] = v;
    }
    gpu_sync();
    uint64_t min = sh.sums[0];
    for (uint32_t i = 1; i < gpu_block_threads() / 32; i++) {
        min = sh.sums[i] < min ? sh.sums[i] : min;
    }
    gpu_sync();
    return (uint32_t)min;
}

/* In the first 32 threads: the digit in which the running sum reaches sh.rest, which becomes what
 * is still missing before it. A sum that never does so sets is_all. */
GPU_DEVICE void find_digit(struct select_shared &sh)
{
    constexpr uint32_t RUN = SELECT_DIGITS / 32;
    const uint32_t lane = gpu_sub_lane();
    uint64_t own = 0;
    for (uint32_t i = 0; i < RUN; i++) {
        own += sh.histogram[0][lane * RUN + i];
    }
    uint64_t before = own; /* inclusive first */
    for (uint32_t step = 1; step < 32; step *= 2) {
        const uint64_t left = gpu_shfl_idx(before, (int)((lane - step) % 32));
        before += lane >= step ? left : 0;
    }
    before -= own;
    const uint64_t rest = sh.rest;
    gpu_syncwarp();
    if (before < rest && rest <= before + own) {
        uint32_t digit = lane * RUN;
        while (before + sh.histogram[0][digit] < rest) {
            before += sh.histogram[0][digit++];
        }
        sh.digit = digit;
        sh.rest = rest - before;
    } else if (lane == 31 && before + own < rest) {
        sh.is_all = 1;
    }
}

/* One key's digits, from the highest of `bits` down. Elements with key & ~mask == `fixed` count.
 * WEIGHTS 0: each weighs 1. BY_ID: the key is the id, among those whose key is `tie`. */
template <bool WEIGHTS, bool BY_ID>
GPU_DEVICE uint32_t search(const struct candidates &c, uint32_t tie, bool ties_only, uint32_t bits,
                           struct select_shared &sh)
{
    uint32_t prefix = 0;
    for (uint32_t shift = bits - 8;; shift -= 8) {
        for (uint32_t i = gpu_thread(); i < SELECT_COPIES * SELECT_DIGITS;
             i += gpu_block_threads()) {
            sh.histogram[i / SELECT_DIGITS][i % SELECT_DIGITS] = 0;
        }
        gpu_sync();
        for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
            const uint32_t key = BY_ID ? (uint32_t)c.ids[i] : c.keys[i];
            if (ties_only && c.keys[i] != tie) {
                continue;
            }
            /* 64 bits: a shift by all 32 is defined. */
            if ((uint64_t)key >> (shift + 8) == prefix) {
                const uint64_t w = WEIGHTS ? weight_units(c.weights[i]) : 1;
                if (w) {
                    gpu_atomic_add(&sh.histogram[gpu_thread() % SELECT_COPIES][key >> shift & 255u],
                                   w);
                }
            }
        }
        gpu_sync();
        for (uint32_t i = gpu_thread(); i < SELECT_DIGITS; i += gpu_block_threads()) {
            for (uint32_t k = 1; k < SELECT_COPIES; k++) {
                sh.histogram[0][i] += sh.histogram[k][i];
            }
        }
        gpu_sync();
        if (gpu_thread() < 32) {
            find_digit(sh);
        }
        gpu_sync();
        if (sh.is_all) {
            return 0xFFFFFFFFu;
        }
        prefix = prefix << 8 | sh.digit;
        if (shift == 0) {
            return prefix;
        }
    }
}

/* The end of the shortest prefix that weighs at least `target` > 0; all when all weigh less. */
template <bool WEIGHTS>
GPU_DEVICE struct select_end select_prefix(const struct candidates &c, uint64_t target,
                                           struct select_shared &sh)
{
    gpu_sync();
    if (gpu_thread() == 0) {
        sh.rest = target;
        sh.is_all = 0;
    }
    gpu_sync();
    struct select_end end;
    end.key = search<WEIGHTS, false>(c, 0, false, 32, sh);
    end.id = 0xFFFFFFFFu;
    if (!sh.is_all) {
        end.id = search<WEIGHTS, true>(c, end.key, true, SELECT_ID_BITS, sh);
    }
    gpu_sync();
    return end;
}

/* The lowest id at which the weights of all up to it reach `target`. */
GPU_DEVICE uint32_t select_id(const struct candidates &c, uint64_t target, struct select_shared &sh)
{
    gpu_sync();
    if (gpu_thread() == 0) {
        sh.rest = target;
        sh.is_all = 0;
    }
    gpu_sync();
    const uint32_t id = search<true, true>(c, 0, false, SELECT_ID_BITS, sh);
    gpu_sync();
    return id;
}

/* The largest logit and where it is; `key` is its key, 0xFF800000 or above: there is none. Leaves
 * the threads' own in sh.maxima. bad: some value is no number (-inf only where `may_lack`). */
struct largest {
    float value;
    uint32_t key;
    uint32_t id;
    bool is_bad;
};

GPU_DEVICE struct largest find_largest(const float *x, uint32_t n, bool may_lack,
                                       struct select_shared &sh)
{
    float max = -INFINITY;
    uint32_t id = 0xFFFFFFFFu;
    uint32_t is_fine = 1;
    const uint32_t step = gpu_block_threads();
    for (uint32_t begin = gpu_thread(); begin < n; begin += 8 * step) {
        float v[8];
        GPU_UNROLL
        for (uint32_t k = 0; k < 8; k++) { /* all on their way before the first is looked at */
            v[k] = begin + k * step < n ? x[begin + k * step] : max;
        }
        GPU_UNROLL
        for (uint32_t k = 0; k < 8; k++) {
            const bool is_there = begin + k * step < n;
            if (is_there && !(v[k] - v[k] == 0.0f) && !(may_lack && v[k] == -INFINITY)) {
                is_fine = 0;
            }
            if (is_there && v[k] > max) {
                max = v[k];
                id = begin + k * step;
            }
        }
    }
    const uint32_t key = key_of_logit(max);
    sh.maxima[gpu_thread()] = key;
    struct largest l;
    l.is_bad = block_min(is_fine, sh) == 0;
    l.key = block_min(key, sh);
    l.id = block_min(key == l.key ? id : 0xFFFFFFFFu, sh);
    l.value = l.id < n ? x[l.id] : -INFINITY;
    return l;
}

/* A key with at least k logits at or before it: the k-th of the threads' largest. */
GPU_DEVICE uint32_t key_of_kth(uint32_t k, struct select_shared &sh)
{
    if (k == 0 || k > gpu_block_threads()) {
        return 0xFFFFFFFFu;
    }
    struct candidates c;
    c.keys = sh.maxima;
    c.weights = nullptr;
    c.ids = nullptr;
    c.n = gpu_block_threads();
    gpu_sync();
    if (gpu_thread() == 0) {
        sh.rest = k;
        sh.is_all = 0;
    }
    gpu_sync();
    const uint32_t key = search<false, false>(c, 0, false, 32, sh);
    gpu_sync();
    return key;
}

/* All logits with a key up to `last` (and above -inf) into the list, with weight
 * e^((x - max) * scale). */
GPU_DEVICE void gather(const float *x, uint32_t n, uint32_t last, float max, float scale,
                       struct candidates &c, struct select_shared &sh)
{
    gpu_sync();
    if (gpu_thread() == 0) {
        sh.count = 0;
    }
    gpu_sync();
    const uint32_t threads = gpu_block_threads();
    for (uint32_t begin = 0; begin < n; begin += threads) { /* all threads: they vote */
        const uint32_t i = begin + gpu_thread();
        const float v = i < n ? x[i] : -INFINITY;
        const uint32_t key = key_of_logit(v);
        const bool is_in = v > -INFINITY && key <= last;
        const uint32_t votes = gpu_sub_ballot(is_in);
        if (votes == 0) {
            continue;
        }
        uint32_t at = 0;
        if (gpu_sub_lane() == 0) {
            at = gpu_atomic_add(&sh.count, (uint32_t)gpu_popc(votes));
        }
        at = gpu_shfl_idx(at, 0);
        if (is_in) {
            at += (uint32_t)gpu_popc(votes & ((1u << gpu_sub_lane()) - 1));
            c.keys[at] = key;
            c.weights[at] = exp_negative((v - max) * scale);
            c.ids[at] = (int32_t)i;
        }
    }
    gpu_sync();
    c.n = sh.count;
    gpu_sync();
}
