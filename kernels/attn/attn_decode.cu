/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attn/attn_decode.h"

#include "kernels/attn/attn_device.h"
#include "kernels/kv/kv_device.h"

enum { N_WARPS = 4, PAGE = WEIR_KV_PAGE_TOKENS };

/* What one block works on. */
struct work {
    int32_t part, row, table;
    int32_t begin, end; /* keys of the chunk that the token sees */
    int32_t n_chunks;   /* that hold keys which the token sees */
    int32_t first_item; /* of those */
    uint32_t kv_head;
    uint32_t head; /* the first query head */
    int32_t n_heads;
};

template <int HEADS>
GPU_DEVICE struct work work_of(const struct weir_attn_decode_args &a, uint32_t item)
{
    const struct weir_attn_item it = a.items[item];
    const struct weir_kv_part part = a.parts[it.part];
    const int32_t chunk_tokens =
        part.pos < WEIR_ATTN_SHORT ? WEIR_ATTN_CHUNK_SHORT : WEIR_ATTN_CHUNK_LONG;
    const int32_t low =
        a.window && part.pos + 1 > (int32_t)a.window ? part.pos + 1 - (int32_t)a.window : 0;
    const int32_t group = (int32_t)(a.n_head / a.kv.n_head_kv);
    const int32_t slices = (group + HEADS - 1) / HEADS;
    const int32_t slice = (int32_t)gpu_block_y() % slices;
    struct work w;
    w.part = it.part;
    w.row = part.first_row;
    w.table = part.table;
    w.begin = low > it.chunk * chunk_tokens ? low : it.chunk * chunk_tokens;
    w.end = (it.chunk + 1) * chunk_tokens;
    w.end = part.pos + 1 < w.end ? part.pos + 1 : w.end;
    w.n_chunks = part.pos / chunk_tokens - low / chunk_tokens + 1;
    w.first_item = (int32_t)item - it.chunk + low / chunk_tokens;
    w.kv_head = gpu_block_y() / (uint32_t)slices;
    w.head = w.kv_head * (uint32_t)group + (uint32_t)(slice * HEADS);
    w.n_heads = group - slice * HEADS;
    w.n_heads = w.n_heads < HEADS ? w.n_heads : HEADS;
    return w;
}

template <int D, int B> struct shared {
    float out[B * FRAG_LANE_ROWS * D];
    float max[N_WARPS][B * FRAG_LANE_ROWS], sum[N_WARPS][B * FRAG_LANE_ROWS];
    uint32_t n_arrived;
    struct frag q[shared_queries<D>() ? shared_queries<D>() : 1]; /* D > 128: of all warps */
};

/* Where the keys or values of the sequence's page `index` lie. */
template <int D, int TYPE>
GPU_DEVICE struct page_rows<D, TYPE> chunk_page(const struct weir_attn_decode_args &a,
                                                const struct work &w, const uint8_t *plane,
                                                int32_t index) {
    const uint32_t page = a.pages[(size_t)w.table * a.pages_stride + index];
    const int last = w.end - 1 - index * PAGE;
    return page_rows_of<D, TYPE>(plane, a.kv, page, w.kv_head, last < PAGE ? last : PAGE - 1);
}

/* Scores to weights: scales of int8, and -inf where the token does not see the key. */
template <int D, int B, int TYPE>
GPU_DEVICE void weigh(const struct work &w, int32_t index, const struct page_rows<D, TYPE> &keys,
                      const struct page_rows<D, TYPE> &values, struct accum (&s)[1],
                      struct running<D> &run, struct frag (&p)[1], int lane)
{
    float v_scale[1][4];
    GPU_UNROLL
    for (int j = 0; j < 4; j++) {
        const int col = frag_col(lane, j);
        const int32_t key = index * PAGE + col;
        const float k_scale = row_scale(keys, col);
        v_scale[0][j] = row_scale(values, col);
        GPU_UNROLL
        for (int b = 0; b < B; b++) {
            s[0].v[b][j] = key >= w.begin && key < w.end ? s[0].v[b][j] * k_scale : -INFINITY;
        }
    }
    running_step<D, B, 1>(run, s, v_scale, p);
}

/* The warp's pages into the running softmax. While one page is computed the next one's keys are on
 * their way as soon as the registers of this one's are free, then its values. */
