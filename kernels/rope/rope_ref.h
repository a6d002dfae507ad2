/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rotary position embedding (Su et al., RoFormer, arXiv 2104.09864), the reference for kernels.
 *
 * Rotates the pairs of x[n_rot] by angle[i] = pos * base^(-2i / n_rot). GGUF knows two pairings:
 * neighbours (2i, 2i + 1), and halves (i, i + n_rot / 2), which it calls "neox".
 * Computed in double and rounded once. Threads: any; a pure function. */
#include <stdbool.h>
#include <stdint.h>

void weir_rope_ref(float *x, uint32_t n_rot, bool is_neox, uint32_t pos, double base);
