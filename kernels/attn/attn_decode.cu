/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attn/attn_decode.h"

#include "kernels/attn/attn_ring.h"
/* After the sources that it reads from. */
#include "kernels/attn/attn_device.h"

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

/* Output rows of a warp in shared memory are a bank apart. */
template <int D> GPU_DEVICE constexpr int part_stride()
{
    return D + 1;
}

/* What a warp has for itself: on NVIDIA its ring; then its part of the output. */
template <int D, int B, int TYPE> struct alignas(16) warp_shared {
    union {
        struct ring_stage<D, TYPE> ring[LANES == 32 ? ring_stages<D, TYPE>() : 1];
        float part[LANES == 32 ? B * FRAG_LANE_ROWS * part_stride<D>() : 1];
    };
};

template <int D, int B, int TYPE> struct shared {
    struct warp_shared<D, B, TYPE> warps[LANES == 32 ? N_WARPS : 1];
    struct frag q[shared_queries<D>() ? shared_queries<D>() : 1]; /* D > 128: of all warps */
    float out[LANES == 32 ? 1 : B * FRAG_LANE_ROWS * D];          /* CDNA: no room for parts */
    float max[N_WARPS][B * FRAG_LANE_ROWS], sum[N_WARPS][B * FRAG_LANE_ROWS];
    float all_max[B * FRAG_LANE_ROWS], all_sum[B * FRAG_LANE_ROWS]; /* of the chunks */
    uint32_t n_arrived;
};

/* Where the keys or values of the sequence's page `index` lie, which is `page` of the pool. */
template <int D, int TYPE>
GPU_DEVICE struct page_rows<D, TYPE> chunk_page(const struct weir_attn_decode_args &a,
                                                const struct work &w, const uint8_t *plane,
                                                int32_t index, uint32_t page)
{
    const int last = w.end - 1 - index * PAGE;
    return page_rows_of<D, TYPE>(plane, a.kv, page, w.kv_head, last < PAGE ? last : PAGE - 1);
}

/* Scores to weights: scales of int8, and -inf where the token does not see the key. */
template <int D, int B>
GPU_DEVICE void weigh(const struct work &w, int32_t index, const float *k_scale,
                      const float (&v_scale)[1][4], struct accum (&s)[1], struct running<D> &run,
                      struct frag (&p)[1], int lane)
{
    GPU_UNROLL
    for (int j = 0; j < 4; j++) {
        const int32_t key = index * PAGE + frag_col(lane, j);
        GPU_UNROLL
        for (int b = 0; b < B; b++) {
            s[0].v[b][j] = key >= w.begin && key < w.end ? s[0].v[b][j] * k_scale[j] : -INFINITY;
        }
    }
    running_step<D, B, 1>(run, s, v_scale, p);
}

/* The warp's pages, through its ring. Each lane knows the number of one page, so that nobody waits
 * for the page table more than once. */
