/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Device side of matrix_layout.h: from the bytes of a record to operands of matrix instructions.
 *
 * A weight is mul (v - ZERO) or mul v + off, v being the stored number. Stored numbers become f16
 * by putting them below the exponent of 1024, which is exact and costs one instruction for two of
 * them. Two ways to go on:
 * - product first: c = sum v x and s = sum x by matrix instructions, then acc += mul c + off s in
 * f32. Exact but for the f16 of x; costs some f32 instructions per block and column, so it is for
 * few columns.
 * - weight first: mul v + off in f16, then acc += w x. For many columns. */
#include "kernels/gpu.h"
#include "kernels/linear/matrix_layout.h"

#if defined(GPU_NV)
enum { FRAG_UNITS = 2, FRAG_COLS = 8, FRAG_ROWS = 2, A_WORDS = 4 };
#else
enum { FRAG_UNITS = 1, FRAG_COLS = 16, FRAG_ROWS = 4, A_WORDS = 2 };
#endif

template <int KIND> struct matrix_kind;
#define KIND_TRAITS(kind, k, quants, high, scales)                                                 \
    template <> struct matrix_kind<WEIR_MATRIX_##kind> {                                           \
        enum {                                                                                     \
            K = (k),                                                                               \
            BLOCKS = (k) / 32,                                                                     \
            QUANTS = (quants),                                                                     \
            HIGH = (high),                                                                         \
            HIGH_BITS = (high) / 512,                                                              \
            BYTES = (quants) + (high) + (scales),                                                  \
            WORDS = (quants)*8 / (k) / 16 / 4 /* per unit: 1, 2, 4 */                              \
        };                                                                                         \
    };
WEIR_MATRIX_KINDS(KIND_TRAITS)
#undef KIND_TRAITS

/* Which k group a lane holds, and for sums which column and rows. */
GPU_DEVICE uint32_t frag_t(void)
{
#if defined(GPU_NV)
    return gpu_lane() % 4;
#else
    return gpu_lane() / 16;
#endif
}
/* The column whose x a lane supplies. */
GPU_DEVICE uint32_t frag_x_col(void)
{
#if defined(GPU_NV)
    return gpu_lane() / 4;
#else
    return gpu_lane() % 16;
#endif
}
/* Row and column of sum i < 4. Sum i uses the scales of row number sum_row(i) < FRAG_ROWS. */
GPU_DEVICE constexpr int sum_row(int i)
{
#if defined(GPU_NV)
    return i / 2;
#else
    return i;
#endif
}
GPU_DEVICE uint32_t frag_row(int r)
{
#if defined(GPU_NV)
    return gpu_lane() / 4 + (uint32_t)r * 8;
#else
    return gpu_lane() / 16 * 4 + (uint32_t)r;
#endif
}
GPU_DEVICE uint32_t frag_col(int i)
{
#if defined(GPU_NV)
    return gpu_lane() % 4 * 2 + (uint32_t)i % 2;
#else
    (void)i;
    return gpu_lane() % 16;
#endif
}
/* The row of the numbers of unit u, for weight first. */
GPU_DEVICE uint32_t unit_row(int u)
{
#if defined(GPU_NV)
    return gpu_lane() / 4 + (uint32_t)u * 8;
#else
    (void)u;
    return gpu_lane() % 16;
#endif
}

/* c += a b for 16 columns: pairs p and q of every unit. */
GPU_DEVICE void frag_mma_of(float *c, const uint32_t pairs[FRAG_UNITS][4], int p, int q,
                            const uint32_t *x)
{
#if defined(GPU_NV)
    uint32_t a[4] = {pairs[0][p], pairs[1][p], pairs[0][q], pairs[1][q]};
    gpu_mma_16x8x16_f16(c, a, x);
#else
    uint32_t a[2] = {pairs[0][p], pairs[0][q]};
    gpu_mfma_16x16x16_f16(c, a, x);
#endif
}

