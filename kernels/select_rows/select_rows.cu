/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/select_rows/select_rows.h"

#include "kernels/gpu.h"

GPU_KERNEL(weir_select_rows, struct weir_select_rows_args)
{
    const uint32_t n_vectors = args.width / 4;
    const uint64_t i = (uint64_t)gpu_block_x() * gpu_block_threads() + gpu_thread();
    if (i >= (uint64_t)args.n_rows * n_vectors) {
        return;
    }
    const int32_t row = args.rows[i / n_vectors];
    struct gpu_f4 v = {0.0f, 0.0f, 0.0f, 0.0f};
    if (row >= 0) {
        v = gpu_load<struct gpu_f4>(args.in + (size_t)row * args.width + i % n_vectors * 4);
    }
    gpu_store(args.out + i * 4, v);
}
