/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kernels/gpu.h for nvcc. Included by it alone; what the words mean is said there. */
#include <cuda_fp16.h>

enum { LANES = 32 };
#define GPU_NV 1

#define GPU_DEVICE static __device__ __forceinline__
#define GPU_CONSTANT static __device__ const
#define GPU__KERNEL(name, args_type, bounds)                                                       \
    GPU_DEVICE void name##_body(const args_type &args);                                            \
    extern "C" __global__ bounds void name(const __grid_constant__ args_type args)                 \
    {                                                                                              \
        gpu_let_next_launch_start();                                                               \
        gpu_wait_for_launch_ahead();                                                               \
        name##_body(args);                                                                         \
    }                                                                                              \
    GPU_DEVICE void name##_body(const args_type &args)
#define GPU_KERNEL(name, args_type) GPU__KERNEL(name, args_type, )
#define GPU_KERNEL_BOUNDS(name, args_type, threads, blocks)                                        \
    GPU__KERNEL(name, args_type, __launch_bounds__(threads, blocks))
#define GPU_KERNEL_EARLY(name, args_type, threads, blocks)                                         \
    extern "C" __global__ __launch_bounds__(threads, blocks) void name(                            \
        const __grid_constant__ args_type args)

extern __shared__ __align__(1024) unsigned char gpu_shared_bytes[];
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
GPU_DEVICE void gpu_syncwarp(void)
{
    __syncwarp();
}
GPU_DEVICE void gpu_syncwave(void)
{
    __syncwarp();
}

/* See gpu_launch.h, `early`. */
GPU_DEVICE void gpu_let_next_launch_start(void)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
GPU_DEVICE void gpu_wait_for_launch_ahead(void)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

template <typename T> GPU_DEVICE T gpu_shfl_xor(T v, int mask)
{
    return __shfl_xor_sync(0xFFFFFFFFu, v, mask);
}
template <typename T> GPU_DEVICE T gpu_shfl_idx(T v, int from)
{
    return __shfl_sync(0xFFFFFFFFu, v, from);
}
GPU_DEVICE uint64_t gpu_ballot(bool p)
{
    return __ballot_sync(0xFFFFFFFFu, p);
}
GPU_DEVICE uint32_t gpu_sub_ballot(bool p)
{
    return __ballot_sync(0xFFFFFFFFu, p);
}

GPU_DEVICE int gpu_dp4a(int a, int b, int c)
{
    return __dp4a(a, b, c);
}
GPU_DEVICE int gpu_popc(uint32_t v)
{
    return __popc(v);
}

GPU_DEVICE float gpu_f16_to_f32(uint16_t h)
{
    return __half2float(__ushort_as_half(h));
}
GPU_DEVICE uint16_t gpu_f32_to_f16(float f)
{
    return __half_as_ushort(__float2half_rn(f));
}
GPU_DEVICE __half2 gpu__half2(uint32_t bits)
{
    __half2 h;
    __builtin_memcpy(&h, &bits, 4);
    return h;
}
GPU_DEVICE uint32_t gpu__bits(__half2 h)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &h, 4);
    return bits;
}
/* (a & mask) | bits in one instruction, which the compiler does not find for two constants. */
GPU_DEVICE uint32_t gpu_and_or(uint32_t a, uint32_t mask, uint32_t bits)
{
    uint32_t r;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(r) : "r"(a), "r"(mask), "r"(bits));
    return r;
}
GPU_DEVICE uint32_t gpu_hadd2(uint32_t a, uint32_t b)
{
    return gpu__bits(__hadd2(gpu__half2(a), gpu__half2(b)));
}
GPU_DEVICE uint32_t gpu_hmul2(uint32_t a, uint32_t b)
{
    return gpu__bits(__hmul2(gpu__half2(a), gpu__half2(b)));
}
GPU_DEVICE uint32_t gpu_hfma2(uint32_t a, uint32_t b, uint32_t c)
{
    return gpu__bits(__hfma2(gpu__half2(a), gpu__half2(b), gpu__half2(c)));
}

GPU_DEVICE float gpu_exp(float x)
{
    return __expf(x);
}
GPU_DEVICE float gpu_fma(float a, float b, float c)
{
    return fmaf(a, b, c);
}
GPU_DEVICE float gpu_max(float a, float b)
{
    return fmaxf(a, b);
}
GPU_DEVICE float gpu_min(float a, float b)
{
    return fminf(a, b);
}

/* Loads: plain; through the read-only path and past L1, for data that is read once. */
template <typename T> GPU_DEVICE T gpu_load(const void *p)
{
    return *static_cast<const T *>(p);
}
template <typename T> GPU_DEVICE T gpu_load_once(const void *p)
{
    static_assert(sizeof(T) == 16 || sizeof(T) == 8 || sizeof(T) == 4, "");
    T v;
    if constexpr (sizeof(T) == 16) {
        uint32_t *r = reinterpret_cast<uint32_t *>(&v);
        asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "l"(p));
    } else if constexpr (sizeof(T) == 8) {
        uint32_t *r = reinterpret_cast<uint32_t *>(&v);
        asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "l"(p));
    } else {
        uint32_t *r = reinterpret_cast<uint32_t *>(&v);
        asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(r[0]) : "l"(p));
    }
    return v;
}
/* Past the caches that other blocks do not share. */
template <typename T> GPU_DEVICE T gpu_load_fresh(const T *p)
{
    return *const_cast<const volatile T *>(p);
}
/* Sixteen bytes of it. */
template <typename T> GPU_DEVICE T gpu_load_fresh16(const void *p)
{
    static_assert(sizeof(T) == 16, "");
    T v;
    uint32_t *r = reinterpret_cast<uint32_t *>(&v);
    asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "l"(p)
                 : "memory");
    return v;
}
template <typename T> GPU_DEVICE void gpu_store(void *p, T v)
{
    *static_cast<T *>(p) = v;
}

GPU_DEVICE uint32_t gpu_shared_address(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
GPU_DEVICE void gpu_cp_async16(void *shared, const void *global)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(gpu_shared_address(shared)),
                 "l"(global)
                 : "memory");
}
GPU_DEVICE void gpu_cp_async16_or_zero(void *shared, const void *global, bool take)
{
    int n = take ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(gpu_shared_address(shared)),
                 "l"(global), "r"(n)
                 : "memory");
}
GPU_DEVICE void gpu_cp_async_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> GPU_DEVICE void gpu_cp_async_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
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
GPU_DEVICE void gpu_mma_16x8x16_f16(float *c, const uint32_t *a, const uint32_t *b)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
GPU_DEVICE void gpu_mma_16x8x32_s8(int *c, const uint32_t *a, const uint32_t *b)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* Four 8x8 matrices of f16: lane l gives the address of row l % 8 of matrix l / 8; register i gets
 * row lane / 4, columns 2 (lane % 4) and the next, of matrix i. */
GPU_DEVICE void gpu_ldmatrix_x4(uint32_t *r, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(gpu_shared_address(row))
                 : "memory");
}
GPU_DEVICE void gpu_ldmatrix_x4_trans(uint32_t *r, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(gpu_shared_address(row))
                 : "memory");
}
GPU_DEVICE float gpu_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
GPU_DEVICE float gpu_wave_other(float v)
{
    return v;
}
GPU_DEVICE float gpu_mul_exact(float a, float b)
{
    return __fmul_rn(a, b);
}
GPU_DEVICE float gpu_add_exact(float a, float b)
{
    return __fadd_rn(a, b);
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