/* c += a b for half a block (16 columns): pairs 2 h and 2 h + 1 of every unit. */
GPU_DEVICE void frag_mma(float *c, const uint32_t pairs[FRAG_UNITS][4], int h, const uint32_t *x)
{
#if defined(GPU_NV)
    uint32_t a[4] = {pairs[0][2 * h], pairs[1][2 * h], pairs[0][2 * h + 1], pairs[1][2 * h + 1]};
    gpu_mma_16x8x16_f16(c, a, x);
#else
    gpu_mfma_16x16x16_f16(c, &pairs[0][2 * h], x);
#endif
}

/* x of FRAG_COLS columns for both halves of a block, from shared memory: [column][stride], f16. */
GPU_DEVICE void load_x_block(uint32_t b[4], const uint16_t *x, uint32_t stride)
{
#if defined(GPU_NV)
    gpu_ldmatrix_x4(b, x + gpu_lane() % 8 * stride + gpu_lane() / 8 * 8);
#else
    GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        b[i] = gpu_load<uint32_t>(x + frag_x_col() * stride + (uint32_t)i * 8 + frag_t() * 2);
    }
#endif
}

/* A thread's words of one block, of all its units. */
template <int KIND> struct block_words {
    uint32_t w[FRAG_UNITS * matrix_kind<KIND>::WORDS];
};

/* j: the block in the record, a constant after unrolling. Reads 16 bytes where the block has them,
 * else the part of its chunk; neighbours' loads of one chunk become one. */
template <int KIND>
GPU_DEVICE void read_words(block_words<KIND> &words, const unsigned char *record, int j)
{
    constexpr int N = FRAG_UNITS * matrix_kind<KIND>::WORDS;
    if constexpr (N >= 4) {
        GPU_UNROLL
        for (int c = 0; c < N / 4; c++) {
            gpu_u4 v =
                gpu_load<gpu_u4>(record + ((uint32_t)(j * (N / 4) + c) * LANES + gpu_lane()) * 16);
            words.w[4 * c] = v.x, words.w[4 * c + 1] = v.y;
            words.w[4 * c + 2] = v.z, words.w[4 * c + 3] = v.w;
        }
    } else {
        const unsigned char *at =
            record + ((uint32_t)(j * N / 4) * LANES + gpu_lane()) * 16 + (uint32_t)(j * N % 4) * 4;
        if constexpr (N == 2) {
            gpu_u2 v = gpu_load<gpu_u2>(at);
            words.w[0] = v.x, words.w[1] = v.y;
        } else {
            words.w[0] = gpu_load<uint32_t>(at);
        }
    }
}

/* A thread's high bits of the whole record. */
template <int KIND> struct high_words {
    enum { N = matrix_kind<KIND>::HIGH > 0 ? matrix_kind<KIND>::HIGH / 4 / LANES : 1 };
    uint32_t w[N];
};

template <int KIND> GPU_DEVICE void read_high(high_words<KIND> &high, const unsigned char *record)
{
    if constexpr (matrix_kind<KIND>::HIGH > 0) {
        constexpr int N = high_words<KIND>::N;
        const unsigned char *part = record + matrix_kind<KIND>::QUANTS;
        if constexpr (N == 2) {
            gpu_u2 v = gpu_load<gpu_u2>(part + gpu_lane() * 8);
            high.w[0] = v.x, high.w[1] = v.y;
        } else {
            GPU_UNROLL
            for (int c = 0; c < N / 4; c++) {
                gpu_u4 v = gpu_load<gpu_u4>(part + ((uint32_t)c * LANES + gpu_lane()) * 16);
                high.w[4 * c] = v.x, high.w[4 * c + 1] = v.y;
                high.w[4 * c + 2] = v.z, high.w[4 * c + 3] = v.w;
            }
        }
    }
}

