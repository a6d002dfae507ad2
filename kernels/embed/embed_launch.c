/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/embed/embed.h"

#include "base/error.h"

enum { THREADS = 256 };

int weir_embed_launch(const struct weir_embed_args *args, const struct weir_gpu_props *props,
                      struct weir_gpu_launch *out)
{
    (void)props;
    if (args->n_embd == 0 || args->row_bytes == 0 || args->n_tokens > 65535) {
        return WEIR_E_ARG;
    }
    if (args->n_tokens == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_embed",
        .grid = {(args->n_embd + THREADS - 1) / THREADS, args->n_tokens, 1},
        .block = THREADS,
        .shared_bytes = 0,
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
