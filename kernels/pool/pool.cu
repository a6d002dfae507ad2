/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pool/pool.h"

#include "kernels/gpu.h"

GPU_KERNEL(weir_pool, struct weir_pool_args)
{
    GPU_SHARED(float, scratch);
    const struct weir_pool_text text = args.texts[gpu_block_x()];
    const size_t width = args.width;
    const float *in = args.in + text.first_row * width;
    float *out = args.out + gpu_block_x() * width;
    const uint32_t begin = args.mode == WEIR_POOL_LAST ? text.n_rows - 1 : 0;
    const uint32_t end = args.mode == WEIR_POOL_FIRST ? 1 : text.n_rows;
    float squares = 0.0f;
    for (uint32_t i = gpu_thread(); i < args.width; i += gpu_block_threads()) {
        float sum = 0.0f;
        for (uint32_t row = begin; row < end; row++) {
            sum += in[row * width + i];
        }
        sum /= (float)(end - begin);
        out[i] = sum;
        squares += sum * sum;
    }
    squares = gpu_block_sum(squares, scratch);
    if (!args.is_normalised || !(squares > 0.0f)) {
        return;
    }
    const float scale = gpu_rsqrt(squares);
    for (uint32_t i = gpu_thread(); i < args.width; i += gpu_block_threads()) {
        out[i] *= scale;
    }
}
