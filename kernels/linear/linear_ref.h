/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* y = x W^T by its definition, in double: what every device's linear kernels are judged by.
 *
 * Two references, for the two sources of error: `exact` multiplies the float activations, so the
 * distance to it is the price of 8-bit activations; `quantised` first rounds the activations to
 * 8 bits in blocks of 32 (d = amax / 127 in float, q = x / d to nearest even), so the distance to
 * it is only the order of float sums.
 *
 * Weights come as floats: engine/quant/dequant.h turns GGUF blocks into them.
 * Ownership: none kept. Threads: any; pure functions. */
#include <stdint.h>

/* Sum of w[k] * x[k]. */
double weir_linear_ref_dot_exact(const float *w, const float *x, uint32_t n_cols);

/* The same with x rounded to 8-bit blocks of 32; n_cols % 32 == 0. */
double weir_linear_ref_dot_quantised(const float *w, const float *x, uint32_t n_cols);

/* Sum of |w[k] * x[k]|: the scale that rounding errors of the sum are measured by. */
double weir_linear_ref_dot_magnitude(const float *w, const float *x, uint32_t n_cols);
