/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 VNNI kernels on tiles of 16 rows.
 *
 * vpdpbusd adds four products of unsigned weights and signed activations to each of 16 lanes, so a
 * plane of a tile (16 rows x 4 columns) meets one broadcast word of activations. Centred types are
 * biased to w + 128, and the sum starts at -128 * sum(q), which the activations carry.
 *
 * Up to DIRECT_MAX tokens a tile is unpacked in registers, once for all tokens: the weights stream
 * through. With more tokens it is expanded to bytes and float scales in L1 and meets the tokens
 * COLS_MAX at a time: 12 float sums and 12 integer sums leave 8 registers for the rest. Both ways
 * run the same kernel body, so an output is the same float operations in the same order. */
#include <immintrin.h>
#include <string.h>

#include "backends/cpu/linear/isa_tables.h"
#include "backends/cpu/linear/tile.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    ROWS = 16,
    PLANE = ROWS * 4,
    DIRECT_MAX = 8,
    COLS_MAX = 12,
    CHUNK = 64,              /* blocks expanded at once; a multiple of 8: whole K-quant blocks */
    PREFETCH_BYTES = 4096,   /* ahead of the streamed weights */
    PASS_BYTES = 512 * 1024, /* activations that stay in L2 while all tiles pass */
};

/* What a kernel reads: a type's tile, or an expanded one of each kind. */
enum form {
    FORM_Q4_0 = WEIR_CPU_Q4_0,
    FORM_Q4_1 = WEIR_CPU_Q4_1,
    FORM_Q5_0 = WEIR_CPU_Q5_0,
    FORM_Q5_1 = WEIR_CPU_Q5_1,
    FORM_Q8_0 = WEIR_CPU_Q8_0,
    FORM_Q4_K = WEIR_CPU_Q4_K,
    FORM_Q5_K = WEIR_CPU_Q5_K,
    FORM_Q6_K = WEIR_CPU_Q6_K,
    FORM_CENTRED = WEIR_CPU_TYPE__COUNT,
    FORM_OFFSET,
    FORM_HALVES,
};

struct expanded {
    _Alignas(64) uint8_t quants[CHUNK][8 * PLANE];
    _Alignas(64) float scales[CHUNK][2][ROWS]; /* s and m, or s of both halves */
};

INLINE enum form kind_of(enum form form)
{
    switch (form) {
    case FORM_Q4_1:
    case FORM_Q5_1:
    case FORM_Q4_K:
    case FORM_Q5_K:
    case FORM_OFFSET: return FORM_OFFSET;
    case FORM_Q6_K:
    case FORM_HALVES: return FORM_HALVES;
    default: return FORM_CENTRED;
    }
}

INLINE size_t quant_bytes(enum form form)
{
    switch (form) {
    case FORM_Q4_0:
    case FORM_Q4_1:
    case FORM_Q4_K: return 4 * PLANE;
    case FORM_Q5_0:
    case FORM_Q5_1:
    case FORM_Q5_K: return 5 * PLANE;
    case FORM_Q6_K: return 6 * PLANE;
    default: return 8 * PLANE;
    }
}

INLINE __m512i load_plane(const uint8_t *planes, unsigned i)
{
    return _mm512_loadu_si512(planes + (size_t)i * PLANE);
}

INLINE __m512i nibbles(const uint8_t *planes, unsigned g)
{
    __m512i x = load_plane(planes, g % 4);
    x = g < 4 ? x : _mm512_srli_epi16(x, 4);
    return _mm512_and_si512(x, _mm512_set1_epi8(0x0f));
}

/* nibbles | (high & mask), where the wanted bits of `high` lie `shift` places too low. */
INLINE __m512i with_high(__m512i nibble, __m512i high, int shift, char mask)
{
    high = shift >= 0 ? _mm512_slli_epi16(high, (unsigned)shift)
                      : _mm512_srli_epi16(high, (unsigned)-shift);
    return _mm512_ternarylogic_epi32(nibble, high, _mm512_set1_epi8(mask), 0xf8); /* a | b & c */
}