/* f16 pairs of block j: 1024 + v, or for F16 the numbers themselves. */
template <int KIND>
GPU_DEVICE void expand(uint32_t pairs[FRAG_UNITS][4], const block_words<KIND> &words,
                       const high_words<KIND> &high, int j)
{
    constexpr int WORDS = matrix_kind<KIND>::WORDS, HIGH_BITS = matrix_kind<KIND>::HIGH_BITS;
    GPU_UNROLL
    for (int u = 0; u < FRAG_UNITS; u++) {
        GPU_UNROLL
        for (int p = 0; p < 4; p++) {
            if constexpr (WORDS == 4) {
                pairs[u][p] = words.w[4 * u + p];
            } else if constexpr (WORDS == 2) {
                uint32_t w = words.w[2 * u + p / 2] >> p % 2 * 8;
                pairs[u][p] = gpu_and_or(w, 0x00FF00FFu, 0x64006400u);
            } else {
                uint32_t v = gpu_and_or(words.w[u] >> 4 * p, 0x000F000Fu, 0x64006400u);
                if constexpr (HIGH_BITS > 0) {
                    constexpr int PER_WORD =
                        HIGH_BITS > 0 ? 16 / (HIGH_BITS > 0 ? HIGH_BITS : 1) : 1;
                    constexpr uint32_t MASK = HIGH_BITS == 1 ? 0x00100010u : 0x00300030u;
                    int number = 4 * (j * FRAG_UNITS + u) + p;
                    int bit = number % PER_WORD * HIGH_BITS;
                    uint32_t h = high.w[number / PER_WORD];
                    v = gpu_and_or(bit >= 4 ? h >> (bit - 4) : h << (4 - bit), MASK, v);
                }
                pairs[u][p] = v;
            }
        }
    }
}

/* The same where the sums of two halves of a block are kept apart: the nibbles of odd pairs stay
 * where they are and count sixteenfold, 1024 + 16 v, which saves the shifts. Half h is pairs
 * half_pair(h, 0) and half_pair(h, 1); Q6_K has scales for the halves of its blocks. */
template <int KIND> struct halves {
    enum {
        SPREAD = matrix_kind<KIND>::WORDS == 1 && KIND != WEIR_MATRIX_Q6_K,
        TIMES = SPREAD ? 16 : 1
    };
};
template <int KIND> GPU_DEVICE constexpr int half_pair(int h, int i)
{
    return halves<KIND>::SPREAD ? h + 2 * i : 2 * h + i;
}
template <int KIND>
GPU_DEVICE void expand_halves(uint32_t pairs[FRAG_UNITS][4], const block_words<KIND> &words,
                              const high_words<KIND> &high, int j)
{
    if constexpr (!halves<KIND>::SPREAD) {
        expand<KIND>(pairs, words, high, j);
    } else {
        GPU_UNROLL
        for (int u = 0; u < FRAG_UNITS; u++) {
            GPU_UNROLL
            for (int p = 0; p < 4; p++) {
                uint32_t at = p % 2 * 4;
                uint32_t v = gpu_and_or(words.w[u] >> p / 2 * 8, 0x000F000Fu << at, 0x64006400u);
                if constexpr (matrix_kind<KIND>::HIGH_BITS == 1) {
                    uint32_t number = 4 * (uint32_t)(j * FRAG_UNITS + u) + (uint32_t)p;
                    uint32_t bit = number % 16, to = 4 + at, h = high.w[number / 16];
                    v = gpu_and_or(bit >= to ? h >> (bit - to) : h << (to - bit), 0x00010001u << to,
                                   v);
                }
                pairs[u][p] = v;
            }
        }
    }
}

/* Types whose numbers lie around a centre have no offset: v - ZERO is exact in f16. */
template <int KIND> struct centre {
    enum {
        ZERO = KIND == WEIR_MATRIX_Q4_0   ? 8
               : KIND == WEIR_MATRIX_Q5_0 ? 16
               : KIND == WEIR_MATRIX_Q8_0 ? 128
               : KIND == WEIR_MATRIX_Q6_K ? 32
                                          : 0
    };
};

