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

/* One row of the output: where it goes and what belongs to it. */
struct linear_target {
    bool exists;
    uint32_t y_at;
    float scale, bias, up_scale, up_bias;
};

GPU_DEVICE linear_target linear_locate(const struct weir_linear_kernel_args &args, uint32_t tile,
                                       uint32_t row)
{
    bool glu = args.a.glu != WEIR_GLU_NONE;
    uint32_t matrix = 0, in_matrix = tile;
    if (!glu) {
        linear_find(args, tile, &matrix, &in_matrix);
    }
    uint32_t n = in_matrix * WEIR_TILE_ROWS + row;
    linear_target target = {false, 0, 1.0f, 0.0f, 1.0f, 0.0f};
    if (matrix >= args.a.n_w || n >= args.a.w[matrix].n_rows) {
        return target;
    }
    target.exists = true;
    target.y_at = args.y_at[matrix] + n;
    if (args.a.w[matrix].row_scale != nullptr) {
        target.scale = args.a.w[matrix].row_scale[n];
    }
    if (args.a.bias[matrix] != nullptr) {
        target.bias = args.a.bias[matrix][n];
    }
    if (glu && args.a.w[1].row_scale != nullptr) {
        target.up_scale = args.a.w[1].row_scale[n];
    }
    if (glu && args.a.bias[1] != nullptr) {
        target.up_bias = args.a.bias[1][n];
    }
    return target;
}

/* What is stored of a sum, before `add`. up: the other sum with glu. */
GPU_DEVICE float linear_result(const struct weir_linear_kernel_args &args,
                               const linear_target &target, float v, float up)
{
    v = v * target.scale + target.bias;
    if (args.a.glu != WEIR_GLU_NONE) {
        v = linear_activate(args.a.glu, v) * (up * target.up_scale + target.up_bias);
    }
    return v;
}

/* Stores it. */
GPU_DEVICE void linear_store(const struct weir_linear_kernel_args &args,
                             const linear_target &target, uint32_t token, float v, float up)
{
    v = linear_result(args, target, v, up);
    size_t at = (size_t)token * args.a.y_stride + target.y_at;
    if (args.a.y_f16 != nullptr) {
        args.a.y_f16[at] = gpu_f32_to_f16(v);
    } else {
        args.a.y[at] = args.a.add ? args.a.y[at] + v : v;
    }
}

enum { LINEAR_WAVES = 8, LINEAR_ROWS = LINEAR_WAVES * WEIR_TILE_ROWS, LINEAR_PAD = 4 };

/* Stores the sums of a block, [COLS][LINEAR_ROWS + LINEAR_PAD] in shared memory: rows of 8 tiles,
 * or with glu 4 of the gate and behind them 4 of what it multiplies. A thread keeps its row. */
template <int COLS>
GPU_DEVICE void linear_store_block(const struct weir_linear_kernel_args &args, const float *sums,
                                   uint32_t token)
{
    bool glu = args.a.glu != WEIR_GLU_NONE;
    uint32_t n_tiles = glu ? LINEAR_WAVES / 2 : LINEAR_WAVES, rows = n_tiles * WEIR_TILE_ROWS;
    uint32_t row = gpu_thread() % rows, step = gpu_block_threads() / rows;
    linear_target target =
        linear_locate(args, gpu_block_x() * n_tiles + row / WEIR_TILE_ROWS, row % WEIR_TILE_ROWS);
    if (!target.exists) {
        return;
    }
    /* Several numbers at a time: what is added to comes from far. */
    enum { AT_ONCE = 4 };
    uint32_t end = args.a.n_tokens - token < COLS ? args.a.n_tokens - token : COLS;
    for (uint32_t first = gpu_thread() / rows; first < end; first += AT_ONCE * step) {
        float v[AT_ONCE], old[AT_ONCE];
        GPU_UNROLL
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            uint32_t col = first + i * step;
            bool add = args.a.add && col < end;
            old[i] = add ? args.a.y[(size_t)(token + col) * args.a.y_stride + target.y_at] : 0.0f;
        }
        GPU_UNROLL
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            uint32_t col = first + i * step;
            col = col < end ? col : end - 1;
            const float *at = sums + col * (LINEAR_ROWS + LINEAR_PAD) + row;
            v[i] = linear_result(args, target, at[0], glu ? at[rows] : 0.0f);
        }
        GPU_UNROLL
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            uint32_t col = first + i * step;
            size_t at = (size_t)(token + col) * args.a.y_stride + target.y_at;
            if (col < end && args.a.y_f16 != nullptr) {
                args.a.y_f16[at] = gpu_f32_to_f16(v[i]);
            } else if (col < end) {
                args.a.y[at] = old[i] + v[i];
            }
        }
    }
}

/* Leaves the block's sums, laid out as for linear_store_block(), in the workspace. True for the
 * last block of the group to do so, which then has the sums of all of them in `sums`. */
template <int COLS>
GPU_DEVICE bool linear_merge(const struct weir_linear_kernel_args &args, float *sums,
                             uint32_t group)
{
    constexpr uint32_t N = COLS * LINEAR_ROWS, ROW4 = LINEAR_ROWS / 4;
    float *partials = args.a.workspace + (size_t)group * args.n_k_splits * N;
    float *mine = partials + (size_t)gpu_block_z() * N;
    for (uint32_t e = gpu_thread(); e < N / 4; e += LINEAR_WAVES * LANES) {
        gpu_store(mine + e * 4,
                  gpu_load<gpu_f4>(sums + e / ROW4 * (LINEAR_ROWS + LINEAR_PAD) + e % ROW4 * 4));
    }
    gpu_fence();
    gpu_sync();
    uint32_t *is_last = reinterpret_cast<uint32_t *>(sums);
    if (gpu_thread() == 0) {
        *is_last = gpu_atomic_add(&args.counters[group], 1u) == args.n_k_splits - 1;
    }
    gpu_sync();
    bool last = *is_last != 0;
    gpu_sync();
    if (!last) {
        return false;
    }
    gpu_fence();
    /* Several loads at a time: each takes most of a microsecond. */
    constexpr int AT_ONCE = N / 4 / (LINEAR_WAVES * LANES) < 4 ? 1 : 4;
    for (uint32_t first = gpu_thread(); first < N / 4; first += AT_ONCE * LINEAR_WAVES * LANES) {
        gpu_f4 v[AT_ONCE];
        GPU_UNROLL
        for (int i = 0; i < AT_ONCE; i++) {
            v[i] = {0.0f, 0.0f, 0.0f, 0.0f};
        }
        GPU_UNROLL_4
        for (uint32_t s = 0; s < args.n_k_splits; s++) {
            GPU_UNROLL
            for (int i = 0; i < AT_ONCE; i++) {
                gpu_f4 p = gpu_load_shared_level(partials + (size_t)s * N +
                                                 (first + i * LINEAR_WAVES * LANES) * 4);
                v[i].x += p.x, v[i].y += p.y, v[i].z += p.z, v[i].w += p.w;
            }
        }
        GPU_UNROLL
        for (int i = 0; i < AT_ONCE; i++) {
            uint32_t e = first + (uint32_t)i * LINEAR_WAVES * LANES;
            gpu_store(sums + e / ROW4 * (LINEAR_ROWS + LINEAR_PAD) + e % ROW4 * 4, v[i]);
        }
    }
    if (gpu_thread() == 0) {
        args.counters[group] = 0;
    }
    gpu_sync();
    return true;
}
