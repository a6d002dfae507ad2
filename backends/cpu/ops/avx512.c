/* SPDX-License-Identifier: Apache-2.0 */
/* 16 lanes; needs AVX-512 F, BW, VL and DQ. */
#include <immintrin.h>
#include <stdint.h>

#define LANES 16
#define ATTEND_ROWS 12 /* x 2 key vectors = 24 of 32 registers */
#define ATTEND_KEYS 2
#define VALUE_ROWS 6 /* x 4 value vectors = 24 registers */
#define VALUE_VECS 4

typedef __m512 vf;

static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

static inline vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf vf_load_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

static inline vf vf_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}

static inline void vf_store_half(uint16_t *p, vf v)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* a * 2^n for whole n in [-126, 127] */
static inline vf vf_ldexp(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}

/* x < bound ? 0 : a; a NaN in x keeps a */
static inline vf vf_zero_below(vf a, vf x, vf bound)
{
    return _mm512_mask_mov_ps(a, _mm512_cmp_ps_mask(x, bound, _CMP_LT_OQ), _mm512_setzero_ps());
}

/* a where the lane's number is in [begin, end), `other` elsewhere */
static inline vf vf_keep_lanes(vf a, int begin, int end, vf other)
{
    uint32_t mask = (begin >= 16 ? 0u : 0xffffu << begin) & (end >= 16 ? 0xffffu : (1u << end) - 1);
    return _mm512_mask_mov_ps(other, (__mmask16)mask, a);
}

/* Fixed order: halves are added until one lane is left. */
static inline float vf_sum(vf v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float vf_largest(vf v)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

static inline uint16_t half_from(float x)
{
    return (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
}

#define OPS_TABLE weir__cpu_ops_avx512
#define OPS_NAME "avx512"
#include "backends/cpu/ops/ops_impl.h"
