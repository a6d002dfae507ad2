/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 kernels on tiles of 8 rows.
 *
 * vpmaddubsw multiplies unsigned weights with signed activations and adds pairs, saturating at 16
 * bits. Sums may run on in 16 bits for as many planes as the weights' width allows, before vpmaddwd
 * widens them: with |q| <= 127, 8 planes of 4-bit weights reach 8 * 2 * 15 * 127 = 30480, 4 planes
 * of 5 bits 31496, 2 planes of 6 bits 32004. Signed bytes go through |w| and q * sign(w), one plane
 * at a time (2 * 128 * 127 = 32512). So no sum saturates and integer sums are exact.
 *
 * A strip is one tile x 4 tokens, or 4 tiles x 1 token: 16 registers hold no more. Tiles are
 * unpacked in registers for each group of 4 tokens. */
#include <immintrin.h>

#include "backends/cpu/linear/isa_tables.h"

enum {
    ROWS = 8,
    TILES_ALONE = 4, /* of a strip of one token: more streams fill more of the bandwidth */
};

#include "backends/cpu/linear/strip.h"

INLINE __m256i load_plane(const uint8_t *planes, unsigned i)
{
    return _mm256_loadu_si256((const __m256i *)(planes + (size_t)i * PLANE));
}

INLINE __m256i nibbles(const uint8_t *planes, unsigned g)
{
    __m256i x = load_plane(planes, g % 4);
    x = g < 4 ? x : _mm256_srli_epi16(x, 4);
    return _mm256_and_si256(x, _mm256_set1_epi8(0x0f));
}

/* nibbles | (high & mask), where the wanted bits of `high` lie `shift` places too low. */
INLINE __m256i with_high(__m256i nibble, __m256i high, int shift, char mask)
{
    high = shift >= 0 ? _mm256_slli_epi16(high, shift) : _mm256_srli_epi16(high, -shift);
    return _mm256_or_si256(nibble, _mm256_and_si256(high, _mm256_set1_epi8(mask)));
}

/* Plane g of a block: unsigned u, or signed bytes for Q8_0. */
INLINE __m256i plane(enum form form, const uint8_t *q, unsigned g)
{
    int at = (int)g;
    switch (form) {
    case FORM_Q4_0:
    case FORM_Q4_1:
    case FORM_Q4_K: return nibbles(q, g);
    case FORM_Q5_0:
    case FORM_Q5_1:
    case FORM_Q5_K: return with_high(nibbles(q + PLANE, g), load_plane(q, 0), 4 - at, 0x10);
    case FORM_Q6_K:
        return with_high(nibbles(q + 2 * PLANE, g), load_plane(q, g / 4), 4 - 2 * (at % 4), 0x30);
    default: return load_plane(q, g);
    }
}

/* Planes whose products may be added in 16 bits. */
INLINE unsigned planes_per_sum(enum form form)
{
    switch (form) {
    case FORM_Q4_0:
    case FORM_Q4_1:
    case FORM_Q4_K: return 8;
    case FORM_Q5_0:
    case FORM_Q5_1:
    case FORM_Q5_K: return 4;
    case FORM_Q6_K: return 2;
    default: return 1;
    }
}

/* -128 * sum(q) >> this is -centre * sum(q), exactly. */
INLINE int centre_shift(enum form form)
{
    return form == FORM_Q4_0 ? 4 : form == FORM_Q5_0 ? 3 : 2;
}

struct scales {
    __m256 s;
    __m256 second; /* m, or s of the second half */
};

INLINE __m256 halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

INLINE __m256 bytes_u8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

INLINE __m256 bytes_i8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

INLINE struct scales load_scales(enum form form, const uint8_t *scales, uint32_t block)
{
    struct scales out = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    const uint8_t *p;
    switch (form) {
    case FORM_Q4_1:
    case FORM_Q5_1:
        p = scales + (size_t)block * 4 * ROWS;
        out.s = halves(p);
        out.second = halves(p + 2 * ROWS);
        break;
    case FORM_Q4_K:
    case FORM_Q5_K: {
        p = scales + (size_t)(block / 8) * 20 * ROWS;
        const uint8_t *q = p + 4 * ROWS + (size_t)(block % 8) * 2 * ROWS;
        __m256 minus_dmin = _mm256_xor_ps(halves(p + 2 * ROWS), _mm256_set1_ps(-0.0f));
        out.s = _mm256_mul_ps(halves(p), bytes_u8(q));
        out.second = _mm256_mul_ps(minus_dmin, bytes_u8(q + ROWS));
        break;
    }
    case FORM_Q6_K: {
        p = scales + (size_t)(block / 8) * 18 * ROWS;
        const uint8_t *q = p + 2 * ROWS + (size_t)(block % 8) * 2 * ROWS;
        out.s = _mm256_mul_ps(halves(p), bytes_i8(q));
        out.second = _mm256_mul_ps(halves(p), bytes_i8(q + ROWS));
        break;
    }
    default: out.s = halves(scales + (size_t)block * 2 * ROWS); break;
    }
    return out;
}

