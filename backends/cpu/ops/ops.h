/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The float kernels of a step except the matrix products: one table per instruction set.
 *
 * Why: a binary runs on any machine of its architecture; the table is chosen once at load. All
 * tables come from one source, ops_impl.h, written over a thin vector type (simd_*.h).
 * Batch invariance: a row's result is the same float operations in the same order, however many
 * rows a call has and however keys are cut into calls at WEIR_CPU_ATTEND_BLOCK boundaries.
 * Threads: any; pure functions on the caller's memory. Errors: none.
 * Alignment: none required, 64 bytes is fast. */
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/ops/kv_layout.h"

enum {
    WEIR_CPU_ATTEND_BLOCK = 64,   /* keys per softmax update */
    WEIR_CPU_ATTEND_CHUNK = 256,  /* keys per independent partial result; 4 blocks */
    WEIR_CPU_ATTEND_ROWS_MAX = 64 /* rows of a call */
};

/* Query rows against one chunk of keys of one KV head. Rows of one sequence: `n_heads` query heads
 * that share the KV head, for each of several positions; row r is of position pos + r / n_heads. */
struct weir_cpu_attend {
    uint32_t n_rows;
    uint32_t n_heads;
    uint32_t head_dim; /* a multiple of 16, at most 512 */
    uint32_t pos;      /* position of row 0 */
    uint32_t window;   /* keys seen, the row's own included; 0: all */
    uint32_t chunk;    /* keys [chunk * 256, chunk * 256 + 256) */
    const float *q;    /* [n_rows][head_dim], scaled */
    enum weir_cpu_kv_type kv_type;
    const uint8_t *kv;     /* this layer's and KV head's part of page 0 (kv_layout.h) */
    size_t page_stride;    /* bytes between pages */
    const uint32_t *pages; /* the sequence's page numbers, by position / 16 */
    float *scores;         /* [n_rows][64], scratch */
    float *max;            /* [n_rows] out: largest score; -inf when the row sees no key here */
    float *sum;            /* [n_rows] out: sum of exp(score - max) */
    float *out;            /* [n_rows][head_dim] out: sum of exp(score - max) * V */
};

struct weir_cpu_ops {
    const char *name;
    /* y = x / sqrt(mean(x^2) + eps) * weight; y may be x. */
    void (*rms_norm)(const float *x, const float *weight, float eps, uint32_t n, float *y);
    /* x += y */
    void (*add)(float *x, const float *y, uint32_t n);
    /* y = x * factor */
    void (*scale)(const float *x, float factor, uint32_t n, float *y);
    /* y = act(gate) * up; SiLU: x / (1 + e^-x). GELU by its tanh form, as GGML and Gemma. */
    void (*glu_silu)(const float *gate, const float *up, uint32_t n, float *y);
    void (*glu_gelu)(const float *gate, const float *up, uint32_t n, float *y);
    /* Rotates pairs of x[n_rot] in place; cos_sin[n_rot / 2][2]. Pairs (2i, 2i+1) or, "neox",
     * (i, i + n_rot / 2). */
    void (*rope_pairs)(float *x, const float *cos_sin, uint32_t n_rot);
    void (*rope_neox)(float *x, const float *cos_sin, uint32_t n_rot);
    /* y[i * stride] = binary16(x[i]), round to nearest even. */
    void (*to_half)(const float *x, uint32_t n, uint16_t *y, size_t stride);
    /* y[i * stride] = round(x[i] / scale), within +-127; *ret_scale = scale = amax / 127 as
     * binary16.
     */
    void (*to_i8)(const float *x, uint32_t n, int8_t *y, size_t stride, uint16_t *ret_scale);
    void (*attend)(const struct weir_cpu_attend *a);
    /* Adds a chunk's result (max, sum, out) to a running one, both [head_dim] rows. Chunks come in
     * ascending order; an empty one (max -inf) changes nothing. */
    void (*attend_merge)(float *max, float *sum, float *out, float chunk_max, float chunk_sum,
                         const float *chunk_out, uint32_t head_dim);
};

/* The i-th table that this machine can run, fastest first; NULL past the last, which is "scalar".
 */
const struct weir_cpu_ops *weir_cpu_ops_at(size_t i);
/* The table called `name` up to a '+', behind which are extensions that only matrix products use,
 * or the fastest when name is NULL; NULL when this machine lacks it. */
const struct weir_cpu_ops *weir_cpu_ops_find(const char *name);
