/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/sample/sample.h"

#include "kernels/sample/select_device.h"

#define TEMPERATURE_MIN 1e-5f

/* A row as the filters see it. */
struct row {
    const float *x;
    uint32_t n;
    float max, scale; /* weight of a logit: e^((x - max) * scale) */
};

/* floor(fraction of 2^64 times total): the high half of the product. */
GPU_DEVICE uint64_t multiply_high(uint64_t a, uint64_t b)
{
    const uint64_t low = (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
    const uint64_t middle1 = (a >> 32) * (b & 0xFFFFFFFFu) + (low >> 32);
    const uint64_t middle2 = (a & 0xFFFFFFFFu) * (b >> 32) + (middle1 & 0xFFFFFFFFu);
    return (a >> 32) * (b >> 32) + (middle1 >> 32) + (middle2 >> 32);
}

/* 53 random bits at the top of 64: weir_philox_uniform (engine/sampling/philox.c) times 2^64. */
GPU_DEVICE uint64_t philox(uint64_t seed, uint64_t index)
{
    uint32_t c0 = (uint32_t)index;
    uint32_t c1 = (uint32_t)(index >> 32);
    uint32_t c2 = 0;
    uint32_t c3 = 0;
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < 10; i++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return ((uint64_t)c0 << 32 | c1) & ~(uint64_t)0x7FF;
}

GPU_DEVICE uint64_t units_at(const struct row &r, uint32_t i)
{
    return r.x[i] > -INFINITY ? weight_units(exp_negative((r.x[i] - r.max) * r.scale)) : 0;
}

/* Of all logits between begin and end. */
GPU_DEVICE uint64_t sum_row(const struct row &r, struct select_shared &sh)
{
    const uint32_t step = gpu_block_threads();
    uint64_t sum = 0;
    GPU_UNROLL_8
    for (uint32_t i = gpu_thread(); i < r.n; i += step) {
        sum += units_at(r, i);
    }
    return block_sum_units(sum, sh);
}

GPU_DEVICE uint64_t sum_candidates(const struct candidates &c, struct select_shared &sh)
{
    uint64_t sum = 0;
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        sum += weight_units(c.weights[i]);
    }
    return block_sum_units(sum, sh);
}

GPU_DEVICE double sum_doubles(double v, struct select_shared &sh)
{
    double *sums = reinterpret_cast<double *>(sh.histogram[0]);
    for (int m = 16; m > 0; m /= 2) {
        v += gpu_shfl_xor(v, m);
    }
    gpu_sync();
    if (gpu_sub_lane() == 0) {
        sums[gpu_sub()] = v;
    }
    gpu_sync();
    double sum = 0.0;
    for (uint32_t i = 0; i < gpu_block_threads() / 32; i++) {
        sum += sums[i];
    }
    gpu_sync();
    return sum;
}

GPU_DEVICE void drop_behind(const struct candidates &c, const struct select_end &end)
{
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        if (!is_before(end, c.keys[i], c.ids[i])) {
            c.weights[i] = 0.0f;
        }
    }
    gpu_sync();
}

/* The shortest prefix with share p of `total`, at least one candidate. */
GPU_DEVICE void keep_mass(const struct candidates &c, float p, uint64_t total,
                          struct select_shared &sh)
{
    const double exact = (double)p * (double)total;
    uint64_t target = (uint64_t)exact;
    target += (double)target < exact ? 1 : 0;
    drop_behind(c, select_prefix<true>(c, target ? target : 1, sh));
}

/* Locally typical sampling: Meister et al., arXiv 2202.00666. */
GPU_DEVICE void keep_typical(const struct candidates &c, float p, const struct row &r,
                             struct select_shared &sh)
{
    const uint64_t total = sum_candidates(c, sh);
    const double mass = weight_value(total);
    double entropy = 0.0;
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        if (c.weights[i] > 0.0f) {
            const double share = c.weights[i] / mass;
            entropy -= share * gpu_log_double(share);
        }
    }
    entropy = sum_doubles(entropy, sh);
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        c.keys[i] = 0xFFFFFFFFu;
        if (c.weights[i] > 0.0f) {
            const double distance = -gpu_log_double(c.weights[i] / mass) - entropy;
            c.keys[i] = gpu_f32_bits((float)(distance < 0 ? -distance : distance));
        }
    }
    keep_mass(c, p, total, sh);
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        c.keys[i] = key_of_logit(r.x[c.ids[i]]);
    }
    gpu_sync();
}

GPU_DEVICE void keep_min_p(const struct candidates &c, float min_p, struct select_shared &sh)
{
    /* Weights are not negative: their bits are in their order. */
    uint32_t key = 0xFFFFFFFFu;
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        const uint32_t own = ~gpu_f32_bits(c.weights[i]);
        key = own < key ? own : key;
    }
    const float least = min_p * gpu_f32_from_bits(~block_min(key, sh));
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        if (!(c.weights[i] >= least)) {
            c.weights[i] = 0.0f;
        }
    }
    gpu_sync();
}

/* The candidates that can survive, and the weight of all that the first filter behind top_k sees.
 */
