/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How far two vectors are apart, as a part of the second one's length. */
#include <math.h>
#include <stdint.h>

static inline double relative_error(const float *got, const float *want, uint32_t n)
{
    double distance = 0;
    double length = 0;
    for (uint32_t i = 0; i < n; i++) {
        distance += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        length += (double)want[i] * want[i];
    }
    return sqrt(distance / length);
}
