/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Outlier columns of a matrix: those whose activations dwarf the others.
 *
 * Why: 32 activations share one 8-bit scale, and in every language model a few channels of the
 * residual stream are tens of times larger than the rest. Their neighbours then keep two or three
 * bits, and most of a model's quantisation error comes from such blocks. An outlier column is left
 * out of its block (q = 0) and its products are added in float instead; that costs one
 * multiplication per output. Dettmers et al., arXiv 2208.07339.
 * Ownership: the matrix borrows the weights. Threads: constant after loading. */
#include <stdint.h>

enum { WEIR_CPU_OUTLIERS_MAX = 2 /* of a matrix; a third gains little */ };

struct weir_cpu_outliers {
    uint32_t n;
    uint32_t columns[WEIR_CPU_OUTLIERS_MAX];
    const float *weights[WEIR_CPU_OUTLIERS_MAX]; /* [n_rows] of the matrix */
};