GPU_DEVICE uint64_t first_candidates(const struct row &r, const struct weir_sample_row &p,
                                     bool has_top_k, struct candidates &c, struct select_shared &sh)
{
    if (has_top_k) {
        gather(r.x, r.n, key_of_kth((uint32_t)p.top_k, sh), r.max, r.scale, c, sh);
        if (c.n > (uint32_t)p.top_k) {
            drop_behind(c, select_prefix<false>(c, (uint64_t)p.top_k, sh));
        }
        return sum_candidates(c, sh);
    }
    if (p.typical_p >= 1.0f && p.top_p < 1.0f) {
        /* Mostly few tokens near the largest have the mass; else take all. */
        const uint64_t total = sum_row(r, sh);
        gather(r.x, r.n, key_of_logit(r.max - 12.0f / r.scale), r.max, r.scale, c, sh);
        if ((double)sum_candidates(c, sh) < (double)p.top_p * (double)total) {
            gather(r.x, r.n, 0xFFFFFFFFu, r.max, r.scale, c, sh);
        }
        return total;
    }
    uint32_t last = 0xFFFFFFFFu;
    if (p.typical_p >= 1.0f) { /* only min_p */
        last = key_of_logit(r.max + (gpu_log(p.min_p) - 1e-3f) / r.scale);
    }
    gather(r.x, r.n, last, r.max, r.scale, c, sh);
    return sum_candidates(c, sh);
}

/* A draw from the whole softmax, without a list: first which thread's run of ids, then which id. */
GPU_DEVICE uint32_t draw_any(const struct row &r, uint64_t random, struct select_shared &sh)
{
    const uint32_t n_groups = gpu_block_threads() / 32;
    const uint32_t run = (r.n + n_groups - 1) / n_groups;
    uint64_t sum = 0;
    GPU_UNROLL_8
    for (uint32_t i = gpu_sub_lane(); i < run; i += 32) {
        const uint32_t at = gpu_sub() * run + i;
        sum += at < r.n ? units_at(r, at) : 0;
    }
    for (int m = 16; m > 0; m /= 2) {
        sum += gpu_shfl_xor(sum, m);
    }
    gpu_sync();
    if (gpu_sub_lane() == 0) {
        sh.sums[gpu_sub()] = sum;
    }
    gpu_sync();
    uint64_t total = 0;
    for (uint32_t i = 0; i < n_groups; i++) {
        total += sh.sums[i];
    }
    uint64_t before = 0;
    const uint64_t target = multiply_high(random, total); /* the first sum above it */
    uint32_t group = 0;
    while (before + sh.sums[group] <= target) {
        before += sh.sums[group++];
    }
    if (gpu_sub() == group) {
        for (uint32_t begin = 0; begin < run; begin += 32) {
            const uint32_t at = group * run + begin + gpu_sub_lane();
            uint64_t up_to = begin + gpu_sub_lane() < run && at < r.n ? units_at(r, at) : 0;
            for (uint32_t step = 1; step < 32; step *= 2) {
                const uint64_t left = gpu_shfl_idx(up_to, (int)((gpu_sub_lane() - step) % 32));
                up_to += gpu_sub_lane() >= step ? left : 0;
            }
            const uint32_t votes = gpu_sub_ballot(before + up_to > target);
            if (votes) {
                sh.digit = group * run + begin + 32 - (uint32_t)gpu_popc(votes);
                break;
            }
            before += gpu_shfl_idx(up_to, 31);
        }
    }
    gpu_sync();
    return sh.digit;
}

GPU_DEVICE uint32_t draw(const struct row &r, const struct weir_sample_row &p, struct candidates &c,
                         struct select_shared &sh)
{
    const uint64_t random = philox(p.seed, p.index);
    const bool has_top_k = p.top_k > 0 && (uint32_t)p.top_k < r.n;
    if (!has_top_k && p.typical_p >= 1.0f && p.top_p >= 1.0f && !(p.min_p > 0.0f)) {
        return draw_any(r, random, sh);
    }
    uint64_t total = first_candidates(r, p, has_top_k, c, sh);
    if (p.typical_p < 1.0f) {
        keep_typical(c, p.typical_p, r, sh);
        total = sum_candidates(c, sh);
    }
    if (p.top_p < 1.0f) {
        keep_mass(c, p.top_p, total, sh);
    }
    if (p.min_p > 0.0f) {
        keep_min_p(c, p.min_p, sh);
    }
    return select_id(c, multiply_high(random, sum_candidates(c, sh)) + 1, sh);
}

GPU_KERNEL(weir_sample, struct weir_sample_args)
{
    static_assert(sizeof(struct select_shared) <= WEIR_SELECT_SHARED_BYTES, "");
    GPU_SHARED(struct select_shared, shared);
    struct select_shared &sh = *shared;
    const uint32_t i = gpu_block_x();
    const struct weir_sample_row p = args.rows[i];
    struct row r;
    r.x = args.logits + (size_t)i * args.stride;
    r.n = args.n_vocab;
    const struct largest l = find_largest(r.x, r.n, p.flags & WEIR_SAMPLE_MAY_LACK, sh);
    struct weir_sample_result result = {-1, WEIR_SAMPLE_OK, 0.0f};
    if (l.is_bad || l.value == INFINITY) {
        result.status = WEIR_SAMPLE_NOT_FINITE;
    } else if (l.value == -INFINITY) {
        result.status = WEIR_SAMPLE_NOTHING;
    } else if (!(p.temperature >= TEMPERATURE_MIN)) {
        result.token = (int32_t)l.id;
    } else {
        const size_t first = (size_t)i * args.n_vocab;
        struct candidates c = {args.keys + first, args.weights + first, args.candidates + first, 0};
        r.max = l.value;
        r.scale = 1.0f / p.temperature;
        result.token = (int32_t)draw(r, p, c, sh);
    }
    if (gpu_thread() == 0) {
        if (result.token >= 0 && p.flags & WEIR_SAMPLE_LOGPROB) {
            result.logprob = (float)(args.raw[(size_t)i * args.stride + (uint32_t)result.token] -
                                     args.log_sums[i]);
        }
        args.results[i] = result;
        if (args.ids) {
            args.ids[i] = result.token;
        }
    }
}
