/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* y = x W^T: the matrix products of a step, quantised weights times 8-bit activations.
 *
 *     y[t][r] = sum over blocks b of   s[r][b] * d[t][b] * dot(u[r][b], q[t][b])
 *                                    + m[r][b] * d[t][b] * sum(q[t][b])
 *             + sum over outlier columns c of   w[r][c] * x[t][c]
 *
 * where w = s * u + m is the weight's own format and the dot products are exact integers. Weights
 * of type F32, F16 and BF16 multiply with the float rows.
 *
 * Batch invariance: every output is the same float operations in the same order, whatever the
 * number of tokens, the token's place among them or the cut into tile ranges; y is bit-identical.
 * Another instruction set may round differently.
 *
 * Use: matrix.h to pack the weights, act.h to quantise a step's rows once per input, then
 * weir_cpu_linear on each thread's tiles. Threads: calls on disjoint tile ranges run in parallel.
 * Errors: none; no memory is allocated. The stack use is under 64 KB. */
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/linear/act.h"
#include "backends/cpu/linear/isa.h"
#include "backends/cpu/linear/matrix.h"

/* Computes rows of tiles [tile_begin, tile_end) for tokens [0, n_tokens): y[token * ldy + row], row
 * counted from the matrix's first. a->groups must hold the quantised tokens where the range has
 * quantised segments, and a->x the float rows where it has float segments. */
void weir_cpu_linear(const struct weir_cpu_matrix *m, uint32_t tile_begin, uint32_t tile_end,
                     const struct weir_cpu_act *a, uint32_t n_tokens, float *y, size_t ldy);
