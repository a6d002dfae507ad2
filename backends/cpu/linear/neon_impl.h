/* SPDX-License-Identifier: Apache-2.0 */
/* NEON kernels on tiles of 8 rows. Included by neon.c (dotprod) and neon_i8mm.c (HAS_I8MM), which
 * name the table; no include guard by purpose.
 *
 * sdot adds four products of signed bytes to each of 4 lanes, and takes its second factor from one
 * word of a register: two registers of weights (8 rows x 4 columns) meet 4 columns of a token
 * without a broadcast. smmla multiplies 2 rows x 8 columns with 8 columns x 2 tokens: twice the
 * products, for weights and activations that lie in pairs. Both sum exact integers and then round
 * in the same order, so that a token alone (sdot) has the bits that it has in company (smmla).
 *
 * Weights count as signed bytes as they are; the centre of Q4_0, Q5_0 and Q6_K is where the sums
 * start, at -centre * sum(q), which the activations carry.
 *
 * A strip is one tile x 4 tokens, or 4 tiles x 1 token: 16 of 32 registers are sums. Up to
 * direct_max() tokens the tiles are unpacked in registers as they stream through; past it a chunk
 * of the tile is unpacked once, to signed bytes in the order of the multiplier and float scales in
 * L1.
 *
 * Instructions of the inner loop for a tile's block of Q4_0 (256 products per token), as gcc 12
 * compiles it. They are counted, not timed.
 *
 *     one token: 58. 16 sdot, 16 unpack nibbles, 6 scale, the others load.
 *     4 tokens by sdot: 136. 64 sdot, 16 unpack, 12 start the sums, 24 scale.
 *     4 tokens by smmla: 132. 32 smmla, 16 unpack, 16 pair, 8 part the sums, 24 scale.
 *     4 tokens, expanded: 128 by sdot (96 of vector arithmetic), 115 by smmla (80).
 */
#include "backends/cpu/linear/isa_tables.h"
#include "backends/cpu/linear/neon_float.h"
#include "backends/cpu/linear/neon_wide.h"

enum {
    TILES_ALONE = 4, /* of a strip of one token: more streams fill more of the bandwidth */
    CHUNK_MAX = 32,  /* blocks expanded at once: 320 bytes each, in L1 */
};

#include "backends/cpu/linear/strip.h"

/* How the bytes of a block meet the activations. In both orders a block is 16 units of 16 bytes. */
enum order {
    WORDS, /* for sdot: unit (g, v) is columns 4g..4g+3 of rows 4v..4v+3, as planes are */
    PAIRS, /* for smmla: unit (k, p) is columns 8k..8k+7 of rows 2p and 2p+1 */
    MANY = HAS_I8MM ? PAIRS : WORDS, /* of more than one token */
};

/* Units of the same columns. */
INLINE unsigned units_across(enum order order)
{
    return order == PAIRS ? ROWS / 2 : VECTORS;
}

INLINE uint8x16_t load_plane(const uint8_t *planes, unsigned plane, unsigned vector)
{
    return vld1q_u8(planes + (size_t)plane * PLANE + (size_t)16 * vector);
}

/* Words of a and b by turns: of rows 0 and 1 of their 4, or of rows 2 and 3. */
INLINE uint8x16_t by_turns(uint8x16_t a, uint8x16_t b, unsigned upper)
{
    uint32x4_t x = vreinterpretq_u32_u8(a);
    uint32x4_t y = vreinterpretq_u32_u8(b);
    return vreinterpretq_u8_u32(upper ? vzip2q_u32(x, y) : vzip1q_u32(x, y));
}

INLINE uint8x16_t load_unit(enum order order, const uint8_t *planes, unsigned i, unsigned j)
{
    return order == PAIRS ? by_turns(load_plane(planes, 2 * i, j / 2),
                                     load_plane(planes, 2 * i + 1, j / 2), j % 2)
                          : load_plane(planes, i, j);
}

