/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/layer_norm/layer_norm.h"

#include "kernels/gpu.h"

GPU_KERNEL(weir_layer_norm, struct weir_layer_norm_args)
{
    GPU_SHARED(float, scratch);
    const uint32_t n = args.width;
    const size_t first = (size_t)gpu_block_x() * n;
    const float *in = args.in + first;
    const float *delta = args.delta ? args.delta + first : nullptr;
    float sum = 0.0f;
    for (uint32_t i = gpu_thread(); i < n; i += gpu_block_threads()) {
        sum += in[i] + (delta ? delta[i] : 0.0f);
    }
    const float mean = gpu_block_sum(sum, scratch) / (float)n;
    sum = 0.0f;
    for (uint32_t i = gpu_thread(); i < n; i += gpu_block_threads()) {
        const float c = in[i] + (delta ? delta[i] : 0.0f) - mean;
        sum += c * c;
    }
    const float scale = gpu_rsqrt(gpu_block_sum(sum, scratch) / (float)n + args.eps);
    for (uint32_t i = gpu_thread(); i < n; i += gpu_block_threads()) {
        const float c = in[i] + (delta ? delta[i] : 0.0f) - mean;
        args.out[first + i] = c * scale * args.weight[i] + (args.bias ? args.bias[i] : 0.0f);
    }
}
