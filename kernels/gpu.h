/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The words that device code is written in: one spelling for nvcc, for clang as HIP compiler and
 * for the emulator, which runs the same source on the CPU.
 *
 * Why: CUDA and HIP differ in wave width, masks, half types and matrix instructions. A kernel that
 * uses only what is below is the same file on all of them; no kernel includes a vendor's header.
 *
 * Kernels: `GPU_KERNEL(name, struct weir_<op>_args) { ... args.x ... }`. The struct comes by value
 * and is called `args`. GPU_KERNEL_BOUNDS adds the block size and the blocks per multiprocessor
 * that registers are allotted for. Before their first line a launch with `early` (gpu_launch.h)
 * waits for the one ahead of it; GPU_KERNEL_EARLY leaves gpu_let_next_launch_start() and
 * gpu_wait_for_launch_ahead() to the kernel. Blocks are one-dimensional, multiples of LANES, at
 * most 1024. Functions: GPU_DEVICE before each, also before member functions of structs (which are
 * static then); this keeps the emulator's two wave widths apart in one program.
 *
 * Indices: gpu_thread(), gpu_lane() (0..LANES-1), gpu_wave() (which wave of the block),
 * gpu_sub_lane() (0..31), gpu_sub() (which group of 32 threads of the block); gpu_block_x/y/z(),
 * gpu_grid_x/y/z(), gpu_block_threads().
 * LANES is 32 or 64, a constant. Shuffles and reductions work in sub-groups of 32 threads on both:
 * every thread of the sub-group has to call them, the other half of a 64-wide wave need not.
 *
 * Shared memory: GPU_SHARED(type, name) names the block's dynamic shared memory, 1024-byte aligned.
 * It holds garbage at the start (the emulator fills it with NaNs).
 * Barriers: gpu_sync() for the block: every thread, the same number of times. gpu_syncwarp() for
 * the sub-group, gpu_syncwave() for the wave: between writing and reading shared memory inside one.
 *
 * Exact: gpu_mul_exact() and gpu_add_exact() round once each and are never fused, for results that
 * have to be the host's to the bit. gpu_exp2() is the device's fast one. gpu_wave_other(v) is the v
 * of the same lane in the wave's other half (LANES 64) or v itself.
 *
 * Numbers: f16 and bf16 are their bits in uint16_t, pairs are uint32_t with the lower index in the
 * lower half. Blocks of a grid run in any order and maybe one after the other: none may wait for
 * another. */
#include <stddef.h>
#include <stdint.h>

#if defined(__HIPCC__) || defined(__HIP__)
#include "kernels/target/hip.h"
#elif defined(__CUDACC__)
#include "kernels/target/cuda.h"
#else
#include "kernels/target/emulator.h"
#endif

/* What follows is the same everywhere. */

/* On a device an array is in registers only where its loops are unrolled; the emulator has no use
 * for that, and long compile times from it. */
#if defined(GPU_EMULATED)
#define GPU_UNROLL
#define GPU_UNROLL_4
#define GPU_UNROLL_8
#define GPU_UNROLL_1
#else
#define GPU_UNROLL _Pragma("unroll")
#define GPU_UNROLL_4 _Pragma("unroll 4")
#define GPU_UNROLL_8 _Pragma("unroll 8")
#define GPU_UNROLL_1 _Pragma("unroll 1")
#endif

GPU_DEVICE float gpu_exp_exact(float x)
{
    return expf(x);
}
GPU_DEVICE float gpu_log(float x)
{
    return logf(x);
}
GPU_DEVICE float gpu_tanh(float x)
{
    return tanhf(x);
}
GPU_DEVICE float gpu_sqrt(float x)
{
    return sqrtf(x);
}
GPU_DEVICE float gpu_rsqrt(float x)
{
    return 1.0f / sqrtf(x);
}
GPU_DEVICE float gpu_sin(float x)
{
    return sinf(x);
}
GPU_DEVICE float gpu_cos(float x)
{
    return cosf(x);
}
GPU_DEVICE float gpu_pow(float x, float y)
{
    return powf(x, y);
}
GPU_DEVICE float gpu_round(float x)
{
    return rintf(x);
}
GPU_DEVICE float gpu_floor(float x)
{
    return floorf(x);
}
GPU_DEVICE float gpu_abs(float x)
{
    return fabsf(x);
}