INLINE __m256i broadcast_word(const int8_t *four)
{
    int32_t word;
    memcpy(&word, four, sizeof(word));
    return _mm256_set1_epi32(word);
}

INLINE __m256i pair_products(enum form form, __m256i w, __m256i q)
{
    return form == FORM_Q8_0 ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
                             : _mm256_maddubs_epi16(w, q);
}

/* The integer sums of one block of one tile, or of half `half` of a HALVES block. */
INLINE void dot_block(enum form form, unsigned tokens, unsigned half, const uint8_t *quants,
                      const struct weir_cpu_act_block *a, __m256i sum[TOKENS])
{
    const unsigned n_planes = kind_of(form) == FORM_HALVES ? 4 : 8;
    const unsigned run = planes_per_sum(form);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i narrow[TOKENS];

#pragma GCC unroll 8
    for (unsigned i = 0; i < n_planes; i++) {
        /* Planes g and g + 4 share their nibbles' bytes. */
        unsigned g = kind_of(form) == FORM_HALVES ? 4 * half + i : i / 2 + i % 2 * 4;
        __m256i w = plane(form, quants, g);
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            __m256i products = pair_products(form, w, broadcast_word(&a->q[c][4 * g]));
            narrow[c] = i % run == 0 ? products : _mm256_add_epi16(narrow[c], products);
            if (i % run == run - 1) {
                __m256i wide = _mm256_madd_epi16(narrow[c], ones);
                sum[c] = i < run ? wide : _mm256_add_epi32(sum[c], wide);
            }
        }
    }
    if (kind_of(form) == FORM_OFFSET || form == FORM_Q8_0) {
        return;
    }
    const int32_t *bias = kind_of(form) == FORM_CENTRED ? a->bias
                          : half == 0                   ? a->bias_lo
                                                        : a->bias_hi;
#pragma GCC unroll 4
    for (unsigned c = 0; c < tokens; c++) {
        __m256i shifted = _mm256_srai_epi32(_mm256_set1_epi32(bias[c]), centre_shift(form));
        sum[c] = _mm256_add_epi32(sum[c], shifted);
    }
}

/* Which lanes of tile `tile` are rows. */
INLINE __m256i row_mask(uint32_t n_rows, uint32_t tile)
{
    uint32_t left = n_rows - tile * ROWS;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left >= ROWS ? ROWS : (int)left),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE void add_block(enum form form, unsigned tokens, const struct strip *s, unsigned tile,
                      uint32_t b, __m256 acc[TOKENS])
{
    const unsigned n_halves = kind_of(form) == FORM_HALVES ? 2 : 1;
    const struct weir_cpu_act_block *a = s->acts + b;
    const uint8_t *quants = s->quants + tile * s->tile_stride + b * quant_bytes(form);
    struct scales v = load_scales(form, s->scales + tile * s->tile_stride, b);

#pragma GCC unroll 2
    for (unsigned half = 0; half < n_halves; half++) {
        __m256i sum[TOKENS];
        dot_block(form, tokens, half, quants, a, sum);
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            __m256 scale = _mm256_mul_ps(half == 0 ? v.s : v.second, _mm256_set1_ps(a->d[c]));
            acc[c] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sum[c]), acc[c]);
            if (kind_of(form) == FORM_OFFSET) {
                acc[c] = _mm256_fmadd_ps(v.second, _mm256_set1_ps(a->d_sum[c]), acc[c]);
            }
        }
    }
}

INLINE void run_strip(enum form form, unsigned tiles, unsigned tokens, const struct strip *s)
{
    __m256 acc[TILES_ALONE][TOKENS];

#pragma GCC unroll 4
    for (unsigned t = 0; t < tiles; t++) {
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            acc[t][c] = _mm256_setzero_ps();
        }
    }
    for (uint32_t b = 0; b < s->n_blocks; b++) {
        if (s->group_bytes > 0) {
            prefetch_block(form, tiles, s, b);
        }
#pragma GCC unroll 4
        for (unsigned t = 0; t < tiles; t++) {
            add_block(form, tokens, s, t, b, acc[t]);
        }
    }
