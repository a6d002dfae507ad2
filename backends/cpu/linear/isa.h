/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The instruction sets that have linear kernels, one table each, and the choice among them.
 *
 * Why: one binary runs on any machine of an architecture; the choice is made once, from cpuid
 * or the auxiliary vector, and tests run every table that the machine can run.
 * Threads: any; constant tables. */
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/linear/act.h"
#include "backends/cpu/linear/matrix.h"

/* A run of tiles of one segment. */
struct weir_cpu_span {
    const uint8_t *tiles;
    size_t tile_bytes;
    uint32_t n_tiles;
    uint32_t n_rows; /* valid rows from the first tile on; only the last tile may be short */
    uint32_t n_cols;
};

/* y[token * ldy + row] = sum over columns, for all rows of the span; y is the span's first row. */
typedef void (*weir_cpu_span_fn)(const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                                 uint32_t n_tokens, float *y, size_t ldy);

/* Quantises x[n_blocks * 32] into lane `lane` of blocks[n_blocks]. */
typedef void (*weir_cpu_quantise_fn)(const float *x, uint32_t n_blocks,
                                     struct weir_cpu_act_block *blocks, uint32_t lane);

/* y[token * ldy + r] += sum over outliers i of x[token][i] * weights[i][row + r], r < n_rows. */
typedef void (*weir_cpu_add_outliers_fn)(const struct weir_cpu_outliers *o, uint32_t row,
                                         uint32_t n_rows, const float *x, uint32_t n_tokens,
                                         float *y, size_t ldy);

struct weir_cpu_isa {
    const char *name;
    uint32_t tile_rows; /* rows per tile: 8 or 16 */
    uint8_t q8_flip;    /* xor-ed into packed Q8_0 bytes: 0x80 stores w + 128 for unsigned x signed
                           dot products, 0 keeps them signed */
    weir_cpu_quantise_fn quantise;
    weir_cpu_add_outliers_fn add_outliers;
    weir_cpu_span_fn span[WEIR_CPU_TYPE__COUNT]; /* by enum weir_tensor_type */
};

enum { WEIR_CPU_ISA_ROWS_MAX = 16 };

/* The i-th table that this machine can run, fastest first; NULL past the last. The last one is
 * always the portable "scalar". */
const struct weir_cpu_isa *weir_cpu_isa_at(size_t i);

/* The table called `name`, or the fastest when name is NULL; NULL when this machine lacks it. */
const struct weir_cpu_isa *weir_cpu_isa_find(const char *name);
