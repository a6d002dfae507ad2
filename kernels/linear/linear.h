/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* y = W x for up to three matrices with one input: the LINEAR op of a model's graph.
 *
 *     y[m][n0 + n] (+)= sum over k of W[n][k] * x[m][k] + bias[n]          glu: none
 *     y[m][n]         = activation(W0 x) * (W1 x)                          glu: silu, gelu
 *
 * n0: the rows of the matrices before. x: f16 [n_tokens][x_stride], y: f32 or f16
 * [n_tokens][y_stride]; x, x_stride in units of 8 numbers. Sums in f32.
 *
 * The launch function picks by n_tokens: `gemv` streams weights past few tokens; `batch` past more,
 * in slices of up to 64, each of which reads the weights again; `large`, on Hopper, multiplies
 * slices of 128 or 256 at the tensor cores' pace. A token's result does not depend on the other
 * tokens within one of them. Tolerance against the f64 product of dequantised weights and the f16
 * input: NMSE 1e-6. */
#include "kernels/gpu_launch.h"
#include "kernels/linear/matrix_layout.h"

enum { WEIR_LINEAR_MAX_W = 3, WEIR_LINEAR_MAX_LAUNCHES = 256 };
enum weir_linear_glu { WEIR_GLU_NONE, WEIR_GLU_SILU, WEIR_GLU_GELU };

struct weir_linear_args {
    struct weir_gpu_matrix w[WEIR_LINEAR_MAX_W];
    const float *bias[WEIR_LINEAR_MAX_W]; /* each may be NULL */
    uint32_t n_w;
    uint32_t n_tokens;
    const uint16_t *x;
    uint32_t x_stride;
    uint32_t y_stride;
    float *y;         /* one of the two */
    uint16_t *y_f16;  /* not with add */
    uint32_t add;     /* to what is in y */
    uint32_t glu;     /* enum weir_linear_glu; n_w == 2 of one kind and shape */
    float *workspace; /* weir_linear_workspace_bytes(), zeroed once; one launch at a time uses it */
};

/* What one kernel gets: matrices of one kind. */
struct weir_linear_kernel_args {
    struct weir_linear_args a;
    uint32_t y_at[WEIR_LINEAR_MAX_W]; /* first column of each in y */
    uint32_t n_k_splits;              /* waves (gemv) or blocks (batch) that share a row tile */
    uint32_t n_x_turns;               /* gemv: turns whose x is in shared memory at once */
    uint32_t
        *counters; /* batch: blocks that are done, by group of row tiles; zero between launches */
};

struct weir_linear_plan {
    struct weir_linear_kernel_args args[WEIR_LINEAR_MAX_W];
    struct weir_gpu_launch launches[WEIR_LINEAR_MAX_W];
};

/* Blocks of gemv that a multiprocessor has registers for, by columns of the sums for each token. */
#define WEIR_GEMV_BLOCKS(kind, columns) ((kind) == WEIR_MATRIX_F16 || (columns) == 8 ? 3u : 2u)

#ifdef __cplusplus
extern "C" {
#endif

size_t weir_linear_workspace_bytes(const struct weir_gpu_props *props);

/* Fills plan->launches[0..n) and gives n. The plan must stay until they are launched.
 * WEIR_E_UNSUPPORTED: glu for matrices that differ; run two and the GLU op then. */
int weir_linear_launch(const struct weir_linear_args *args, const struct weir_gpu_props *props,
                       struct weir_linear_plan *plan);

#ifdef __cplusplus
}
#endif
