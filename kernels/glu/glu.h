/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* out[t][i] = activation(gate[t][i]) * up[t][i], where a row of gate_up is [2 n_ff], gate first.
 *
 * SiLU or GELU (tanh form), see glu_ref.h. Mapping: one thread per 4 numbers. Bound: bytes.
 * Tolerance: relative 1e-6. */
#include <stdint.h>

#include "kernels/gpu_launch.h"
#include "kernels/linear/linear.h" /* enum weir_linear_glu */

struct weir_glu_args {
    const float *gate_up;    /* [n_tokens][2 n_ff] */
    float *out;              /* [n_tokens][n_ff] or NULL */
    uint16_t *out_f16;       /* [n_tokens][n_ff] binary16 or NULL */
    uint32_t n_tokens, n_ff; /* n_ff % 4 == 0 */
    uint32_t activation;     /* WEIR_GLU_SILU or WEIR_GLU_GELU */
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_glu_launch(const struct weir_glu_args *args, const struct weir_gpu_props *props,
                    struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
