/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kernels/gpu.h for a C++ compiler of the CPU: kernels/emu/ runs the threads as fibers.
 * Built twice, with GPU_EMULATED_LANES 32 (matrix instructions of NVIDIA) and 64 (those of CDNA).
 */
#include <math.h>
#include <string.h>

#include "kernels/emu/emu_thread.h"

enum { LANES = GPU_EMULATED_LANES };
#define GPU_EMULATED 1
#if GPU_EMULATED_LANES == 32
#define GPU_NV 1
#else
#define GPU_CDNA 1
#endif

#define GPU_DEVICE static inline __attribute__((always_inline))
#define GPU_CONSTANT static const
#define GPU_EMULATED_CALL                                                                          \
    static __attribute__((noinline, unused)) /* too long to repeat at each use */
#define GPU_KERNEL(name, args_type)                                                                \
    static void name(const args_type &args);                                                       \
    static void name##_entry(const void *args)                                                     \
    {                                                                                              \
        name(*static_cast<const args_type *>(args));                                               \
    }                                                                                              \
    static const int name##_registered =                                                           \
        weir_emu_register(#name, LANES, name##_entry, sizeof(args_type));                          \
    static void name(const args_type &args)
#define GPU_KERNEL_BOUNDS(name, args_type, threads, blocks) GPU_KERNEL(name, args_type)
#define GPU_KERNEL_EARLY(name, args_type, threads, blocks) GPU_KERNEL(name, args_type)

/* NOLINTNEXTLINE(bugprone-macro-parentheses): a type takes none */
#define GPU_SHARED(type, name) type *name = static_cast<type *>(weir_emu_self->shared)

GPU_DEVICE uint32_t gpu_thread(void)
{
    return weir_emu_self->thread;
}
GPU_DEVICE uint32_t gpu_block_threads(void)
{
    return weir_emu_self->n_threads;
}
GPU_DEVICE uint32_t gpu_block_x(void)
{
    return weir_emu_self->block[0];
}
GPU_DEVICE uint32_t gpu_block_y(void)
{
    return weir_emu_self->block[1];
}
GPU_DEVICE uint32_t gpu_block_z(void)
{
    return weir_emu_self->block[2];
}
GPU_DEVICE uint32_t gpu_grid_x(void)
{
    return weir_emu_self->grid[0];
}
GPU_DEVICE uint32_t gpu_grid_y(void)
{
    return weir_emu_self->grid[1];
}
GPU_DEVICE uint32_t gpu_grid_z(void)
{
    return weir_emu_self->grid[2];
}

GPU_DEVICE void gpu_sync(void)
{
    weir_emu_barrier();
}
GPU_DEVICE void gpu_syncwarp(void)
{
    weir_emu_group_barrier(32);
}
GPU_DEVICE void gpu_syncwave(void)
{
    weir_emu_group_barrier(LANES);
}

/* See gpu_launch.h, `early`. */
GPU_DEVICE void gpu_let_next_launch_start(void)
{
}
GPU_DEVICE void gpu_wait_for_launch_ahead(void)
{
}

template <typename T> GPU_DEVICE T gpu_shfl_idx(T v, int from)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "");
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof(T));
    bits = weir_emu_exchange(bits, (uint32_t)from % 32);
    memcpy(&v, &bits, sizeof(T));
    return v;
}
template <typename T> GPU_DEVICE T gpu_shfl_xor(T v, int mask)
{
    return gpu_shfl_idx(v, (int)(weir_emu_self->thread % 32) ^ mask);
}
GPU_DEVICE uint64_t gpu_ballot(bool p)
{
    return weir_emu_ballot(p, LANES);
}
GPU_DEVICE uint32_t gpu_sub_ballot(bool p)
{
    return (uint32_t)weir_emu_ballot(p, 32);
}

GPU_DEVICE int gpu_dp4a(int a, int b, int c)
{
    for (int i = 0; i < 4; i++) {
        c += (int)(int8_t)((uint32_t)a >> 8 * i) * (int)(int8_t)((uint32_t)b >> 8 * i);
    }
    return c;
}
GPU_DEVICE int gpu_popc(uint32_t v)
{
    return __builtin_popcount(v);
}

