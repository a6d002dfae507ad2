/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of x86 without VNNI, over vectors of 8 or 16 lanes. Included by avx2.c and avx512.c,
 * which name the table; no include guard by purpose.
 *
 * vpmaddubsw multiplies unsigned weights with signed activations and adds pairs, saturating at 16
 * bits. Sums may run on in 16 bits for as many planes as the weights' width allows, before vpmaddwd
 * widens them: with |q| <= 127, 8 planes of 4-bit weights reach 8 * 2 * 15 * 127 = 30480, 4 planes
 * of 5 bits 31496, 2 planes of 6 bits 32004. Signed bytes go through |w| and q * sign(w), one plane
 * at a time (2 * 128 * 127 = 32512). So no sum saturates and integer sums are exact.
 *
 * Tiles are unpacked in registers for each group of 4 tokens. The includer defines, before it:
 * TILES of a strip of several tokens and TILES_ALONE of one; what x86_impl.h and table_impl.h need.
 */

#include "backends/cpu/linear/x86_impl.h"

/* Plane g of a block: unsigned u, or signed bytes for Q8_0. */
INLINE vi plane(enum form form, const uint8_t *q, unsigned g)
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

INLINE vi pair_products(enum form form, vi w, vi q)
{
    return form == FORM_Q8_0 ? vi_signed_maddubs(w, q) : vi_maddubs(w, q);
}

/* A value that is made here and in this order: gcc would make all products of a block first, and
 * spill them, where each is to be added at once. */
INLINE vi pinned(vi v)
{
    __asm__ volatile("" : "+v"(v));
    return v;
}

/* The integer sums of one block of a strip, or of half `half` of a HALVES block. */
INLINE void dot_block(enum form form, unsigned tiles, unsigned tokens, unsigned half,
                      const uint8_t *quants, size_t tile_stride, const struct weir_cpu_act_block *a,
                      vi sum[TILES][TOKENS])
{
    const unsigned n_planes = kind_of(form) == FORM_HALVES ? 4 : 8;
    const unsigned run = planes_per_sum(form);
    const vi ones = vi_set16(1);
    vi narrow[TILES][TOKENS];

#pragma GCC unroll 8
    for (unsigned i = 0; i < n_planes; i++) {
        /* Planes g and g + 4 share their nibbles' bytes. */
        unsigned g = kind_of(form) == FORM_HALVES ? 4 * half + i : i / 2 + i % 2 * 4;
        vi w[TILES];
#pragma GCC unroll 2
        for (unsigned t = 0; t < tiles; t++) {
            w[t] = plane(form, quants + t * tile_stride, g);
        }
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            vi q = broadcast_word(&a->q[c][4 * g]);
#pragma GCC unroll 2
            for (unsigned t = 0; t < tiles; t++) {
                vi so_far = pair_products(form, w[t], q);
                if (i % run > 0) {
                    so_far = vi_add16(narrow[t][c], so_far);
                }
                if (i % run == run - 1) {
                    so_far = vi_madd(so_far, ones);
                    so_far = i < run ? so_far : vi_add32(sum[t][c], so_far);
                    sum[t][c] = pinned(so_far);
                } else {
                    narrow[t][c] = pinned(so_far);
                }
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
        vi shifted = vi_sra32(vi_set32(bias[c]), centre_shift(form));
#pragma GCC unroll 2
        for (unsigned t = 0; t < tiles; t++) {
            sum[t][c] = vi_add32(sum[t][c], shifted);
        }
    }
}

/* One block of `tiles` tiles from `tile` on. */
INLINE void add_block(enum form form, unsigned tiles, unsigned tokens, const struct strip *s,
                      unsigned tile, uint32_t b, vf acc[][TOKENS])
{
    const unsigned n_halves = kind_of(form) == FORM_HALVES ? 2 : 1;
    const struct weir_cpu_act_block *a = s->acts + b;
    const size_t at = tile * s->tile_stride;
    const uint8_t *quants = s->quants + at + b * quant_bytes(form);

#pragma GCC unroll 2
    for (unsigned half = 0; half < n_halves; half++) {
        vi sum[TILES][TOKENS];
        dot_block(form, tiles, tokens, half, quants, s->tile_stride, a, sum);
#pragma GCC unroll 2
        for (unsigned t = 0; t < tiles; t++) {
            struct scales v = load_scales(form, s->scales + at + t * s->tile_stride, b);
#pragma GCC unroll 4
            for (unsigned c = 0; c < tokens; c++) {
                vf *to = &acc[tile + t][c];
                vf scale = vf_mul(half == 0 ? v.s : v.second, vf_set(a->d[c]));
                *to = vf_fma(scale, vf_from(sum[t][c]), *to);
                if (kind_of(form) == FORM_OFFSET) {
                    *to = vf_fma(v.second, vf_set(a->d_sum[c]), *to);
                }
            }
        }
    }
}

/* `at_once` tiles meet the tokens together; the others of the strip follow. */
INLINE void run_strip(enum form form, unsigned tiles, unsigned at_once, unsigned tokens,
                      const struct strip *s)
{
    vf acc[TILES_ALONE][TOKENS];

#pragma GCC unroll 8
    for (unsigned t = 0; t < tiles; t++) {
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            acc[t][c] = vf_zero();
        }
    }
    for (uint32_t b = 0; b < s->n_blocks; b++) {
        if (s->group_bytes > 0) {
            prefetch_block(form, tiles, s, b);
        }
#pragma GCC unroll 8
        for (unsigned t = 0; t < tiles; t += at_once) {
            add_block(form, at_once, tokens, s, t, b, acc);
        }
    }
#pragma GCC unroll 8
    for (unsigned t = 0; t < tiles; t++) {
        row_mask rows = row_mask_of(s->n_rows, t);
#pragma GCC unroll 4
        for (unsigned c = 0; c < tokens; c++) {
            vf_store_rows(s->y + c * s->ldy + (size_t)t * ROWS, rows, acc[t][c]);
        }
    }
}

/* A few tiles against all tokens, group by group. */
INLINE void run_groups(enum form form, unsigned tiles, struct strip s, uint32_t n_tokens)
{
    for (uint32_t token = 0; token < n_tokens; token += TOKENS) {
        switch (n_tokens - token) {
        case 1: run_strip(form, tiles, tiles, 1, &s); break;
        case 2: run_strip(form, tiles, tiles, 2, &s); break;
        case 3: run_strip(form, tiles, tiles, 3, &s); break;
        default: run_strip(form, tiles, tiles, 4, &s); break;
        }
        s.acts += s.n_blocks;
        s.y += TOKENS * s.ldy;
        s.group_bytes = 0;
    }
}

/* Tiles of the next strip: the most that the token count has registers for. */
INLINE uint32_t tiles_of_strip(uint32_t n_left, uint32_t n_tokens)
{
    uint32_t most = n_tokens == 1 && n_left >= TILES_ALONE ? TILES_ALONE : TILES;
    return n_left < most ? 1 : most;
}

/* All tiles of a span against `n_tokens` tokens from `acts` on. */
INLINE void span_pass(enum form form, const struct weir_cpu_span *w,
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
            run_strip(form, TILES_ALONE, 1, 1, &s);
        } else if (tiles == TILES) {
            run_groups(form, TILES, s, n_tokens);
        } else {
            run_groups(form, 1, s, n_tokens);
        }
        tile += tiles;
    }
}

INLINE void span_quantised(uint32_t type, const struct weir_cpu_span *w,
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
