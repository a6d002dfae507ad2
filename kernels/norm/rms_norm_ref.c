/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/norm/rms_norm_ref.h"

#include <math.h>

void weir_rms_norm_ref(const float *x, const float *weight, float eps, uint32_t n, float *y)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)x[i] * x[i];
    }
    double scale = 1 / sqrt(sum / n + eps);
    for (uint32_t i = 0; i < n; i++) {
        y[i] = (float)(x[i] * scale * weight[i]);
    }
}
