/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* out[i] = in[i] as binary16, to nearest even: what an op gave in f32 as the input of a LINEAR.
 * Mapping: one thread per 4 numbers, 256 a block. Bound: bytes. Exact. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

struct weir_to_half_args {
    const float *in;
    uint16_t *out;
    uint64_t n; /* a multiple of 4 */
};

#ifndef __cplusplus
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_to_half_launch(const struct weir_to_half_args *args, const struct weir_gpu_props *props,
                        struct weir_gpu_launch *out);
#endif
