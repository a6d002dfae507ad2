/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where the bytes of a tile lie; shared by the packer, the row reader and the kernels.
 *
 * A tile holds R rows (isa->tile_rows) of all columns: first the scales of all blocks, padded to 64
 * bytes, then the quants of all blocks. A block is 32 columns. A "plane" is R rows x 4 bytes: lane
 * r holds 4 bytes of row r, so one 32-bit broadcast of activations meets all rows. Plane g of 8
 * belongs to columns 4g..4g+3.
 *
 *   quants of a block   Q4_*, Q4_K   4 planes; low nibbles are plane g = 0..3, high ones g + 4
 *                       Q5_*, Q5_K   1 plane of fifth bits (bit g of byte b is column 4g + b), then
 * 4 Q6_K         2 planes of 2-bit fields (g = 0..3, g = 4..7), then 4 Q8_0         8 planes, bytes
 * xor isa->q8_flip scales of a block   Q4_0 Q5_0 Q8_0   half d[R] Q4_1 Q5_1        half d[R], m[R]
 *   scales per 8 blocks Q4_K Q5_K        half d[R], dmin[R]; then per block uint8 scale[R], min[R]
 *                       Q6_K             half d[R]; then per block int8 scale_lo[R], scale_hi[R]
 *   F32, F16, BF16      no scales; elements [n_cols][R]
 *
 * Threads: any; pure functions. */
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/linear/matrix.h"

/* How the integer part of a weight becomes a number. */
enum weir_cpu_tile_kind {
    WEIR_CPU_TILE_FLOAT,   /* w is stored */
    WEIR_CPU_TILE_CENTRED, /* w = s * (u - centre) */
    WEIR_CPU_TILE_OFFSET,  /* w = s * u + m */
    WEIR_CPU_TILE_HALVES,  /* CENTRED with one s per 16 columns */
};

struct weir_cpu_tile_format {
    uint8_t kind;        /* enum weir_cpu_tile_kind */
    uint8_t source_cols; /* columns per source block / 32: 1 or 8 */
    uint8_t scale_bytes; /* per row and source block */
    uint8_t quant_bytes; /* per row and 32 columns */
    uint8_t centre;      /* CENTRED and HALVES */
};

/* NULL for ids that have no kernel. */
const struct weir_cpu_tile_format *weir_cpu_tile_format(uint32_t type);

/* Bytes of the scale part, where the quants begin; a multiple of 64. */
size_t weir_cpu_tile_scale_bytes(uint32_t type, uint32_t n_cols, uint32_t tile_rows);

/* Bytes of a tile; a multiple of 64. */
size_t weir_cpu_tile_bytes(uint32_t type, uint32_t n_cols, uint32_t tile_rows);

/* Writes lane `lane` of a tile from one source row. */
void weir_cpu_tile_pack_row(uint8_t *tile, uint32_t type, uint32_t n_cols, uint32_t tile_rows,
                            uint8_t q8_flip, uint32_t lane, const uint8_t *source);

/* One block of one lane as numbers. HALVES use s[0] for columns 0..15 and s[1] for 16..31, the
 * others s[0] only; w = s * u (+ m), with CENTRED values already centred. */
struct weir_cpu_tile_values {
    int8_t u[32];
    float s[2];
    float m;
};
void weir_cpu_tile_values(const uint8_t *tile, uint32_t type, uint32_t n_cols, uint32_t tile_rows,
                          uint8_t q8_flip, uint32_t lane, uint32_t block,
                          struct weir_cpu_tile_values *ret_values);

/* Element `col` of a lane of a float tile. */
float weir_cpu_tile_float(const uint8_t *tile, uint32_t type, uint32_t tile_rows, uint32_t lane,
                          uint32_t col);
