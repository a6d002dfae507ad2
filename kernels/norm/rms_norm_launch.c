/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/norm/rms_norm.h"

#include "weir/types.h"

enum { MAX_N = 32768 };

int weir_rms_norm_launch(const struct weir_rms_norm_args *args, const struct weir_gpu_props *props,
                         struct weir_gpu_launch *out)
{
    (void)props;
    if (args->n == 0 || args->n % 4 != 0 || args->n > MAX_N) {
        return WEIR_E_ARG;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    uint32_t block = 64;
    while (block < 1024 && block * 4 < args->n) {
        block *= 2;
    }
    *out = (struct weir_gpu_launch){.kernel = "weir_rms_norm",
                                    .grid = {args->n_rows, 1, 1},
                                    .block = block,
                                    .shared_bytes = 32 * sizeof(float),
                                    .args = args,
                                    .args_bytes = sizeof(*args)};
    return 1;
}