template <int D, int B, int TYPE>
GPU_DEVICE void attend_ring(const struct weir_attn_decode_args &a, const struct work &w,
                            int32_t index, const struct frag *q, struct running<D> &run, int lane,
                            struct ring_stage<D, TYPE> *ring)
{
    constexpr int STAGES = ring_stages<D, TYPE>();
    const int32_t own = index + lane * N_WARPS;
    const uint32_t own_page =
        own * PAGE < w.end ? a.pages[(size_t)w.table * a.pages_stride + own] : 0;
    const auto fill = [&](int n) { /* the warp's n-th page */
        const int32_t at = index + n * N_WARPS;
        const uint32_t page = gpu_shfl_idx(own_page, n % LANES);
        if (at * PAGE < w.end) {
            ring_fill<D, TYPE>(ring[n % STAGES], chunk_page<D, TYPE>(a, w, a.kv.k, at, page),
                               chunk_page<D, TYPE>(a, w, a.kv.v, at, page), lane);
        }
        gpu_cp_async_commit();
    };
    GPU_UNROLL
    for (int n = 0; n < STAGES; n++) {
        fill(n);
    }
    GPU_UNROLL_1
    for (int n = 0; (index + n * N_WARPS) * PAGE < w.end; n++) {
        gpu_cp_async_wait<STAGES - 1>();
        gpu_syncwarp();
        const struct ring_stage<D, TYPE> &stage = ring[n % STAGES];
        const struct ring_rows<D, TYPE, TILE_KEYS> keys = {stage.keys};
        const struct ring_rows<D, TYPE, TILE_VALUES> values = {stage.values};
        struct accum s[1] = {};
        struct frag p[1];
        scores_of<D, B>(keys, q, lane, s[0]);
        float k_scale[4] = {1.0f, 1.0f, 1.0f, 1.0f};
        float v_scale[1][4] = {{1.0f, 1.0f, 1.0f, 1.0f}};
        if constexpr (TYPE == WEIR_KV_I8) {
            const int last = w.end - 1 - (index + n * N_WARPS) * PAGE; /* nobody wrote those behind */
            GPU_UNROLL
            for (int j = 0; j < 4; j++) {
                const int col = frag_col(lane, j) < last ? frag_col(lane, j) : last;
                k_scale[j] = gpu_f16_to_f32(stage.scales[0][col]);
                v_scale[0][j] = gpu_f16_to_f32(stage.scales[1][col]);
            }
        }
        weigh<D, B>(w, index + n * N_WARPS, k_scale, v_scale, s, run, p, lane);
        outputs_of<D, B, 0>(values, p[0], lane, run.out);
        gpu_syncwarp();
        fill(n + STAGES);
    }
    gpu_cp_async_wait<0>();
    gpu_syncwarp();
}

/* The same straight from the pages: other waves fill the time. */
template <int D, int B, int TYPE>
GPU_DEVICE void attend_plain(const struct weir_attn_decode_args &a, const struct work &w,
                             int32_t index, const struct frag *q, struct running<D> &run, int lane)
{
    GPU_UNROLL_1
    for (; index * PAGE < w.end; index += N_WARPS) {
        const uint32_t page = a.pages[(size_t)w.table * a.pages_stride + index];
        const struct page_rows<D, TYPE> keys = chunk_page<D, TYPE>(a, w, a.kv.k, index, page);
        const struct page_rows<D, TYPE> values = chunk_page<D, TYPE>(a, w, a.kv.v, index, page);
        struct accum s[1] = {};
        struct frag p[1];
        scores_of<D, B>(keys, q, lane, s[0]);
        float k_scale[4];
        float v_scale[1][4];
        GPU_UNROLL
        for (int j = 0; j < 4; j++) {
            k_scale[j] = row_scale(keys, frag_col(lane, j));
            v_scale[0][j] = row_scale(values, frag_col(lane, j));
        }
        weigh<D, B>(w, index, k_scale, v_scale, s, run, p, lane);
        outputs_of<D, B, 0>(values, p[0], lane, run.out);
    }
}

/* Each warp's maxima, sums and outputs to shared memory. */
template <int D, int B, int TYPE>
GPU_DEVICE void give_part(const struct running<D> &run, int warp, int lane,
                          struct shared<D, B, TYPE> &sh)
{
    GPU_UNROLL
    for (int b = 0; b < B; b++) {
        const int row = frag_row(lane) + b * FRAG_LANE_ROWS;
        const float sum = quad_sum(run.sum[b]);
        if (frag_quad(lane) == 0) {
            sh.max[warp][row] = run.max[b];
            sh.sum[warp][row] = sum;
        }
        if constexpr (LANES == 32) {
            GPU_UNROLL
            for (int i = 0; i < D / 16; i++) {
                GPU_UNROLL
                for (int j = 0; j < 4; j++) {
                    sh.warps[warp].part[row * part_stride<D>() + out_dim<D>(i, lane, j)] =
                        run.out[i].v[b][j];
                }
            }
        }
    }
    gpu_sync();
}

