/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where a key or value lies in the paged KV pool of a device. Stated here once, for the kernels
 * that write and read it and for the host that sizes, copies and checks pages.
 *
 * A page holds 16 positions of a sequence, all layers: [layer]{K plane, V plane}. A plane is
 *
 *     [n_head_kv][16][head_dim] elements, then for int8 [n_head_kv][16] scales in binary16
 *
 * rounded up to 16 bytes, so that every row of a head is a run of whole 16-byte vectors (head_dim
 * is a multiple of 16). One page is one contiguous run of bytes: copying or swapping it is one
 * copy. int8: element = round(x / scale), scale = amax / 127 of the token's head, rounded to
 * binary16 before use; amax 0 gives scale 0. Ownership: values. Threads: any. C11 and device C++.
 */
#include <stdint.h>

enum { WEIR_KV_PAGE_TOKENS = 16 };

enum weir_kv_type { WEIR_KV_F16, WEIR_KV_I8 };

/* One layer's keys and values in the pool; what kernels get. */
struct weir_kv_view {
    uint8_t *k; /* the layer's K plane of page 0 */
    uint8_t *v;
    uint64_t page_bytes; /* from a page to the next */
    uint32_t n_head_kv;
    uint32_t head_dim;
    uint32_t type; /* enum weir_kv_type */
    uint32_t reserved;
};

/* A sequence's part of a step, as attention sees it: rows first_row.. of the step's tokens are its
 * positions pos, pos + 1, ... */
struct weir_kv_part {
    int32_t first_row;
    int32_t pos;
    int32_t n_tokens; /* 0: padding of a graph's batch */
    int32_t table;    /* row of the page tables */
};

static inline uint64_t weir_kv_plane_bytes(uint32_t type, uint32_t n_head_kv, uint32_t head_dim)
{
    uint64_t n_rows = (uint64_t)n_head_kv * WEIR_KV_PAGE_TOKENS;
    uint64_t bytes = type == WEIR_KV_I8 ? n_rows * head_dim + n_rows * 2 : n_rows * head_dim * 2;
    return (bytes + 15) / 16 * 16;
}

static inline uint64_t weir_kv_page_bytes(uint32_t type, uint32_t n_layer, uint32_t n_head_kv,
                                          uint32_t head_dim)
{
    return 2 * n_layer * weir_kv_plane_bytes(type, n_head_kv, head_dim);
}

static inline struct weir_kv_view weir_kv_layer(uint8_t *pool, uint32_t type, uint32_t n_layer,
                                                uint32_t layer, uint32_t n_head_kv,
                                                uint32_t head_dim)
{
    uint64_t plane = weir_kv_plane_bytes(type, n_head_kv, head_dim);
    struct weir_kv_view view;
    view.k = pool + 2 * layer * plane;
    view.v = view.k + plane;
    view.page_bytes = 2 * n_layer * plane;
    view.n_head_kv = n_head_kv;
    view.head_dim = head_dim;
    view.type = type;
    view.reserved = 0;
    return view;
}