template <int D, int B, int TYPE>
GPU_DEVICE void attend_ahead(const struct weir_attn_decode_args &a, const struct work &w,
                             int32_t index, const struct frag *q, struct running<D> &run, int lane)
{
    if (index * PAGE >= w.end) {
        return;
    }
    struct frag k[D / 16];
    struct value_words<D> v;
    struct page_rows<D, TYPE> keys = chunk_page<D, TYPE>(a, w, a.kv.k, index);
    struct page_rows<D, TYPE> values = chunk_page<D, TYPE>(a, w, a.kv.v, index);
    load_keys<D>(keys, lane, k);
    load_values<D, 0>(values, lane, v);
    GPU_UNROLL_1
    for (; index * PAGE < w.end; index += N_WARPS) {
        struct accum s[1] = {};
        struct frag p[1];
        scores<D, B>(k, q, s[0]);
        const bool has_next = (index + N_WARPS) * PAGE < w.end;
        struct page_rows<D, TYPE> next = keys;
        if (has_next) {
            next = chunk_page<D, TYPE>(a, w, a.kv.k, index + N_WARPS);
            load_keys<D>(next, lane, k);
        }
        weigh<D, B, TYPE>(w, index, keys, values, s, run, p, lane);
        outputs<D, B, 0>(v, p[0], run.out);
        keys = next;
        if (has_next) {
            values = chunk_page<D, TYPE>(a, w, a.kv.v, index + N_WARPS);
            load_values<D, 0>(values, lane, v);
        }
    }
}

/* Where heads are so large that no registers are left for that: other warps fill the time. */
template <int D, int B, int TYPE>
GPU_DEVICE void attend_plain(const struct weir_attn_decode_args &a, const struct work &w,
                             int32_t index, const struct frag *q, struct running<D> &run, int lane)
{
    GPU_UNROLL_1
    for (; index * PAGE < w.end; index += N_WARPS) {
        const struct page_rows<D, TYPE> keys = chunk_page<D, TYPE>(a, w, a.kv.k, index);
        const struct page_rows<D, TYPE> values = chunk_page<D, TYPE>(a, w, a.kv.v, index);
        struct accum s[1] = {};
        struct frag p[1];
        scores_of<D, B>(keys, q, lane, s[0]);
        weigh<D, B, TYPE>(w, index, keys, values, s, run, p, lane);
        outputs_of<D, B, 0>(values, p[0], lane, run.out);
    }
}

/* The warps' parts of the chunk, one after the other into shared memory. */
template <int D, int B>
GPU_DEVICE void merge_warps(const struct running<D> &run, int warp, int lane,
                            struct shared<D, B> &sh)
{
    GPU_UNROLL
    for (int b = 0; b < B; b++) {
        const int row = frag_row(lane) + b * FRAG_LANE_ROWS;
        const float sum = quad_sum(run.sum[b]);
        if (frag_quad(lane) == 0) {
            sh.max[warp][row] = run.max[b];
            sh.sum[warp][row] = sum;
        }
    }
    gpu_sync();
    for (int turn = 0; turn < N_WARPS; turn++) {
        if (warp == turn) {
            GPU_UNROLL
            for (int b = 0; b < B; b++) {
                const int row = frag_row(lane) + b * FRAG_LANE_ROWS;
                float max = sh.max[0][row];
                for (int i = 1; i < N_WARPS; i++) {
                    max = gpu_max(max, sh.max[i][row]);
                }
                const float scale = gpu_exp2(run.max[b] - max);
                GPU_UNROLL
                for (int i = 0; i < D / 16; i++) {
                    GPU_UNROLL
                    for (int j = 0; j < 4; j++) {
                        float *at = &sh.out[row * D + out_dim<D>(i, lane, j)];
                        const float v = run.out[i].v[b][j] * scale;
                        *at = turn == 0 ? v : *at + v;
                    }
                }
            }
        }
        gpu_sync();
    }
}

/* Chunk results in the order of keys; every thread does whole vectors of a head. Volatile: other
 * blocks wrote them while this kernel ran. */
template <int D>
GPU_DEVICE void merge_chunks(const struct weir_attn_decode_args &a, const struct work &w)
{
    const size_t head_floats = D + WEIR_ATTN_PARTIAL_EXTRA;
    for (int i = (int)gpu_thread(); i < w.n_heads * D; i += (int)gpu_block_threads()) {
        const uint32_t head = w.head + (uint32_t)(i / D);
        const int dim = i % D;
        const volatile float *first =
            a.partials + ((size_t)w.first_item * a.n_head + head) * head_floats;
        const size_t step = a.n_head * head_floats;
        float max = -INFINITY;
        for (int c = 0; c < w.n_chunks; c++) {
            max = gpu_max(max, first[c * step + D]);
        }
        float sum = 0.0f;
        float out = 0.0f;
        GPU_UNROLL_8
        for (int c = 0; c < w.n_chunks; c++) {
            const float scale = gpu_exp2(first[c * step + D] - max);
            sum += scale * first[c * step + D + 1];
            out += scale * first[c * step + dim];
        }
        give_output(a.out, a.out_f16, (size_t)w.row * a.out_stride + head * D + dim, out / sum);
    }
}

