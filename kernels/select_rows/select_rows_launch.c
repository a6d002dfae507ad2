/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/select_rows/select_rows.h"

#include "base/error.h"

enum { THREADS = 256 };

int weir_select_rows_launch(const struct weir_select_rows_args *args,
                            const struct weir_gpu_props *props, struct weir_gpu_launch *out)
{
    (void)props;
    if (args->width == 0 || args->width % 4 != 0) {
        return WEIR_E_ARG;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_select_rows",
        .grid = {(uint32_t)(((uint64_t)args->n_rows * args->width / 4 + THREADS - 1) / THREADS), 1,
                 1},
        .block = THREADS,
        .shared_bytes = 0,
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
