/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* IEEE binary16 and bfloat16 to float, exact, in portable C.
 *
 * Why: GGUF stores scales as binary16; the portable paths must not need F16C. Every finite value
 * and infinity converts exactly; a NaN stays a NaN.
 * Threads: any; pure functions. */
#include <stdint.h>
#include <string.h>

static inline float weir_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 0x1fu;
    uint32_t fraction = h & 0x3ffu;
    uint32_t bits;
    float value;

    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f; /* zero and subnormals: an exact product */
        memcpy(&bits, &value, sizeof(bits));
        bits |= sign;
    } else if (exponent == 31) {
        bits = sign | 0x7f800000u | (fraction << 13);
    } else {
        bits = sign | ((exponent + 112) << 23) | (fraction << 13);
    }
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline float weir_bfloat_to_float(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* The binary16 at an unaligned little-endian address. */
static inline float weir_half_at(const uint8_t *p)
{
    return weir_half_to_float((uint16_t)(p[0] | p[1] << 8));
}
