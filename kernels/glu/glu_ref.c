/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/glu/glu_ref.h"

#include <math.h>

void weir_glu_silu_ref(const float *gate, const float *up, uint32_t n, float *y)
{
    for (uint32_t i = 0; i < n; i++) {
        double x = gate[i];
        y[i] = (float)(x / (1 + exp(-x)) * up[i]);
    }
}

void weir_glu_gelu_ref(const float *gate, const float *up, uint32_t n, float *y)
{
    const double root_2_over_pi = 0.79788456080286535588;
    for (uint32_t i = 0; i < n; i++) {
        double x = gate[i];
        y[i] = (float)(x / 2 * (1 + tanh(root_2_over_pi * (x + 0.044715 * x * x * x))) * up[i]);
    }
}
