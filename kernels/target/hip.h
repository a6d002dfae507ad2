/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kernels/gpu.h for clang as HIP compiler (CDNA, waves of 64). Included by it alone; what the words
 * mean is said there. */
#include <hip/hip_runtime.h>

enum { LANES = 64 };
#define GPU_CDNA 1

#define GPU_DEVICE static __device__ __attribute__((always_inline)) inline
#define GPU_CONSTANT static __device__ const
#define GPU_KERNEL(name, args_type)                                                                \
    extern "C" __global__ __launch_bounds__(1024) void name(const args_type args)
#define GPU_KERNEL_BOUNDS(name, args_type, threads, blocks)                                        \
    extern "C" __global__ __launch_bounds__(threads) void name(const args_type args)

#define GPU_KERNEL_EARLY(name, args_type, threads, blocks)                                         \
    GPU_KERNEL_BOUNDS(name, args_type, threads, blocks)

extern __shared__ __attribute__((aligned(1024))) unsigned char gpu_shared_bytes[];
#define GPU_SHARED(type, name) type *name = reinterpret_cast<type *>(gpu_shared_bytes)

GPU_DEVICE uint32_t gpu_thread(void)
{
    return threadIdx.x;
}
GPU_DEVICE uint32_t gpu_block_threads(void)
{
    return blockDim.x;
}
GPU_DEVICE uint32_t gpu_block_x(void)
{
    return blockIdx.x;
}
GPU_DEVICE uint32_t gpu_block_y(void)
{
    return blockIdx.y;
}
GPU_DEVICE uint32_t gpu_block_z(void)
{
    return blockIdx.z;
}
GPU_DEVICE uint32_t gpu_grid_x(void)
{
    return gridDim.x;
}
GPU_DEVICE uint32_t gpu_grid_y(void)
{
    return gridDim.y;
}
GPU_DEVICE uint32_t gpu_grid_z(void)
{
    return gridDim.z;
}

GPU_DEVICE void gpu_sync(void)
{
    __syncthreads();
}
/* A wave runs in step: only the compiler and the LDS queue have to keep the order. */
GPU_DEVICE void gpu_syncwarp(void)
{
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
    __builtin_amdgcn_wave_barrier();
}
GPU_DEVICE void gpu_syncwave(void)
{
    gpu_syncwarp();
}

/* See gpu_launch.h, `early`. */
GPU_DEVICE void gpu_let_next_launch_start(void)
{
}
GPU_DEVICE void gpu_wait_for_launch_ahead(void)
{
}

template <typename T> GPU_DEVICE T gpu_shfl_xor(T v, int mask)
{
    return __shfl_xor(v, mask, 32);
}
template <typename T> GPU_DEVICE T gpu_shfl_idx(T v, int from)
{
    return __shfl(v, from, 32);
}
GPU_DEVICE uint64_t gpu_ballot(bool p)
{
    return __ballot(p);
}
GPU_DEVICE uint32_t gpu_sub_ballot(bool p)
{
    return static_cast<uint32_t>(__ballot(p) >> (threadIdx.x & 32u));
}

GPU_DEVICE int gpu_dp4a(int a, int b, int c)
{
    return __builtin_amdgcn_sdot4(a, b, c, false);
}
GPU_DEVICE int gpu_popc(uint32_t v)
{
    return __builtin_popcount(v);
}

typedef _Float16 gpu__half2 __attribute__((ext_vector_type(2)));
typedef _Float16 gpu__half4 __attribute__((ext_vector_type(4)));
typedef float gpu__float4 __attribute__((ext_vector_type(4)));
typedef int gpu__int4 __attribute__((ext_vector_type(4)));

template <typename To, typename From> GPU_DEVICE To gpu__as(From v)
{
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    __builtin_memcpy(&to, &v, sizeof(to));
    return to;
}
GPU_DEVICE float gpu_f16_to_f32(uint16_t h)
{
    return static_cast<float>(gpu__as<_Float16>(h));
}
GPU_DEVICE uint16_t gpu_f32_to_f16(float f)
{
    return gpu__as<uint16_t>(static_cast<_Float16>(f));
}
GPU_DEVICE uint32_t gpu_and_or(uint32_t a, uint32_t mask, uint32_t bits)
{
    return (a & mask) | bits;
}
GPU_DEVICE uint32_t gpu_hadd2(uint32_t a, uint32_t b)
{
    return gpu__as<uint32_t>(gpu__as<gpu__half2>(a) + gpu__as<gpu__half2>(b));
}
GPU_DEVICE uint32_t gpu_hmul2(uint32_t a, uint32_t b)
{
    return gpu__as<uint32_t>(gpu__as<gpu__half2>(a) * gpu__as<gpu__half2>(b));
}
GPU_DEVICE uint32_t gpu_hfma2(uint32_t a, uint32_t b, uint32_t c)
{
    /* Contracted to one rounding. */
    return gpu__as<uint32_t>(gpu__as<gpu__half2>(a) * gpu__as<gpu__half2>(b) +
                             gpu__as<gpu__half2>(c));
}