INLINE uint8x16_t nibbles(enum order order, const uint8_t *planes, unsigned i, unsigned j)
{
    const unsigned n = order == PAIRS ? 2 : 4; /* of low ones */
    uint8x16_t x = load_unit(order, planes, i % n, j);
    return i < n ? vandq_u8(x, vdupq_n_u8(15)) : vshrq_n_u8(x, 4);
}

/* nibbles | the `width` high bits of unit (i, j), which lie in plane 0 or, 2 bits wide, 0 and 1. */
INLINE uint8x16_t with_high(enum order order, uint8x16_t nibble, const uint8_t *planes,
                            unsigned width, unsigned i, unsigned j)
{
    const unsigned g = order == PAIRS ? 2 * i : i; /* the first plane of the unit */
    const unsigned fields = width == 1 ? 8 : 4;    /* of a byte */
    const int shift = 4 - (int)(width * (g % fields));
    uint8x16_t x = load_plane(planes, g / fields, order == PAIRS ? j / 2 : j);
    if (order == PAIRS) { /* the second plane's field moves to where the first one's is */
        x = by_turns(x, width == 1 ? vshrq_n_u8(x, 1) : vshrq_n_u8(x, 2), j % 2);
    }
    x = shift >= 0 ? x << vdupq_n_u8((uint8_t)shift) : x >> vdupq_n_u8((uint8_t)-shift);
    return vorrq_u8(nibble, vandq_u8(x, vdupq_n_u8(width == 1 ? 0x10 : 0x30)));
}

/* Unit (i, j) of a block: unsigned u below 64, or signed bytes where those are stored. */
INLINE int8x16_t unit(enum form form, enum order order, const uint8_t *q, unsigned i, unsigned j)
{
    uint8x16_t x;
    switch (form) {
    case FORM_Q4_0:
    case FORM_Q4_1:
    case FORM_Q4_K: x = nibbles(order, q, i, j); break;
    case FORM_Q5_0:
    case FORM_Q5_1:
    case FORM_Q5_K: x = with_high(order, nibbles(order, q + PLANE, i, j), q, 1, i, j); break;
    case FORM_Q6_K: x = with_high(order, nibbles(order, q + 2 * PLANE, i, j), q, 2, i, j); break;
    case FORM_Q8_0: x = load_unit(order, q, i, j); break;
    default: x = vld1q_u8(q + (size_t)16 * (i * units_across(order) + j)); break;
    }
    return vreinterpretq_s8_u8(x);
}

/* What packed u is above the weight's integer; 0 where the weight is offset or stored as it is. */
INLINE int centre_of(enum form form)
{
    return form == FORM_Q4_0 ? 8 : form == FORM_Q5_0 ? 16 : form == FORM_Q6_K ? 32 : 0;
}

struct scales {
    struct wide s;
    struct wide second; /* m, or s of the second half */
};

INLINE struct wide times_u8(struct wide a, const uint8_t *p)
{
    uint16x8_t n = vmovl_u8(vld1_u8(p));
    return (struct wide){{vmulq_f32(a.v[0], vcvtq_f32_u32(vmovl_u16(vget_low_u16(n)))),
                          vmulq_f32(a.v[1], vcvtq_f32_u32(vmovl_high_u16(n)))}};
}

INLINE struct wide times_s8(struct wide a, const uint8_t *p)
{
    int16x8_t n = vmovl_s8(vreinterpret_s8_u8(vld1_u8(p)));
    return (struct wide){{vmulq_f32(a.v[0], vcvtq_f32_s32(vmovl_s16(vget_low_s16(n)))),
                          vmulq_f32(a.v[1], vcvtq_f32_s32(vmovl_high_s16(n)))}};
}

INLINE struct wide negative(struct wide a)
{
    return (struct wide){{vnegq_f32(a.v[0]), vnegq_f32(a.v[1])}};
}

