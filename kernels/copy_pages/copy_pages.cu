/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/copy_pages/copy_pages.h"

#include "kernels/gpu.h"

GPU_KERNEL(weir_copy_pages, struct weir_copy_pages_args)
{
    const struct weir_copy_pages_pair pair = args.pairs[gpu_block_y()];
    const uint8_t *from = args.pool + pair.from * args.page_bytes;
    uint8_t *to = args.pool + pair.to * args.page_bytes;
    const uint64_t step = (uint64_t)gpu_grid_x() * gpu_block_threads() * 16;
    uint64_t at = ((uint64_t)gpu_block_x() * gpu_block_threads() + gpu_thread()) * 16;
    for (; at < args.page_bytes; at += step) {
        gpu_store(to + at, gpu_load_once<struct gpu_u4>(from + at));
    }
}
