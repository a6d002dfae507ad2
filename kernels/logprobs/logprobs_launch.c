/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/logprobs/logprobs.h"

#include "base/error.h"
#include "kernels/sample/sample.h"

enum { THREADS = 1024 };

int weir_logprobs_launch(const struct weir_logprobs_args *args, const struct weir_gpu_props *props,
                         struct weir_gpu_launch *out)
{
    (void)props;
    if (args->n_vocab == 0 || args->n_vocab > 1u << 20) {
        return WEIR_E_ARG;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_logprobs",
        .grid = {args->n_rows, 1, 1},
        .block = THREADS,
        .shared_bytes = WEIR_SELECT_SHARED_BYTES,
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
