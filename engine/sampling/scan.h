/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Vectorised passes over a row of logits.
 *
 * Threads: any; pure functions. Determinism: fixed order of operations on a machine; an exponential
 * has the same bits on every machine and device (no fused multiply-add), so that a GPU's sampler
 * draws the same token. */
#include <stdbool.h>
#include <stdint.h>

enum { WEIR_SCAN_BLOCK = 64, WEIR_SCAN_SUM_BLOCK = 1024 };

static inline uint32_t weir_scan_blocks(uint32_t n, uint32_t block)
{
    return n / block + (n % block != 0);
}

/* Largest value per block of 64 into block_max[]; returns the largest of all. */
float weir_scan_max(const float *x, uint32_t n, float *block_max);

/* Is every value finite? */
bool weir_scan_finite(const float *x, uint32_t n);

/* e^x for x <= 0, within 2 units in the last place; 0 below -87. */
float weir_scan_exp(float x);

/* Sum of e^((x - max) * scale); the terms into terms[n], sums per block of 1024 into block_sums[]
 * (either may be NULL). x <= max; -inf gives 0. */
double weir_scan_sum_exp(const float *x, uint32_t n, float max, float scale, float *terms,
                         double *block_sums);
