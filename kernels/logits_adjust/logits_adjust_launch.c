/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/logits_adjust/logits_adjust.h"

#include "base/error.h"

enum { THREADS = 512 };

int weir_logits_adjust_launch(const struct weir_adjust_args *args,
                              const struct weir_gpu_props *props, struct weir_gpu_launch *out)
{
    (void)props;
    if (args->n_vocab == 0) {
        return WEIR_E_ARG;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_logits_adjust",
        .grid = {args->n_rows, 1, 1},
        .block = THREADS,
        .shared_bytes = 0,
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