template <int D, int B, int TYPE>
GPU_DEVICE float max_of_row(const struct shared<D, B, TYPE> &sh, int row)
{
    float max = sh.max[0][row];
    for (int i = 1; i < N_WARPS; i++) {
        max = gpu_max(max, sh.max[i][row]);
    }
    return max;
}

/* CDNA: the waves add their parts one after the other. */
template <int D, int B, int TYPE>
GPU_DEVICE void add_in_turn(const struct running<D> &run, int warp, int lane,
                            struct shared<D, B, TYPE> &sh)
{
    for (int turn = 0; turn < N_WARPS; turn++) {
        for (int b = 0; b < B && warp == turn; b++) {
            const int row = frag_row(lane) + b * FRAG_LANE_ROWS;
            const float scale = gpu_exp2(run.max[b] - max_of_row(sh, row));
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
        gpu_sync();
    }
}

/* Largest and sum over all chunks, of each head by 32 threads; then every thread adds whole vectors
 * of a head, in the order of keys. */
template <int D, int B, int TYPE>
GPU_DEVICE void merge_chunks(const struct weir_attn_decode_args &a, const struct work &w,
                             struct shared<D, B, TYPE> &sh)
{
    const size_t head_floats = D + WEIR_ATTN_PARTIAL_EXTRA;
    const size_t step = a.n_head * head_floats;
    const float *first = a.partials + (size_t)w.first_item * step + w.head * head_floats;
    for (uint32_t h = gpu_sub(); h < (uint32_t)w.n_heads; h += gpu_block_threads() / 32) {
        const float *head = first + h * head_floats + D;
        float max = -INFINITY;
        for (int c = (int)gpu_sub_lane(); c < w.n_chunks; c += 32) {
            max = gpu_max(max, gpu_load_fresh(head + c * step));
        }
        max = gpu_sub_max(max);
        float sum = 0.0f;
        for (int c = (int)gpu_sub_lane(); c < w.n_chunks; c += 32) {
            sum += gpu_exp2(gpu_load_fresh(head + c * step) - max) *
                   gpu_load_fresh(head + c * step + 1);
        }
        sum = gpu_sub_sum(sum);
        if (gpu_sub_lane() == 0) {
            sh.all_max[h] = max;
            sh.all_sum[h] = sum;
        }
    }
    gpu_sync();
    for (int i = (int)gpu_thread() * 4; i < w.n_heads * D; i += (int)gpu_block_threads() * 4) {
        const int h = i / D;
        const float *head = first + h * head_floats;
        struct gpu_f4 sum = {0.0f, 0.0f, 0.0f, 0.0f};
        GPU_UNROLL_8
        for (int c = 0; c < w.n_chunks; c++) {
            const struct gpu_f4 v = gpu_load_fresh16<struct gpu_f4>(head + c * step + i % D);
            const float scale =
                gpu_exp2(gpu_load_fresh(head + c * step + D) - sh.all_max[h]);
            sum.x += scale * v.x;
            sum.y += scale * v.y;
            sum.z += scale * v.z;
            sum.w += scale * v.w;
        }
        const size_t at = (size_t)w.row * a.out_stride + w.head * D + (size_t)i;
        give_output(a.out, a.out_f16, at, sum.x / sh.all_sum[h]);
        give_output(a.out, a.out_f16, at + 1, sum.y / sh.all_sum[h]);
        give_output(a.out, a.out_f16, at + 2, sum.z / sh.all_sum[h]);
        give_output(a.out, a.out_f16, at + 3, sum.w / sh.all_sum[h]);
    }
}

/* The block's result: to the output when it is all of the sequence, else beside the other chunks'.
 * Returns true in the block that has to merge the chunks. */
template <int D, int B, int TYPE>
GPU_DEVICE bool give_result(const struct weir_attn_decode_args &a, const struct work &w,
                            uint32_t item, struct shared<D, B, TYPE> &sh)
{
    for (int i = (int)gpu_thread(); i < w.n_heads * D; i += (int)gpu_block_threads()) {
        const int row = i / D;
        const uint32_t head = w.head + (uint32_t)row;
        const float max = max_of_row(sh, row);
        float sum = 0.0f;
        float out = LANES == 32 ? 0.0f : sh.out[LANES == 32 ? 0 : i];
        GPU_UNROLL
        for (int k = 0; k < N_WARPS; k++) {
            const float scale = gpu_exp2(sh.max[k][row] - max);
            sum += sh.sum[k][row] * scale;
            if constexpr (LANES == 32) {
                out += sh.warps[k].part[row * part_stride<D>() + i % D] * scale;
            }
        }
        if (w.n_chunks == 1) {
            give_output(a.out, a.out_f16, (size_t)w.row * a.out_stride + head * D + i % D,
                        out / sum);
            continue;
        }
        float *to = a.partials + ((size_t)item * a.n_head + head) * (D + WEIR_ATTN_PARTIAL_EXTRA);
        to[i % D] = out;
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
        gpu_fence();
    }
    gpu_sync();
    return sh.n_arrived == (uint32_t)w.n_chunks;
}

template <int D, int B, int TYPE>
GPU_DEVICE void attend(const struct weir_attn_decode_args &a, const struct work &w, int warp,
                       const struct frag *q, struct running<D> &run, int lane,
                       struct shared<D, B, TYPE> &sh)
{
    const int32_t first = w.begin / PAGE + warp;
    if constexpr (LANES == 32) {
        attend_ring<D, B, TYPE>(a, w, first, q, run, lane, sh.warps[warp].ring);
    } else {
        attend_plain<D, B, TYPE>(a, w, first, q, run, lane);
    }
}

template <int D, int B, int TYPE>
GPU_DEVICE void attn_decode(const struct weir_attn_decode_args &a, struct shared<D, B, TYPE> &sh)
{
    const int lane = (int)gpu_lane();
    const int warp = (int)gpu_wave();
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
            attend<D, B, TYPE>(a, w, warp, q, run, lane, sh);
        } else {
            if (warp == 0) {
                load_queries<D, B>(from, D, w.n_heads, scale, lane, sh.q + lane);
            }
            gpu_sync();
            attend<D, B, TYPE>(a, w, warp, sh.q + lane, run, lane, sh);
        }
        give_part<D, B, TYPE>(run, warp, lane, sh);
        if constexpr (LANES == 64) {
            add_in_turn<D, B, TYPE>(run, warp, lane, sh);
        }
        if (give_result<D, B, TYPE>(a, w, item, sh)) {
            merge_chunks<D, B, TYPE>(a, w, sh);
        }
        gpu_sync(); /* the next item writes the shared memory that this one reads */
    }
}

/* 8 query rows at a time on NVIDIA, 16 on CDNA: more heads of a group take more blocks, which read
 * the same keys from L2. */
#define KERNEL(type, TYPE, D)                                                                      \
    static_assert(sizeof(struct shared<D, 1, TYPE>) <=                                             \
                      weir_attn_decode_shared_bytes(D, TYPE, LANES),                               \
                  "");                                                                             \
    GPU_KERNEL_BOUNDS(weir_attn_decode_##type##_##D, struct weir_attn_decode_args, N_WARPS *LANES, \
                      D > 96 ? 2 : 3)                                                              \
    {                                                                                              \
        using block = struct shared<D, 1, TYPE>;                                                   \
        GPU_SHARED(block, sh);                                                                     \
        attn_decode<D, 1, TYPE>(args, *sh);                                                        \
    }

#define KERNELS(D) KERNEL(f16, WEIR_KV_F16, D) KERNEL(i8, WEIR_KV_I8, D)

KERNELS(64)
KERNELS(80)
KERNELS(96)
KERNELS(128)
KERNELS(256)