/* Plane g of a block as unsigned bytes: u for OFFSET kinds, w / s + 128 for the others. */
INLINE __m512i plane(enum form form, const uint8_t *q, unsigned g)
{
    int at = (int)g;
    switch (form) {
    case FORM_Q4_1:
    case FORM_Q4_K: return nibbles(q, g);
    case FORM_Q4_0: return _mm512_add_epi8(nibbles(q, g), _mm512_set1_epi8(128 - 8));
    case FORM_Q5_1:
    case FORM_Q5_K: return with_high(nibbles(q + PLANE, g), load_plane(q, 0), 4 - at, 0x10);
    case FORM_Q5_0:
        return _mm512_add_epi8(with_high(nibbles(q + PLANE, g), load_plane(q, 0), 4 - at, 0x10),
                               _mm512_set1_epi8(128 - 16));
    case FORM_Q6_K:
        return _mm512_add_epi8(with_high(nibbles(q + 2 * PLANE, g), load_plane(q, g / 4),
                                         4 - 2 * (at % 4), 0x30),
                               _mm512_set1_epi8(128 - 32));
    default: return load_plane(q, g);
    }
}

struct scales {
    __m512 s;
    __m512 second; /* m, or s of the second half */
};

INLINE __m512 halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

INLINE __m512 bytes_u8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

INLINE __m512 bytes_i8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

INLINE struct scales load_scales(enum form form, const uint8_t *scales, uint32_t block)
{
    struct scales out = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    const uint8_t *p;
    switch (form) {
    case FORM_Q4_0:
    case FORM_Q5_0:
    case FORM_Q8_0: out.s = halves(scales + (size_t)block * 2 * ROWS); break;
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
        __m512 minus_dmin = _mm512_xor_ps(halves(p + 2 * ROWS), _mm512_set1_ps(-0.0f));
        out.s = _mm512_mul_ps(halves(p), bytes_u8(q));
        out.second = _mm512_mul_ps(minus_dmin, bytes_u8(q + ROWS));
        break;
    }
    case FORM_Q6_K: {
        p = scales + (size_t)(block / 8) * 18 * ROWS;
        const uint8_t *q = p + 2 * ROWS + (size_t)(block % 8) * 2 * ROWS;
        out.s = _mm512_mul_ps(halves(p), bytes_i8(q));
        out.second = _mm512_mul_ps(halves(p), bytes_i8(q + ROWS));
        break;
    }
    default: {
        const float *f = (const float *)(const void *)scales + (size_t)block * 2 * ROWS;
        out.s = _mm512_load_ps(f);
        out.second = _mm512_load_ps(f + ROWS);
        break;
    }
    }
    return out;
}

/* A strip: one tile's blocks against the first `cols` tokens from `acts` on. */
struct strip {
    const uint8_t *scales;
    const uint8_t *quants;
    uint32_t n_blocks;
    const struct weir_cpu_act_block *acts; /* a whole group's first lane, at the first block */
    size_t group_stride;                   /* blocks between groups */
    float *y;                              /* [cols][ldy] */
    size_t ldy;
    __mmask16 rows; /* valid rows of the tile */
    int resumes;    /* y holds the sum of the blocks before */
};

INLINE __m512i dot(__m512i sum, __m512i weights, const int8_t *four)
{
    __m512i y;
    int32_t word;
    memcpy(&word, four, sizeof(word));
    y = _mm512_set1_epi32(word);
    return _mm512_dpbusd_epi32(sum, weights, y);
}

