/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What all linear kernels do with a finished sum. */
#include "kernels/gpu.h"
#include "kernels/linear/linear.h"

GPU_DEVICE float linear_activate(uint32_t glu, float v)
{
    if (glu == WEIR_GLU_SILU) {
        return v / (1.0f + gpu_exp(-v));
    }
    float inner = 0.79788456080286536f * v * (1.0f + 0.044715f * v * v);
    return 0.5f * v * (1.0f + gpu_tanh(inner));
}

/* The matrix that row tile `tile` of all matrices belongs to, and its number there. */
GPU_DEVICE void linear_find(const struct weir_linear_kernel_args &args, uint32_t tile,
                            uint32_t *ret_matrix, uint32_t *ret_in_matrix)
{
    uint32_t matrix = 0;
    while (matrix < args.a.n_w) {
        uint32_t n = (args.a.w[matrix].n_rows + WEIR_TILE_ROWS - 1) / WEIR_TILE_ROWS;
        if (tile < n) {
            break;
        }
        tile -= n;
        matrix++;
    }
    *ret_matrix = matrix;
    *ret_in_matrix = tile;
}

/* v: the sum; up: the other one with glu. */
GPU_DEVICE void linear_store(const struct weir_linear_kernel_args &args, uint32_t tile,
                             uint32_t row, uint32_t token, float v, float up)
{
    uint32_t matrix = 0, in_matrix = tile;
    if (args.a.glu == WEIR_GLU_NONE) {
        linear_find(args, tile, &matrix, &in_matrix);
    }
    uint32_t n = in_matrix * WEIR_TILE_ROWS + row;
    if (matrix >= args.a.n_w || n >= args.a.w[matrix].n_rows) {
        return;
    }
    if (args.a.w[matrix].row_scale != nullptr) {
        v *= args.a.w[matrix].row_scale[n];
    }
    if (args.a.bias[matrix] != nullptr) {
        v += args.a.bias[matrix][n];
    }
    if (args.a.glu != WEIR_GLU_NONE) {
        if (args.a.w[1].row_scale != nullptr) {
            up *= args.a.w[1].row_scale[n];
        }
        if (args.a.bias[1] != nullptr) {
            up += args.a.bias[1][n];
        }
        v = linear_activate(args.a.glu, v) * up;
    }
    size_t at = (size_t)(args.first_token + token) * args.a.y_stride + args.y_at[matrix] + n;
    if (args.a.y_f16 != nullptr) {
        args.a.y_f16[at] = gpu_f32_to_f16(v);
    } else {
        args.a.y[at] = args.a.add ? args.a.y[at] + v : v;
    }
}
