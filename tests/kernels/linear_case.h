/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random cases of the linear op, for every weight type, against the f64 product of the dequantised
 * weights and the f16 input. Shared by the emulator's tests and gpu_check.
 * Failures of allocation end the process. */
#include "kernels/linear/linear.h"
#include "tests/kernels/device.h"

struct weir_linear_case {
    uint32_t types[WEIR_LINEAR_MAX_W]; /* weir_tensor_type */
    uint32_t n_rows[WEIR_LINEAR_MAX_W];
    uint32_t n_w, n_cols, n_tokens;
    int add, glu, has_bias, f16_out;
    uint64_t seed;
};

/* A tensor of random bytes in GGUF's blocks, whose scales are of a sane size. */
void *weir_test_tensor(uint32_t type, uint64_t n_rows, uint64_t n_cols, uint64_t seed,
                       size_t *ret_bytes);
/* The matrix on the device. */
struct weir_gpu_matrix weir_test_matrix(struct weir_test_device *device, uint32_t type,
                                        const void *tensor, uint32_t n_rows, uint32_t n_cols);
/* NMSE of the device's result. */
double weir_test_linear(struct weir_test_device *device, const struct weir_linear_case *c);