INLINE struct scales load_scales(enum form form, const uint8_t *scales, uint32_t block)
{
    struct scales out = {0};
    const uint8_t *p;
    switch (form) {
    case FORM_Q4_0:
    case FORM_Q5_0:
    case FORM_Q8_0: out.s = load_halves(scales + (size_t)block * 2 * ROWS); break;
    case FORM_Q4_1:
    case FORM_Q5_1:
        p = scales + (size_t)block * 4 * ROWS;
        out.s = load_halves(p);
        out.second = load_halves(p + 2 * ROWS);
        break;
    case FORM_Q4_K:
    case FORM_Q5_K: {
        p = scales + (size_t)(block / 8) * 20 * ROWS;
        const uint8_t *q = p + 4 * ROWS + (size_t)(block % 8) * 2 * ROWS;
        out.s = times_u8(load_halves(p), q);
        out.second = times_u8(negative(load_halves(p + 2 * ROWS)), q + ROWS);
        break;
    }
    case FORM_Q6_K: {
        p = scales + (size_t)(block / 8) * 18 * ROWS;
        const uint8_t *q = p + 2 * ROWS + (size_t)(block % 8) * 2 * ROWS;
        out.s = times_s8(load_halves(p), q);
        out.second = times_s8(load_halves(p), q + ROWS);
        break;
    }
    default: {
        const float *f = (const float *)(const void *)scales + (size_t)block * 2 * ROWS;
        out.s = load_wide(f);
        out.second = load_wide(f + ROWS);
        break;
    }
    }
    return out;
}

/* Where the sums of each token start. */
INLINE int32x4_t starts(enum form form, unsigned half, const struct weir_cpu_act_block *a)
{
    if (centre_of(form) == 0) {
        return vdupq_n_s32(0);
    }
    const int32_t *bias = kind_of(form) == FORM_CENTRED ? a->bias
                          : half == 0                   ? a->bias_lo
                                                        : a->bias_hi;
    int32x4_t b = vld1q_s32(bias); /* -128 * sum(q) */
    return b >> vdupq_n_s32(centre_of(form) == 8 ? 4 : centre_of(form) == 16 ? 3 : 2);
}

/* sum += w * the word `lane` of q; the instruction takes the lane as a constant only. */
INLINE int32x4_t dot_lane(int32x4_t sum, int8x16_t w, int8x16_t q, unsigned lane)
{
    switch (lane) {
    case 0: return vdotq_laneq_s32(sum, w, q, 0);
    case 1: return vdotq_laneq_s32(sum, w, q, 1);
    case 2: return vdotq_laneq_s32(sum, w, q, 2);
    default: return vdotq_laneq_s32(sum, w, q, 3);
    }
}

/* The integer sums of one block of one tile, or of half `half` of a HALVES block. */
INLINE void dot_words(enum form form, unsigned tokens, unsigned half, const uint8_t *quants,
                      const struct weir_cpu_act_block *a, int32x4_t sum[TOKENS][VECTORS])
{
    const unsigned n_planes = kind_of(form) == FORM_HALVES ? 4 : 8;
    const int32x4_t start = starts(form, half, a);

#pragma GCC unroll 4
    for (unsigned c = 0; c < tokens; c++) {
        sum[c][0] = sum[c][1] = vdupq_n_s32(start[c]);
    }
#pragma GCC unroll 8
    for (unsigned i = 0; i < n_planes; i++) {
        /* Planes g and g + 4 share their nibbles' bytes. */
        unsigned g = kind_of(form) == FORM_HALVES ? 4 * half + i : i / 2 + i % 2 * 4;
        int8x16_t lower = unit(form, WORDS, quants, g, 0);
        int8x16_t upper = unit(form, WORDS, quants, g, 1);
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            int8x16_t q = vld1q_s8(a->q[c] + (size_t)16 * (g / 4));
            sum[c][0] = dot_lane(sum[c][0], lower, q, g % 4);
            sum[c][1] = dot_lane(sum[c][1], upper, q, g % 4);
        }
    }
}

