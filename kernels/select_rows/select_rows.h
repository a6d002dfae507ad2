/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* out[i] = in[rows[i]]: the rows whose logits are wanted, behind each other. `out` is another
 * buffer: rows move in any order. A negative number gives zeros: padding of a graph's batch.
 * Mapping: one thread per 4 numbers. Bound: bytes. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

struct weir_select_rows_args {
    const float *in; /* [..][width] */
    float *out;      /* [n_rows][width] */
    const int32_t *rows;
    uint32_t n_rows, width; /* width % 4 == 0 */
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_select_rows_launch(const struct weir_select_rows_args *args,
                            const struct weir_gpu_props *props, struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
