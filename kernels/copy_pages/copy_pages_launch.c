/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/copy_pages/copy_pages.h"

#include "base/error.h"

enum { THREADS = 256 };

int weir_copy_pages_launch(const struct weir_copy_pages_args *args,
                           const struct weir_gpu_props *props, struct weir_gpu_launch *out)
{
    (void)props;
    if (args->page_bytes % 16 != 0 || args->n_pairs > 65535) {
        return WEIR_E_ARG;
    }
    if (args->n_pairs == 0) {
        return 0;
    }
    *out = (struct weir_gpu_launch){
        .kernel = "weir_copy_pages",
        .grid = {(uint32_t)((args->page_bytes / 16 + THREADS - 1) / THREADS), args->n_pairs, 1},
        .block = THREADS,
        .shared_bytes = 0,
        .args = args,
        .args_bytes = sizeof(*args),
    };
    return 1;
}
