/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rows of a KV head in a page, read by kernels. See kv_layout.h. */
#include "kernels/gpu.h"
#include "kernels/kv/kv_layout.h"

/* Four int8 to four binary16, exact: 1024 + (x + 128) is a bit pattern, minus 1152 is the number.
 */
GPU_DEVICE void i8x4_to_half(uint32_t x, uint32_t *words)
{
    x ^= 0x80808080u;
    words[0] = gpu_hadd2((x & 0xFFu) | (x & 0xFF00u) << 8 | 0x64006400u, 0xE480E480u);
    words[1] = gpu_hadd2((x >> 16 & 0xFFu) | (x >> 8 & 0xFF0000u) | 0x64006400u, 0xE480E480u);
}

/* N int8 to binary16. */
template <int N> GPU_DEVICE void halves_of_i8(uint32_t first, uint32_t second, uint32_t *words)
{
    uint32_t two[2];
    i8x4_to_half(first, two);
    words[0] = two[0];
    if constexpr (N >= 4) {
        words[1] = two[1];
    }
    if constexpr (N == 8) {
        i8x4_to_half(second, words + 2);
    }
}

/* N elements at `at` as binary16. */
template <int N, int TYPE> GPU_DEVICE void load_halves(const uint8_t *at, uint32_t *words)
{
    if constexpr (TYPE == WEIR_KV_F16) {
        if constexpr (N == 8) {
            const struct gpu_u4 v = gpu_load_once<struct gpu_u4>(at);
            words[0] = v.x;
            words[1] = v.y;
            words[2] = v.z;
            words[3] = v.w;
        } else if constexpr (N == 4) {
            const struct gpu_u2 v = gpu_load_once<struct gpu_u2>(at);
            words[0] = v.x;
            words[1] = v.y;
        } else if constexpr (N == 2) {
            words[0] = *(const uint32_t *)at;
        } else {
            words[0] = *(const uint16_t *)at;
        }
    } else {
        if constexpr (N == 8) {
            const struct gpu_u2 v = gpu_load_once<struct gpu_u2>(at);
            halves_of_i8<N>(v.x, v.y, words);
        } else if constexpr (N == 4) {
            halves_of_i8<N>(gpu_load_once<uint32_t>(at), 0, words);
        } else if constexpr (N == 2) {
            halves_of_i8<N>(gpu_load<uint16_t>(at), 0, words);
        } else {
            halves_of_i8<N>(*at, 0, words);
        }
    }
}

template <int TYPE> GPU_DEVICE constexpr int element_bytes()
{
    return TYPE == WEIR_KV_F16 ? 2 : 1;
}

/* The 16 rows of one KV head in one page of a plane. */
template <int D, int TYPE> struct page_rows {
    const uint8_t *rows;
    const uint16_t *scales; /* int8 only */
    int last;               /* nobody wrote the rows behind it yet: they read as this one */
};

template <int D, int TYPE>
GPU_DEVICE struct page_rows<D, TYPE> page_rows_of(const uint8_t *plane,
                                                  const struct weir_kv_view &kv, uint32_t page,
                                                  uint32_t head, int last) {
    const uint8_t *base = plane + page * kv.page_bytes;
    const size_t head_bytes = (size_t)WEIR_KV_PAGE_TOKENS * D * element_bytes<TYPE>();
    struct page_rows<D, TYPE> r;
    r.rows = base + head * head_bytes;
    r.scales = reinterpret_cast<const uint16_t *>(base + kv.n_head_kv * head_bytes) +
               head * WEIR_KV_PAGE_TOKENS;
    r.last = last;
    return r;
}

template <int N, int D, int TYPE>
GPU_DEVICE void load_row(const struct page_rows<D, TYPE> &r, int row, int dim, uint32_t *words)
{
    row = row < r.last ? row : r.last;
    load_halves<N, TYPE>(r.rows + (row * D + dim) * element_bytes<TYPE>(), words);
}

template <int D, int TYPE> GPU_DEVICE float row_scale(const struct page_rows<D, TYPE> &r, int row)
{
    if constexpr (TYPE == WEIR_KV_F16) {
        return 1.0f;
    } else {
        return gpu_f16_to_f32(r.scales[row < r.last ? row : r.last]);
    }
}
