/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of a NEON table that need no product of integers; see struct weir_cpu_isa. */
#include "backends/cpu/linear/isa.h"

void weir__cpu_neon_quantise(const float *x, uint32_t n_blocks, struct weir_cpu_act_block *blocks,
                             uint32_t lane);
void weir__cpu_neon_add_outliers(const struct weir_cpu_outliers *o, uint32_t row, uint32_t n_rows,
                                 const float *x, uint32_t n_tokens, float *y, size_t ldy);
void weir__cpu_neon_span_f32(const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                             uint32_t n_tokens, float *y, size_t ldy);
void weir__cpu_neon_span_f16(const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                             uint32_t n_tokens, float *y, size_t ldy);
void weir__cpu_neon_span_bf16(const struct weir_cpu_span *w, const struct weir_cpu_act *a,
                              uint32_t n_tokens, float *y, size_t ldy);
