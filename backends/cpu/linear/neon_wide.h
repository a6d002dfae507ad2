/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One float per row of a tile of 8 rows, in two NEON registers. Threads: any; pure functions. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    ROWS = 8,
    VECTORS = ROWS / 4,
};

struct wide {
    float32x4_t v[VECTORS];
};

INLINE struct wide load_wide(const float *p)
{
    return (struct wide){{vld1q_f32(p), vld1q_f32(p + 4)}};
}

/* Of binary16. */
INLINE struct wide load_halves(const uint8_t *p)
{
    float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    return (struct wide){{vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)}};
}

/* How many lanes of tile `tile` are rows. */
INLINE uint32_t rows_of(uint32_t n_rows, uint32_t tile)
{
    uint32_t left = n_rows - tile * ROWS;
    return left < ROWS ? left : ROWS;
}

/* The other lanes are 0. */
INLINE struct wide load_rows(const float *p, uint32_t n)
{
    float lanes[ROWS] = {0};
    if (n == ROWS) {
        return load_wide(p);
    }
    memcpy(lanes, p, n * sizeof(float));
    return load_wide(lanes);
}

INLINE void store_wide(float *p, struct wide w)
{
    vst1q_f32(p, w.v[0]);
    vst1q_f32(p + 4, w.v[1]);
}

INLINE void store_rows(float *p, struct wide w, uint32_t n)
{
    float lanes[ROWS];
    if (n == ROWS) {
        store_wide(p, w);
        return;
    }
    store_wide(lanes, w);
    memcpy(p, lanes, n * sizeof(float));
}
