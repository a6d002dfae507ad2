/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 VNNI kernels on tiles of 16 rows.
 *
 * vpdpbusd adds four products of unsigned weights and signed activations to each of 16 lanes, so a
 * plane of a tile (16 rows x 4 columns) meets one broadcast word of activations. Centred types are
 * biased to w + 128, and the sum starts at -128 * sum(q), which the activations carry.
 *
 * A strip is 3 tiles x 4 tokens: 12 float and 12 integer sums in registers, fed by 7 loads per 12
 * vpdpbusd. (1 tile x 12 tokens needs 13, and 512-bit loads, not multiplies, then set the pace:
 * measured 3.2 against 5.2 G vpdpbusd/s on Ice Lake.)
 *
 * Up to 8 tokens the tiles are unpacked in registers as they stream through. With more they are
 * expanded to bytes and float scales in L1, a chunk of columns at a time, and meet the tokens
 * there. Both ways run the same body, so an output is the same float operations in one order. */
#include "backends/cpu/linear/avx512.h"
#include "backends/cpu/linear/isa_tables.h"

#define ISA_TABLE weir_cpu_isa_avx512_vnni
#define ISA_NAME "avx512+vnni"
#define ISA_Q8_FLIP 0x80

enum {
    TILES = 3,       /* of a strip */
    TILES_ALONE = 6, /* of a strip of one token: more streams fill more of the bandwidth */
    DIRECT_MAX = 8,  /* tokens up to which unpacking per group beats expanding */
    CHUNK_MAX = 20,  /* blocks expanded at once: TILES * 640 bytes each, in L1 */
};

#include "backends/cpu/linear/x86_impl.h"

struct expanded {
    _Alignas(64) uint8_t quants[CHUNK_MAX][8 * PLANE];
    _Alignas(64) float scales[CHUNK_MAX][2][ROWS]; /* s and m, or s of both halves */
};

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
        return _mm512_add_epi8(
            with_high(nibbles(q + 2 * PLANE, g), load_plane(q, g / 4), 4 - 2 * (at % 4), 0x30),
            _mm512_set1_epi8(128 - 32));
    default: return load_plane(q, g);
    }
}

/* The integer sums of one block, or of half `half` of a HALVES block. */
INLINE void dot_block(enum form form, unsigned tiles, unsigned tokens, unsigned half,
                      const uint8_t *quants, size_t tile_stride, const struct weir_cpu_act_block *a,
                      __m512i sum[TOKENS][TILES_ALONE])
{
    const enum form kind = kind_of(form);
    const unsigned n_planes = kind == FORM_HALVES ? 4 : 8;
    const int32_t *bias = kind == FORM_CENTRED ? a->bias : half == 0 ? a->bias_lo : a->bias_hi;

#pragma GCC unroll 4
    for (unsigned c = 0; c < tokens; c++) {
        __m512i start = kind == FORM_OFFSET ? _mm512_setzero_si512() : _mm512_set1_epi32(bias[c]);
#pragma GCC unroll 8
        for (unsigned t = 0; t < tiles; t++) {
            sum[c][t] = start;
        }
    }
#pragma GCC unroll 8
    for (unsigned i = 0; i < n_planes; i++) {
        /* Planes g and g + 4 share their nibbles' bytes. */
        unsigned g = kind == FORM_HALVES ? 4 * half + i : i / 2 + i % 2 * 4;
        __m512i w[TILES_ALONE];
#pragma GCC unroll 8
        for (unsigned t = 0; t < tiles; t++) {
            w[t] = plane(form, quants + t * tile_stride, g);
        }
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            __m512i q = broadcast_word(&a->q[c][4 * g]);
#pragma GCC unroll 8
            for (unsigned t = 0; t < tiles; t++) {
                sum[c][t] = _mm512_dpbusd_epi32(sum[c][t], w[t], q);
            }
        }
    }
}

