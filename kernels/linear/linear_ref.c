/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/linear/linear_ref.h"

#include <math.h>

double weir_linear_ref_dot_exact(const float *w, const float *x, uint32_t n_cols)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < n_cols; k++) {
        sum += (double)w[k] * x[k];
    }
    return sum;
}

double weir_linear_ref_dot_quantised(const float *w, const float *x, uint32_t n_cols)
{
    double sum = 0.0;
    for (uint32_t first = 0; first < n_cols; first += 32) {
        float amax = 0.0f;
        for (uint32_t k = first; k < first + 32; k++) {
            amax = fmaxf(amax, fabsf(x[k]));
        }
        float d = amax / 127.0f;
        float inverse = d >= 0x1p-126f ? 1.0f / d : 0.0f;
        for (uint32_t k = first; k < first + 32 && inverse > 0.0f; k++) {
            sum += (double)w[k] * ((double)d * nearbyintf(x[k] * inverse));
        }
    }
    return sum;
}

double weir_linear_ref_dot_magnitude(const float *w, const float *x, uint32_t n_cols)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < n_cols; k++) {
        sum += fabs((double)w[k] * x[k]);
    }
    return sum;
}