INLINE void run_strip(enum form form, unsigned cols, const struct strip *s)
{
    const enum form kind = kind_of(form);
    const unsigned n_sums = kind == FORM_HALVES ? 2 : 1;
    const struct weir_cpu_act_block *acts = s->acts;
    const uint8_t *quants = s->quants;
    __m512 acc[COLS_MAX];

#pragma GCC unroll 12
    for (unsigned c = 0; c < cols; c++) {
        acc[c] = s->resumes ? _mm512_maskz_loadu_ps(s->rows, s->y + c * s->ldy)
                            : _mm512_setzero_ps();
    }
    for (uint32_t block = 0; block < s->n_blocks; block++, acts++, quants += quant_bytes(form)) {
        if (form < FORM_CENTRED) {
#pragma GCC unroll 8
            for (size_t line = 0; line < quant_bytes(form); line += 64) {
                _mm_prefetch((const char *)quants + PREFETCH_BYTES + line, _MM_HINT_T0);
            }
        }
        struct scales scales = load_scales(form, s->scales, block);
#pragma GCC unroll 2
        for (unsigned half = 0; half < n_sums; half++) {
            __m512i sum[COLS_MAX];
#pragma GCC unroll 12
            for (unsigned c = 0; c < cols; c++) {
                const struct weir_cpu_act_block *a = acts + c / 4 * s->group_stride;
                sum[c] = kind == FORM_OFFSET    ? _mm512_setzero_si512()
                         : kind == FORM_CENTRED ? _mm512_set1_epi32(a->bias[c % 4])
                         : half == 0            ? _mm512_set1_epi32(a->bias_lo[c % 4])
                                                : _mm512_set1_epi32(a->bias_hi[c % 4]);
            }
#pragma GCC unroll 8
            for (unsigned i = 0; i < 8 / n_sums; i++) {
                /* Planes g and g + 4 share their nibbles' bytes. */
                unsigned g = n_sums == 2 ? 4 * half + i : i / 2 + i % 2 * 4;
                __m512i weights = plane(form, quants, g);
#pragma GCC unroll 12
                for (unsigned c = 0; c < cols; c++) {
                    const struct weir_cpu_act_block *a = acts + c / 4 * s->group_stride;
                    sum[c] = dot(sum[c], weights, &a->q[c % 4][4 * g]);
                }
            }
#pragma GCC unroll 12
            for (unsigned c = 0; c < cols; c++) {
                const struct weir_cpu_act_block *a = acts + c / 4 * s->group_stride;
                __m512 scale = _mm512_mul_ps(half == 0 ? scales.s : scales.second,
                                             _mm512_set1_ps(a->d[c % 4]));
                acc[c] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(sum[c]), acc[c]);
                if (kind == FORM_OFFSET) {
                    acc[c] = _mm512_fmadd_ps(scales.second, _mm512_set1_ps(a->d_sum[c % 4]),
                                             acc[c]);
                }
            }
        }
    }
#pragma GCC unroll 12
    for (unsigned c = 0; c < cols; c++) {
        _mm512_mask_storeu_ps(s->y + c * s->ldy, s->rows, acc[c]);
    }
}

/* One function per number of tokens: the sums must be registers. */
#define STRIP_CASES(form, s)                                                                  \
    case 1: run_strip(form, 1, s); break;                                                     \
    case 2: run_strip(form, 2, s); break;                                                     \
    case 3: run_strip(form, 3, s); break;                                                     \
    case 4: run_strip(form, 4, s); break;                                                     \
    case 5: run_strip(form, 5, s); break;                                                     \
    case 6: run_strip(form, 6, s); break;                                                     \
    case 7: run_strip(form, 7, s); break;                                                     \
    case 8: run_strip(form, 8, s); break

INLINE __mmask16 valid_rows(const struct weir_cpu_span *w, uint32_t tile)
{
    uint32_t left = w->n_rows - tile * ROWS;
    return left >= ROWS ? 0xffff : (__mmask16)((1u << left) - 1);
}

INLINE void span_direct(enum form form, const struct weir_cpu_span *w,
                        const struct weir_cpu_act *a, uint32_t n_tokens, float *y, size_t ldy)
{
    size_t scale_bytes = weir_cpu_tile_scale_bytes(form, w->n_cols, ROWS);
    for (uint32_t tile = 0; tile < w->n_tiles; tile++) {
        const uint8_t *p = w->tiles + tile * w->tile_bytes;
        struct strip s = {
            .scales = p,
            .quants = p + scale_bytes,
            .n_blocks = a->n_blocks,
            .acts = a->groups,
            .group_stride = a->n_blocks,
            .y = y + (size_t)tile * ROWS,
            .ldy = ldy,
            .rows = valid_rows(w, tile),
        };
        switch (n_tokens) {
            STRIP_CASES(form, &s);
        default: break;
        }
    }
}

/* All tokens of a pass against one expanded chunk; kept out of line, one copy per kind. */
#define STRIPS(name, form)                                                                    \
    static __attribute__((noinline)) void name(struct strip *s, uint32_t n_tokens)            \
    {                                                                                         \
        while (n_tokens > 0) {                                                                \
            /* Strips begin at whole groups of 4 tokens. */                                   \
            uint32_t cols = n_tokens >= COLS_MAX ? COLS_MAX : n_tokens > 8 ? 4 : n_tokens;    \
            switch (cols) {                                                                   \
                STRIP_CASES(form, s);                                                         \
            case COLS_MAX: run_strip(form, COLS_MAX, s); break;                               \
            default: break;                                                                   \
            }                                                                                 \
            s->acts += cols / WEIR_CPU_ACT_LANES * s->group_stride;                           \
            s->y += cols * s->ldy;                                                            \
            n_tokens -= cols;                                                                 \
        }                                                                                     \
    }