INLINE void run_strip(enum form form, unsigned tiles, unsigned tokens, const struct strip *s)
{
    const enum form kind = kind_of(form);
    const unsigned n_halves = kind == FORM_HALVES ? 2 : 1;
    const struct weir_cpu_act_block *a = s->acts;
    const uint8_t *quants = s->quants;
    __m512 acc[TOKENS][TILES_ALONE];

#pragma GCC unroll 4
    for (unsigned c = 0; c < tokens; c++) {
#pragma GCC unroll 8
        for (unsigned t = 0; t < tiles; t++) {
            row_mask rows = row_mask_of(s->n_rows, t);
            const float *y = s->y + c * s->ldy + (size_t)t * ROWS;
            acc[c][t] = s->resumes ? _mm512_maskz_loadu_ps(rows, y) : _mm512_setzero_ps();
        }
    }
    for (uint32_t b = 0; b < s->n_blocks; b++, a++, quants += quant_bytes(form)) {
        if (s->group_bytes > 0) {
            prefetch_block(form, tiles, s, b);
        }
#pragma GCC unroll 2
        for (unsigned half = 0; half < n_halves; half++) {
            __m512i sum[TOKENS][TILES_ALONE];
            dot_block(form, tiles, tokens, half, quants, s->tile_stride, a, sum);
#pragma GCC unroll 8
            for (unsigned t = 0; t < tiles; t++) {
                struct scales v =
                    load_scales(form, s->scales + t * s->tile_stride, s->first_block + b);
                __m512 scale = half == 0 ? v.s : v.second;
#pragma GCC unroll 4
                for (unsigned c = 0; c < tokens; c++) {
                    acc[c][t] = _mm512_fmadd_ps(_mm512_mul_ps(scale, _mm512_set1_ps(a->d[c])),
                                                _mm512_cvtepi32_ps(sum[c][t]), acc[c][t]);
                    if (kind == FORM_OFFSET) {
                        acc[c][t] =
                            _mm512_fmadd_ps(v.second, _mm512_set1_ps(a->d_sum[c]), acc[c][t]);
                    }
                }
            }
        }
    }
#pragma GCC unroll 4
    for (unsigned c = 0; c < tokens; c++) {
#pragma GCC unroll 8
        for (unsigned t = 0; t < tiles; t++) {
            row_mask rows = row_mask_of(s->n_rows, t);
            _mm512_mask_storeu_ps(s->y + c * s->ldy + (size_t)t * ROWS, rows, acc[c][t]);
        }
    }
}

/* Counts become constants here: the sums must be registers. */
INLINE void run_group(enum form form, unsigned tiles, uint32_t tokens, const struct strip *s)
{
    switch (tokens) {
    case 1: run_strip(form, tiles, 1, s); break;
    case 2: run_strip(form, tiles, 2, s); break;
    case 3: run_strip(form, tiles, 3, s); break;
    default: run_strip(form, tiles, 4, s); break;
    }
}

/* All tokens against one run of blocks, group by group. */
INLINE void run_groups(enum form form, unsigned tiles, struct strip s, size_t group_stride,
                       uint32_t n_tokens)
{
    for (uint32_t token = 0; token < n_tokens; token += TOKENS) {
        run_group(form, tiles, n_tokens - token, &s);
        s.acts += group_stride;
        s.y += TOKENS * s.ldy;
        s.group_bytes = 0;
    }
}

/* Blocks [s->first_block, + s->n_blocks) of one packed tile as bytes and float scales. */
INLINE void expand(enum form form, const struct strip *s, unsigned tile, struct expanded *out)
{
    const uint8_t *scales = s->scales + tile * s->tile_stride;
    const uint8_t *quants = s->quants + tile * s->tile_stride;
    for (uint32_t b = 0; b < s->n_blocks; b++, quants += quant_bytes(form)) {
        struct scales v = load_scales(form, scales, s->first_block + b);
        _mm512_store_ps(out->scales[b][0], v.s);
        _mm512_store_ps(out->scales[b][1], v.second);
#pragma GCC unroll 8
        for (unsigned g = 0; g < 8; g++) {
            _mm512_store_si512(&out->quants[b][(size_t)g * PLANE], plane(form, quants, g));
        }
#pragma GCC unroll 8
        for (size_t line = 0; line < quant_bytes(form); line += 64) {
            _mm_prefetch((const char *)quants + s->group_bytes + line, _MM_HINT_T1);
        }
    }
}

/* What each type is compiled for. Packed: full strips only; fewer tiles go through expansion. */
struct form_functions {
    void (*alone)(const struct strip *s); /* TILES_ALONE tiles, one token */
    void (*groups)(const struct strip *s, size_t group_stride, uint32_t n_tokens); /* TILES tiles */
    void (*expand)(const struct strip *s, unsigned tile, struct expanded *out);
};

#define PACKED(name, form)                                                                         \
    static void alone_##name(const struct strip *s)                                                \
    {                                                                                              \
        run_strip(form, TILES_ALONE, 1, s);                                                        \
    }                                                                                              \
    static void groups_##name(const struct strip *s, size_t group_stride, uint32_t n_tokens)       \
    {                                                                                              \
        run_groups(form, TILES, *s, group_stride, n_tokens);                                       \
    }                                                                                              \
    static void expand_##name(const struct strip *s, unsigned tile, struct expanded *out)          \
    {                                                                                              \
        expand(form, s, tile, out);                                                                \
    }
PACKED(q4_0, FORM_Q4_0)
PACKED(q4_1, FORM_Q4_1)
PACKED(q5_0, FORM_Q5_0)
PACKED(q5_1, FORM_Q5_1)
PACKED(q8_0, FORM_Q8_0)
PACKED(q4_k, FORM_Q4_K)
PACKED(q5_k, FORM_Q5_K)
PACKED(q6_k, FORM_Q6_K)
#undef PACKED