/* A row's scales of one record, as far as they are worth keeping in registers. */
template <int KIND> struct row_scales {
    uint32_t w[8];
    float d;
};

template <int KIND>
GPU_DEVICE void read_scales(row_scales<KIND> &s, const unsigned char *record, uint32_t row)
{
    const unsigned char *part = record + matrix_kind<KIND>::QUANTS + matrix_kind<KIND>::HIGH;
    if constexpr (KIND == WEIR_MATRIX_Q8_0) {
        gpu_u2 v = gpu_load<gpu_u2>(part + row * 8);
        s.w[0] = v.x, s.w[1] = v.y;
    } else if constexpr (KIND != WEIR_MATRIX_F16) {
        constexpr int N = KIND == WEIR_MATRIX_Q4_1 || KIND == WEIR_MATRIX_Q5_1 ? 2 : 1;
        GPU_UNROLL
        for (int c = 0; c < N; c++) {
            gpu_u4 v = gpu_load<gpu_u4>(part + row * 16 * N + c * 16);
            s.w[4 * c] = v.x, s.w[4 * c + 1] = v.y, s.w[4 * c + 2] = v.z, s.w[4 * c + 3] = v.w;
        }
        if constexpr (KIND == WEIR_MATRIX_Q6_K) {
            s.d = gpu_f16_to_f32(gpu_load<uint16_t>(part + 256 + row * 2));
        }
        if constexpr (KIND == WEIR_MATRIX_Q4_K || KIND == WEIR_MATRIX_Q5_K) {
            s.w[0] ^= 0x80000000u; /* d, -dmin */
            s.w[4] = (s.w[1] >> 12 & 0x000F000Fu) | (s.w[2] >> 8 & 0x00F000F0u) |
                     (s.w[3] >> 4 & 0x0F000F00u);
        }
    }
}

/* Types without a centre: w = mul v + off, f16 mul in the lower half. */
template <int KIND> GPU_DEVICE uint32_t get_line(const row_scales<KIND> &s, int j)
{
    if constexpr (KIND == WEIR_MATRIX_Q4_K || KIND == WEIR_MATRIX_Q5_K) {
        uint32_t field = (s.w[1 + j / 2] >> j % 2 * 6 & 0x003F003Fu) | 0x64006400u;
        return gpu_hmul2(gpu_hadd2(field, 0xE400E400u), s.w[0]);
    } else {
        return s.w[j];
    }
}

/* Types with one: w = mul (v - ZERO), the same for half h of block j. */
template <int KIND> GPU_DEVICE float get_factor(const row_scales<KIND> &s, int j, int h)
{
    if constexpr (KIND == WEIR_MATRIX_Q6_K) {
        int b = 2 * j + h;
        return s.d * (float)(int8_t)(s.w[b / 4] >> b % 4 * 8);
    } else {
        (void)h;
        return gpu_f16_to_f32((uint16_t)(s.w[j / 2] >> j % 2 * 16));
    }
}

