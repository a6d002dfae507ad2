/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/glu/glu.h"

#include "base/error.h"

enum { THREADS = 256 };

int weir_glu_launch(const struct weir_glu_args *args, const struct weir_gpu_props *props,
                    struct weir_gpu_launch *out)
{
    (void)props;
    if (args->n_ff == 0 || args->n_ff % 4 != 0 || args->activation == WEIR_GLU_NONE) {
        return WEIR_E_ARG;
    }
    if (args->n_tokens == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_glu",
        .grid = {(uint32_t)(((uint64_t)args->n_tokens * args->n_ff / 4 + THREADS - 1) / THREADS), 1,
                 1},
        .block = THREADS,
        .shared_bytes = 0,
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
