/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention/attention_ref.h"

#include <math.h>

static double dot(const float *a, const float *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)a[i] * b[i];
    }
    return sum;
}

void weir_attention_ref(const float *q, const float *k, const float *v, uint32_t head_dim,
                        uint32_t pos, uint32_t window, float *out)
{
    uint32_t first = window && pos + 1 > window ? pos + 1 - window : 0;
    double max = -INFINITY;
    for (uint32_t key = first; key <= pos; key++) {
        max = fmax(max, dot(q, k + (size_t)key * head_dim, head_dim));
    }
    double sum = 0;
    for (uint32_t key = first; key <= pos; key++) {
        sum += exp(dot(q, k + (size_t)key * head_dim, head_dim) - max);
    }
    for (uint32_t d = 0; d < head_dim; d++) {
        double value = 0;
        for (uint32_t key = first; key <= pos; key++) {
            double p = exp(dot(q, k + (size_t)key * head_dim, head_dim) - max) / sum;
            value += p * v[(size_t)key * head_dim + d];
        }
        out[d] = (float)value;
    }
}
