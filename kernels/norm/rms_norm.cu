/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gpu.h"
#include "kernels/norm/rms_norm.h"

/* 1 / sqrt(mean of squares + eps) of a row, the same in all threads. */
GPU_DEVICE float row_scale(const float *row, uint32_t n, float eps, float *scratch)
{
    float sum = 0.0f;
    for (uint32_t i = gpu_thread() * 4; i < n; i += gpu_block_threads() * 4) {
        gpu_f4 v = gpu_load<gpu_f4>(row + i);
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    return gpu_rsqrt(gpu_block_sum(sum, scratch) / (float)n + eps);
}

GPU_DEVICE gpu_f4 scaled(gpu_f4 v, float scale, gpu_f4 weight)
{
    return {v.x * scale * weight.x, v.y * scale * weight.y, v.z * scale * weight.z,
            v.w * scale * weight.w};
}

GPU_KERNEL(weir_rms_norm, struct weir_rms_norm_args)
{
    GPU_SHARED(float, scratch);
    uint32_t n = args.n;
    size_t at = (size_t)gpu_block_x() * n;
    float *x = args.x + at;
    uint32_t step = gpu_block_threads() * 4;
    if (args.delta != nullptr) {
        const float *delta = args.delta + at;
        float scale = args.post != nullptr ? row_scale(delta, n, args.eps, scratch) : 1.0f;
        /* Each thread reads again only what it wrote itself. */
        for (uint32_t i = gpu_thread() * 4; i < n; i += step) {
            gpu_f4 d = gpu_load<gpu_f4>(delta + i);
            if (args.post != nullptr) {
                d = scaled(d, scale, gpu_load<gpu_f4>(args.post + i));
            }
            gpu_f4 v = gpu_load<gpu_f4>(x + i);
            gpu_store(x + i, gpu_f4{v.x + d.x, v.y + d.y, v.z + d.z, v.w + d.w});
        }
    }
    float scale = row_scale(x, n, args.eps, scratch);
    for (uint32_t i = gpu_thread() * 4; i < n; i += step) {
        gpu_f4 y = scaled(gpu_load<gpu_f4>(x + i), scale, gpu_load<gpu_f4>(args.weight + i));
        if (args.y_f32 != nullptr) {
            gpu_store(args.y_f32 + at + i, y);
        }
        if (args.y_f16 != nullptr) {
            gpu_store(args.y_f16 + at + i, gpu_u2{gpu_pack_f16(y.x, y.y), gpu_pack_f16(y.z, y.w)});
        }
    }
}
