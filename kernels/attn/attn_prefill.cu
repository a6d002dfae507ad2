/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attn/attn_prefill.h"

#include "kernels/attn/attn_tile.h"
/* After the sources that it reads from. */
#include "kernels/attn/attn_device.h"

enum {
    N_WARPS = 4,
    WARP_ROWS = 16,
    THREADS = N_WARPS * LANES,
    STAGES = LANES == 32 ? 2 : 1 /* there is no asynchronous copy on CDNA */
};

template <int D> GPU_DEVICE constexpr int tile_keys()
{
    return D > 128 ? 32 : 64;
}

template <int D> struct tiles {
    unsigned char keys[STAGES][tile_keys<D>() * tile_row_bytes<D>()];
    unsigned char values[STAGES][tile_keys<D>() * tile_row_bytes<D>()];
    struct frag q[D > 128 ? N_WARPS *shared_queries<D>() : 1]; /* D > 128: of each warp */
};

/* What a block works on. */
struct work {
    struct weir_kv_part part;
    int32_t first;              /* the block's first query, counted in the part */
    int32_t key_begin, key_end; /* that any of its queries sees; begin at a tile's start */
    uint32_t head, kv_head;
};

template <int KEYS> GPU_DEVICE struct work work_of(const struct weir_attn_prefill_args &a)
{
    const struct weir_attn_tile tile = a.tiles[gpu_block_x()];
    struct work w;
    w.part = a.parts[tile.part];
    w.first = tile.first;
    const int32_t last = w.first + WEIR_ATTN_PREFILL_ROWS < w.part.n_tokens
                             ? w.first + WEIR_ATTN_PREFILL_ROWS
                             : w.part.n_tokens;
    w.key_end = w.part.pos + (a.is_causal ? last : w.part.n_tokens);
    const int32_t low = w.part.pos + w.first + 1 - (int32_t)a.window;
    w.key_begin = a.window && low > 0 ? low / KEYS * KEYS : 0;
    w.head = gpu_block_y();
    w.kv_head = w.head / (a.n_head / a.kv.n_head_kv);
    return w;
}

template <int D, int TYPE>
GPU_DEVICE void fill_tile(const struct weir_attn_prefill_args &a, const struct work &w,
                          struct tiles<D> &t, int stage, int32_t key0)
{
    const uint32_t *table = a.pages + (size_t)w.part.table * a.pages_stride;
    constexpr int VECS = D / 8;
    for (int i = (int)gpu_thread(); i < tile_keys<D>() * VECS; i += THREADS) {
        const int row = i / VECS;
        const int vec = i % VECS;
        const int32_t key = key0 + row;
        const bool is_there = key < w.key_end;
        const uint32_t page = is_there ? table[key / WEIR_KV_PAGE_TOKENS] : 0;
        const int slot = key % WEIR_KV_PAGE_TOKENS;
        tile_fill<D, TYPE, TILE_KEYS>(t.keys[stage], row, vec, a.kv.k, a.kv, page, w.kv_head, slot,
                                      is_there);
        tile_fill<D, TYPE, TILE_VALUES>(t.values[stage], row, vec, a.kv.v, a.kv, page, w.kv_head,
                                        slot, is_there);
    }
    gpu_cp_async_commit();
}

/* Which keys a lane's query rows see. */
struct sight {
    int32_t begin[FRAG_ROWS], end[FRAG_ROWS];
};

/* One tile into the running softmax of a warp's 16 queries. */
template <int D>
GPU_DEVICE void attend_tile(const struct tiles<D> &t, int stage, int32_t key0,
                            const struct sight &sight, const struct frag *q, struct running<D> &run,
                            int lane)
{
    constexpr int BLOCKS = tile_keys<D>() / 16;
    struct accum s[BLOCKS] = {};
    float v_scale[BLOCKS][4];
    GPU_UNROLL
    for (int i = 0; i < BLOCKS; i++) {
        const struct tile_rows<D, TILE_KEYS> rows = {
            t.keys[stage] + i * 16 * tile_row_bytes<D>()
        };
        scores_of<D, FRAG_ROWS>(rows, q, lane, s[i]);
        GPU_UNROLL
        for (int j = 0; j < 4; j++) {
            const int32_t key = key0 + i * 16 + frag_col(lane, j);
            v_scale[i][j] = 1.0f;
            GPU_UNROLL
            for (int b = 0; b < FRAG_ROWS; b++) {
                s[i].v[b][j] =
                    key >= sight.begin[b] && key < sight.end[b] ? s[i].v[b][j] : -INFINITY;
            }
        }
    }
    struct frag p[BLOCKS];
    running_step<D, FRAG_ROWS, BLOCKS>(run, s, v_scale, p);
    GPU_UNROLL
    for (int i = 0; i < BLOCKS; i++) {
        const struct tile_rows<D, TILE_VALUES> rows = {
            t.values[stage] + i * 16 * tile_row_bytes<D>()
        };
        outputs_of<D, FRAG_ROWS, 0>(rows, p[i], lane, run.out);
    }
}