/* Scaling by 2^112 moves the exponent and makes subnormals right; infinity and NaN need their own.
 */
GPU_DEVICE float gpu_f16_to_f32(uint16_t h)
{
    uint32_t magnitude = (uint32_t)(h & 0x7FFFu) << 13;
    float f;
    memcpy(&f, &magnitude, 4);
    f *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    bits |= magnitude >= 0x0F800000u ? 0x7F800000u : 0;
    bits |= (uint32_t)(h & 0x8000u) << 16;
    memcpy(&f, &bits, 4);
    return f;
}
GPU_DEVICE uint16_t gpu_f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude >= 0x477FF000u) {
        return (uint16_t)(sign | (magnitude > 0x7F800000u ? 0x7E00u : 0x7C00u));
    }
    if (magnitude < 0x38800000u) {
        /* Adding 0.5 makes the FPU round at the last subnormal bit, 2^-24. */
        float shifted;
        memcpy(&shifted, &magnitude, 4);
        shifted += 0.5f;
        memcpy(&magnitude, &shifted, 4);
        return (uint16_t)(sign | (magnitude - 0x3F000000u));
    }
    return (uint16_t)(sign | (magnitude + 0xFFFu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13);
}
GPU_DEVICE uint32_t gpu__map2(uint32_t low, uint32_t high)
{
    return low | high << 16;
}
GPU_DEVICE uint32_t gpu_and_or(uint32_t a, uint32_t mask, uint32_t bits)
{
    return (a & mask) | bits;
}
GPU_DEVICE uint32_t gpu_hadd2(uint32_t a, uint32_t b)
{
    return gpu__map2(
        gpu_f32_to_f16(gpu_f16_to_f32((uint16_t)a) + gpu_f16_to_f32((uint16_t)b)),
        gpu_f32_to_f16(gpu_f16_to_f32((uint16_t)(a >> 16)) + gpu_f16_to_f32((uint16_t)(b >> 16))));
}
GPU_DEVICE uint32_t gpu_hmul2(uint32_t a, uint32_t b)
{
    return gpu__map2(
        gpu_f32_to_f16(gpu_f16_to_f32((uint16_t)a) * gpu_f16_to_f32((uint16_t)b)),
        gpu_f32_to_f16(gpu_f16_to_f32((uint16_t)(a >> 16)) * gpu_f16_to_f32((uint16_t)(b >> 16))));
}
GPU_DEVICE uint32_t gpu_hfma2(uint32_t a, uint32_t b, uint32_t c)
{
    /* The product of two f16 is exact in f32; the sum rounds once more, which no test can tell. */
    return gpu__map2(
        gpu_f32_to_f16(gpu_f16_to_f32((uint16_t)a) * gpu_f16_to_f32((uint16_t)b) +
                       gpu_f16_to_f32((uint16_t)c)),
        gpu_f32_to_f16(gpu_f16_to_f32((uint16_t)(a >> 16)) * gpu_f16_to_f32((uint16_t)(b >> 16)) +
                       gpu_f16_to_f32((uint16_t)(c >> 16))));
}

GPU_DEVICE float gpu_exp(float x)
{
    return expf(x);
}
GPU_DEVICE float gpu_fma(float a, float b, float c)
{
    return a * b + c;
}
GPU_DEVICE float gpu_max(float a, float b)
{
    return a > b || b != b ? a : b;
}
GPU_DEVICE float gpu_min(float a, float b)
{
    return a < b || b != b ? a : b;
}

/* The alignment that a device asks for is part of the kernels' contract. */
template <typename T> GPU_DEVICE T gpu_load(const void *p)
{
    weir_emu_check_aligned(p, alignof(T));
    T v;
    memcpy(&v, p, sizeof(T));
    return v;
}
template <typename T> GPU_DEVICE T gpu_load_once(const void *p)
{
    return gpu_load<T>(p);
}
/* Past the caches that other blocks do not share. */
template <typename T> GPU_DEVICE T gpu_load_fresh(const T *p)
{
    return *p;
}
template <typename T> GPU_DEVICE T gpu_load_fresh16(const void *p)
{
    return gpu_load<T>(p);
}
template <typename T> GPU_DEVICE void gpu_store(void *p, T v)
{
    weir_emu_check_aligned(p, alignof(T));
    memcpy(p, &v, sizeof(T));
}