#if HAS_I8MM
/* Columns 8k..8k+7 of tokens 2t and 2t+1. With an odd number of tokens the last lane is of none. */
INLINE int8x16_t token_pair(const struct weir_cpu_act_block *a, unsigned t, unsigned k)
{
    int64x2_t x = vreinterpretq_s64_s8(vld1q_s8(a->q[2 * t] + (size_t)16 * (k / 2)));
    int64x2_t y = vreinterpretq_s64_s8(vld1q_s8(a->q[2 * t + 1] + (size_t)16 * (k / 2)));
    return vreinterpretq_s8_s64(k % 2 ? vzip2q_s64(x, y) : vzip1q_s64(x, y));
}

/* The same sums by smmla, whose registers hold 2 rows x 2 tokens. */
INLINE void dot_pairs(enum form form, unsigned tokens, unsigned half, const uint8_t *quants,
                      const struct weir_cpu_act_block *a, int32x4_t sum[TOKENS][VECTORS])
{
    const unsigned n_pairs = (tokens + 1) / 2;
    const unsigned n_steps = kind_of(form) == FORM_HALVES ? 2 : 4;
    const int64x2_t start = vreinterpretq_s64_s32(starts(form, half, a));
    int32x4_t square[TOKENS / 2][ROWS / 2];

#pragma GCC unroll 2
    for (unsigned t = 0; t < n_pairs; t++) {
#pragma GCC unroll 4
        for (unsigned p = 0; p < ROWS / 2; p++) {
            square[t][p] = vreinterpretq_s32_s64(vdupq_n_s64(start[t]));
        }
    }
#pragma GCC unroll 4
    for (unsigned i = 0; i < n_steps; i++) {
        unsigned k = kind_of(form) == FORM_HALVES ? 2 * half + i : i / 2 + i % 2 * 2;
        int8x16_t q[TOKENS / 2];
#pragma GCC unroll 2
        for (unsigned t = 0; t < n_pairs; t++) {
            q[t] = token_pair(a, t, k);
        }
#pragma GCC unroll 4
        for (unsigned p = 0; p < ROWS / 2; p++) {
            int8x16_t w = unit(form, PAIRS, quants, k, p);
#pragma GCC unroll 2
            for (unsigned t = 0; t < n_pairs; t++) {
                square[t][p] = vmmlaq_s32(square[t][p], w, q[t]);
            }
        }
    }
#pragma GCC unroll 4
    for (unsigned c = 0; c < tokens; c++) {
#pragma GCC unroll 2
        for (unsigned v = 0; v < VECTORS; v++) {
            int32x4_t x = square[c / 2][2 * v];
            int32x4_t y = square[c / 2][2 * v + 1];
            sum[c][v] = c % 2 ? vuzp2q_s32(x, y) : vuzp1q_s32(x, y);
        }
    }
}
#endif

INLINE void dot_block(enum form form, enum order order, unsigned tokens, unsigned half,
                      const uint8_t *quants, const struct weir_cpu_act_block *a,
                      int32x4_t sum[TOKENS][VECTORS])
{
#if HAS_I8MM
    if (order == PAIRS) {
        dot_pairs(form, tokens, half, quants, a, sum);
        return;
    }
#endif
    (void)order;
    dot_words(form, tokens, half, quants, a, sum);
}

