/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sampling/scan.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* One build for any x86-64; the loader picks the widest clone. Sanitizers are not ready when it
 * does, so they get the plain function. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES                                                                                     \
    __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3", "fp-contract="      \
                                                                               "off")))
#else
#define CLONES
#endif

CLONES static void block_maxima(const float *x, uint32_t n_blocks, float *block_max)
{
    for (uint32_t b = 0; b < n_blocks; b++) {
        const float *p = x + (size_t)b * WEIR_SCAN_BLOCK;
        float lane[16];
        for (int k = 0; k < 16; k++) {
            lane[k] = p[k];
        }
        for (int i = 16; i < WEIR_SCAN_BLOCK; i += 16) {
            for (int k = 0; k < 16; k++) {
                lane[k] = p[i + k] > lane[k] ? p[i + k] : lane[k];
            }
        }
        float largest = lane[0];
        for (int k = 1; k < 16; k++) {
            largest = lane[k] > largest ? lane[k] : largest;
        }
        block_max[b] = largest;
    }
}

float weir_scan_max(const float *x, uint32_t n, float *block_max)
{
    uint32_t n_full = n / WEIR_SCAN_BLOCK;
    block_maxima(x, n_full, block_max);
    if (n % WEIR_SCAN_BLOCK) {
        float largest = -INFINITY;
        for (uint32_t i = n_full * WEIR_SCAN_BLOCK; i < n; i++) {
            largest = x[i] > largest ? x[i] : largest;
        }
        block_max[n_full] = largest;
    }
    float largest = -INFINITY;
    for (uint32_t b = 0; b < weir_scan_blocks(n, WEIR_SCAN_BLOCK); b++) {
        largest = block_max[b] > largest ? block_max[b] : largest;
    }
    return largest;
}

CLONES bool weir_scan_finite(const float *x, uint32_t n)
{
    uint32_t n_bad = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_bad += x[i] - x[i] != 0.0f; /* NaN for NaN and both infinities */
    }
    return n_bad == 0;
}

/* e^x for x <= 0, 0 below -87: range reduction and the polynomial of Cephes' expf (S. Moshier). */
static inline float exp_negative(float x)
{
    float t = x < -87.0f ? -87.0f : x;
    float n = t * 1.44269504088896341f + 12582912.0f; /* rounds: the fraction falls off */
    n -= 12582912.0f;
    float r = t - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof(power));
    return x < -87.0f ? 0.0f : p * power;
}

float weir_scan_exp(float x)
{
    return exp_negative(x);
}

CLONES static float block_exp(const float *x, uint32_t n, float max, float scale, float *terms)
{
    float lane[16] = {0};
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (int k = 0; k < 16; k++) {
            float e = exp_negative((x[i + k] - max) * scale);
            terms[i + k] = e;
            lane[k] += e;
        }
    }
    for (; i < n; i++) {
        terms[i] = exp_negative((x[i] - max) * scale);
        lane[0] += terms[i];
    }
    float sum = 0;
    for (int k = 0; k < 16; k++) {
        sum += lane[k];
    }
    return sum;
}

double weir_scan_sum_exp(const float *x, uint32_t n, float max, float scale, float *terms,
                         double *block_sums)
{
    float unused[WEIR_SCAN_SUM_BLOCK];
    double total = 0;
    for (uint32_t i = 0, b = 0; i < n; i += WEIR_SCAN_SUM_BLOCK, b++) {
        uint32_t n_block = n - i < WEIR_SCAN_SUM_BLOCK ? n - i : WEIR_SCAN_SUM_BLOCK;
        double sum = block_exp(x + i, n_block, max, scale, terms ? terms + i : unused);
        if (block_sums) {
            block_sums[b] = sum;
        }
        total += sum;
    }
    return total;
}
