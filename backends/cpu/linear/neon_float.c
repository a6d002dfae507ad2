/* SPDX-License-Identifier: Apache-2.0 */
/* Float weights on tiles of 8 rows: 3 tokens x 4 partial sums x 2 registers are 24 of 32. 4 columns
 * of 3 tokens take 24 fmla by element and 8 loads and, for F16 and BF16, 8 widening instructions.
 */
#include "backends/cpu/linear/neon_float.h"

#include "backends/cpu/linear/neon_wide.h"

enum {
    FLOAT_COLS = 3, /* tokens of a strip */
    FLOAT_SUMS = 4, /* partial sums by column % 4, for latency and accuracy */
};

INLINE struct wide load_floats(uint32_t type, const uint8_t *p)
{
    switch (type) {
    case WEIR_TENSOR_F16: return load_halves(p);
    case WEIR_TENSOR_BF16: {
        uint16x8_t x = vreinterpretq_u16_u8(vld1q_u8(p));
        return (struct wide){{vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(x), 16)),
                              vreinterpretq_f32_u32(vshll_high_n_u16(x, 16))}};
    }
    default: return load_wide((const float *)(const void *)p);
    }
}

INLINE struct wide multiply_add(struct wide acc, struct wide w, float x)
{
    return (struct wide){{vfmaq_n_f32(acc.v[0], w.v[0], x), vfmaq_n_f32(acc.v[1], w.v[1], x)}};
}

INLINE struct wide add(struct wide a, struct wide b)
{
    return (struct wide){{vaddq_f32(a.v[0], b.v[0]), vaddq_f32(a.v[1], b.v[1])}};
}

INLINE void float_strip(uint32_t type, unsigned cols, const uint8_t *tile, uint32_t n_cols,
                        const float *x, size_t ldx, float *y, size_t ldy, uint32_t n_rows)
{
    const size_t step = (type == WEIR_TENSOR_F32 ? 4u : 2u) * ROWS;
    struct wide acc[FLOAT_COLS][FLOAT_SUMS] = {0};
    uint32_t k = 0;
    for (; k + FLOAT_SUMS <= n_cols; k += FLOAT_SUMS) {
        float32x4_t four[FLOAT_COLS];
#pragma GCC unroll 3
        for (unsigned c = 0; c < cols; c++) {
            four[c] = vld1q_f32(x + c * ldx + k);
        }
#pragma GCC unroll 4
        for (unsigned i = 0; i < FLOAT_SUMS; i++, tile += step) {
            struct wide w = load_floats(type, tile);
#pragma GCC unroll 3
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = multiply_add(acc[c][i], w, four[c][i]);
            }
        }
    }
#pragma GCC unroll 3
    for (unsigned i = 0; i < FLOAT_SUMS - 1; i++) {
        if (k + i < n_cols) {
            struct wide w = load_floats(type, tile + i * step);
#pragma GCC unroll 3
            for (unsigned c = 0; c < cols; c++) {
                acc[c][i] = multiply_add(acc[c][i], w, x[c * ldx + k + i]);
            }
        }
    }
#pragma GCC unroll 3
    for (unsigned c = 0; c < cols; c++) {
        store_rows(y + c * ldy, add(add(acc[c][0], acc[c][1]), add(acc[c][2], acc[c][3])), n_rows);
    }
}

INLINE void span_float(uint32_t type, const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                       uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t tile = 0; tile < w->n_tiles; tile++) {
        const uint8_t *p = w->tiles + tile * w->tile_bytes;
        uint32_t rows = rows_of(w->n_rows, tile);
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

#define SPAN(name, type)                                                                           \
    void name(const struct weir_cpu_span *w, const struct weir_cpu_act *a, uint32_t n_tokens,      \
              float *y, size_t ldy)                                                                \
    {                                                                                              \
        span_float(type, w, a, n_tokens, y, ldy);                                                  \
    }
SPAN(weir__cpu_neon_span_f32, WEIR_TENSOR_F32)
SPAN(weir__cpu_neon_span_f16, WEIR_TENSOR_F16)
SPAN(weir__cpu_neon_span_bf16, WEIR_TENSOR_BF16)
#undef SPAN

void weir__cpu_neon_quantise(const float *x, uint32_t n_blocks, struct weir_cpu_act_block *blocks,
                             uint32_t lane)
{
    const uint32x4_t no_sign = vdupq_n_u32(0x7fffffff);
    for (uint32_t b = 0; b < n_blocks; b++, x += WEIR_CPU_BLOCK) {
        float32x4_t v[8];
        /* The largest bit pattern without its sign: a NaN beats infinity beats the rest. */
        uint32x4_t amax_bits = vdupq_n_u32(0);
#pragma GCC unroll 8
        for (unsigned i = 0; i < 8; i++) {
            v[i] = vld1q_f32(x + (size_t)4 * i);
            amax_bits = vmaxq_u32(amax_bits, vandq_u32(vreinterpretq_u32_f32(v[i]), no_sign));
        }
        uint32_t bits = vmaxvq_u32(amax_bits);
        float amax;
        memcpy(&amax, &bits, sizeof(amax));
        float d = amax / 127.0f;
        /* Below the normal range 1 / d overflows; such a block is zero. */
        d = d < 0x1p-126f ? 0.0f : d;
        float inverse = d > 0.0f && d <= 0x1.fffffep127f ? 1.0f / d : 0.0f;

        int16x8_t q[4];
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) { /* to even; a NaN gives 0 */
            int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(v[2 * i], inverse));
            int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(v[2 * i + 1], inverse));
            q[i] = vcombine_s16(vmovn_s32(low), vmovn_s32(high));
        }
        int32_t sum_lo = vaddvq_s16(vaddq_s16(q[0], q[1]));
        int32_t sum_hi = vaddvq_s16(vaddq_s16(q[2], q[3]));
        vst1q_s8(blocks[b].q[lane], vcombine_s8(vmovn_s16(q[0]), vmovn_s16(q[1])));
        vst1q_s8(blocks[b].q[lane] + 16, vcombine_s8(vmovn_s16(q[2]), vmovn_s16(q[3])));
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
    for (uint32_t first = 0; first < n_rows; first += ROWS) {
        const uint32_t rows = rows_of(n_rows, first / ROWS);
        struct wide w[WEIR_CPU_OUTLIERS_MAX];
#pragma GCC unroll 2
        for (uint32_t i = 0; i < n; i++) {
            w[i] = load_rows(o->weights[i] + row + first, rows);
        }
        for (uint32_t t = 0; t < n_tokens; t++) {
            float *out = y + t * ldy + first;
            struct wide acc = load_rows(out, rows);
#pragma GCC unroll 2
            for (uint32_t i = 0; i < n; i++) {
                acc = multiply_add(acc, w[i], x[(size_t)t * WEIR_CPU_OUTLIERS_MAX + i]);
            }
            store_rows(out, acc, rows);
        }
    }
}

void weir__cpu_neon_add_outliers(const struct weir_cpu_outliers *o, uint32_t row, uint32_t n_rows,
                                 const float *x, uint32_t n_tokens, float *y, size_t ldy)
{
    if (o->n == 1) {
        add_columns(1, o, row, n_rows, x, n_tokens, y, ldy);
    } else {
        add_columns(2, o, row, n_rows, x, n_tokens, y, ldy);
    }
}