INLINE void add_block(enum form form, enum order order, unsigned tokens, const struct strip *s,
                      unsigned tile, uint32_t b, struct wide acc[TOKENS])
{
    const unsigned n_halves = kind_of(form) == FORM_HALVES ? 2 : 1;
    const struct weir_cpu_act_block *a = s->acts + b;
    const uint8_t *quants = s->quants + tile * s->tile_stride + b * quant_bytes(form);
    const struct scales scales =
        load_scales(form, s->scales + tile * s->tile_stride, s->first_block + b);
    const float32x4_t d = vld1q_f32(a->d);
    const float32x4_t d_sum = vld1q_f32(a->d_sum);

#pragma GCC unroll 2
    for (unsigned half = 0; half < n_halves; half++) {
        const struct wide factor = half == 0 ? scales.s : scales.second;
        int32x4_t sum[TOKENS][VECTORS];
        dot_block(form, order, tokens, half, quants, a, sum);
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
#pragma GCC unroll 2
            for (unsigned v = 0; v < VECTORS; v++) {
                float32x4_t scale = vmulq_n_f32(factor.v[v], d[c]);
                acc[c].v[v] = vfmaq_f32(acc[c].v[v], scale, vcvtq_f32_s32(sum[c][v]));
                if (kind_of(form) == FORM_OFFSET) {
                    acc[c].v[v] = vfmaq_n_f32(acc[c].v[v], scales.second.v[v], d_sum[c]);
                }
            }
        }
    }
}

INLINE void run_strip(enum form form, enum order order, unsigned tiles, unsigned tokens,
                      const struct strip *s)
{
    struct wide acc[TILES_ALONE][TOKENS] = {0};

#pragma GCC unroll 4
    for (unsigned t = 0; t < tiles; t++) {
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            if (s->resumes) {
                acc[t][c] = load_rows(s->y + c * s->ldy + (size_t)t * ROWS, rows_of(s->n_rows, t));
            }
        }
    }
    for (uint32_t b = 0; b < s->n_blocks; b++) {
        if (s->group_bytes > 0) {
            prefetch_block(form, tiles, s, b);
        }
#pragma GCC unroll 4
        for (unsigned t = 0; t < tiles; t++) {
            add_block(form, order, tokens, s, t, b, acc[t]);
        }
    }
#pragma GCC unroll 4
    for (unsigned t = 0; t < tiles; t++) {
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            store_rows(s->y + c * s->ldy + (size_t)t * ROWS, acc[t][c], rows_of(s->n_rows, t));
        }
    }
}

/* One tile against all tokens, group by group. Counts become constants here: the sums must be
 * registers. `order` is that of more than one token; what is packed can be read in either. */
INLINE void run_groups(enum form form, enum order order, struct strip s, size_t group_stride,
                       uint32_t n_tokens)
{
    const enum order alone = form < FORM_CENTRED ? WORDS : order;
    for (uint32_t token = 0; token < n_tokens; token += TOKENS) {
        switch (n_tokens - token) {
        case 1: run_strip(form, alone, 1, 1, &s); break;
        case 2: run_strip(form, order, 1, 2, &s); break;
        case 3: run_strip(form, order, 1, 3, &s); break;
        default: run_strip(form, order, 1, 4, &s); break;
        }
        s.acts += group_stride;
        s.y += TOKENS * s.ldy;
        s.group_bytes = 0;
    }
}

struct expanded {
    _Alignas(64) int8_t quants[CHUNK_MAX][8 * PLANE];
    _Alignas(64) float scales[CHUNK_MAX][2][ROWS]; /* s and m, or s of both halves */
};

/* Blocks [s->first_block, + s->n_blocks) of a packed tile as signed bytes and float scales. */
INLINE void expand(enum form form, const struct strip *s, struct expanded *out)
{
    const unsigned across = units_across(MANY);
    const uint8_t *quants = s->quants;
    for (uint32_t b = 0; b < s->n_blocks; b++, quants += quant_bytes(form)) {
        struct scales scales = load_scales(form, s->scales, s->first_block + b);
        prefetch_block(form, 1, s, b);
        store_wide(out->scales[b][0], scales.s);
        store_wide(out->scales[b][1], scales.second);
#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; i++) {
            int8x16_t w = unit(form, MANY, quants, i / across, i % across);
            w = vsubq_s8(w, vdupq_n_s8((int8_t)centre_of(form)));
            vst1q_s8(&out->quants[b][(size_t)16 * i], w);
        }
    }
}

#define EXPANDED(name, form)                                                                       \
    static void name(const struct strip *s, size_t group_stride, uint32_t n_tokens)                \
    {                                                                                              \
        run_groups(form, MANY, *s, group_stride, n_tokens);                                        \
    }
