/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pool/pool.h"

#include "base/error.h"

enum { THREADS = 256 };

int weir_pool_launch(const struct weir_pool_args *args, const struct weir_gpu_props *props,
                     struct weir_gpu_launch *out)
{
    (void)props;
    if (args->width == 0 || args->mode > WEIR_POOL_LAST) {
        return WEIR_E_ARG;
    }
    if (args->n_texts == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_pool",
        .grid = {args->n_texts, 1, 1},
        .block = THREADS,
        .shared_bytes = 32 * sizeof(float),
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
