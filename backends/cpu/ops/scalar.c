/* SPDX-License-Identifier: Apache-2.0 */
/* One lane, portable C. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "engine/quant/half.h"

#define LANES 1
#define ATTEND_ROWS 1
#define ATTEND_KEYS 1
#define VALUE_ROWS 1
#define VALUE_VECS 1

typedef float vf;

static inline vf vf_load(const float *p)
{
    return *p;
}

static inline void vf_store(float *p, vf v)
{
    *p = v;
}

static inline vf vf_set(float x)
{
    return x;
}

static inline vf vf_load_half(const uint16_t *p)
{
    return weir_f16_to_f32(*p);
}

static inline vf vf_load_i8(const int8_t *p)
{
    return *p;
}

static inline uint16_t half_from(float x)
{
    return weir_f32_to_f16(x);
}

static inline void vf_store_half(uint16_t *p, vf v)
{
    *p = half_from(v);
}

static inline vf vf_add(vf a, vf b)
{
    return a + b;
}

static inline vf vf_sub(vf a, vf b)
{
    return a - b;
}

static inline vf vf_mul(vf a, vf b)
{
    return a * b;
}

static inline vf vf_div(vf a, vf b)
{
    return a / b;
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

static inline vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}

static inline vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}

static inline vf vf_round(vf a)
{
    return rintf(a);
}

static inline vf vf_ldexp(vf a, vf n)
{
    return ldexpf(a, isnan(n) ? 0 : (int)n);
}

static inline vf vf_zero_below(vf a, vf x, vf bound)
{
    return x < bound ? 0.0f : a;
}

static inline vf vf_keep_lanes(vf a, int begin, int end, vf other)
{
    return begin <= 0 && end > 0 ? a : other;
}

static inline float vf_sum(vf v)
{
    return v;
}

static inline float vf_largest(vf v)
{
    return v;
}

#define OPS_TABLE weir__cpu_ops_scalar
#define OPS_NAME "scalar"
#include "backends/cpu/ops/ops_impl.h"