STRIPS(strips_centred, FORM_CENTRED)
STRIPS(strips_offset, FORM_OFFSET)
STRIPS(strips_halves, FORM_HALVES)
#undef STRIPS

INLINE void expand(enum form form, const uint8_t *scales, const uint8_t *quants, uint32_t first,
                   uint32_t n_blocks, struct expanded *out)
{
    quants += first * quant_bytes(form);
    for (uint32_t b = 0; b < n_blocks; b++, quants += quant_bytes(form)) {
        struct scales v = load_scales(form, scales, first + b);
        _mm512_store_ps(out->scales[b][0], v.s);
        _mm512_store_ps(out->scales[b][1], v.second);
#pragma GCC unroll 8
        for (unsigned g = 0; g < 8; g++) {
            _mm512_store_si512(&out->quants[b][(size_t)g * PLANE], plane(form, quants, g));
        }
    }
}

/* One tile against `n_tokens` tokens from `acts` on. */
INLINE void tile_expanded(enum form form, const uint8_t *tile, size_t scale_bytes,
                          const struct weir_cpu_act_block *acts, uint32_t n_blocks,
                          uint32_t n_tokens, float *y, size_t ldy, __mmask16 rows)
{
    struct expanded chunk;
    for (uint32_t first = 0; first < n_blocks; first += CHUNK) {
        uint32_t n = n_blocks - first < CHUNK ? n_blocks - first : CHUNK;
        expand(form, tile, tile + scale_bytes, first, n, &chunk);
        struct strip s = {
            .scales = (const uint8_t *)chunk.scales,
            .quants = chunk.quants[0],
            .n_blocks = n,
            .acts = acts + first,
            .group_stride = n_blocks,
            .y = y,
            .ldy = ldy,
            .rows = rows,
            .resumes = first > 0,
        };
        switch (kind_of(form)) {
        case FORM_OFFSET: strips_offset(&s, n_tokens); break;
        case FORM_HALVES: strips_halves(&s, n_tokens); break;
        default: strips_centred(&s, n_tokens); break;
        }
    }
}

/* Tokens whose activations fit PASS_BYTES, in whole strips. */
static uint32_t tokens_per_pass(uint32_t n_blocks)
{
    size_t token_bytes = n_blocks * (sizeof(struct weir_cpu_act_block) / WEIR_CPU_ACT_LANES);
    size_t n = PASS_BYTES / token_bytes / COLS_MAX * COLS_MAX;
    return n < COLS_MAX ? COLS_MAX : (uint32_t)n;
}

INLINE void span_quantised(enum form form, const struct weir_cpu_span *w,
                           const struct weir_cpu_act *a, uint32_t n_tokens, float *y, size_t ldy)
{
    if (n_tokens <= DIRECT_MAX) {
        span_direct(form, w, a, n_tokens, y, ldy);
        return;
    }
    size_t scale_bytes = weir_cpu_tile_scale_bytes(form, w->n_cols, ROWS);
    uint32_t per_pass = tokens_per_pass(a->n_blocks);
    for (uint32_t token = 0; token < n_tokens; token += per_pass) {
        uint32_t n = n_tokens - token < per_pass ? n_tokens - token : per_pass;
        const struct weir_cpu_act_block *acts =
            a->groups + (size_t)(token / WEIR_CPU_ACT_LANES) * a->n_blocks;
        for (uint32_t tile = 0; tile < w->n_tiles; tile++) {
            tile_expanded(form, w->tiles + tile * w->tile_bytes, scale_bytes, acts, a->n_blocks, n,
                          y + token * ldy + (size_t)tile * ROWS, ldy, valid_rows(w, tile));
        }
    }
}

