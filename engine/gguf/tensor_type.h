/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Element types of tensors in a GGUF file: numbers, names and block shapes.
 *
 * Why: a reader must know the size of every type that a file may contain, so that it can check the
 * file, while the kernels and the dequantiser support a part of them.
 * A quantised row is a sequence of blocks; `block_elems` numbers share one block of `block_bytes`.
 * Numbers and sizes are those of the GGUF specification (ggml_type).
 * Threads: any; constant tables. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weir_tensor_type {
    WEIR_TENSOR_F32 = 0,
    WEIR_TENSOR_F16 = 1,
    WEIR_TENSOR_Q4_0 = 2,
    WEIR_TENSOR_Q4_1 = 3,
    WEIR_TENSOR_Q5_0 = 6,
    WEIR_TENSOR_Q5_1 = 7,
    WEIR_TENSOR_Q8_0 = 8,
    WEIR_TENSOR_Q4_K = 12,
    WEIR_TENSOR_Q5_K = 13,
    WEIR_TENSOR_Q6_K = 14,
    WEIR_TENSOR_BF16 = 30,
};

struct weir_tensor_type_info {
    const char *name; /* "Q4_K" */
    uint16_t block_elems;
    uint16_t block_bytes;
    bool supported; /* weir can compute with it */
};

/* NULL when the number is no type of the specification. */
const struct weir_tensor_type_info *weir_tensor_type_info(uint32_t type);

/* Bytes of one row of n_elems; 0 when the type is unknown, n_elems is not a multiple of the block,
 * or the size does not fit. */
size_t weir_tensor_row_bytes(uint32_t type, uint64_t n_elems);
