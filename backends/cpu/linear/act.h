/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Activations of a step, quantised to 8 bits in blocks of 32 columns, as the kernels read them.
 *
 * q = round(x / d), d = amax / 127 over the block. Scales stay float (GGML keeps them in
 * binary16), and the sums that the weights' offsets need are exact integers.
 *
 * Tokens lie in groups of four, so that a kernel reaches the same block of several tokens with one
 * base register: groups[token / 4][block], lane token % 4.
 *
 * Ownership: plain views; the caller owns the storage and the float rows.
 * Threads: quantise() on disjoint tokens may run in parallel; kernels only read.
 * Invariant: a NaN or infinity in a block makes its scale NaN or infinite, so that it shows in the
 * output and is not hidden by the rounding. */
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/linear/outliers.h"

struct weir_cpu_isa;

enum { WEIR_CPU_BLOCK = 32, WEIR_CPU_ACT_LANES = 4 };

struct weir_cpu_act_block {
    int8_t q[WEIR_CPU_ACT_LANES][WEIR_CPU_BLOCK];
    float d[WEIR_CPU_ACT_LANES];
    float d_sum[WEIR_CPU_ACT_LANES];     /* d * sum(q) */
    int32_t bias[WEIR_CPU_ACT_LANES];    /* -128 * sum(q) */
    int32_t bias_lo[WEIR_CPU_ACT_LANES]; /* -128 * sum(q[0..15]) */
    int32_t bias_hi[WEIR_CPU_ACT_LANES]; /* -128 * sum(q[16..31]) */
};

struct weir_cpu_act {
    uint32_t n_cols;
    uint32_t n_blocks;                 /* n_cols / 32 */
    uint32_t n_tokens_max;             /* room in groups */
    struct weir_cpu_act_block *groups; /* [ceil(n_tokens_max / 4)][n_blocks]; quantised weights */
    float *outliers;                   /* [n_tokens_max][WEIR_CPU_OUTLIERS_MAX] */
    const float *x;                    /* [n_tokens][ldx]; weights of type F32, F16 and BF16 */
    size_t ldx;                        /* floats between rows of x, >= n_cols */
};

/* Bytes of storage for n_tokens rows of n_cols columns; a multiple of 64. */
size_t weir_cpu_act_bytes(uint32_t n_cols, uint32_t n_tokens);

/* Makes a view on `storage` (64-byte aligned, weir_cpu_act_bytes() long). n_cols % 32 != 0 is
 * allowed when only float weights will read it; then there are no blocks. */
void weir_cpu_act_init(struct weir_cpu_act *a, void *storage, uint32_t n_cols, uint32_t n_tokens);

/* Points the view at the float rows that float weights multiply with and quantise() reads. */
void weir_cpu_act_set_rows(struct weir_cpu_act *a, const float *x, size_t ldx);

/* Quantises rows [token_begin, token_end) of a->x for a matrix with these outlier columns. Results
 * do not depend on the instruction set. */
void weir_cpu_act_quantise(struct weir_cpu_act *a, const struct weir_cpu_isa *isa,
                           const struct weir_cpu_outliers *outliers, uint32_t token_begin,
                           uint32_t token_end);

/* The same for one row that lies anywhere, for callers that produce and quantise rows one by one.
 */
void weir_cpu_act_quantise_row(struct weir_cpu_act *a, const struct weir_cpu_isa *isa,
                               const struct weir_cpu_outliers *outliers, uint32_t token,
                               const float *x);
