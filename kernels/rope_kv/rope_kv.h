/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rotates queries and keys by their positions and stores keys and values in their pages.
 *
 *     x = RMSNorm(x) * weight                                where the model norms heads
 *     a', b' = a cos - b sin, a sin + b cos                  each pair (a, b) of the first n_rot
 * dims, angle = 2 pi frac(pos * turns[pair])                   times magnitude
 *
 * Pairs are neighbours (2i, 2i + 1) or halves (i, i + n_rot / 2). turns[i] is the pair's step over
 * 2 pi as the host computes it in double: base, linear scale, Llama 3's factors and YaRN all come
 * down to this table, YaRN's attention factor to `magnitude`. The product and its fraction are
 * doubles, so that far positions lose nothing.
 *
 * Queries are rotated in place, not scaled. Keys and values go to the pages alone (kv_layout.h);
 * the keys in qkv are left as they are. Mapping: 32 lanes take one head of one token. No shared
 * memory. Bound: bytes of qkv. A token with pos < 0 is padding of a graph's batch: nothing is
 * written. */
#include <stdint.h>

#include "kernels/gpu_launch.h"
#include "kernels/kv/kv_layout.h"

struct weir_rope_kv_args {
    float *qkv;            /* [n_tokens][(n_head + 2 n_head_kv) * head_dim] */
    const int32_t *pos;    /* [n_tokens] */
    const int32_t *table;  /* [n_tokens] row of the page tables */
    const uint32_t *pages; /* [tables][pages_stride] */
    const float *q_norm;   /* [head_dim] or NULL */
    const float *k_norm;   /* [head_dim] or NULL */
    const double *turns;   /* [n_rot / 2] */
    struct weir_kv_view kv;
    uint32_t n_tokens, pages_stride;
    uint32_t n_head, n_rot;
    uint32_t is_neox;
    float eps;
    float magnitude; /* 1 without YaRN */
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_rope_kv_launch(const struct weir_rope_kv_args *args, const struct weir_gpu_props *props,
                        struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
