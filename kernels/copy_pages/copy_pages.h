/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Copies whole KV pages within the pool: for a fork that writes to a shared page. No page is both
 * source and target. Mapping: blocks of 256 threads, 16 bytes each at a time. Bound: bytes. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

struct weir_copy_pages_pair {
    uint32_t from, to;
};

struct weir_copy_pages_args {
    uint8_t *pool;
    const struct weir_copy_pages_pair *pairs;
    uint64_t page_bytes; /* a multiple of 16 */
    uint32_t n_pairs;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_copy_pages_launch(const struct weir_copy_pages_args *args,
                           const struct weir_gpu_props *props, struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