GPU_DEVICE uint32_t gpu_lane(void)
{
    return gpu_thread() % LANES;
}

GPU_DEVICE uint32_t gpu_wave(void)
{
    return gpu_thread() / LANES;
}

GPU_DEVICE uint32_t gpu_sub_lane(void)
{
    return gpu_thread() % 32;
}

GPU_DEVICE uint32_t gpu_sub(void)
{
    return gpu_thread() / 32;
}

/* Sixteen and eight bytes that are loaded and stored at once. */
struct alignas(16) gpu_u4 {
    uint32_t x, y, z, w;
};

struct alignas(8) gpu_u2 {
    uint32_t x, y;
};

struct alignas(16) gpu_f4 {
    float x, y, z, w;
};

/* Past the caches that blocks do not share: what other blocks wrote before a gpu_fence(). */
GPU_DEVICE gpu_f4 gpu_load_shared_level(const float *p)
{
#if defined(__CUDACC__)
    gpu_f4 v;
    asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "l"(p));
    return v;
#else
    return {gpu_load_fresh(p), gpu_load_fresh(p + 1), gpu_load_fresh(p + 2), gpu_load_fresh(p + 3)};
#endif
}

GPU_DEVICE uint32_t gpu_f32_bits(float f)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &f, sizeof(bits));
    return bits;
}

GPU_DEVICE float gpu_f32_from_bits(uint32_t bits)
{
    float f;
    __builtin_memcpy(&f, &bits, sizeof(f));
    return f;
}

GPU_DEVICE float gpu_bf16_to_f32(uint16_t h)
{
    return gpu_f32_from_bits((uint32_t)h << 16);
}

/* To nearest even; NaN stays NaN. */
GPU_DEVICE uint16_t gpu_f32_to_bf16(float f)
{
    uint32_t bits = gpu_f32_bits(f);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

GPU_DEVICE uint32_t gpu_pack_f16(float low, float high)
{
    return (uint32_t)gpu_f32_to_f16(low) | (uint32_t)gpu_f32_to_f16(high) << 16;
}

GPU_DEVICE float gpu_f16_low(uint32_t pair)
{
    return gpu_f16_to_f32((uint16_t)(pair & 0xFFFFu));
}

GPU_DEVICE float gpu_f16_high(uint32_t pair)
{
    return gpu_f16_to_f32((uint16_t)(pair >> 16));
}

/* Over the 32 threads of the sub-group; all of them get the result, in the same order of sums on
 * every device. */
GPU_DEVICE float gpu_sub_sum(float v)
{
    for (int m = 16; m > 0; m /= 2) {
        v += gpu_shfl_xor(v, m);
    }
    return v;
}

GPU_DEVICE float gpu_sub_max(float v)
{
    for (int m = 16; m > 0; m /= 2) {
        float other = gpu_shfl_xor(v, m);
        v = other > v ? other : v;
    }
    return v;
}

/* Over the block; all threads get the result. `scratch` is [32] floats of shared memory that nobody
 * else uses until the next gpu_sync(). Two barriers. */
GPU_DEVICE float gpu_block_sum(float v, float *scratch)
{
    v = gpu_sub_sum(v);
    if (gpu_sub_lane() == 0) {
        scratch[gpu_sub()] = v;
    }
    gpu_sync();
    float sum = gpu_sub_lane() < gpu_block_threads() / 32 ? scratch[gpu_sub_lane()] : 0.0f;
    sum = gpu_sub_sum(sum);
    gpu_sync();
    return sum;
}

GPU_DEVICE float gpu_block_max(float v, float *scratch)
{
    v = gpu_sub_max(v);
    if (gpu_sub_lane() == 0) {
        scratch[gpu_sub()] = v;
    }
    gpu_sync();
    float max = scratch[gpu_sub_lane() < gpu_block_threads() / 32 ? gpu_sub_lane() : 0];
    max = gpu_sub_max(max);
    gpu_sync();
    return max;
}