template <int D>
GPU_DEVICE void write_rows(const struct weir_attn_prefill_args &a, const struct work &w,
                           int32_t row0, int n_rows, const struct running<D> &run, int lane)
{
    GPU_UNROLL
    for (int b = 0; b < FRAG_ROWS; b++) {
        const int row = frag_row(lane) + b * FRAG_LANE_ROWS;
        const float scale = 1.0f / quad_sum(run.sum[b]);
        if (row >= n_rows) {
            continue;
        }
        const size_t first = (size_t)(w.part.first_row + row0 + row) * a.out_stride + w.head * D;
        GPU_UNROLL
        for (int i = 0; i < D / 16; i++) {
            GPU_UNROLL
            for (int j = 0; j < 4; j++) {
                give_output(a.out, a.out_f16, first + (size_t)out_dim<D>(i, lane, j),
                            run.out[i].v[b][j] * scale);
            }
        }
    }
}

template <int D, int TYPE>
GPU_DEVICE void attn_prefill(const struct weir_attn_prefill_args &a, struct tiles<D> &t)
{
    constexpr int KEYS = tile_keys<D>();
    const struct work w = work_of<KEYS>(a);
    const int lane = (int)gpu_lane();
    const int32_t row0 = w.first + (int32_t)gpu_wave() * WARP_ROWS;
    const int32_t n_left = w.part.n_tokens - row0;
    const int n_rows = n_left < 0 ? 0 : n_left < WARP_ROWS ? n_left : WARP_ROWS;
    struct frag registers[D > 128 ? 1 : D / 16];
    struct frag *q = D > 128 ? t.q + gpu_wave() * shared_queries<D>() + lane : registers;
    load_queries<D, FRAG_ROWS>(a.q + (size_t)(w.part.first_row + (n_rows ? row0 : 0)) * a.q_stride +
                                   w.head * D,
                               a.q_stride, n_rows, a.scale * WEIR_LOG2_E, lane, q);
    struct sight sight;
    GPU_UNROLL
    for (int b = 0; b < FRAG_ROWS; b++) {
        const int32_t pos = w.part.pos + row0 + frag_row(lane) + b * FRAG_LANE_ROWS;
        sight.begin[b] = a.window ? pos + 1 - (int32_t)a.window : 0;
        sight.end[b] = a.is_causal ? pos + 1 : w.key_end;
        sight.end[b] = sight.end[b] < w.key_end ? sight.end[b] : w.key_end;
    }
    struct running<D> run;
    running_init<D, FRAG_ROWS>(run);
    fill_tile<D, TYPE>(a, w, t, 0, w.key_begin);
    int stage = 0;
    GPU_UNROLL_1
    for (int32_t key0 = w.key_begin; key0 < w.key_end; key0 += KEYS) {
        if (STAGES == 2 && key0 + KEYS < w.key_end) {
            fill_tile<D, TYPE>(a, w, t, stage ^ 1, key0 + KEYS);
            gpu_cp_async_wait<1>();
        } else {
            gpu_cp_async_wait<0>();
        }
        gpu_sync();
        attend_tile<D>(t, stage, key0, sight, q, run, lane);
        gpu_sync();
        if (STAGES == 2) {
            stage ^= 1;
        } else if (key0 + KEYS < w.key_end) {
            fill_tile<D, TYPE>(a, w, t, 0, key0 + KEYS);
        }
    }
    write_rows<D>(a, w, row0, n_rows, run, lane);
}

#define KERNEL(type, TYPE, D)                                                                      \
    GPU_KERNEL_BOUNDS(weir_attn_prefill_##type##_##D, struct weir_attn_prefill_args, THREADS,      \
                      D > 128 ? 1 : 2)                                                             \
    {                                                                                              \
        GPU_SHARED(struct tiles<D>, t);                                                            \
        attn_prefill<D, TYPE>(args, *t);                                                           \
    }

#define KERNELS(D) KERNEL(f16, WEIR_KV_F16, D) KERNEL(i8, WEIR_KV_I8, D)

KERNELS(64)
KERNELS(80)
KERNELS(96)
KERNELS(128)
KERNELS(256)