EXPANDED(run_centred, FORM_CENTRED)
EXPANDED(run_offset, FORM_OFFSET)
EXPANDED(run_halves, FORM_HALVES)
#undef EXPANDED

/* One tile against `n_tokens` tokens, a chunk of blocks that fits L1 at a time. */
INLINE void run_chunks(enum form form, struct strip s, uint32_t n_blocks, uint32_t n_tokens)
{
    struct expanded chunk;
    struct strip e = s;
    const size_t wrap = s.wrap;
    e.scales = (const uint8_t *)chunk.scales;
    e.quants = (const uint8_t *)chunk.quants;
    e.group_bytes = 0;
    for (uint32_t first = 0; first < n_blocks; first += CHUNK_MAX) {
        s.first_block = first;
        s.n_blocks = n_blocks - first < CHUNK_MAX ? n_blocks - first : CHUNK_MAX;
        s.wrap = first + s.n_blocks < n_blocks ? 0 : wrap;
        expand(form, &s, &chunk);
        e.n_blocks = s.n_blocks;
        e.resumes = first > 0;
        switch (kind_of(form)) {
        case FORM_OFFSET: run_offset(&e, n_blocks, n_tokens); break;
        case FORM_HALVES: run_halves(&e, n_blocks, n_tokens); break;
        default: run_centred(&e, n_blocks, n_tokens); break;
        }
        s.quants += CHUNK_MAX * quant_bytes(form);
        e.acts += CHUNK_MAX;
    }
}

/* Tokens up to which unpacking for each group takes fewer instructions than expanding once. */
INLINE uint32_t direct_max(enum form form)
{
    switch (form) {
    case FORM_Q4_0: return 32;
    case FORM_Q4_1: return 16;
    case FORM_Q8_0: return MANY == WORDS ? UINT32_MAX : 32; /* bytes in order already */
    default: return 8;
    }
}

/* All tiles of a span against `n_tokens` tokens from `acts` on. */
INLINE void span_pass(enum form form, const struct weir_cpu_span *w,
                      const struct weir_cpu_act_block *acts, uint32_t n_blocks, uint32_t n_tokens,
                      float *y, size_t ldy)
{
    const size_t all_scales = weir_cpu_tile_scale_bytes(form, w->n_cols, ROWS);
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
            run_strip(form, WORDS, TILES_ALONE, 1, &s);
        } else if (n_tokens <= direct_max(form)) {
            run_groups(form, MANY, s, n_blocks, n_tokens);
        } else {
            run_chunks(form, s, n_blocks, n_tokens);
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

#define SPAN(name, form)                                                                           \
    static void name(const struct weir_cpu_span *w, const struct weir_cpu_act *a,                  \
                     uint32_t n_tokens, float *y, size_t ldy)                                      \
    {                                                                                              \
        span_quantised(form, w, a, n_tokens, y, ldy);                                              \
    }
SPAN(span_q4_0, FORM_Q4_0)
SPAN(span_q4_1, FORM_Q4_1)
SPAN(span_q5_0, FORM_Q5_0)
SPAN(span_q5_1, FORM_Q5_1)
SPAN(span_q8_0, FORM_Q8_0)
SPAN(span_q4_k, FORM_Q4_K)
SPAN(span_q5_k, FORM_Q5_K)
SPAN(span_q6_k, FORM_Q6_K)
#undef SPAN

const struct weir_cpu_isa NEON_TABLE = {
    .name = NEON_NAME,
    .tile_rows = ROWS,
    .quantise = weir__cpu_neon_quantise,
    .add_outliers = weir__cpu_neon_add_outliers,
    .span =
        {
            [WEIR_TENSOR_F32] = weir__cpu_neon_span_f32,
            [WEIR_TENSOR_F16] = weir__cpu_neon_span_f16,
            [WEIR_TENSOR_BF16] = weir__cpu_neon_span_bf16,
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
