/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* RMSNorm (Zhang and Sennrich, arXiv 1910.07467), the reference that kernels are tested against:
 *
 *     y[i] = x[i] / sqrt(mean over j of x[j]^2 + eps) * weight[i]
 *
 * Computed in double and rounded once. y may be x. Threads: any; a pure function. */
#include <stdint.h>

void weir_rms_norm_ref(const float *x, const float *weight, float eps, uint32_t n, float *y);