/* The block's result: to the output when it is all of the sequence, else beside the other chunks'.
 * Returns true in the block that has to merge the chunks. */
template <int D, int B>
GPU_DEVICE bool give_result(const struct weir_attn_decode_args &a, const struct work &w,
                            uint32_t item, struct shared<D, B> &sh)
{
    for (int i = (int)gpu_thread(); i < w.n_heads * D; i += (int)gpu_block_threads()) {
        const int row = i / D;
        const uint32_t head = w.head + (uint32_t)row;
        float max = sh.max[0][row];
        for (int k = 1; k < N_WARPS; k++) {
            max = gpu_max(max, sh.max[k][row]);
        }
        float sum = 0.0f;
        for (int k = 0; k < N_WARPS; k++) {
            sum += sh.sum[k][row] * gpu_exp2(sh.max[k][row] - max);
        }
        if (w.n_chunks == 1) {
            give_output(a.out, a.out_f16, (size_t)w.row * a.out_stride + head * D + i % D,
                        sh.out[i] / sum);
            continue;
        }
        float *to = a.partials + ((size_t)item * a.n_head + head) * (D + WEIR_ATTN_PARTIAL_EXTRA);
        to[i % D] = sh.out[i];
        if (i % D == 0) {
            to[D] = max;
            to[D + 1] = sum;
        }
    }
    if (w.n_chunks == 1) {
        return false;
    }
    gpu_fence();
    gpu_sync();
    if (gpu_thread() == 0) {
        uint32_t *arrivals = &a.arrivals[(size_t)w.part * a.n_head + w.head];
        sh.n_arrived = gpu_atomic_add(arrivals, 1u) + 1;
        if (sh.n_arrived == (uint32_t)w.n_chunks) {
            *arrivals = 0;
        }
    }
    gpu_sync();
    return sh.n_arrived == (uint32_t)w.n_chunks;
}

template <int D, int B, int TYPE>
GPU_DEVICE void attn_decode(const struct weir_attn_decode_args &a, struct shared<D, B> &sh)
{
    const int lane = (int)gpu_lane();
    const int warp = (int)gpu_thread() / LANES;
    const uint32_t n_items = *a.n_items;
    for (uint32_t item = gpu_block_x(); item < n_items; item += gpu_grid_x()) {
        const struct work w = work_of<B * FRAG_LANE_ROWS>(a, item);
        if (w.begin >= w.end) {
            continue; /* all of the chunk lies before the window */
        }
        const float *from = a.q + (size_t)w.row * a.q_stride + w.head * D;
        const float scale = a.scale * WEIR_LOG2_E;
        struct running<D> run;
        running_init<D, B>(run);
        if constexpr (D <= 128) {
            struct frag q[D / 16];
            load_queries<D, B>(from, D, w.n_heads, scale, lane, q);
            attend_ahead<D, B, TYPE>(a, w, w.begin / PAGE + warp, q, run, lane);
        } else {
            if (warp == 0) {
                load_queries<D, B>(from, D, w.n_heads, scale, lane, sh.q + lane);
            }
            gpu_sync();
            attend_plain<D, B, TYPE>(a, w, w.begin / PAGE + warp, sh.q + lane, run, lane);
        }
        merge_warps<D, B>(run, warp, lane, sh);
        if (give_result<D, B>(a, w, item, sh)) {
            gpu_fence();
            merge_chunks<D>(a, w);
        }
        gpu_sync(); /* the next item writes the shared memory that this one reads */
    }
}

/* 8 query rows at a time on NVIDIA, 16 on CDNA: more heads of a group take more blocks, which read
 * the same keys from L2. */
#define KERNEL(type, TYPE, D)                                                                      \
    GPU_KERNEL_BOUNDS(weir_attn_decode_##type##_##D, struct weir_attn_decode_args, N_WARPS *LANES, \
                      D > 80 ? 2 : 3)                                                              \
    {                                                                                              \
        using block = struct shared<D, 1>;                                                         \
        GPU_SHARED(block, sh);                                                                     \
        attn_decode<D, 1, TYPE>(args, *sh);                                                        \
    }

#define KERNELS(D) KERNEL(f16, WEIR_KV_F16, D) KERNEL(i8, WEIR_KV_I8, D)

KERNELS(64)
KERNELS(80)
KERNELS(96)
KERNELS(128)
KERNELS(256)
