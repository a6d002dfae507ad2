/* SPDX-License-Identifier: Apache-2.0 */
/* The portable kernels: plain C on tiles of 8 rows. A tile is decoded once per 32 blocks and then
 * meets every token. */
#include <math.h>
#include <string.h>

#include "backends/cpu/linear/isa_tables.h"
#include "backends/cpu/linear/tile.h"

#define ISA_TABLE weir_cpu_isa_scalar
#define ISA_NAME "scalar"
#define ISA_Q8_FLIP 0

enum { ROWS = 8, CHUNK = 32 /* blocks that are decoded at once */ };

static void quantise(const float *x, uint32_t n_blocks, struct weir_cpu_act_block *blocks,
                     uint32_t lane)
{
    for (uint32_t b = 0; b < n_blocks; b++, x += WEIR_CPU_BLOCK) {
        /* The largest bit pattern without its sign: a NaN beats infinity beats the rest. */
        uint32_t amax_bits = 0;
        for (uint32_t k = 0; k < WEIR_CPU_BLOCK; k++) {
            uint32_t bits;
            memcpy(&bits, &x[k], sizeof(bits));
            bits &= 0x7fffffffu;
            amax_bits = bits > amax_bits ? bits : amax_bits;
        }
        float amax;
        memcpy(&amax, &amax_bits, sizeof(amax));
        float d = amax / 127.0f;
        /* Below the normal range 1 / d overflows; such a block is zero. */
        d = d < 0x1p-126f ? 0.0f : d;
        float inverse = d > 0.0f && isfinite(d) ? 1.0f / d : 0.0f;

        int32_t sum[2] = {0, 0};
        for (uint32_t k = 0; k < WEIR_CPU_BLOCK; k++) {
            float scaled = x[k] * inverse;
            int32_t q = isfinite(scaled) ? (int32_t)nearbyintf(scaled) : 0;
            blocks[b].q[lane][k] = (int8_t)q;
            sum[k / 16] += q;
        }
        blocks[b].d[lane] = d;
        blocks[b].d_sum[lane] = d * (float)(sum[0] + sum[1]);
        blocks[b].bias[lane] = -128 * (sum[0] + sum[1]);
        blocks[b].bias_lo[lane] = -128 * sum[0];
        blocks[b].bias_hi[lane] = -128 * sum[1];
    }
}

static int32_t dot16(const int8_t *u, const int8_t *q)
{
    int32_t sum = 0;
    for (uint32_t k = 0; k < 16; k++) {
        sum += u[k] * q[k];
    }
    return sum;
}

/* One output over one chunk of blocks, continued from `acc`. */
static float dot_chunk(const struct weir_cpu_tile_values *w, enum weir_cpu_tile_kind kind,
                       const struct weir_cpu_act_block *blocks, uint32_t lane, uint32_t n_blocks,
                       float acc)
{
    for (uint32_t b = 0; b < n_blocks; b++) {
        const int8_t *q = blocks[b].q[lane];
        float d = blocks[b].d[lane];
        int32_t lo = dot16(w[b].u, q);
        int32_t hi = dot16(w[b].u + 16, q + 16);
        if (kind == WEIR_CPU_TILE_HALVES) {
            acc += w[b].s[0] * d * (float)lo;
            acc += w[b].s[1] * d * (float)hi;
        } else {
            acc += w[b].s[0] * d * (float)(lo + hi);
        }
        if (kind == WEIR_CPU_TILE_OFFSET) {
            acc += w[b].m * blocks[b].d_sum[lane];
        }
    }
    return acc;
}

static void span_quantised(uint32_t type, const struct weir_cpu_span *w,
                           const struct weir_cpu_act *a, uint32_t n_tokens, float *y, size_t ldy)
{
    enum weir_cpu_tile_kind kind = weir_cpu_tile_format(type)->kind;
    for (uint32_t row = 0; row < w->n_rows; row++) {
        const uint8_t *tile = w->tiles + row / ROWS * w->tile_bytes;
        for (uint32_t first = 0; first < a->n_blocks; first += CHUNK) {
            uint32_t n = a->n_blocks - first < CHUNK ? a->n_blocks - first : CHUNK;
            struct weir_cpu_tile_values values[CHUNK];
            for (uint32_t b = 0; b < n; b++) {
                weir_cpu_tile_values(tile, type, w->n_cols, ROWS, 0, row % ROWS, first + b,
                                     &values[b]);
            }
            for (uint32_t t = 0; t < n_tokens; t++) {
                const struct weir_cpu_act_block *blocks =
                    a->groups + (size_t)(t / WEIR_CPU_ACT_LANES) * a->n_blocks + first;
                float *out = &y[t * ldy + row];
                *out =
                    dot_chunk(values, kind, blocks, t % WEIR_CPU_ACT_LANES, n, first ? *out : 0.0f);
            }
        }
    }
}

static void span_float(uint32_t type, const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                       uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t row = 0; row < w->n_rows; row++) {
        const uint8_t *tile = w->tiles + row / ROWS * w->tile_bytes;
        for (uint32_t t = 0; t < n_tokens; t++) {
            const float *x = a->x + t * a->ldx;
            float acc[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (uint32_t k = 0; k < w->n_cols; k++) {
                acc[k % 4] += weir_cpu_tile_float(tile, type, ROWS, row % ROWS, k) * x[k];
            }
            y[t * ldy + row] = (acc[0] + acc[1]) + (acc[2] + acc[3]);
        }
    }
}

static void add_outliers(const struct weir_cpu_outliers *o, uint32_t row, uint32_t n_rows,
                         const float *x, uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t t = 0; t < n_tokens; t++, x += WEIR_CPU_OUTLIERS_MAX, y += ldy) {
        for (uint32_t i = 0; i < o->n; i++) {
            for (uint32_t r = 0; r < n_rows; r++) {
                y[r] += o->weights[i][row + r] * x[i];
            }
        }
    }
}

#include "backends/cpu/linear/table_impl.h"
