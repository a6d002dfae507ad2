/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/to_half/to_half.h"

#include "weir/types.h"

enum { BLOCK = 256, PER_THREAD = 4 };

int weir_to_half_launch(const struct weir_to_half_args *args, const struct weir_gpu_props *props,
                        struct weir_gpu_launch *out)
{
    (void)props;
    const uint64_t per_block = (uint64_t)BLOCK * PER_THREAD;
    const uint64_t n_blocks = (args->n + per_block - 1) / per_block;
    if (args->n % PER_THREAD != 0 || n_blocks > INT32_MAX) {
        return WEIR_E_ARG;
    }
    if (args->n == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){.kernel = "weir_to_half",
                                    .grid = {(uint32_t)n_blocks, 1, 1},
                                    .block = BLOCK,
                                    .args = args,
                                    .args_bytes = sizeof(*args)};
    return 1;
}