static const struct form_functions packed[WEIR_CPU_TYPE__COUNT] = {
    [FORM_Q4_0] = {alone_q4_0, groups_q4_0, expand_q4_0},
    [FORM_Q4_1] = {alone_q4_1, groups_q4_1, expand_q4_1},
    [FORM_Q5_0] = {alone_q5_0, groups_q5_0, expand_q5_0},
    [FORM_Q5_1] = {alone_q5_1, groups_q5_1, expand_q5_1},
    [FORM_Q8_0] = {alone_q8_0, groups_q8_0, expand_q8_0},
    [FORM_Q4_K] = {alone_q4_k, groups_q4_k, expand_q4_k},
    [FORM_Q5_K] = {alone_q5_k, groups_q5_k, expand_q5_k},
    [FORM_Q6_K] = {alone_q6_k, groups_q6_k, expand_q6_k},
};

#define EXPANDED(name, form)                                                                       \
    static void name(unsigned tiles, const struct strip *s, size_t group_stride,                   \
                     uint32_t n_tokens)                                                            \
    {                                                                                              \
        switch (tiles) {                                                                           \
        case TILES: run_groups(form, TILES, *s, group_stride, n_tokens); break;                    \
        case 2: run_groups(form, 2, *s, group_stride, n_tokens); break;                            \
        default: run_groups(form, 1, *s, group_stride, n_tokens); break;                           \
        }                                                                                          \
    }
EXPANDED(run_centred, FORM_CENTRED)
EXPANDED(run_offset, FORM_OFFSET)
EXPANDED(run_halves, FORM_HALVES)
#undef EXPANDED

static void run_expanded(enum form form, unsigned tiles, const struct strip *s, size_t group_stride,
                         uint32_t n_tokens)
{
    struct expanded chunk[TILES];
    for (unsigned t = 0; t < tiles; t++) {
        packed[form].expand(s, t, &chunk[t]);
    }
    struct strip e = *s;
    e.scales = (const uint8_t *)chunk[0].scales;
    e.quants = chunk[0].quants[0];
    e.tile_stride = sizeof(chunk[0]);
    e.group_bytes = 0;
    e.first_block = 0;
    switch (kind_of(form)) {
    case FORM_OFFSET: run_offset(tiles, &e, group_stride, n_tokens); break;
    case FORM_HALVES: run_halves(tiles, &e, group_stride, n_tokens); break;
    default: run_centred(tiles, &e, group_stride, n_tokens); break;
    }
}

/* Up to TILES tiles against `n_tokens` tokens, a chunk of blocks that fits L1 at a time. */
static void run_chunks(enum form form, unsigned tiles, struct strip s, uint32_t n_blocks,
                       uint32_t n_tokens)
{
    const size_t wrap = s.wrap;
    const uint32_t n_chunks = (n_blocks + CHUNK_MAX - 1) / CHUNK_MAX;
    const uint32_t chunk = (n_blocks + n_chunks - 1) / n_chunks;
    for (uint32_t first = 0; first < n_blocks; first += chunk) {
        s.first_block = first;
        s.n_blocks = n_blocks - first < chunk ? n_blocks - first : chunk;
        s.resumes = first > 0;
        s.wrap = first + chunk < n_blocks ? 0 : wrap;
        if (form == FORM_Q8_0 && tiles == TILES) {
            packed[form].groups(&s, n_blocks, n_tokens); /* is bytes already */
        } else {
            run_expanded(form, tiles, &s, n_blocks, n_tokens);
        }
        s.quants += chunk * quant_bytes(form);
        s.acts += chunk;
    }
}

/* Tiles of the next strip: the most that the token count has registers for. */
static uint32_t tiles_of_strip(uint32_t n_left, uint32_t n_tokens)
{
    uint32_t most = n_tokens == 1 && n_left >= TILES_ALONE ? TILES_ALONE : TILES;
    return n_left < most ? n_left : most;
}

/* All tiles of a span against `n_tokens` tokens from `acts` on. */
static void span_pass(enum form form, const struct weir_cpu_span *w,
                      const struct weir_cpu_act_block *acts, uint32_t n_blocks, uint32_t n_tokens,
                      float *y, size_t ldy)
{
    size_t all_scales = weir_cpu_tile_scale_bytes(form, w->n_cols, ROWS);
    for (uint32_t tile = 0; tile < w->n_tiles;) {
        uint32_t tiles = tiles_of_strip(w->n_tiles - tile, n_tokens);
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
            packed[form].alone(&s);
        } else if (tiles == TILES && n_tokens <= DIRECT_MAX) {
            packed[form].groups(&s, n_blocks, n_tokens);
        } else {
            run_chunks(form, tiles, s, n_blocks, n_tokens);
        }
        tile += tiles;
    }
}

static void span_quantised(uint32_t type, const struct weir_cpu_span *w,
                           const struct weir_cpu_act *a, uint32_t n_tokens, float *y, size_t ldy)
{
    uint32_t per_pass = tokens_per_pass(a->n_blocks);
    for (uint32_t token = 0; token < n_tokens; token += per_pass) {
        uint32_t n = n_tokens - token < per_pass ? n_tokens - token : per_pass;
        const struct weir_cpu_act_block *acts = a->groups + (size_t)(token / TOKENS) * a->n_blocks;
        span_pass((enum form)type, w, acts, a->n_blocks, n, y + token * ldy, ldy);
    }
}

#include "backends/cpu/linear/table_impl.h"
