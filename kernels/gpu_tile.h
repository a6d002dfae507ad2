/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Matrix products of a whole wave, 16 x 16 x 16 in f16 with f32 sums, the same on tensor cores
 * (two mma.m16n8k16) and CDNA (one mfma 16x16x16).
 *
 *     c[row][col] += sum over k of a[row][k] * b[col][k]
 *
 * Every lane of the wave calls every function, also those that only load. Where a kernel needs to
 * know which numbers a lane holds: gpu_frag_row(i), gpu_frag_col(i) for register i of a sum. */
#include "kernels/gpu.h"

#if defined(GPU_NV)
enum { GPU_FRAG_WORDS = 4, GPU_FRAG_SUMS = 8 };
#else
enum { GPU_FRAG_WORDS = 2, GPU_FRAG_SUMS = 4 };
#endif

struct gpu_frag { /* an operand: 16 rows (or columns) x 16 k, f16 */
    uint32_t r[GPU_FRAG_WORDS];
};

struct gpu_frag_c {
    float v[GPU_FRAG_SUMS];
};

GPU_DEVICE void gpu_frag_zero(struct gpu_frag_c &c)
{
    GPU_UNROLL
    for (int i = 0; i < GPU_FRAG_SUMS; i++) {
        c.v[i] = 0.0f;
    }
}

#if defined(GPU_NV)

GPU_DEVICE uint32_t gpu_frag_row(uint32_t i)
{
    return gpu_lane() / 4 + i / 2 % 2 * 8;
}
GPU_DEVICE uint32_t gpu_frag_col(uint32_t i)
{
    return gpu_lane() % 4 * 2 + i % 2 + i / 4 * 8;
}

GPU_DEVICE void gpu_frag_mma(struct gpu_frag_c &c, const struct gpu_frag &a,
                             const struct gpu_frag &b)
{
    gpu_mma_16x8x16_f16(c.v, a.r, b.r);
    gpu_mma_16x8x16_f16(c.v + 4, a.r, b.r + 2);
}

/* a[row][k] at shared[row * stride + k]; 16-byte aligned rows of f16 in shared memory. */
GPU_DEVICE void gpu_frag_load_a(struct gpu_frag &a, const uint16_t *shared, uint32_t stride)
{
    gpu_ldmatrix_x4(a.r, shared + gpu_lane() % 16 * stride + gpu_lane() / 16 * 8);
}
/* b[col][k] at shared[col * stride + k]. */
GPU_DEVICE void gpu_frag_load_b(struct gpu_frag &b, const uint16_t *shared, uint32_t stride)
{
    uint32_t lane = gpu_lane();
    gpu_ldmatrix_x4(b.r, shared + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
}
/* b[col][k] at shared[k * stride + col]. */
GPU_DEVICE void gpu_frag_load_b_trans(struct gpu_frag &b, const uint16_t *shared, uint32_t stride)
{
    gpu_ldmatrix_x4_trans(b.r, shared + gpu_lane() % 16 * stride + gpu_lane() / 16 * 8);
}

#else

GPU_DEVICE uint32_t gpu_frag_row(uint32_t i)
{
    return gpu_lane() / 16 * 4 + i;
}
GPU_DEVICE uint32_t gpu_frag_col(uint32_t i)
{
    (void)i;
    return gpu_lane() % 16;
}

GPU_DEVICE void gpu_frag_mma(struct gpu_frag_c &c, const struct gpu_frag &a,
                             const struct gpu_frag &b)
{
    gpu_mfma_16x16x16_f16(c.v, a.r, b.r);
}

GPU_DEVICE void gpu_frag_load_a(struct gpu_frag &a, const uint16_t *shared, uint32_t stride)
{
    gpu_u2 v = gpu_load<gpu_u2>(shared + gpu_lane() % 16 * stride + gpu_lane() / 16 * 4);
    a.r[0] = v.x;
    a.r[1] = v.y;
}
GPU_DEVICE void gpu_frag_load_b(struct gpu_frag &b, const uint16_t *shared, uint32_t stride)
{
    gpu_frag_load_a(b, shared, stride);
}
GPU_DEVICE void gpu_frag_load_b_trans(struct gpu_frag &b, const uint16_t *shared, uint32_t stride)
{
    const uint16_t *from = shared + gpu_lane() / 16 * 4 * stride + gpu_lane() % 16;
    b.r[0] = (uint32_t)from[0] | (uint32_t)from[stride] << 16;
    b.r[1] = (uint32_t)from[2 * stride] | (uint32_t)from[3 * stride] << 16;
}

#endif
