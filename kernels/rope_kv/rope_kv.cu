/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rope_kv/rope_kv.h"

#include "kernels/gpu.h"

/* One head of one token, as its 32 lanes see it. */
struct head {
    float *x; /* [head_dim] */
    const float *norm;
    float scale; /* of the norm */
    int32_t pos;
};

struct two {
    float a, b;
};

GPU_DEVICE float normed(const struct head &h, uint32_t dim)
{
    return h.norm ? h.x[dim] * h.scale * h.norm[dim] : h.x[dim];
}

/* Where pair i lies; a pair behind n_rot is two dims that are not rotated. */
GPU_DEVICE void pair_dims(const struct weir_rope_kv_args &args, uint32_t i, uint32_t *dims)
{
    const bool is_halves = args.is_neox && i < args.n_rot / 2;
    dims[0] = is_halves ? i : 2 * i;
    dims[1] = is_halves ? i + args.n_rot / 2 : 2 * i + 1;
}

GPU_DEVICE struct two turned(const struct weir_rope_kv_args &args, const struct head &h, uint32_t i)
{
    uint32_t dims[2];
    pair_dims(args, i, dims);
    const float a = normed(h, dims[0]);
    const float b = normed(h, dims[1]);
    if (i >= args.n_rot / 2) {
        return {a, b};
    }
    double turns = h.pos * args.turns[i];
    turns -= (double)(int64_t)turns;
    const float angle = (float)(turns > 0.5 ? turns - 1.0 : turns) * 6.28318530717958648f;
    const float c = gpu_cos(angle) * args.magnitude;
    const float s = gpu_sin(angle) * args.magnitude;
    return {a * c - b * s, a * s + b * c};
}

GPU_DEVICE float norm_scale(const struct weir_rope_kv_args &args, const float *x, uint32_t lane)
{
    float sum = 0.0f;
    for (uint32_t i = lane; i < args.kv.head_dim; i += 32) {
        sum += x[i] * x[i];
    }
    return gpu_rsqrt(gpu_sub_sum(sum) / (float)args.kv.head_dim + args.eps);
}

/* A row of a page and, for int8, its scale. */
struct place {
    uint8_t *row;
    uint16_t *scale;
};

GPU_DEVICE struct place place_of(const struct weir_kv_view &kv, uint8_t *plane, uint32_t page,
                                 uint32_t kv_head, int32_t pos)
{
    const uint32_t bytes = kv.type == WEIR_KV_I8 ? 1 : 2;
    const uint32_t row = kv_head * WEIR_KV_PAGE_TOKENS + (uint32_t)pos % WEIR_KV_PAGE_TOKENS;
    uint8_t *base = plane + page * kv.page_bytes;
    const size_t n_rows = (size_t)kv.n_head_kv * WEIR_KV_PAGE_TOKENS;
    struct place p;
    p.row = base + (size_t)row * kv.head_dim * bytes;
    p.scale = reinterpret_cast<uint16_t *>(base + n_rows * kv.head_dim) + row;
    return p;
}

GPU_DEVICE void store(const struct weir_kv_view &kv, const struct place &p, uint32_t dim, float v,
                      float inverse)
{
    if (kv.type == WEIR_KV_I8) {
        reinterpret_cast<int8_t *>(p.row)[dim] =
            (int8_t)gpu_max(-127.0f, gpu_min(127.0f, gpu_round(v * inverse)));
    } else {
        reinterpret_cast<uint16_t *>(p.row)[dim] = gpu_f32_to_f16(v);
    }
}

/* The head's dims in pairs to their place; `is_key` rotates them first. */
GPU_DEVICE void store_head(const struct weir_rope_kv_args &args, const struct head &h, bool is_key,
                           const struct place &p, uint32_t lane)
{
    const uint32_t n_pairs = args.kv.head_dim / 2;
    float inverse = 0.0f;
    if (args.kv.type == WEIR_KV_I8) {
        float amax = 0.0f;
        for (uint32_t i = lane; i < n_pairs; i += 32) {
            const struct two t = is_key ? turned(args, h, i) : two{h.x[2 * i], h.x[2 * i + 1]};
            amax = gpu_max(amax, gpu_max(gpu_abs(t.a), gpu_abs(t.b)));
        }
        const uint16_t scale = gpu_f32_to_f16(gpu_sub_max(amax) / 127.0f);
        inverse = scale ? 1.0f / gpu_f16_to_f32(scale) : 0.0f;
        if (lane == 0) {
            *p.scale = scale;
        }
    }
    for (uint32_t i = lane; i < n_pairs; i += 32) {
        uint32_t dims[2] = {2 * i, 2 * i + 1};
        struct two t = {h.x[dims[0]], h.x[dims[1]]};
        if (is_key) {
            pair_dims(args, i, dims);
            t = turned(args, h, i);
        }
        store(args.kv, p, dims[0], t.a, inverse);
        store(args.kv, p, dims[1], t.b, inverse);
    }
}

GPU_KERNEL(weir_rope_kv, struct weir_rope_kv_args)
{
    const uint32_t n_kv = args.kv.n_head_kv;
    const uint32_t n_heads = args.n_head + 2 * n_kv;
    const uint32_t lane = gpu_sub_lane();
    const uint32_t index = gpu_block_x() * (gpu_block_threads() / 32) + gpu_sub();
    const uint32_t token = index / n_heads;
    const uint32_t i = index % n_heads;
    if (token >= args.n_tokens || args.pos[token] < 0) {
        return;
    }
    struct head h;
    h.x = args.qkv + (size_t)index * args.kv.head_dim;
    h.pos = args.pos[token];
    h.norm = i < args.n_head ? args.q_norm : i < args.n_head + n_kv ? args.k_norm : nullptr;
    h.scale = h.norm ? norm_scale(args, h.x, lane) : 1.0f;
    if (i < args.n_head) {
        for (uint32_t k = lane; k < args.kv.head_dim / 2; k += 32) {
            const struct two t = turned(args, h, k);
            uint32_t dims[2];
            pair_dims(args, k, dims);
            h.x[dims[0]] = t.a;
            h.x[dims[1]] = t.b;
        }
        return;
    }
    const bool is_key = i < args.n_head + n_kv;
    const uint32_t kv_head = (i - args.n_head) % n_kv;
    const uint32_t page = args.pages[(size_t)args.table[token] * args.pages_stride +
                                     (uint32_t)h.pos / WEIR_KV_PAGE_TOKENS];
    uint8_t *plane = is_key ? args.kv.k : args.kv.v;
    store_head(args, h, is_key, place_of(args.kv, plane, page, kv_head, h.pos), lane);
}
