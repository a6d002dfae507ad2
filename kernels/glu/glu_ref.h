/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Gated linear units (Shazeer, arXiv 2002.05202), the reference for kernels:
 *
 *     y[i] = act(gate[i]) * up[i]
 *     SiLU(x) = x / (1 + e^-x)
 *     GELU(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
 *
 * Computed in double and rounded once. Threads: any; pure functions. */
#include <stdint.h>

void weir_glu_silu_ref(const float *gate, const float *up, uint32_t n, float *y);
void weir_glu_gelu_ref(const float *gate, const float *up, uint32_t n, float *y);