#pragma GCC unroll 4
    for (unsigned t = 0; t < tiles; t++) {
        __m256i rows = row_mask(s->n_rows, t);
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            _mm256_maskstore_ps(s->y + c * s->ldy + (size_t)t * ROWS, rows, acc[t][c]);
        }
    }
}

/* One tile against all tokens, group by group. */
INLINE void run_groups(enum form form, struct strip s, uint32_t n_tokens)
{
    for (uint32_t token = 0; token < n_tokens; token += TOKENS) {
        switch (n_tokens - token) {
        case 1: run_strip(form, 1, 1, &s); break;
        case 2: run_strip(form, 1, 2, &s); break;
        case 3: run_strip(form, 1, 3, &s); break;
        default: run_strip(form, 1, 4, &s); break;
        }
        s.acts += s.n_blocks;
        s.y += TOKENS * s.ldy;
        s.group_bytes = 0;
    }
}

/* All tiles of a span against `n_tokens` tokens from `acts` on. */
INLINE void span_pass(enum form form, const struct weir_cpu_span *w,
                      const struct weir_cpu_act_block *acts, uint32_t n_blocks, uint32_t n_tokens,
                      float *y, size_t ldy)
{
    size_t all_scales = weir_cpu_tile_scale_bytes(form, w->n_cols, ROWS);
    for (uint32_t tile = 0; tile < w->n_tiles;) {
        uint32_t tiles = n_tokens == 1 && w->n_tiles - tile >= TILES_ALONE ? TILES_ALONE : 1;
        const uint8_t *p = w->tiles + tile * w->tile_bytes;
        struct strip s = {
            .scales = p,
            .quants = p + all_scales,
            .tile_stride = w->tile_bytes,
            .group_bytes = tiles * w->tile_bytes,
            .wrap = tiles * w->tile_bytes - n_blocks * quant_bytes(form),
            .n_blocks = n_blocks,
            .acts = acts,
            .y = y + (size_t)tile * ROWS,
            .ldy = ldy,
            .n_rows = w->n_rows - tile * ROWS,
        };
        if (tiles == TILES_ALONE) {
            run_strip(form, TILES_ALONE, 1, &s);
        } else {
            run_groups(form, s, n_tokens);
        }
        tile += tiles;
    }
}

INLINE void span_quantised(enum form form, const struct weir_cpu_span *w,
                           const struct weir_cpu_act *a, uint32_t n_tokens, float *y, size_t ldy)
{
    uint32_t per_pass = tokens_per_pass(a->n_blocks);
    for (uint32_t token = 0; token < n_tokens; token += per_pass) {
        uint32_t n = n_tokens - token < per_pass ? n_tokens - token : per_pass;
        const struct weir_cpu_act_block *acts = a->groups + (size_t)(token / TOKENS) * a->n_blocks;
        span_pass(form, w, acts, a->n_blocks, n, y + token * ldy, ldy);
    }
}

INLINE __m256 load_floats(uint32_t type, const uint8_t *p)
{
    switch (type) {
    case WEIR_TENSOR_F16: return halves(p);
    case WEIR_TENSOR_BF16:
        return _mm256_castsi256_ps(
            _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
    default: return _mm256_loadu_ps((const float *)(const void *)p);
    }
}

enum { FLOAT_COLS = 3, FLOAT_SUMS = 4 /* partial sums by column % 4, for latency and accuracy */ };

INLINE void float_strip(uint32_t type, unsigned cols, const uint8_t *tile, uint32_t n_cols,
                        const float *x, size_t ldx, float *y, size_t ldy, __m256i rows)
{
    const size_t step = (type == WEIR_TENSOR_F32 ? 4u : 2u) * ROWS;
    __m256 acc[FLOAT_COLS][FLOAT_SUMS];
#pragma GCC unroll 3
    for (unsigned c = 0; c < cols; c++) {
#pragma GCC unroll 4
        for (unsigned i = 0; i < FLOAT_SUMS; i++) {
            acc[c][i] = _mm256_setzero_ps();
        }
    }
    uint32_t k = 0;
    for (; k + FLOAT_SUMS <= n_cols; k += FLOAT_SUMS) {
#pragma GCC unroll 4
        for (unsigned i = 0; i < FLOAT_SUMS; i++, tile += step) {
            __m256 w = load_floats(type, tile);
#pragma GCC unroll 3
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[c * ldx + k + i]), acc[c][i]);
            }
        }
    }
#pragma GCC unroll 3
    for (unsigned i = 0; i < FLOAT_SUMS - 1; i++) {
        if (k + i < n_cols) {
            __m256 w = load_floats(type, tile + i * step);
#pragma GCC unroll 3
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[c * ldx + k + i]), acc[c][i]);
            }
        }
    }
