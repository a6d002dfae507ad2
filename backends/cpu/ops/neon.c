/* SPDX-License-Identifier: Apache-2.0 */
/* 8 lanes in two registers, so that sums add up in the order of AVX2; needs NEON as every 64-bit
 * ARM has it. A step of a head's dimension for 6 rows and 16 keys is 24 fmla by 2 loads of keys, 4
 * widening instructions and 6 loads that broadcast; a key's value for 3 rows is 12 fmla by 2, 4
 * and 3. */
#include <arm_neon.h>
#include <stdint.h>

#define LANES 8
#define ATTEND_ROWS 6 /* x 2 key vectors = 24 of 32 registers */
#define ATTEND_KEYS 2
#define VALUE_ROWS 3 /* x 2 value vectors = 12 registers, beside 4 of values */
#define VALUE_VECS 2

typedef struct {
    float32x4_t low, high;
} vf;

static inline vf vf_load(const float *p)
{
    return (vf){vld1q_f32(p), vld1q_f32(p + 4)};
}

static inline void vf_store(float *p, vf v)
{
    vst1q_f32(p, v.low);
    vst1q_f32(p + 4, v.high);
}

static inline vf vf_set(float x)
{
    return (vf){vdupq_n_f32(x), vdupq_n_f32(x)};
}

static inline vf vf_load_half(const uint16_t *p)
{
    float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(p));
    return (vf){vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)};
}

static inline vf vf_load_i8(const int8_t *p)
{
    int16x8_t n = vmovl_s8(vld1_s8(p));
    return (vf){vcvtq_f32_s32(vmovl_s16(vget_low_s16(n))), vcvtq_f32_s32(vmovl_high_s16(n))};
}

static inline void vf_store_half(uint16_t *p, vf v)
{
    vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(v.low), v.high)));
}

static inline vf vf_add(vf a, vf b)
{
    return (vf){vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)};
}

static inline vf vf_sub(vf a, vf b)
{
    return (vf){vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)};
}

static inline vf vf_mul(vf a, vf b)
{
    return (vf){vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)};
}

static inline vf vf_div(vf a, vf b)
{
    return (vf){vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)};
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return (vf){vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}

/* a > b ? a : b, so that a NaN goes where it goes in the other tables; fmax would spread it. */
static inline float32x4_t larger(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline vf vf_max(vf a, vf b)
{
    return (vf){larger(a.low, b.low), larger(a.high, b.high)};
}

static inline float32x4_t smaller(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return (vf){smaller(a.low, b.low), smaller(a.high, b.high)};
}

static inline vf vf_round(vf a)
{
    return (vf){vrndnq_f32(a.low), vrndnq_f32(a.high)};
}

static inline float32x4_t power_of_two(float32x4_t n)
{
    int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
}

/* a * 2^n for whole n in [-126, 127] */
static inline vf vf_ldexp(vf a, vf n)
{
    return (vf){vmulq_f32(a.low, power_of_two(n.low)), vmulq_f32(a.high, power_of_two(n.high))};
}

static inline float32x4_t unless(uint32x4_t condition, float32x4_t a)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), condition));
}

/* x < bound ? 0 : a; a NaN in x keeps a */
static inline vf vf_zero_below(vf a, vf x, vf bound)
{
    return (vf){unless(vcltq_f32(x.low, bound.low), a.low),
                unless(vcltq_f32(x.high, bound.high), a.high)};
}

static inline float32x4_t keep(float32x4_t a, int begin, int end, float32x4_t other, int first)
{
    static const int32_t numbers[4] = {0, 1, 2, 3};
    int32x4_t lane = vaddq_s32(vld1q_s32(numbers), vdupq_n_s32(first));
    uint32x4_t inside =
        vandq_u32(vcgeq_s32(lane, vdupq_n_s32(begin)), vcltq_s32(lane, vdupq_n_s32(end)));
    return vbslq_f32(inside, a, other);
}

/* a where the lane's number is in [begin, end), `other` elsewhere */
static inline vf vf_keep_lanes(vf a, int begin, int end, vf other)
{
    return (vf){keep(a.low, begin, end, other.low, 0), keep(a.high, begin, end, other.high, 4)};
}

/* Fixed order: halves are added until one lane is left. */
static inline float vf_sum(vf v)
{
    float32x4_t four = vaddq_f32(v.low, v.high);
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* Of those that are numbers. */
static inline float vf_largest(vf v)
{
    return vmaxnmvq_f32(larger(v.low, v.high));
}

static inline uint16_t half_from(float x)
{
    return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0);
}

#define OPS_TABLE weir__cpu_ops_neon
#define OPS_NAME "neon"
#include "backends/cpu/ops/ops_impl.h"
