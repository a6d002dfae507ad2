/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/layer_norm/layer_norm.h"

#include "base/error.h"

enum { THREADS = 256 };

int weir_layer_norm_launch(const struct weir_layer_norm_args *args,
                           const struct weir_gpu_props *props, struct weir_gpu_launch *out)
{
    (void)props;
    if (args->width == 0) {
        return WEIR_E_ARG;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_layer_norm",
        .grid = {args->n_rows, 1, 1},
        .block = THREADS,
        .shared_bytes = 32 * sizeof(float),
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
