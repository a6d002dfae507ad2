/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of ops.h over the vector type `vf` of LANES floats. Included once per instruction
 * set, after the vf_* functions and the tile sizes; no include guard by purpose. */
#include <math.h>
#include <string.h>

#include "backends/cpu/ops/tables.h"

#define INLINE static inline __attribute__((always_inline))

enum { KEYS_PER_PAGE = WEIR_CPU_KV_TOKENS, ROWS_MAX = WEIR_CPU_ATTEND_ROWS_MAX };

/* e^x by range reduction to |r| <= ln2 / 2 and the polynomial of Cephes' expf (S. Moshier); error
 * below 2 ulp. 0 below -87.3, e^88 above 88; NaN stays NaN. */
INLINE vf vf_exp(vf x)
{
    const vf low = vf_set(-87.3f);
    vf t = vf_min(vf_set(88.0f), vf_max(low, x));
    vf n = vf_round(vf_mul(t, vf_set(1.44269504088896341f)));
    vf r = vf_fma(n, vf_set(-0.693359375f), t);
    r = vf_fma(n, vf_set(2.12194440e-4f), r);
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    p = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set(1.0f));
    return vf_zero_below(vf_ldexp(p, n), x, low);
}

static float exp_one(float x)
{
    float lanes[LANES];
    vf_store(lanes, vf_exp(vf_set(x)));
    return lanes[0];
}

/* The last n < LANES floats, the other lanes 0. */
INLINE vf load_tail(const float *p, uint32_t n)
{
    float lanes[LANES] = {0};
    memcpy(lanes, p, n * sizeof(float));
    return vf_load(lanes);
}

INLINE void store_tail(float *p, vf v, uint32_t n)
{
    float lanes[LANES];
    vf_store(lanes, v);
    memcpy(p, lanes, n * sizeof(float));
}

static float sum_of_squares(const float *x, uint32_t n)
{
    vf acc[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
    uint32_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        for (int k = 0; k < 4; k++) {
            vf v = vf_load(x + i + (uint32_t)k * LANES);
            acc[k] = vf_fma(v, v, acc[k]);
        }
    }
    for (; i + LANES <= n; i += LANES) {
        vf v = vf_load(x + i);
        acc[0] = vf_fma(v, v, acc[0]);
    }
    if (i < n) {
        vf v = load_tail(x + i, n - i);
        acc[1] = vf_fma(v, v, acc[1]);
    }
    return vf_sum(vf_add(vf_add(acc[0], acc[1]), vf_add(acc[2], acc[3])));
}

static void rms_norm(const float *x, const float *weight, float eps, uint32_t n, float *y)
{
    const vf scale = vf_set(1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps));
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), scale), vf_load(weight + i)));
    }
    if (i < n) {
        vf v = vf_mul(vf_mul(load_tail(x + i, n - i), scale), load_tail(weight + i, n - i));
        store_tail(y + i, v, n - i);
    }
}

static void add(float *x, const float *y, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf_store(x + i, vf_add(vf_load(x + i), vf_load(y + i)));
    }
    for (; i < n; i++) {
        x[i] += y[i];
    }
}

static void scale(const float *x, float factor, uint32_t n, float *y)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf_store(y + i, vf_mul(vf_load(x + i), vf_set(factor)));
    }
    for (; i < n; i++) {
        y[i] = x[i] * factor;
    }
}

INLINE vf silu(vf x)
{
    return vf_div(x, vf_add(vf_set(1.0f), vf_exp(vf_sub(vf_set(0.0f), x))));
}

/* x/2 (1 + tanh u) is x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
INLINE vf gelu(vf x)
{
    vf cubic = vf_fma(vf_mul(vf_set(0.044715f), x), x, vf_set(1.0f));
    vf minus_2u = vf_mul(vf_mul(vf_set(-2.0f * 0.79788456080286535588f), x), cubic);
    return vf_div(x, vf_add(vf_set(1.0f), vf_exp(minus_2u)));
}

static void glu_silu(const float *gate, const float *up, uint32_t n, float *y)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf_store(y + i, vf_mul(silu(vf_load(gate + i)), vf_load(up + i)));
    }
    if (i < n) {
        vf v = vf_mul(silu(load_tail(gate + i, n - i)), load_tail(up + i, n - i));
        store_tail(y + i, v, n - i);
    }
}

static void glu_gelu(const float *gate, const float *up, uint32_t n, float *y)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf_store(y + i, vf_mul(gelu(vf_load(gate + i)), vf_load(up + i)));
    }
    if (i < n) {
        vf v = vf_mul(gelu(load_tail(gate + i, n - i)), load_tail(up + i, n - i));
        store_tail(y + i, v, n - i);
    }
}

static void rope_pairs(float *x, const float *cos_sin, uint32_t n_rot)
{
    for (uint32_t i = 0; i < n_rot; i += 2) {
        float a = x[i];
        float b = x[i + 1];
        float c = cos_sin[i];
        float s = cos_sin[i + 1];
        x[i] = a * c - b * s;
        x[i + 1] = a * s + b * c;
    }
}

static void rope_neox(float *x, const float *cos_sin, uint32_t n_rot)
{
    float *low = x;
    float *high = x + n_rot / 2;
    for (uint32_t i = 0; i < n_rot / 2; i++) {
        float a = low[i];
        float b = high[i];
        float c = cos_sin[2 * i];
        float s = cos_sin[2 * i + 1];
        low[i] = a * c - b * s;
        high[i] = a * s + b * c;
    }
}

static void to_half(const float *x, uint32_t n, uint16_t *y, size_t stride)
{
    uint32_t i = 0;
    if (stride == 1) {
        for (; i + LANES <= n; i += LANES) {
            vf_store_half(y + i, vf_load(x + i));
        }
    }
    for (; i < n; i++) {
        y[i * stride] = half_from(x[i]);
    }
}

static float float_of(uint16_t half)
{
    uint16_t halves[LANES] = {half};
    float lanes[LANES];
    vf_store(lanes, vf_load_half(halves));
    return lanes[0];
}

static void to_i8(const float *x, uint32_t n, int8_t *y, size_t stride, uint16_t *ret_scale)
{
    vf largest = vf_set(0.0f);
    float amax = 0.0f;
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = vf_load(x + i);
        largest = vf_max(largest, vf_max(v, vf_sub(vf_set(0.0f), v)));
    }
    amax = vf_largest(largest);
    for (; i < n; i++) {
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    }
    *ret_scale = half_from(amax / 127.0f);
    const float scale = float_of(*ret_scale);
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (i = 0; i < n; i++) {
        float q = rintf(x[i] * inverse);
        /* A tiny scale is rounded by up to a half. The comparison is false for NaN, too. */
        y[i * stride] = (int8_t)(fabsf(q) <= 127.0f ? q : q > 0.0f ? 127.0f : -127.0f);
    }
}

#include "backends/cpu/ops/attend_impl.h"

const struct weir_cpu_ops OPS_TABLE = {
    .name = OPS_NAME,
    .rms_norm = rms_norm,
    .add = add,
    .scale = scale,
    .glu_silu = glu_silu,
    .glu_gelu = glu_gelu,
    .rope_pairs = rope_pairs,
    .rope_neox = rope_neox,
    .to_half = to_half,
    .to_i8 = to_i8,
    .attend = attend,
    .attend_merge = attend_merge,
};
