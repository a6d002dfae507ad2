/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels of x86 share, over vectors of ROWS lanes: unpacking of tiles, weights in float,
 * outlier columns. Included by maddubs_impl.h and avx512_vnni.c; no include guard by purpose.
 *
 * Defined before it: ROWS; FLOAT_COLS, tokens of a strip in float; the vectors vi and vf and what
 * is called on them here; row_mask, row_mask_of(n_rows, tile), which lanes of a tile are rows,
 * vf_load_rows() and vf_store_rows(). */

INLINE vi load_plane(const uint8_t *planes, unsigned i)
{
    return vi_load(planes + (size_t)i * PLANE);
}

INLINE vi nibbles(const uint8_t *planes, unsigned g)
{
    vi x = load_plane(planes, g % 4);
    x = g < 4 ? x : vi_srl16(x, 4);
    return vi_and(x, vi_set8(0x0f));
}

/* nibbles | (high & mask), where the wanted bits of `high` lie `shift` places too low. */
INLINE vi with_high(vi nibble, vi high, int shift, char mask)
{
    high = shift >= 0 ? vi_sll16(high, shift) : vi_srl16(high, -shift);
    return vi_or_masked(nibble, high, vi_set8(mask));
}

struct scales {
    vf s;
    vf second; /* m, or s of the second half */
};

INLINE struct scales load_scales(enum form form, const uint8_t *scales, uint32_t block)
{
    struct scales out = {vf_zero(), vf_zero()};
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
        vf minus_dmin = vf_negate(halves(p + 2 * ROWS));
        out.s = vf_mul(halves(p), bytes_u8(q));
        out.second = vf_mul(minus_dmin, bytes_u8(q + ROWS));
        break;
    }
    case FORM_Q6_K: {
        p = scales + (size_t)(block / 8) * 18 * ROWS;
        const uint8_t *q = p + 2 * ROWS + (size_t)(block % 8) * 2 * ROWS;
        out.s = vf_mul(halves(p), bytes_i8(q));
        out.second = vf_mul(halves(p), bytes_i8(q + ROWS));
        break;
    }
    case FORM_Q4_0:
    case FORM_Q5_0:
    case FORM_Q8_0: out.s = halves(scales + (size_t)block * 2 * ROWS); break;
    default: {
        const float *f = (const float *)(const void *)scales + (size_t)block * 2 * ROWS;
        out.s = vf_load(f);
        out.second = vf_load(f + ROWS);
        break;
    }
    }
    return out;
}

INLINE vi broadcast_word(const int8_t *four)
{
    int32_t word;
    memcpy(&word, four, sizeof(word));
    return vi_set32(word);
}

INLINE vf load_floats(uint32_t type, const uint8_t *p)
{
    switch (type) {
    case WEIR_TENSOR_F16: return halves(p);
    case WEIR_TENSOR_BF16: return bf16s(p);
    default: return vf_load((const float *)(const void *)p);
    }
}

enum { FLOAT_SUMS = 4 /* partial sums by column % 4, for latency and accuracy */ };

INLINE void float_strip(uint32_t type, unsigned cols, const uint8_t *tile, uint32_t n_cols,
                        const float *x, size_t ldx, float *y, size_t ldy, row_mask rows)
{
    const size_t step = (type == WEIR_TENSOR_F32 ? 4u : 2u) * ROWS;
    vf acc[FLOAT_COLS][FLOAT_SUMS];
#pragma GCC unroll 6
    for (unsigned c = 0; c < cols; c++) {
#pragma GCC unroll 4
        for (unsigned i = 0; i < FLOAT_SUMS; i++) {
            acc[c][i] = vf_zero();
        }
    }
    uint32_t k = 0;
    for (; k + FLOAT_SUMS <= n_cols; k += FLOAT_SUMS) {
#pragma GCC unroll 4
        for (unsigned i = 0; i < FLOAT_SUMS; i++, tile += step) {
            vf w = load_floats(type, tile);
            __builtin_prefetch(tile + 4096);
#pragma GCC unroll 6
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = vf_fma(w, vf_set(x[c * ldx + k + i]), acc[c][i]);
            }
        }
    }
#pragma GCC unroll 3
    for (unsigned i = 0; i < FLOAT_SUMS - 1; i++) {
        if (k + i < n_cols) {
            vf w = load_floats(type, tile + i * step);
#pragma GCC unroll 6
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = vf_fma(w, vf_set(x[c * ldx + k + i]), acc[c][i]);
            }
        }
    }
#pragma GCC unroll 6
    for (unsigned c = 0; c < cols; c++) {
        vf sum = vf_add(vf_add(acc[c][0], acc[c][1]), vf_add(acc[c][2], acc[c][3]));
        vf_store_rows(y + c * ldy, rows, sum);
    }
}

#define AT_MOST(n) ((n) < FLOAT_COLS ? (n) : FLOAT_COLS)

INLINE void span_float(uint32_t type, const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                       uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t tile = 0; tile < w->n_tiles; tile++) {
        const uint8_t *p = w->tiles + tile * w->tile_bytes;
        row_mask rows = row_mask_of(w->n_rows, tile);
        for (uint32_t t = 0; t < n_tokens; t += FLOAT_COLS) {
            const float *x = a->x + t * a->ldx;
            float *out = y + t * ldy + (size_t)tile * ROWS;
            switch (n_tokens - t) {
            case 1: float_strip(type, 1, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 2: float_strip(type, 2, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 3: float_strip(type, 3, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 4: float_strip(type, AT_MOST(4), p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            case 5: float_strip(type, AT_MOST(5), p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            default: float_strip(type, FLOAT_COLS, p, w->n_cols, x, a->ldx, out, ldy, rows); break;
            }
        }
    }
}

/* `n` becomes a constant here: the weights must be registers. */
INLINE void add_columns(uint32_t n, const struct weir_cpu_outliers *o, uint32_t row,
                        uint32_t n_rows, const float *x, uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t tile = 0; tile * ROWS < n_rows; tile++) {
        const row_mask rows = row_mask_of(n_rows, tile);
        const uint32_t first = tile * ROWS;
        vf w[WEIR_CPU_OUTLIERS_MAX];
#pragma GCC unroll 2
        for (uint32_t i = 0; i < n; i++) {
            w[i] = vf_load_rows(o->weights[i] + row + first, rows);
        }
        for (uint32_t t = 0; t < n_tokens; t++) {
            float *out = y + t * ldy + first;
            vf acc = vf_load_rows(out, rows);
#pragma GCC unroll 2
            for (uint32_t i = 0; i < n; i++) {
                vf v = vf_set(x[(size_t)t * WEIR_CPU_OUTLIERS_MAX + i]);
                acc = vf_fma(w[i], v, acc);
            }
            vf_store_rows(out, rows, acc);
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
