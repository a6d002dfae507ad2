/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rope/rope_ref.h"

#include <math.h>

void weir_rope_ref(float *x, uint32_t n_rot, bool is_neox, uint32_t pos, double base)
{
    for (uint32_t i = 0; i < n_rot / 2; i++) {
        double angle = pos * pow(base, -2.0 * i / n_rot);
        float *a = is_neox ? &x[i] : &x[2 * i];
        float *b = is_neox ? &x[i + n_rot / 2] : &x[2 * i + 1];
        double turned_a = *a * cos(angle) - *b * sin(angle);
        double turned_b = *a * sin(angle) + *b * cos(angle);
        *a = (float)turned_a;
        *b = (float)turned_b;
    }
}
