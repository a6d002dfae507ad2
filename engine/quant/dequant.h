/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Quantised rows to f32, one number after the other.
 *
 * Why: this is the definition that every faster kernel is tested against. It is bit-exact against
 * the Python package `gguf` (gguf.quants.dequantize): the same products and sums in f32, in the
 * same order, without fused multiply-add.
 * Block layouts: ggml's ggml-common.h (block_q4_0 and so on).
 * Threads: any; pure functions. */
#include <stddef.h>

#include "base/error.h"
#include "engine/gguf/tensor_type.h"

/* Writes n_elems numbers to dst from a row of weir_tensor_row_bytes(type, n_elems) bytes at src;
 * src needs no alignment. n_elems is a multiple of the type's block, else WEIR_E_ARG.
 * WEIR_E_UNSUPPORTED for a type that weir does not compute with. */
WEIR_NODISCARD int weir_dequant_row(uint32_t type, const void *src, float *dst, size_t n_elems);
