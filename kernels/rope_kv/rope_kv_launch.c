/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rope_kv/rope_kv.h"

#include "base/error.h"

enum { THREADS = 128 };

int weir_rope_kv_launch(const struct weir_rope_kv_args *args, const struct weir_gpu_props *props,
                        struct weir_gpu_launch *out)
{
    (void)props;
    if (args->kv.head_dim % 16 != 0 || args->n_rot % 2 != 0 || args->n_rot > args->kv.head_dim ||
        args->kv.n_head_kv == 0) {
        return WEIR_E_ARG;
    }
    if (args->n_tokens == 0) {
        return 0;
    }
    /* Each 32 threads take a head. */
    const uint64_t n_heads = (uint64_t)args->n_tokens * (args->n_head + 2 * args->kv.n_head_kv);
    *out = (struct weir_gpu_launch){
        .kernel = "weir_rope_kv",
        .grid = {(uint32_t)((n_heads + THREADS / 32 - 1) / (THREADS / 32)), 1, 1},
        .block = THREADS,
        .shared_bytes = 0,
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