GPU_DEVICE float gpu_exp(float x)
{
    return __expf(x);
}
GPU_DEVICE float gpu_fma(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
GPU_DEVICE float gpu_max(float a, float b)
{
    return fmaxf(a, b);
}
GPU_DEVICE float gpu_min(float a, float b)
{
    return fminf(a, b);
}

template <typename T> GPU_DEVICE T gpu_load(const void *p)
{
    return *static_cast<const T *>(p);
}
template <typename T> GPU_DEVICE T gpu_load_once(const void *p)
{
    return *static_cast<const T *>(p);
}
/* Past the caches that other blocks do not share. */
template <typename T> GPU_DEVICE T gpu_load_fresh(const T *p)
{
    return __builtin_nontemporal_load(p);
}
/* Sixteen bytes of it. */
template <typename T> GPU_DEVICE T gpu_load_fresh16(const void *p)
{
    static_assert(sizeof(T) == 16, "");
    uint32_t r[4];
    for (int i = 0; i < 4; i++) {
        r[i] = __builtin_nontemporal_load(static_cast<const uint32_t *>(p) + i);
    }
    T v;
    __builtin_memcpy(&v, r, sizeof(v));
    return v;
}
template <typename T> GPU_DEVICE void gpu_store(void *p, T v)
{
    *static_cast<T *>(p) = v;
}

/* There is no asynchronous copy: the load is plain and the compiler overlaps what it can. */
struct alignas(16) gpu__16_bytes {
    uint32_t v[4];
};
GPU_DEVICE void gpu_cp_async16(void *shared, const void *global)
{
    *static_cast<gpu__16_bytes *>(shared) = *static_cast<const gpu__16_bytes *>(global);
}
GPU_DEVICE void gpu_cp_async16_or_zero(void *shared, const void *global, bool take)
{
    gpu__16_bytes v = {{0, 0, 0, 0}};
    if (take) {
        v = *static_cast<const gpu__16_bytes *>(global);
    }
    *static_cast<gpu__16_bytes *>(shared) = v;
}
GPU_DEVICE void gpu_cp_async_commit(void)
{
}
template <int N> GPU_DEVICE void gpu_cp_async_wait(void)
{
}

GPU_DEVICE float gpu_atomic_add(float *p, float v)
{
    return atomicAdd(p, v);
}
GPU_DEVICE uint32_t gpu_atomic_add(uint32_t *p, uint32_t v)
{
    return atomicAdd(p, v);
}
GPU_DEVICE int gpu_atomic_add(int *p, int v)
{
    return atomicAdd(p, v);
}
GPU_DEVICE uint32_t gpu_atomic_max(uint32_t *p, uint32_t v)
{
    return atomicMax(p, v);
}
GPU_DEVICE uint64_t gpu_atomic_max(uint64_t *p, uint64_t v)
{
    return atomicMax(reinterpret_cast<unsigned long long *>(p), static_cast<unsigned long long>(v));
}
GPU_DEVICE void gpu_fence(void)
{
    __threadfence();
}

/* Raw matrix instructions; kernels/gpu_tile.h gives them one shape. */
GPU_DEVICE void gpu_mfma_16x16x16_f16(float *c, const uint32_t *a, const uint32_t *b)
{
    gpu__float4 acc = {c[0], c[1], c[2], c[3]};
    acc = __builtin_amdgcn_mfma_f32_16x16x16f16(
        gpu__as<gpu__half4>(static_cast<uint64_t>(a[1]) << 32 | a[0]),
        gpu__as<gpu__half4>(static_cast<uint64_t>(b[1]) << 32 | b[0]), acc, 0, 0, 0);
    c[0] = acc.x, c[1] = acc.y, c[2] = acc.z, c[3] = acc.w;
}
/* Each lane holds eight neighbours of k. gfx90a has only half of that in one instruction; its two
 * see another set of k each, the same for a and b. */
GPU_DEVICE void gpu_mfma_16x16x32_s8(int *c, const uint32_t *a, const uint32_t *b)
{
    gpu__int4 acc = {c[0], c[1], c[2], c[3]};
#if defined(__gfx942__)
    acc = __builtin_amdgcn_mfma_i32_16x16x32_i8(
        static_cast<long>(static_cast<uint64_t>(a[1]) << 32 | a[0]),
        static_cast<long>(static_cast<uint64_t>(b[1]) << 32 | b[0]), acc, 0, 0, 0);
#elif defined(__gfx90a__)
    acc = __builtin_amdgcn_mfma_i32_16x16x16i8(static_cast<int>(a[0]), static_cast<int>(b[0]), acc,
                                               0, 0, 0);
    acc = __builtin_amdgcn_mfma_i32_16x16x16i8(static_cast<int>(a[1]), static_cast<int>(b[1]), acc,
                                               0, 0, 0);
#endif
    c[0] = acc.x, c[1] = acc.y, c[2] = acc.z, c[3] = acc.w;
}
GPU_DEVICE float gpu_exp2(float x)
{
    return exp2f(x);
}
GPU_DEVICE float gpu_wave_other(float v)
{
    return __shfl_xor(v, 32, 64);
}
GPU_DEVICE float gpu_mul_exact(float a, float b)
{
#pragma clang fp contract(off)
    return a * b;
}
GPU_DEVICE float gpu_add_exact(float a, float b)
{
#pragma clang fp contract(off)
    return a + b;
}
GPU_DEVICE uint64_t gpu_atomic_add(uint64_t *p, uint64_t v)
{
    return atomicAdd(reinterpret_cast<unsigned long long *>(p), static_cast<unsigned long long>(v));
}
GPU_DEVICE uint32_t gpu_atomic_exchange(uint32_t *p, uint32_t v)
{
    return atomicExch(p, v);
}
GPU_DEVICE double gpu_log_double(double v)
{
    return log(v);
}
