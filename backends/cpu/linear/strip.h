/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the SIMD kernels share: how they cut the work, and compile-time facts of the tile forms.
 *
 * A strip is a run of blocks of a few tiles against a few tokens of one group: as much as the
 * registers hold sums for. Kernels take the form and the counts as constants of always-inline
 * functions, so each combination is compiled on its own and the sums live in registers.
 * The includer defines ROWS, the rows of its tiles, first. Threads: any; pure functions. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backends/cpu/linear/act.h"
#include "backends/cpu/linear/isa.h"
#include "backends/cpu/linear/tile.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    PLANE = ROWS * 4,
    TOKENS = WEIR_CPU_ACT_LANES, /* of a strip, at most: one group of activations */
    PASS_BYTES = 512 * 1024,     /* activations that stay in L2 while all tiles pass */
    AHEAD_BYTES = 1024,          /* of every stream that are prefetched */
};

/* What a kernel reads: a type's tile, or one expanded to bytes and float scales of each kind. */
enum form {
    FORM_Q4_0 = WEIR_TENSOR_Q4_0,
    FORM_Q4_1 = WEIR_TENSOR_Q4_1,
    FORM_Q5_0 = WEIR_TENSOR_Q5_0,
    FORM_Q5_1 = WEIR_TENSOR_Q5_1,
    FORM_Q8_0 = WEIR_TENSOR_Q8_0,
    FORM_Q4_K = WEIR_TENSOR_Q4_K,
    FORM_Q5_K = WEIR_TENSOR_Q5_K,
    FORM_Q6_K = WEIR_TENSOR_Q6_K,
    FORM_CENTRED = WEIR_CPU_TYPE__COUNT,
    FORM_OFFSET,
    FORM_HALVES,
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

/* Per block, on the average of a K-quant's 8. */
INLINE size_t scale_bytes(enum form form)
{
    switch (form) {
    case FORM_Q4_1:
    case FORM_Q5_1: return 4 * ROWS;
    case FORM_Q4_K:
    case FORM_Q5_K: return 20 * ROWS / 8;
    case FORM_Q6_K: return 18 * ROWS / 8;
    default: return 2 * ROWS;
    }
}

struct strip {
    const uint8_t *scales; /* of the first tile, at the first block for expanded tiles */
    const uint8_t *quants; /* at the first block */
    size_t tile_stride;    /* bytes between tiles, for scales and quants */
    size_t group_bytes;    /* to the tiles that this core reads next; 0: all is in cache */
    size_t wrap;           /* from the end of this run of blocks to where its stream goes on */
    uint32_t first_block;  /* where `scales` are the packed tile's */
    uint32_t n_blocks;
    const struct weir_cpu_act_block *acts; /* the group, at the first block */
    float *y;                              /* [tokens][ldy] */
    size_t ldy;
    uint32_t n_rows; /* valid rows from the first tile on; only the last tile may be short */
    int resumes;     /* y holds the sum of the blocks before */
};

/* Reads each tile's stream some blocks ahead, on into the next tiles. */
INLINE void prefetch_block(enum form form, unsigned tiles, const struct strip *s, uint32_t b)
{
    const uint32_t ahead = (uint32_t)((AHEAD_BYTES + quant_bytes(form) - 1) / quant_bytes(form));
    const uint8_t *quants =
        s->quants + (b + ahead) * quant_bytes(form) + (b + ahead < s->n_blocks ? 0 : s->wrap);
    const uint8_t *scales = s->scales + (s->first_block + b) * scale_bytes(form) + s->group_bytes;
#pragma GCC unroll 8
    for (unsigned t = 0; t < tiles; t++) {
        __builtin_prefetch(scales + t * s->tile_stride);
#pragma GCC unroll 8
        for (size_t line = 0; line < quant_bytes(form); line += 64) {
            __builtin_prefetch(quants + t * s->tile_stride + line);
        }
    }
}

/* Tokens whose activations fit PASS_BYTES, in whole groups. */
static uint32_t tokens_per_pass(uint32_t n_blocks)
{
    size_t n = PASS_BYTES / (n_blocks * sizeof(struct weir_cpu_act_block)) * TOKENS;
    return n < TOKENS ? TOKENS : (uint32_t)n;
}
