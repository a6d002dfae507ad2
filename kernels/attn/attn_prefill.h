/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Attention of a run of tokens over paged keys and values (FlashAttention-2, Dao, arXiv
 * 2307.08691).
 *
 *     out[row][h] = sum over keys of softmax2(scale log2(e) q[row][h] . k[key]) v[key]
 *
 * A query at position p sees keys p - window + 1 .. p (all up to p when window is 0), or all keys
 * of the part when not causal. The step's own keys are in their pages already.
 *
 * Mapping: a block takes 64 queries of one part and one head; its four warps have 16 each and share
 * tiles of 64 keys and values (32 where head_dim is 256) in shared memory, the next tile on its way
 * while one is computed (NVIDIA). Vectors are permuted within a row so that the matrix units' reads
 * meet no bank twice.
 * Tiles begin at multiples of their size in the sequence, and keys that a query does not see change
 * nothing in it, so a result does not depend on how the prompt was cut into parts.
 * Shared memory: 32 to 68 KB. Bound: matrix units.
 * Tolerance: queries and weights are rounded to binary16; relative L2 error 1e-3 per head. */
#include <stdint.h>

#include "kernels/gpu_launch.h"
#include "kernels/kv/kv_layout.h"

enum { WEIR_ATTN_PREFILL_ROWS = 64 };

/* Queries first .. first + 63 of a part, those that it has. Long ones first in the list fill the
 * device best. */
struct weir_attn_tile {
    int32_t part;
    int32_t first;
};

struct weir_attn_prefill_args {
    const float *q;    /* [rows][q_stride], rotated, not scaled */
    float *out;        /* [rows][out_stride] or NULL */
    uint16_t *out_f16; /* [rows][out_stride] binary16 or NULL */
    const struct weir_kv_part *parts;
    const struct weir_attn_tile *tiles;
    const uint32_t *pages; /* [tables][pages_stride] */
    struct weir_kv_view kv;
    uint32_t q_stride, out_stride, pages_stride;
    uint32_t n_tiles;
    uint32_t n_head;
    uint32_t window;
    uint32_t is_causal;
    float scale;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_UNSUPPORTED for a head_dim without kernels, WEIR_E_ARG else. */
int weir_attn_prefill_launch(const struct weir_attn_prefill_args *args,
                             const struct weir_gpu_props *props, struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