#pragma GCC unroll 3
    for (unsigned c = 0; c < cols; c++) {
        __m256 sum =
            _mm256_add_ps(_mm256_add_ps(acc[c][0], acc[c][1]), _mm256_add_ps(acc[c][2], acc[c][3]));
        _mm256_maskstore_ps(y + c * ldy, rows, sum);
    }
}

INLINE void span_float(uint32_t type, const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                       uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t tile = 0; tile < w->n_tiles; tile++) {
        const uint8_t *p = w->tiles + tile * w->tile_bytes;
        __m256i rows = row_mask(w->n_rows, tile);
        for (uint32_t t = 0; t < n_tokens; t += FLOAT_COLS) {
            const float *x = a->x + t * a->ldx;
            float *out = y + t * ldy + (size_t)tile * ROWS;
            switch (n_tokens - t) {
            case 1: float_strip(type, 1, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 2: float_strip(type, 2, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            default: float_strip(type, 3, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            }
        }
    }
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

/* `n` becomes a constant here: the weights must be registers. */
INLINE void add_columns(uint32_t n, const struct weir_cpu_outliers *o, uint32_t row,
                        uint32_t n_rows, const float *x, uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t tile = 0; tile * ROWS < n_rows; tile++) {
        const __m256i rows = row_mask(n_rows, tile);
        const uint32_t first = tile * ROWS;
        __m256 w[WEIR_CPU_OUTLIERS_MAX];
#pragma GCC unroll 2
        for (uint32_t i = 0; i < n; i++) {
            w[i] = _mm256_maskload_ps(o->weights[i] + row + first, rows);
        }
        for (uint32_t t = 0; t < n_tokens; t++) {
            float *out = y + t * ldy + first;
            __m256 acc = _mm256_maskload_ps(out, rows);
#pragma GCC unroll 2
            for (uint32_t i = 0; i < n; i++) {
                __m256 v = _mm256_set1_ps(x[(size_t)t * WEIR_CPU_OUTLIERS_MAX + i]);
                acc = _mm256_fmadd_ps(w[i], v, acc);
            }
            _mm256_maskstore_ps(out, rows, acc);
        }
    }
}

static void add_outliers(const struct weir_cpu_outliers *o, uint32_t row, uint32_t n_rows,
                         const float *x, uint32_t n_tokens, float *y, size_t ldy)
{
    if (o->n == 1) {
        add_columns(1, o, row, n_rows, x, n_tokens, y, ldy);
    } else {
        add_columns(2, o, row, n_rows, x, n_tokens, y, ldy);
    }
}

#define SPAN(name, function, type)                                                                 \
    static void name(const struct weir_cpu_span *w, const struct weir_cpu_act *a,                  \
                     uint32_t n_tokens, float *y, size_t ldy)                                      \
    {                                                                                              \
        function(type, w, a, n_tokens, y, ldy);                                                    \
    }
SPAN(span_f32, span_float, WEIR_TENSOR_F32)
SPAN(span_f16, span_float, WEIR_TENSOR_F16)
SPAN(span_bf16, span_float, WEIR_TENSOR_BF16)
SPAN(span_q4_0, span_quantised, FORM_Q4_0)
SPAN(span_q4_1, span_quantised, FORM_Q4_1)
SPAN(span_q5_0, span_quantised, FORM_Q5_0)
SPAN(span_q5_1, span_quantised, FORM_Q5_1)
SPAN(span_q8_0, span_quantised, FORM_Q8_0)
SPAN(span_q4_k, span_quantised, FORM_Q4_K)
SPAN(span_q5_k, span_quantised, FORM_Q5_K)
SPAN(span_q6_k, span_quantised, FORM_Q6_K)
#undef SPAN

const struct weir_cpu_isa weir_cpu_isa_avx2 = {
    .name = "avx2",
    .tile_rows = ROWS,
    .quantise = quantise,
    .add_outliers = add_outliers,
    .span =
        {
            [WEIR_TENSOR_F32] = span_f32,
            [WEIR_TENSOR_F16] = span_f16,
            [WEIR_TENSOR_BF16] = span_bf16,
            [WEIR_TENSOR_Q4_0] = span_q4_0,
            [WEIR_TENSOR_Q4_1] = span_q4_1,
            [WEIR_TENSOR_Q5_0] = span_q5_0,
            [WEIR_TENSOR_Q5_1] = span_q5_1,
            [WEIR_TENSOR_Q8_0] = span_q8_0,
            [WEIR_TENSOR_Q4_K] = span_q4_k,
            [WEIR_TENSOR_Q5_K] = span_q5_k,
            [WEIR_TENSOR_Q6_K] = span_q6_k,
        },
};
