/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rewrites GGUF tensors into the layout of matrix_layout.h, on the host.
 *
 * Ownership: none kept. Threads: any; tiles of one matrix can be packed by many threads.
 * Errors: WEIR_E_UNSUPPORTED for a type without kernels, WEIR_E_ARG for a shape that is no multiple
 * of the type's block, WEIR_E_TOOBIG above 2^31 rows or columns. */
#include "base/error.h"
#include "kernels/linear/matrix_layout.h"

struct weir_pack_plan {
    uint32_t type; /* weir_tensor_type */
    uint32_t kind; /* weir_matrix_kind */
    uint32_t lanes, n_rows, n_cols;
    uint32_t n_tiles, n_records; /* row tiles; records per tile */
    uint32_t record_bytes;
    size_t row_bytes;     /* of the source */
    size_t records_bytes; /* of all records; row scales lie behind */
    size_t n_bytes;       /* of the packed matrix */
};

/* lanes: 32 or 64, of the device. */
WEIR_NODISCARD int weir_pack_plan(uint32_t type, uint32_t lanes, uint64_t n_rows, uint64_t n_cols,
                                  struct weir_pack_plan *ret_plan);
/* Packs row tiles first..first + n. src: the whole tensor; tile_to: where tile `first` goes,
 * n * n_records * record_bytes; scales_to: [16 n] floats, may be NULL unless the kind is F16. */
void weir_pack_tiles(const struct weir_pack_plan *plan, const void *src, uint32_t first, uint32_t n,
                     void *tile_to, float *scales_to);
/* The whole matrix, n_bytes at `to`. */
void weir_pack_matrix(const struct weir_pack_plan *plan, const void *src, void *to);
/* The matrix as kernels take it, its bytes being at `device`. */
struct weir_gpu_matrix weir_pack_matrix_at(const struct weir_pack_plan *plan, const void *device);
