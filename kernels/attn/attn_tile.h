/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A tile of keys or values in shared memory, binary16, as a source for attn_device.h.
 *
 * Rows are whole 16-byte vectors. Where a row is a multiple of all banks (head_dim % 64 == 0),
 * vectors are exchanged within it: a key's reads are 2 rows x 4 vectors at a time, a value's 4 rows
 * (every other one) x 2 vectors, and each must meet 8 different vectors of a bank row. Other sizes
 * get a vector of padding, which does the same. */
#include "kernels/kv/kv_device.h"

enum tile_kind { TILE_KEYS, TILE_VALUES };

template <int D> GPU_DEVICE constexpr int tile_row_bytes()
{
    return D % 64 == 0 ? D * 2 : D * 2 + 16;
}

template <int D, int KIND> struct tile_rows {
    const unsigned char *rows;
};

/* Byte offset of vector `vec` of row `row`. */
template <int D, int KIND> GPU_DEVICE int tile_offset(int row, int vec)
{
    if constexpr (D % 64 == 0) {
        vec ^= KIND == TILE_KEYS ? (row & 1) << 2 : row & 6;
    }
    return row * tile_row_bytes<D>() + vec * 16;
}

template <int N, int D, int KIND>
GPU_DEVICE void load_row(const struct tile_rows<D, KIND> &t, int row, int dim, uint32_t *words)
{
    const unsigned char *at = t.rows + tile_offset<D, KIND>(row, dim / 8) + dim % 8 * 2;
    if constexpr (N == 8) {
        const struct gpu_u4 v = gpu_load<struct gpu_u4>(at);
        words[0] = v.x;
        words[1] = v.y;
        words[2] = v.z;
        words[3] = v.w;
    } else if constexpr (N == 4) {
        const struct gpu_u2 v = gpu_load<struct gpu_u2>(at);
        words[0] = v.x;
        words[1] = v.y;
    } else if constexpr (N == 2) {
        words[0] = gpu_load<uint32_t>(at);
    } else {
        words[0] = gpu_load<uint16_t>(at);
    }
}

/* Vector `vec` of a row in a page to its place in a tile; zeros where the row is not there. */
template <int D, int TYPE, int KIND>
GPU_DEVICE void tile_fill(unsigned char *rows, int row, int vec, const uint8_t *plane,
                          const struct weir_kv_view &kv, uint32_t page, uint32_t head, int slot,
                          bool is_there)
{
    unsigned char *to = rows + tile_offset<D, KIND>(row, vec);
    const struct page_rows<D, TYPE> from =
        page_rows_of<D, TYPE>(plane, kv, page, head, WEIR_KV_PAGE_TOKENS - 1);
    if constexpr (TYPE == WEIR_KV_F16) {
        gpu_cp_async16_or_zero(to, from.rows + ((size_t)slot * D + vec * 8) * 2, is_there);
    } else {
        uint32_t w[4] = {0, 0, 0, 0};
        if (is_there) {
            load_row<8>(from, slot, vec * 8, w);
            const float s = row_scale(from, slot);
            const uint32_t scale = gpu_pack_f16(s, s);
            GPU_UNROLL
            for (int i = 0; i < 4; i++) {
                w[i] = gpu_hmul2(w[i], scale);
            }
        }
        const struct gpu_u4 v = {w[0], w[1], w[2], w[3]};
        gpu_store(to, v);
    }
}
