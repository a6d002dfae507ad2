/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/linear/linear_ref.h"

#include <math.h>
#include <stddef.h>

#include "kernels/linear/half.h"

enum { F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8 };
enum { Q4_K = 12, Q5_K = 13, Q6_K = 14, BF16 = 30 };

static uint32_t nibble(const uint8_t *qs, uint32_t k)
{
    return k < 16 ? qs[k] & 15u : qs[k - 16] >> 4;
}

static uint32_t bit(const uint8_t *bits, uint32_t k)
{
    return bits[k / 8] >> (k % 8) & 1u;
}

static void q4_0(const uint8_t *p, float *out)
{
    for (uint32_t k = 0; k < 32; k++) {
        out[k] = (float)((int)nibble(p + 2, k) - 8) * weir_half_at(p);
    }
}

static void q4_1(const uint8_t *p, float *out)
{
    for (uint32_t k = 0; k < 32; k++) {
        out[k] = (float)nibble(p + 4, k) * weir_half_at(p) + weir_half_at(p + 2);
    }
}

static void q5_0(const uint8_t *p, float *out)
{
    for (uint32_t k = 0; k < 32; k++) {
        out[k] = (float)((int)(nibble(p + 6, k) | bit(p + 2, k) << 4) - 16) * weir_half_at(p);
    }
}

static void q5_1(const uint8_t *p, float *out)
{
    for (uint32_t k = 0; k < 32; k++) {
        out[k] =
            (float)(nibble(p + 8, k) | bit(p + 4, k) << 4) * weir_half_at(p) + weir_half_at(p + 2);
    }
}

static void q8_0(const uint8_t *p, float *out)
{
    for (uint32_t k = 0; k < 32; k++) {
        out[k] = (float)(int8_t)p[2 + k] * weir_half_at(p);
    }
}

/* Eight 6-bit scales and minima in 12 bytes: the first four of each lie in the low 6 bits of bytes
 * 0..3 and 4..7, whose top bits complete the last four, halved into the nibbles of bytes 8..11. */
static void scale_min(const uint8_t *s, uint32_t j, uint32_t *ret_scale, uint32_t *ret_min)
{
    if (j < 4) {
        *ret_scale = s[j] & 63u;
        *ret_min = s[4 + j] & 63u;
    } else {
        *ret_scale = (s[4 + j] & 15u) | (uint32_t)(s[j - 4] >> 6) << 4;
        *ret_min = (uint32_t)(s[4 + j] >> 4) | (uint32_t)(s[j] >> 6) << 4;
    }
}

static void q45_k(const uint8_t *p, int has_fifth, float *out)
{
    const uint8_t *qh = p + 16;
    const uint8_t *qs = p + (has_fifth ? 48 : 16);
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t scale, min;
        scale_min(p + 4, j, &scale, &min);
        float d = weir_half_at(p) * (float)scale;
        float m = weir_half_at(p + 2) * (float)min;
        for (uint32_t k = 0; k < 32; k++) {
            uint32_t q = qs[j / 2 * 32 + k] >> (j % 2 * 4) & 15u;
            if (has_fifth) {
                q |= (qh[k] >> j & 1u) << 4;
            }
            *out++ = d * (float)q - m;
        }
    }
}

static void q6_k(const uint8_t *p, float *out)
{
    float d = weir_half_at(p + 208);
    for (uint32_t k = 0; k < 256; k++) {
        uint32_t half = k / 128, quarter = k % 128 / 32, i = k % 32;
        uint32_t low = p[64 * half + quarter % 2 * 32 + i] >> (quarter / 2 * 4) & 15u;
        uint32_t high = p[128 + 32 * half + i] >> (2 * quarter) & 3u;
        int8_t scale = (int8_t)p[192 + k / 16];
        out[k] = d * (float)scale * (float)((int)(low | high << 4) - 32);
    }
}

int weir_linear_ref_row(uint32_t type, const void *row, uint32_t n_cols, float *out)
{
    const uint8_t *p = row;
    for (uint32_t k = 0; k < n_cols;) {
        switch (type) {
        case F32: memcpy(&out[k], p, 4), p += 4, k += 1; break;
        case F16: out[k] = weir_half_at(p), p += 2, k += 1; break;
        case BF16:
            out[k] = weir_bfloat_to_float((uint16_t)(p[0] | p[1] << 8)), p += 2, k += 1;
            break;
        case Q4_0: q4_0(p, out + k), p += 18, k += 32; break;
        case Q4_1: q4_1(p, out + k), p += 20, k += 32; break;
        case Q5_0: q5_0(p, out + k), p += 22, k += 32; break;
        case Q5_1: q5_1(p, out + k), p += 24, k += 32; break;
        case Q8_0: q8_0(p, out + k), p += 34, k += 32; break;
        case Q4_K: q45_k(p, 0, out + k), p += 144, k += 256; break;
        case Q5_K: q45_k(p, 1, out + k), p += 176, k += 256; break;
        case Q6_K: q6_k(p, out + k), p += 210, k += 256; break;
        default: return -1;
        }
    }
    return 0;
}

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
