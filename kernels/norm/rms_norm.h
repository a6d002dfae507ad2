/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* RMSNorm with the residual before it, one block per row:
 *
 *     x += delta                          with delta, without post
 *     x += RMSNorm(delta) * post          with both (Gemma's post norms)
 *     y  = RMSNorm(x) * weight            to y_f32 and/or y_f16, where not NULL
 *
 * x, delta, y: [n_rows][n], weight, post: [n]. Sums in f32. 16-byte aligned, n a multiple of 4, at
 * most 32768. Bound by bandwidth: reads x and delta, writes x and y.
 * Tolerance: NMSE 1e-10 in f32, 1e-6 in f16. */
#include "kernels/gpu_launch.h"

struct weir_rms_norm_args {
    float *x;
    const float *delta, *post; /* NULL: none */
    const float *weight;
    float *y_f32;
    uint16_t *y_f16;
    uint32_t n_rows, n;
    float eps;
};

#ifdef __cplusplus
extern "C"
#endif
    int
    weir_rms_norm_launch(const struct weir_rms_norm_args *args, const struct weir_gpu_props *props,
                         struct weir_gpu_launch *out);
