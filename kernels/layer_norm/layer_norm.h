/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* LayerNorm (Ba et al., arXiv 1607.06450) with an optional residual:
 *
 *     x = in + delta
 *     out[i] = (x[i] - mean) / sqrt(variance + eps) * weight[i] + bias[i]
 *
 * The variance is of the centred numbers (two passes), so that a large mean costs no digits.
 * Mapping: one block of 256 per row. in may be out. Shared memory: 128 bytes. Bound: bytes.
 * Tolerance: relative L2 1e-6. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

struct weir_layer_norm_args {
    const float *in;    /* [n_rows][width] */
    const float *delta; /* [n_rows][width] or NULL */
    const float *weight;
    const float *bias; /* [width] or NULL */
    float *out;        /* [n_rows][width] */
    uint32_t n_rows, width;
    float eps;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_layer_norm_launch(const struct weir_layer_norm_args *args,
                           const struct weir_gpu_props *props, struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
