/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Scaled dot-product attention of one query row (Vaswani et al., arXiv 1706.03762), causal, with an
 * optional sliding window, the reference for kernels:
 *
 *     out = sum over visible keys of softmax(q . k[key]) * v[key]
 *
 * A query at position pos sees keys pos - window + 1 .. pos, all up to pos when window is 0.
 * Computed in double and rounded once. Threads: any; a pure function. */
#include <stddef.h>
#include <stdint.h>

/* q[head_dim] is scaled already; k, v are [pos + 1][head_dim]. */
void weir_attention_ref(const float *q, const float *k, const float *v, uint32_t head_dim,
                        uint32_t pos, uint32_t window, float *out);