INLINE __m512 load_floats(uint32_t type, const uint8_t *p)
{
    switch (type) {
    case WEIR_CPU_F16: return halves(p);
    case WEIR_CPU_BF16:
        return _mm512_castsi512_ps(_mm512_slli_epi32(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
    default: return _mm512_loadu_ps((const float *)(const void *)p);
    }
}

enum { FLOAT_COLS = 6, FLOAT_SUMS = 4 /* partial sums by column % 4, for latency and accuracy */ };

INLINE void float_strip(uint32_t type, unsigned cols, const uint8_t *tile, uint32_t n_cols,
                        const float *x, size_t ldx, float *y, size_t ldy, __mmask16 rows)
{
    const size_t step = (type == WEIR_CPU_F32 ? 4u : 2u) * ROWS;
    __m512 acc[FLOAT_COLS][FLOAT_SUMS];
#pragma GCC unroll 6
    for (unsigned c = 0; c < cols; c++) {
#pragma GCC unroll 4
        for (unsigned i = 0; i < FLOAT_SUMS; i++) {
            acc[c][i] = _mm512_setzero_ps();
        }
    }
    uint32_t k = 0;
    for (; k + FLOAT_SUMS <= n_cols; k += FLOAT_SUMS) {
#pragma GCC unroll 4
        for (unsigned i = 0; i < FLOAT_SUMS; i++, tile += step) {
            __m512 w = load_floats(type, tile);
            _mm_prefetch((const char *)tile + PREFETCH_BYTES, _MM_HINT_T0);
#pragma GCC unroll 6
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[c * ldx + k + i]), acc[c][i]);
            }
        }
    }
#pragma GCC unroll 3
    for (unsigned i = 0; i < FLOAT_SUMS - 1; i++) {
        if (k + i < n_cols) {
            __m512 w = load_floats(type, tile + i * step);
#pragma GCC unroll 6
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[c * ldx + k + i]), acc[c][i]);
            }
        }
    }
#pragma GCC unroll 6
    for (unsigned c = 0; c < cols; c++) {
        __m512 sum = _mm512_add_ps(_mm512_add_ps(acc[c][0], acc[c][1]),
                                   _mm512_add_ps(acc[c][2], acc[c][3]));
        _mm512_mask_storeu_ps(y + c * ldy, rows, sum);
    }
}

INLINE void span_float(uint32_t type, const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                       uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t tile = 0; tile < w->n_tiles; tile++) {
        const uint8_t *p = w->tiles + tile * w->tile_bytes;
        __mmask16 rows = valid_rows(w, tile);
        for (uint32_t t = 0; t < n_tokens; t += FLOAT_COLS) {
            const float *x = a->x + t * a->ldx;
            float *out = y + t * ldy + (size_t)tile * ROWS;
            switch (n_tokens - t) {
            case 1: float_strip(type, 1, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 2: float_strip(type, 2, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 3: float_strip(type, 3, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 4: float_strip(type, 4, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 5: float_strip(type, 5, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            default: float_strip(type, 6, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            }
        }
    }
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
        __m512i amax_bits =
            _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(lo), no_sign),
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

#define SPAN(name, function, type)                                                            \
    static void name(const struct weir_cpu_span *w, const struct weir_cpu_act *a,             \
                     uint32_t n_tokens, float *y, size_t ldy)                                 \
    {                                                                                         \
        function(type, w, a, n_tokens, y, ldy);                                               \
    }
SPAN(span_f32, span_float, WEIR_CPU_F32)
SPAN(span_f16, span_float, WEIR_CPU_F16)
SPAN(span_bf16, span_float, WEIR_CPU_BF16)
SPAN(span_q4_0, span_quantised, FORM_Q4_0)
SPAN(span_q4_1, span_quantised, FORM_Q4_1)
SPAN(span_q5_0, span_quantised, FORM_Q5_0)
SPAN(span_q5_1, span_quantised, FORM_Q5_1)
SPAN(span_q8_0, span_quantised, FORM_Q8_0)
SPAN(span_q4_k, span_quantised, FORM_Q4_K)
SPAN(span_q5_k, span_quantised, FORM_Q5_K)
SPAN(span_q6_k, span_quantised, FORM_Q6_K)
#undef SPAN

const struct weir_cpu_isa weir_cpu_isa_avx512 = {
    .name = "avx512",
    .tile_rows = ROWS,
    .q8_flip = 0x80,
    .quantise = quantise,
    .span =
        {
            [WEIR_CPU_F32] = span_f32,
            [WEIR_CPU_F16] = span_f16,
            [WEIR_CPU_BF16] = span_bf16,
            [WEIR_CPU_Q4_0] = span_q4_0,
            [WEIR_CPU_Q4_1] = span_q4_1,
            [WEIR_CPU_Q5_0] = span_q5_0,
            [WEIR_CPU_Q5_1] = span_q5_1,
            [WEIR_CPU_Q8_0] = span_q8_0,
            [WEIR_CPU_Q4_K] = span_q4_k,
            [WEIR_CPU_Q5_K] = span_q5_k,
            [WEIR_CPU_Q6_K] = span_q6_k,
        },
};
