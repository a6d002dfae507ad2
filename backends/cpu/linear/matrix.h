/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A weight matrix [n_rows][n_cols] in the row-interleaved tiles that the CPU kernels stream.
 *
 * Why: a GGUF block holds 32 columns of one row, so a SIMD register filled from it needs a
 * horizontal sum and a scalar scale. A tile holds the same 32 columns of 8 or 16 rows, one row per
 * lane: no horizontal sums, scales load as a vector, and a tile is read as one linear stream.
 * Nothing is rounded: the packed bits are the file's bits in another order (tile.h), of the same
 * size up to padding, so the source may be dropped after packing.
 *
 * Several tensors with the same n_cols can lie under each other as segments (Q, K and V; gate and
 * up), each with a type of its own. A segment begins at a new tile; output rows stay dense.
 *
 * Ownership: the matrix borrows the source until it is packed and the storage until its end.
 * Threads: pack() on disjoint tile ranges and everything const may run in parallel.
 * Errors: init() reports shapes and types that no kernel takes; the rest can not fail. */
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/linear/outliers.h"
#include "base/error.h"
#include "engine/gguf/tensor_type.h"

struct weir_cpu_isa;

enum {
    WEIR_CPU_TYPE__COUNT = WEIR_TENSOR_BF16 + 1, /* of tables by enum weir_tensor_type */
    WEIR_CPU_SEGMENTS_MAX = 4,
    WEIR_CPU_TILE_ALIGN = 64 /* of storage, and of every tile in it */
};

/* One tensor of a GGUF file: rows of whole blocks, row-major. */
struct weir_cpu_tensor {
    uint32_t type; /* enum weir_tensor_type */
    uint32_t n_rows;
    const void *data;
};

struct weir_cpu_segment {
    uint32_t type;
    uint32_t n_rows;
    uint32_t row_begin;  /* first output row */
    uint32_t tile_begin; /* first tile */
    uint32_t n_tiles;
    size_t source_row_bytes;
    size_t tile_bytes;
    const uint8_t *source; /* NULL once the caller has dropped it; only pack() reads it */
    uint8_t *tiles;        /* [n_tiles][tile_bytes], inside the storage */
};

struct weir_cpu_matrix {
    const struct weir_cpu_isa *isa;
    uint32_t n_rows;
    uint32_t n_cols;
    uint32_t n_tiles;
    uint32_t n_segments;
    size_t size_bytes; /* of the storage that bind() takes */
    struct weir_cpu_segment segments[WEIR_CPU_SEGMENTS_MAX];
    struct weir_cpu_outliers outliers; /* of its quantised segments; none unless set */
};

/* Can weir_cpu_matrix_init take `type` with rows of n_cols? Quantised types need whole blocks. */
int weir_cpu_type_fits(uint32_t type, uint32_t n_cols);

/* Lays out `n_tensors` tensors under each other for the kernels of `isa`. Sets size_bytes; nothing
 * is allocated. WEIR_E_ARG on bad counts, WEIR_E_UNSUPPORTED on a type or width without kernel. */
WEIR_NODISCARD int weir_cpu_matrix_init(struct weir_cpu_matrix *m, const struct weir_cpu_isa *isa,
                                        uint32_t n_cols, const struct weir_cpu_tensor *tensors,
                                        uint32_t n_tensors, struct weir_error *err);

/* Gives the matrix its storage: size_bytes bytes, aligned to WEIR_CPU_TILE_ALIGN. Put all matrices
 * of a model in one mapping on huge pages: page walks cost a good part of the read bandwidth. */
void weir_cpu_matrix_bind(struct weir_cpu_matrix *m, void *storage);

/* Fills tiles [tile_begin, tile_end) from the source. */
void weir_cpu_matrix_pack(struct weir_cpu_matrix *m, uint32_t tile_begin, uint32_t tile_end);

/* Writes row `row` as float out[n_cols], bit for bit what dequantising the source gives. */
void weir_cpu_matrix_row(const struct weir_cpu_matrix *m, uint32_t row, float *out);

/* Writes rows [row_begin, row_end) of a column as float; 0 for rows of float segments, which have
 * no outliers. */
void weir_cpu_matrix_column(const struct weir_cpu_matrix *m, uint32_t column, uint32_t row_begin,
                            uint32_t row_end, float *out);

/* The first tile of part `part` when the matrix is cut into `n_parts` runs of about equal bytes.
 * split(m, 0, n) == 0, split(m, n, n) == n_tiles, and it never falls with `part`. */
uint32_t weir_cpu_matrix_split(const struct weir_cpu_matrix *m, uint32_t part, uint32_t n_parts);
