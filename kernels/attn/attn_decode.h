/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Attention of single tokens over paged keys and values, for all query heads of a KV head together.
 *
 *     out[h] = sum over keys of softmax2(scale log2(e) q[h] . k[key]) v[key]
 *
 * A query at position pos sees keys pos - window + 1 .. pos, all up to pos when window is 0.
 *
 * Mapping: a block takes one work item, a chunk of a sequence's keys, for one KV head; its four
 * warps share the chunk's pages. Each multiplies 16 keys at a time on the matrix units: the group's
 * query heads are rows, keys and values come from the warp's own ring of pages in shared memory
 * (NVIDIA) or straight from their pages (CDNA). The block that finishes last of a sequence's head
 * merges the chunks' parts, in order.
 *
 * Why a work list: a graph is captured once per batch bucket, but lengths change with every step.
 * The grid is fixed; blocks take items until the list ends. Chunks depend on the sequence's own
 * length alone, so a result does not depend on the batch.
 *
 * Shared memory: about 100 KB of rings (NVIDIA). Bound: bytes of keys and values. Tolerance:
 * queries and weights are rounded to binary16; relative L2 error 1e-3 per head. */
#include <stdint.h>

#include "kernels/gpu_launch.h"
#include "kernels/kv/kv_layout.h"

enum {
    WEIR_ATTN_CHUNK_SHORT = 256, /* keys of an item, up to WEIR_ATTN_SHORT keys */
    WEIR_ATTN_CHUNK_LONG = 512,
    WEIR_ATTN_SHORT = 8192,
    WEIR_ATTN_PARTIAL_EXTRA = 4 /* floats of a head's partial result behind its output */
};

struct weir_attn_item {
    int32_t part;
    int32_t chunk;
};

struct weir_attn_decode_args {
    const float *q;    /* [rows][q_stride], rotated, not scaled */
    float *out;        /* [rows][out_stride] or NULL */
    uint16_t *out_f16; /* [rows][out_stride] binary16 or NULL */
    const struct weir_kv_part *parts;
    const struct weir_attn_item *items; /* a part's chunks lie together, from 0 up */
    const uint32_t *n_items;            /* on the device: the list's length in this step */
    const uint32_t *pages;              /* [tables][pages_stride] */
    float *partials;                    /* [items][n_head]{out[head_dim], maximum, sum, 2 unused} */
    uint32_t *arrivals;                 /* [parts][n_head]: 0 before and after */
    struct weir_kv_view kv;
    uint32_t q_stride, out_stride, pages_stride;
    uint32_t n_head;
    uint32_t window;
    float scale;
};

static inline uint32_t weir_attn_chunk_tokens(uint32_t pos)
{
    return pos < WEIR_ATTN_SHORT ? (uint32_t)WEIR_ATTN_CHUNK_SHORT : (uint32_t)WEIR_ATTN_CHUNK_LONG;
}

/* Work items of a sequence whose token is at `pos`. */
static inline uint32_t weir_attn_n_chunks(uint32_t pos)
{
    return pos / weir_attn_chunk_tokens(pos) + 1;
}

#ifdef __cplusplus
#define WEIR_CONSTEXPR constexpr
#else
#define WEIR_CONSTEXPR static inline
#endif

/* A page of one KV head in shared memory (attn_ring.h). */
WEIR_CONSTEXPR uint32_t weir_attn_decode_stage_bytes(uint32_t head_dim, uint32_t type)
{
    return 64 + 32 * (type == WEIR_KV_I8   ? head_dim + 32
                      : head_dim % 64 == 0 ? head_dim * 2
                                           : head_dim * 2 + 16);
}

/* Shared memory of a block, at least; the kernel asserts it. Rings of 2 to 4 stages for 4 warps, or
 * on CDNA the output of 16 heads. */
WEIR_CONSTEXPR uint32_t weir_attn_decode_shared_bytes(uint32_t head_dim, uint32_t type,
                                                      uint32_t lanes)
{
    return (head_dim > 128 ? 16 * head_dim * 2 : 16) + 1024 +
           (lanes != 32 ? weir_attn_decode_stage_bytes(head_dim, type) + 16 * head_dim * 4
            : 4 * weir_attn_decode_stage_bytes(head_dim, type) <= 25088
                ? 16 * weir_attn_decode_stage_bytes(head_dim, type)
            : 3 * weir_attn_decode_stage_bytes(head_dim, type) <= 25088
                ? 12 * weir_attn_decode_stage_bytes(head_dim, type)
                : 8 * weir_attn_decode_stage_bytes(head_dim, type));
}

/* Floats of one item's part results. */
static inline uint64_t weir_attn_partial_floats(uint32_t n_head, uint32_t head_dim)
{
    return (uint64_t)n_head * (head_dim + WEIR_ATTN_PARTIAL_EXTRA);
}

#ifdef __cplusplus
extern "C" {
#endif
/* Whether there are kernels for heads of this size. */
int weir_attn_has_head_dim(uint32_t head_dim);

/* n_items_max: the longest list that this launch may find on the device, which sizes the grid.
 * WEIR_E_UNSUPPORTED for a head_dim without kernels, WEIR_E_ARG else. */
int weir_attn_decode_launch(const struct weir_attn_decode_args *args, uint32_t n_items_max,
                            const struct weir_gpu_props *props, struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
