/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Conversions between 32-bit floats and the two 16-bit formats, exact and rounded to nearest even.
 * Threads: any; pure functions. */
#include <stdint.h>
#include <string.h>

static inline float weir_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

static inline uint32_t weir_f32_to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

static inline float weir_bf16_to_f32(uint16_t h)
{
    return weir_f32_from_bits((uint32_t)h << 16);
}

static inline uint16_t weir_f32_to_bf16(float f)
{
    uint32_t bits = weir_f32_to_bits(f);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return (uint16_t)(bits >> 16 | 0x40u); /* keep a NaN a NaN */
    }
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline float weir_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = h >> 10 & 0x1Fu;
    uint32_t mantissa = h & 0x3FFu;
    if (exponent == 0x1F) {
        return weir_f32_from_bits(sign | 0x7F800000u | mantissa << 13);
    }
    if (exponent == 0) {
        /* Subnormal: mantissa * 2^-24, exact in f32. */
        return weir_f32_from_bits(sign | weir_f32_to_bits((float)mantissa * 0x1p-24f));
    }
    return weir_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t weir_f32_to_f16(float f)
{
    uint32_t bits = weir_f32_to_bits(f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return (uint16_t)(sign | 0x7E00u);
    }
    if (magnitude >= 0x477FF000u) {
        return (uint16_t)(sign | 0x7C00u); /* 65520 and above round to infinity */
    }
    if (magnitude < 0x38800000u) {
        /* Below 2^-14: adding 0.5 makes the FPU round at the last subnormal bit, 2^-24. */
        float shifted = weir_f32_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (weir_f32_to_bits(shifted) - 0x3F000000u));
    }
    uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u) - (112u << 23);
    return (uint16_t)(sign | rounded >> 13);
}