GPU_DEVICE void gpu_cp_async16(void *shared, const void *global)
{
    weir_emu_check_aligned(shared, 16);
    weir_emu_check_aligned(global, 16);
    memcpy(shared, global, 16);
}
GPU_DEVICE void gpu_cp_async16_or_zero(void *shared, const void *global, bool take)
{
    weir_emu_check_aligned(shared, 16);
    if (take) {
        weir_emu_check_aligned(global, 16);
        memcpy(shared, global, 16);
    } else {
        memset(shared, 0, 16);
    }
}
GPU_DEVICE void gpu_cp_async_commit(void)
{
}
template <int N> GPU_DEVICE void gpu_cp_async_wait(void)
{
}

GPU_DEVICE float gpu_atomic_add(float *p, float v)
{
    uint32_t old = __atomic_load_n(reinterpret_cast<uint32_t *>(p), __ATOMIC_RELAXED);
    for (;;) {
        float before, after;
        memcpy(&before, &old, 4);
        after = before + v;
        uint32_t bits;
        memcpy(&bits, &after, 4);
        if (__atomic_compare_exchange_n(reinterpret_cast<uint32_t *>(p), &old, bits, true,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return before;
        }
    }
}
GPU_DEVICE uint32_t gpu_atomic_add(uint32_t *p, uint32_t v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
GPU_DEVICE int gpu_atomic_add(int *p, int v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
template <typename T> GPU_DEVICE T gpu__atomic_max(T *p, T v)
{
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (old < v &&
           !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
    return old;
}
GPU_DEVICE uint32_t gpu_atomic_max(uint32_t *p, uint32_t v)
{
    return gpu__atomic_max(p, v);
}
GPU_DEVICE uint64_t gpu_atomic_max(uint64_t *p, uint64_t v)
{
    return gpu__atomic_max(p, v);
}
GPU_DEVICE void gpu_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Matrix instructions by the lane layouts of the PTX ISA (mma.m16n8k16, mma.m16n8k32, ldmatrix) and
 * of the CDNA ISA documents: every lane publishes its fragments as numbers of the whole matrix,
 * then sums up what it owns of the result. */
#if GPU_EMULATED_LANES == 32
GPU_EMULATED_CALL void gpu_mma_16x8x16_f16(float *c, const uint32_t *a, const uint32_t *b)
{
    struct weir_emu_tile *tile = weir_emu_tile(32);
    uint32_t lane = weir_emu_self->thread % 32, g = lane / 4, t = lane % 4;
    for (uint32_t r = 0; r < 4; r++) {
        for (uint32_t h = 0; h < 2; h++) {
            tile->a[g + r % 2 * 8][2 * t + r / 2 * 8 + h] =
                gpu_f16_to_f32((uint16_t)(a[r] >> 16 * h));
        }
    }
    for (uint32_t r = 0; r < 2; r++) {
        for (uint32_t h = 0; h < 2; h++) {
            tile->b[g][2 * t + r * 8 + h] = gpu_f16_to_f32((uint16_t)(b[r] >> 16 * h));
        }
    }
    weir_emu_group_barrier(32);
    for (uint32_t i = 0; i < 4; i++) {
        c[i] = weir_emu_dot(c[i], tile->a[g + i / 2 * 8], tile->b[2 * t + i % 2], 16);
    }
}
GPU_EMULATED_CALL void gpu_mma_16x8x32_s8(int *c, const uint32_t *a, const uint32_t *b)
{
    struct weir_emu_tile *tile = weir_emu_tile(32);
    uint32_t lane = weir_emu_self->thread % 32, g = lane / 4, t = lane % 4;
    for (uint32_t r = 0; r < 4; r++) {
        for (uint32_t h = 0; h < 4; h++) {
            tile->ai[g + r % 2 * 8][4 * t + r / 2 * 16 + h] = (int8_t)(a[r] >> 8 * h);
        }
    }
    for (uint32_t r = 0; r < 2; r++) {
        for (uint32_t h = 0; h < 4; h++) {
            tile->bi[g][4 * t + r * 16 + h] = (int8_t)(b[r] >> 8 * h);
        }
    }
    weir_emu_group_barrier(32);
    for (uint32_t i = 0; i < 4; i++) {
        c[i] = weir_emu_dot_int(c[i], tile->ai[g + i / 2 * 8], tile->bi[2 * t + i % 2], 32);
    }
}
GPU_EMULATED_CALL void gpu_ldmatrix_x4(uint32_t *r, const void *row)
{
    weir_emu_check_aligned(row, 16);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t lane = weir_emu_self->thread % 32;
        const char *from = reinterpret_cast<const char *>(
            weir_emu_exchange((uint64_t)(uintptr_t)row, i * 8 + lane / 4));
        memcpy(&r[i], from + lane % 4 * 4, 4);
    }
    weir_emu_group_barrier(32); /* nobody writes before all have read */
}
GPU_EMULATED_CALL void gpu_ldmatrix_x4_trans(uint32_t *r, const void *row)
{
    weir_emu_check_aligned(row, 16);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t lane = weir_emu_self->thread % 32;
        r[i] = 0;
        for (uint32_t h = 0; h < 2; h++) {
            const char *from = reinterpret_cast<const char *>(
                weir_emu_exchange((uint64_t)(uintptr_t)row, i * 8 + 2 * (lane % 4) + h));
            uint16_t v;
            memcpy(&v, from + lane / 4 * 2, 2);
            r[i] |= (uint32_t)v << 16 * h;
        }
    }
    weir_emu_group_barrier(32);
}
#else
GPU_EMULATED_CALL void gpu_mfma_16x16x16_f16(float *c, const uint32_t *a, const uint32_t *b)
{
    struct weir_emu_tile *tile = weir_emu_tile(64);
    uint32_t lane = weir_emu_self->thread % 64, row = lane % 16, group = lane / 16;
    for (uint32_t j = 0; j < 4; j++) {
        tile->a[row][group * 4 + j] = gpu_f16_to_f32((uint16_t)(a[j / 2] >> 16 * (j % 2)));
        tile->b[row][group * 4 + j] = gpu_f16_to_f32((uint16_t)(b[j / 2] >> 16 * (j % 2)));
    }
    weir_emu_group_barrier(64);
    for (uint32_t r = 0; r < 4; r++) {
        c[r] = weir_emu_dot(c[r], tile->a[group * 4 + r], tile->b[row], 16);
    }
}
GPU_EMULATED_CALL void gpu_mfma_16x16x32_s8(int *c, const uint32_t *a, const uint32_t *b)
{
    struct weir_emu_tile *tile = weir_emu_tile(64);
    uint32_t lane = weir_emu_self->thread % 64, row = lane % 16, group = lane / 16;
    for (uint32_t j = 0; j < 8; j++) {
        tile->ai[row][group * 8 + j] = (int8_t)(a[j / 4] >> 8 * (j % 4));
        tile->bi[row][group * 8 + j] = (int8_t)(b[j / 4] >> 8 * (j % 4));
    }
    weir_emu_group_barrier(64);
    for (uint32_t r = 0; r < 4; r++) {
        c[r] = weir_emu_dot_int(c[r], tile->ai[group * 4 + r], tile->bi[row], 32);
    }
}
#endif
GPU_DEVICE float gpu_exp2(float x)
{
    return exp2f(x);
}
GPU_DEVICE float gpu_wave_other(float v)
{
#if GPU_EMULATED_LANES == 64
    struct weir_emu_tile *tile = weir_emu_tile(64);
    const uint32_t lane = weir_emu_self->thread % 64;
    tile->a[lane / 16][lane % 16] = v;
    weir_emu_group_barrier(64);
    v = tile->a[(lane ^ 32) / 16][lane % 16];
#endif
    return v;
}
GPU_DEVICE float gpu_mul_exact(float a, float b)
{
    return a * b;
}
GPU_DEVICE float gpu_add_exact(float a, float b)
{
    return a + b;
}
GPU_DEVICE uint64_t gpu_atomic_add(uint64_t *p, uint64_t v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
GPU_DEVICE uint32_t gpu_atomic_exchange(uint32_t *p, uint32_t v)
{
    return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL);
}
GPU_DEVICE double gpu_log_double(double v)
{
    return log(v);
}
