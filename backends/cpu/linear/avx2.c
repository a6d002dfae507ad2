/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 kernels on tiles of 8 rows. A strip is one tile x 4 tokens, or 4 tiles x 1 token: 16
 * registers hold no more. */
#include <immintrin.h>

#include "backends/cpu/linear/isa_tables.h"

#define ISA_TABLE weir_cpu_isa_avx2
#define ISA_NAME "avx2"
#define ISA_Q8_FLIP 0

enum {
    ROWS = 8,
    FLOAT_COLS = 3,  /* x 4 sums = 12 of 16 registers */
    TILES = 1,       /* of a strip */
    TILES_ALONE = 4, /* of a strip of one token: more streams fill more of the bandwidth */
};

#include "backends/cpu/linear/strip.h"

typedef __m256i vi;
typedef __m256 vf;
typedef __m256i row_mask;

INLINE vi vi_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const void *)p);
}

INLINE vi vi_set8(char x)
{
    return _mm256_set1_epi8(x);
}

INLINE vi vi_set16(short x)
{
    return _mm256_set1_epi16(x);
}

INLINE vi vi_set32(int x)
{
    return _mm256_set1_epi32(x);
}

INLINE vi vi_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}

/* a | b & mask */
INLINE vi vi_or_masked(vi a, vi b, vi mask)
{
    return _mm256_or_si256(a, _mm256_and_si256(b, mask));
}

INLINE vi vi_sll16(vi a, int n)
{
    return _mm256_slli_epi16(a, n);
}

INLINE vi vi_srl16(vi a, int n)
{
    return _mm256_srli_epi16(a, n);
}

INLINE vi vi_sra32(vi a, int n)
{
    return _mm256_srai_epi32(a, n);
}

INLINE vi vi_add16(vi a, vi b)
{
    return _mm256_add_epi16(a, b);
}

INLINE vi vi_add32(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}

INLINE vi vi_madd(vi a, vi b)
{
    return _mm256_madd_epi16(a, b);
}

INLINE vi vi_maddubs(vi w, vi q)
{
    return _mm256_maddubs_epi16(w, q);
}

INLINE vi vi_signed_maddubs(vi w, vi q)
{
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
}

INLINE vf vf_zero(void)
{
    return _mm256_setzero_ps();
}

INLINE vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}

INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

INLINE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}

INLINE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vf vf_negate(vf a)
{
    return _mm256_xor_ps(a, vf_set(-0.0f));
}

INLINE vf vf_from(vi a)
{
    return _mm256_cvtepi32_ps(a);
}

INLINE vf halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}

INLINE vf bf16s(const uint8_t *p)
{
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
}

INLINE vf bytes_u8(const uint8_t *p)
{
    return vf_from(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)));
}

INLINE vf bytes_i8(const uint8_t *p)
{
    return vf_from(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}

INLINE row_mask row_mask_of(uint32_t n_rows, uint32_t tile)
{
    uint32_t left = n_rows - tile * ROWS;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left >= ROWS ? ROWS : (int)left),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vf vf_load_rows(const float *p, row_mask rows)
{
    return _mm256_maskload_ps(p, rows);
}

INLINE void vf_store_rows(float *p, row_mask rows, vf v)
{
    _mm256_maskstore_ps(p, rows, v);
}

INLINE uint32_t max_lane_u32(__m256i v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

INLINE int32_t sum_lanes(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

/* round(x * scale); a NaN gives 0. */
INLINE __m256i round_scaled(__m256 x, float scale)
{
    __m256 scaled = _mm256_mul_ps(x, _mm256_set1_ps(scale));
    __m256 is_number = _mm256_cmp_ps(scaled, scaled, _CMP_ORD_Q);
    return _mm256_cvtps_epi32(_mm256_and_ps(scaled, is_number));
}

static void quantise(const float *x, uint32_t n_blocks, struct weir_cpu_act_block *blocks,
                     uint32_t lane)
{
    const __m256i no_sign = _mm256_set1_epi32(0x7fffffff);
    /* Undoes the order that packing within 128-bit lanes leaves. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (uint32_t b = 0; b < n_blocks; b++, x += WEIR_CPU_BLOCK) {
        __m256 v[4];
        /* The largest bit pattern without its sign: a NaN beats infinity beats the rest. */
        __m256i amax_bits = _mm256_setzero_si256();
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + (size_t)8 * i);
            amax_bits =
                _mm256_max_epu32(amax_bits, _mm256_and_si256(_mm256_castps_si256(v[i]), no_sign));
        }
        uint32_t bits = max_lane_u32(amax_bits);
        float amax;
        memcpy(&amax, &bits, sizeof(amax));
        float d = amax / 127.0f;
        /* Below the normal range 1 / d overflows; such a block is zero. */
        d = d < 0x1p-126f ? 0.0f : d;
        float inverse = d > 0.0f && d <= 0x1.fffffep127f ? 1.0f / d : 0.0f;

        __m256i q[4];
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) {
            q[i] = round_scaled(v[i], inverse);
        }
        int32_t sum_lo = sum_lanes(_mm256_add_epi32(q[0], q[1]));
        int32_t sum_hi = sum_lanes(_mm256_add_epi32(q[2], q[3]));
        __m256i bytes =
            _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        _mm256_storeu_si256((__m256i *)blocks[b].q[lane],
                            _mm256_permutevar8x32_epi32(bytes, order));
        blocks[b].d[lane] = d;
        blocks[b].d_sum[lane] = d * (float)(sum_lo + sum_hi);
        blocks[b].bias[lane] = -128 * (sum_lo + sum_hi);
        blocks[b].bias_lo[lane] = -128 * sum_lo;
        blocks[b].bias_hi[lane] = -128 * sum_hi;
    }
}

#include "backends/cpu/linear/maddubs_impl.h"
