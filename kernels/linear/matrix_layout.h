/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How a weight matrix lies in a GPU's memory: the one place that says it.
 *
 * Why: GGUF blocks have sizes like 18 or 34 bytes, and a thread of a matrix instruction needs
 * numbers of certain rows and columns. The matrix is rewritten once, at load, so that a wave
 * streams it with 16-byte loads, each thread getting exactly what its fragment needs. No bits are
 * lost or added; F32 and BF16 become F16 with a power of two per row (F32 loses mantissa bits that
 * f16 activations would not carry either; BF16 loses nothing within 2^-29 of the row's maximum).
 *
 * The matrix [n_rows][n_cols] is cut into records of 16 rows x RECORD_K columns, in the order
 * [row tile][column record]; both ends are filled with zeros. A record is
 *
 *     quants | high bits | scales            each 16-byte aligned
 *
 * Quants. Block: 32 columns. Unit: the eight numbers of one row and block that one thread takes,
 * pairs p = 0..3 of columns 8 p + 2 t and the next, t = 0..3; v[2 p] and v[2 p + 1]. With waves of
 * 32 a thread has two units of a block: lane = 4 (row % 8) + t, unit row / 8; with waves of 64 it
 * has one: lane = row + 16 t. A thread's words follow each other by block, unit, word of unit;
 * words 4 c .. 4 c + 3 are its 16 bytes of chunk c, a chunk is LANES x 16 bytes. A unit is 1 word
 * of nibbles (v[2p] at bit 4 p, v[2p + 1] at bit 16 + 4 p), 2 words of bytes (v[4h], v[4h + 2],
 * v[4h + 1], v[4h + 3]) or 4 words of f16 pairs.
 *
 * High bits. Pair number P = 4 unit + p of the thread; with 1 bit each: word P / 16, bit P % 16 for
 * the lower number, 16 more for the upper; with 2 bits: word P / 8, bit 2 (P % 8). A thread's words
 * are together, in chunks as above (with waves of 64 and 1 bit: 8 bytes per thread).
 *
 * Scales, by row: f16 d of each block (Q4_0, Q5_0, Q8_0); f16 pairs d, m (Q4_1, Q5_1); for Q4_K and
 * Q5_K 16 bytes: d, dmin, three words with the 6-bit scales in their lower halves and the minima in
 * their upper ones: word i has block 2 i at bit 0, 2 i + 1 at bit 6, and at bit 12 bits 4 i ..
 * 4 i + 3 of what blocks 6 (bit 0) and 7 (bit 6) would be in a fourth word; for Q6_K 16 signed
 * bytes, and behind all rows' f16 d of each row.
 *
 * Behind the last record: f32 scale of each row, F16 only. */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_TILE_ROWS = 16, WEIR_BLOCK_K = 32 };

/* What is stored for a GGUF type. */
enum weir_matrix_kind {
    WEIR_MATRIX_F16,
    WEIR_MATRIX_Q4_0,
    WEIR_MATRIX_Q4_1,
    WEIR_MATRIX_Q5_0,
    WEIR_MATRIX_Q5_1,
    WEIR_MATRIX_Q8_0,
    WEIR_MATRIX_Q4_K,
    WEIR_MATRIX_Q5_K,
    WEIR_MATRIX_Q6_K,
    WEIR_MATRIX__COUNT
};

/* Columns of a record, bytes of its three parts. X(kind, k, quants, high, scales) */
#define WEIR_MATRIX_KINDS(X)                                                                       \
    X(F16, 64, 2048, 0, 0)                                                                         \
    WEIR_MATRIX_QUANTS(X)
#define WEIR_MATRIX_QUANTS(X)                                                                      \
    X(Q4_0, 256, 2048, 0, 256)                                                                     \
    X(Q4_1, 256, 2048, 0, 512)                                                                     \
    X(Q5_0, 256, 2048, 512, 256)                                                                   \
    X(Q5_1, 256, 2048, 512, 512)                                                                   \
    X(Q8_0, 128, 2048, 0, 128)                                                                     \
    X(Q4_K, 256, 2048, 0, 256)                                                                     \
    X(Q5_K, 256, 2048, 512, 256)                                                                   \
    X(Q6_K, 256, 2048, 1024, 288)

/* A matrix in device memory, as kernels take it. */
struct weir_gpu_matrix {
    const void *records;
    const float *row_scale; /* [n_rows], F16 only */
    uint32_t kind;          /* enum weir_matrix_kind */
    uint32_t n_rows, n_cols;
    uint32_t n_records; /* per row tile */
};
