/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Vectors of 16 lanes for the kernels of AVX-512, with VNNI or without (x86_impl.h says what is
 * called on them), and the quantisation of activations. Threads: any; pure functions. */
#include <immintrin.h>

enum {
    ROWS = 16,
    FLOAT_COLS = 6, /* x 4 sums = 24 of 32 registers */
};

#include "backends/cpu/linear/strip.h"

typedef __m512i vi;
typedef __m512 vf;
typedef __mmask16 row_mask;

INLINE vi vi_load(const uint8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

INLINE vi vi_set8(char x)
{
    return _mm512_set1_epi8(x);
}

INLINE vi vi_set16(short x)
{
    return _mm512_set1_epi16(x);
}

INLINE vi vi_set32(int x)
{
    return _mm512_set1_epi32(x);
}

INLINE vi vi_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}

/* a | b & mask */
INLINE vi vi_or_masked(vi a, vi b, vi mask)
{
    return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}

INLINE vi vi_sll16(vi a, unsigned n)
{
    return _mm512_slli_epi16(a, n);
}

INLINE vi vi_srl16(vi a, unsigned n)
{
    return _mm512_srli_epi16(a, n);
}

INLINE vi vi_sra32(vi a, unsigned n)
{
    return _mm512_srai_epi32(a, n);
}

INLINE vi vi_add16(vi a, vi b)
{
    return _mm512_add_epi16(a, b);
}

INLINE vi vi_add32(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}

INLINE vi vi_madd(vi a, vi b)
{
    return _mm512_madd_epi16(a, b);
}

INLINE vi vi_maddubs(vi w, vi q)
{
    return _mm512_maddubs_epi16(w, q);
}

INLINE vi vi_signed_maddubs(vi w, vi q)
{
    vi turned = _mm512_mask_sub_epi8(q, _mm512_movepi8_mask(w), _mm512_setzero_si512(), q);
    return _mm512_maddubs_epi16(_mm512_abs_epi8(w), turned);
}

INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}

INLINE vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}

INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE vf vf_negate(vf a)
{
    return _mm512_xor_ps(a, vf_set(-0.0f));
}

INLINE vf vf_from(vi a)
{
    return _mm512_cvtepi32_ps(a);
}

INLINE vf halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

INLINE vf bf16s(const uint8_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}

INLINE vf bytes_u8(const uint8_t *p)
{
    return vf_from(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
}

INLINE vf bytes_i8(const uint8_t *p)
{
    return vf_from(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}

INLINE row_mask row_mask_of(uint32_t n_rows, uint32_t tile)
{
    uint32_t left = n_rows - tile * ROWS;
    return left >= ROWS ? 0xffff : (__mmask16)((1u << left) - 1);
}

INLINE vf vf_load_rows(const float *p, row_mask rows)
{
    return _mm512_maskz_loadu_ps(rows, p);
}

INLINE void vf_store_rows(float *p, row_mask rows, vf v)
{
    _mm512_mask_storeu_ps(p, rows, v);
}

/* round(x * scale); a NaN gives 0. */
INLINE __m512i round_scaled(__m512 x, float scale)
{
    __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(scale));
    __mmask16 is_number = _mm512_cmp_ps_mask(scaled, scaled, _CMP_ORD_Q);
    return _mm512_maskz_cvtps_epi32(is_number, scaled);
}

static void quantise(const float *x, uint32_t n_blocks, struct weir_cpu_act_block *blocks,
                     uint32_t lane)
{
    const __m512i no_sign = _mm512_set1_epi32(0x7fffffff);
    for (uint32_t b = 0; b < n_blocks; b++, x += WEIR_CPU_BLOCK) {
        __m512 lo = _mm512_loadu_ps(x);
        __m512 hi = _mm512_loadu_ps(x + 16);
        /* The largest bit pattern without its sign: a NaN beats infinity beats the rest. */
        __m512i amax_bits = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(lo), no_sign),
                                             _mm512_and_si512(_mm512_castps_si512(hi), no_sign));
        uint32_t bits = _mm512_reduce_max_epu32(amax_bits);
        float amax;
        memcpy(&amax, &bits, sizeof(amax));
        float d = amax / 127.0f;
        d = d < 0x1p-126f ? 0.0f : d;
        float inverse = d > 0.0f && d <= 0x1.fffffep127f ? 1.0f / d : 0.0f;

        __m512i q_lo = round_scaled(lo, inverse);
        __m512i q_hi = round_scaled(hi, inverse);
        int32_t sum_lo = _mm512_reduce_add_epi32(q_lo);
        int32_t sum_hi = _mm512_reduce_add_epi32(q_hi);
        _mm_storeu_si128((__m128i *)blocks[b].q[lane], _mm512_cvtsepi32_epi8(q_lo));
        _mm_storeu_si128((__m128i *)(blocks[b].q[lane] + 16), _mm512_cvtsepi32_epi8(q_hi));
        blocks[b].d[lane] = d;
        blocks[b].d_sum[lane] = d * (float)(sum_lo + sum_hi);
        blocks[b].bias[lane] = -128 * (sum_lo + sum_hi);
        blocks[b].bias_lo[lane] = -128 * sum_lo;
        blocks[b].bias_hi[lane] = -128 * sum_hi;
    }
}
