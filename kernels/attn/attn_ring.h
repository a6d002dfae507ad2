/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A warp's ring of pages in shared memory: the next pages are on their way while one is computed.
 * NVIDIA only: CDNA has no asynchronous copy, there registers do this.
 *
 * A stage is one page of one KV head as it lies in the pool: binary16 rows with the vectors
 * exchanged as attn_tile.h says, or int8 rows with 32 bytes of padding, which does for them what
 * the exchange does, and their scales. */
#include "kernels/attn/attn_tile.h"

template <int D, int TYPE> GPU_DEVICE constexpr int ring_row_bytes()
{
    return TYPE == WEIR_KV_F16 ? tile_row_bytes<D>() : D + 32;
}

template <int D, int TYPE> struct alignas(16) ring_stage {
    unsigned char keys[WEIR_KV_PAGE_TOKENS * ring_row_bytes<D, TYPE>()];
    unsigned char values[WEIR_KV_PAGE_TOKENS * ring_row_bytes<D, TYPE>()];
    uint16_t scales[2][WEIR_KV_PAGE_TOKENS]; /* int8 only: of keys, of values */
};

/* Of about 24 KB for each warp: two blocks to a multiprocessor have 200 KB on their way. */
template <int D, int TYPE> GPU_DEVICE constexpr int ring_stages()
{
    return 4 * (int)sizeof(struct ring_stage<D, TYPE>) <= 25088   ? 4
           : 3 * (int)sizeof(struct ring_stage<D, TYPE>) <= 25088 ? 3
                                                                  : 2;
}

/* Rows of a stage as a source for attn_device.h. */
template <int D, int TYPE, int KIND> struct ring_rows {
    const unsigned char *rows;
};

template <int N, int D, int TYPE, int KIND>
GPU_DEVICE void load_row(const struct ring_rows<D, TYPE, KIND> &r, int row, int dim,
                         uint32_t *words)
{
    if constexpr (TYPE == WEIR_KV_F16) {
        const struct tile_rows<D, KIND> tile = {
            r.rows
        };
        load_row<N>(tile, row, dim, words);
    } else {
        const unsigned char *at = r.rows + row * ring_row_bytes<D, TYPE>() + dim;
        if constexpr (N == 8) {
            const struct gpu_u2 v = gpu_load<struct gpu_u2>(at);
            halves_of_i8<N>(v.x, v.y, words);
        } else if constexpr (N == 4) {
            halves_of_i8<N>(gpu_load<uint32_t>(at), 0, words);
        } else if constexpr (N == 2) {
            halves_of_i8<N>(gpu_load<uint16_t>(at), 0, words);
        } else {
            halves_of_i8<N>(*at, 0, words);
        }
    }
}

/* One head's rows of a plane to a stage, by the warp's lanes. Rows behind `last`, which nobody
 * wrote yet, become copies of it. */
template <int D, int TYPE, int KIND>
GPU_DEVICE void ring_fill_rows(unsigned char *to, const struct page_rows<D, TYPE> &from, int lane)
{
    constexpr int BYTES = D * element_bytes<TYPE>();
    constexpr int VECS = BYTES / 16;
    GPU_UNROLL
    for (int i = 0; i < WEIR_KV_PAGE_TOKENS * VECS; i += LANES) {
        const int row = (i + lane) / VECS;
        const int vec = (i + lane) % VECS;
        if (WEIR_KV_PAGE_TOKENS * VECS % LANES != 0 && row >= WEIR_KV_PAGE_TOKENS) {
            break;
        }
        const int at = TYPE == WEIR_KV_F16 ? tile_offset<D, KIND>(row, vec)
                                           : row * ring_row_bytes<D, TYPE>() + vec * 16;
        gpu_cp_async16(to + at, from.rows + (row < from.last ? row : from.last) * BYTES + vec * 16);
    }
}

template <int D, int TYPE>
GPU_DEVICE void ring_fill(struct ring_stage<D, TYPE> &stage, const struct page_rows<D, TYPE> &keys,
                          const struct page_rows<D, TYPE> &values, int lane)
{
    ring_fill_rows<D, TYPE, TILE_KEYS>(stage.keys, keys, lane);
    ring_fill_rows<D, TYPE, TILE_VALUES>(stage.values, values, lane);
    if (TYPE == WEIR_KV_I8 && lane < 4) {
        const uint16_t *from = (lane < 2 ? keys.scales : values.scales) + lane % 2 * 8;
        gpu_cp_async16(&stage.scales[lane / 2][lane % 2 * 8], from);
    }
}