/* w = mul (v - ZERO) + off of one row and block, straight from the record; half h of Q6_K's. */
template <int KIND>
GPU_DEVICE void load_line(float *mul, float *off, const unsigned char *record, uint32_t row,
                          uint32_t block, int h)
{
    const unsigned char *part = record + matrix_kind<KIND>::QUANTS + matrix_kind<KIND>::HIGH;
    constexpr uint32_t BLOCKS = matrix_kind<KIND>::BLOCKS;
    *off = 0.0f;
    if constexpr (KIND == WEIR_MATRIX_Q4_1 || KIND == WEIR_MATRIX_Q5_1) {
        uint32_t line = gpu_load<uint32_t>(part + (row * BLOCKS + block) * 4);
        *mul = gpu_f16_low(line);
        *off = gpu_f16_high(line);
    } else if constexpr (KIND == WEIR_MATRIX_Q4_K || KIND == WEIR_MATRIX_Q5_K) {
        gpu_u4 v = gpu_load<gpu_u4>(part + row * 16);
        uint32_t last =
            (v.y >> 12 & 0x000F000Fu) | (v.z >> 8 & 0x00F000F0u) | (v.w >> 4 & 0x0F000F00u);
        uint32_t i = block / 2, fields = i < 2 ? (i == 0 ? v.y : v.z) : (i == 2 ? v.w : last);
        uint32_t field = (fields >> block % 2 * 6 & 0x003F003Fu) | 0x64006400u;
        uint32_t numbers = gpu_hadd2(field, 0xE400E400u);
        *mul = gpu_f16_low(v.x) * gpu_f16_low(numbers);
        *off = -gpu_f16_high(v.x) * gpu_f16_high(numbers);
    } else if constexpr (KIND == WEIR_MATRIX_Q6_K) {
        float d = gpu_f16_to_f32(gpu_load<uint16_t>(part + 256 + row * 2));
        *mul = d * (float)gpu_load<int8_t>(part + row * 16 + block * 2 + (uint32_t)h);
    } else {
        *mul = gpu_f16_to_f32(gpu_load<uint16_t>(part + (row * BLOCKS + block) * 2));
    }
}

/* Pair p as expand_halves() leaves it to v - ZERO, exactly. */
template <int KIND> GPU_DEVICE uint32_t shift_to_centre(uint32_t pair, int p)
{
    constexpr uint32_t ZERO = centre<KIND>::ZERO;
    if (halves<KIND>::SPREAD && p % 2 == 1) { /* 1024 + 16 v: times 1/16, -(64 + ZERO) */
        constexpr uint32_t LESS = 0xD400u + ZERO * 16;
        return gpu_hfma2(pair, 0x2C002C00u, LESS << 16 | LESS);
    }
    constexpr uint32_t LESS = 0xE400u + ZERO; /* -(1024 + ZERO) */
    return gpu_hadd2(pair, LESS << 16 | LESS);
}

/* What expand_halves() left of half h of block j to weights, in f16. scales: of the units' rows. */
template <int KIND>
GPU_DEVICE void weigh(uint32_t pairs[FRAG_UNITS][4], const row_scales<KIND> *scales, int j, int h)
{
    if constexpr (centre<KIND>::ZERO != 0) {
        GPU_UNROLL
        for (int u = 0; u < FRAG_UNITS; u++) {
            float factor = get_factor<KIND>(scales[u], j, h);
            uint32_t mul = gpu_pack_f16(factor, factor);
            GPU_UNROLL
            for (int p = 2 * h; p < 2 * h + 2; p++) {
                pairs[u][p] = gpu_hmul2(shift_to_centre<KIND>(pairs[u][p], p), mul);
            }
        }
    } else if constexpr (KIND != WEIR_MATRIX_F16) {
        GPU_UNROLL
        for (int u = 0; u < FRAG_UNITS; u++) {
            uint32_t line = get_line<KIND>(scales[u], j);
            uint32_t mul = (line & 0xFFFFu) | line << 16, off = line >> 16 | (line & 0xFFFF0000u);
            GPU_UNROLL
            for (int p = 2 * h; p < 2 * h + 2; p++) {
                pairs[u][p] = gpu_hfma2(shift_to_centre<KIND>(pairs[u][p], p), mul, off);
            }
        }
    }
}

/* Asks for a record; every lane of the wave. */
template <int KIND> GPU_DEVICE void start_record(unsigned char *stage, const unsigned char *record)
{
    constexpr uint32_t BYTES = matrix_kind<KIND>::BYTES;
    stage += gpu_lane() * 16;
    record += gpu_lane() * 16;
    GPU_UNROLL
    for (uint32_t at = 0; at < BYTES; at += LANES * 16) {
        if (at + LANES * 16 <= BYTES || gpu_lane() < (BYTES - at) / 16) {
            gpu_cp_async16(stage + at, record + at);
        }
    }
}
