/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One vector from the rows of a text: their mean, the first or the last, then optionally divided by
 * its length (L2; a vector of zeros stays).
 *
 * Mapping: one block of 256 per text. Shared memory: 128 bytes. Bound: bytes.
 * Tolerance: relative L2 1e-6. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

enum weir_pool_mode { WEIR_POOL_MEAN, WEIR_POOL_FIRST, WEIR_POOL_LAST };

struct weir_pool_text {
    uint32_t first_row, n_rows; /* n_rows > 0 */
};

struct weir_pool_args {
    const float *in; /* [rows][width] */
    float *out;      /* [n_texts][width] */
    const struct weir_pool_text *texts;
    uint32_t n_texts, width;
    uint32_t mode; /* enum weir_pool_mode */
    uint32_t is_normalised;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_pool_launch(const struct weir_pool_args *args, const struct weir_gpu_props *props,
                     struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
