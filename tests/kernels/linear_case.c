/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernels/linear_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/gguf/tensor_type.h"
#include "engine/quant/dequant.h"
#include "engine/quant/half.h"
#include "kernels/linear/pack.h"

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    return p;
}

static void put_f16(uint8_t *to, float v)
{
    uint16_t h = weir_f32_to_f16(v);
    memcpy(to, &h, 2);
}

/* Where a block keeps its f16 scales: their offsets, at most two; -1 ends. */
static void scale_offsets(uint32_t type, int at[2])
{
    at[0] = type == WEIR_TENSOR_Q6_K ? 208 : 0;
    at[1] = type == WEIR_TENSOR_Q4_1 || type == WEIR_TENSOR_Q5_1 || type == WEIR_TENSOR_Q4_K ||
                    type == WEIR_TENSOR_Q5_K
                ? 2
                : -1;
}

static void random_floats(uint32_t type, uint8_t *to, size_t n, uint64_t seed)
{
    float *v = need(malloc(n * sizeof(*v)));
    weir_test_random(v, n, seed);
    for (size_t i = 0; i < n; i++) {
        v[i] *= 0.1f;
        if (type == WEIR_TENSOR_F32) {
            memcpy(to + i * 4, &v[i], 4);
        } else {
            uint16_t h = type == WEIR_TENSOR_F16 ? weir_f32_to_f16(v[i]) : weir_f32_to_bf16(v[i]);
            memcpy(to + i * 2, &h, 2);
        }
    }
    free(v);
}

void *weir_test_tensor(uint32_t type, uint64_t n_rows, uint64_t n_cols, uint64_t seed,
                       size_t *ret_bytes)
{
    const struct weir_tensor_type_info *info = weir_tensor_type_info(type);
    size_t n = weir_tensor_row_bytes(type, n_cols) * n_rows;
    uint8_t *bytes = need(malloc(n));
    *ret_bytes = n;
    if (info->block_elems == 1) {
        random_floats(type, bytes, n_rows * n_cols, seed);
        return bytes;
    }
    uint64_t state = seed + 77;
    for (size_t i = 0; i + 8 <= n || i < n; i += 8) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t v = state ^ state >> 29;
        memcpy(bytes + i, &v, n - i < 8 ? n - i : 8);
    }
    int at[2];
    scale_offsets(type, at);
    size_t n_blocks = n / info->block_bytes;
    for (size_t b = 0; b < n_blocks; b++) {
        float size = 0.01f + 0.001f * (float)((b * 2654435761u >> 7) % 32);
        uint8_t *block = bytes + b * info->block_bytes;
        if (info->block_elems == 256) {
            size *= 0.02f; /* their own scales go to 63 and 127 */
        }
        put_f16(block + at[0], b % 5 == 0 ? -size : size);
        if (at[1] >= 0) {
            put_f16(block + at[1], size * (info->block_elems == 32 ? -4.0f : 0.5f));
        }
    }
    return bytes;
}

struct weir_gpu_matrix weir_test_matrix(struct weir_test_device *device, uint32_t type,
                                        const void *tensor, uint32_t n_rows, uint32_t n_cols)
{
    struct weir_pack_plan plan;
    if (weir_pack_plan(type, device->info.props.lanes, n_rows, n_cols, &plan) < 0) {
        abort();
    }
    void *packed = need(malloc(plan.n_bytes));
    weir_pack_matrix(&plan, tensor, packed);
    void *on_device = weir_test_array(device, packed, plan.n_bytes);
    free(packed);
    return weir_pack_matrix_at(&plan, on_device);
}

static double activate(int glu, double v)
{
    if (glu == WEIR_GLU_SILU) {
        return v / (1.0 + exp(-v));
    }
    return 0.5 * v * (1.0 + tanh(0.79788456080286536 * (v + 0.044715 * v * v * v)));
}

/* want[m][y_stride] of one matrix from column y_at on. */
static void reference(const struct weir_linear_case *c, uint32_t i, const void *tensor,
                      const float *x, const float *bias, float *want, uint32_t y_stride,
                      uint32_t y_at)
{
    size_t row_bytes = weir_tensor_row_bytes(c->types[i], c->n_cols);
    float *row = need(malloc(c->n_cols * sizeof(*row)));
    for (uint32_t n = 0; n < c->n_rows[i]; n++) {
        if (weir_dequant_row(c->types[i], (const uint8_t *)tensor + n * row_bytes, row, c->n_cols) <
            0) {
            abort();
        }
        for (uint32_t m = 0; m < c->n_tokens; m++) {
            double sum = c->has_bias ? bias[n] : 0;
            for (uint32_t k = 0; k < c->n_cols; k++) {
                sum += (double)row[k] * (double)x[(size_t)m * c->n_cols + k];
            }
            float *to = &want[(size_t)m * y_stride + y_at + n];
            *to = (float)(c->glu && i == 1 ? activate(c->glu, *to) * sum : sum);
        }
    }
    free(row);
}

double weir_test_linear(struct weir_test_device *device, const struct weir_linear_case *c)
{
    uint32_t y_stride = 0;
    for (uint32_t i = 0; i < c->n_w; i++) {
        y_stride += c->n_rows[i];
    }
    y_stride = c->glu ? c->n_rows[0] : y_stride;
    size_t n_x = (size_t)c->n_tokens * c->n_cols, n_y = (size_t)c->n_tokens * y_stride;
    float *x = need(malloc(n_x * sizeof(*x)));
    uint16_t *x_f16 = need(malloc(n_x * sizeof(*x_f16)));
    float *want = need(calloc(n_y, sizeof(*want))), *got = need(malloc(n_y * sizeof(*got)));
    float *before = need(malloc(n_y * sizeof(*before)));
    weir_test_random(x, n_x, c->seed);
    weir_test_random(before, n_y, c->seed + 9);
    for (size_t i = 0; i < n_x; i++) {
        x_f16[i] = weir_f32_to_f16(x[i]);
        x[i] = weir_f16_to_f32(x_f16[i]);
    }
    size_t workspace_bytes = weir_linear_workspace_bytes(&device->info.props);
    struct weir_linear_args args = {.n_w = c->n_w,
                                    .n_tokens = c->n_tokens,
                                    .x = weir_test_array(device, x_f16, n_x * sizeof(*x_f16)),
                                    .x_stride = c->n_cols,
                                    .y_stride = y_stride,
                                    .add = (uint32_t)c->add,
                                    .glu = (uint32_t)c->glu};
    void *zeros = need(calloc(1, workspace_bytes));
    args.workspace = weir_test_array(device, zeros, workspace_bytes);
    free(zeros);
    void *y = weir_test_array(device, c->add ? before : NULL, n_y * (c->f16_out ? 2 : 4));
    args.y = c->f16_out ? NULL : y;
    args.y_f16 = c->f16_out ? y : NULL;
    uint32_t y_at = 0;
    for (uint32_t i = 0; i < c->n_w; i++) {
        size_t bytes;
        void *tensor = weir_test_tensor(c->types[i], c->n_rows[i], c->n_cols, c->seed + i, &bytes);
        float *bias = need(malloc(c->n_rows[i] * sizeof(*bias)));
        weir_test_random(bias, c->n_rows[i], c->seed + 20 + i);
        args.w[i] = weir_test_matrix(device, c->types[i], tensor, c->n_rows[i], c->n_cols);
        if (c->has_bias) {
            args.bias[i] = weir_test_array(device, bias, c->n_rows[i] * sizeof(*bias));
        }
        reference(c, i, tensor, x, bias, want, y_stride, y_at);
        y_at += c->glu ? 0 : c->n_rows[i];
        free(bias);
        free(tensor);
    }
    for (size_t i = 0; i < n_y && c->add; i++) {
        want[i] += before[i];
    }
    static struct weir_linear_plan plan;
    weir_test_run(device, plan.launches, weir_linear_launch(&args, &device->info.props, &plan));
    if (c->f16_out) {
        uint16_t *got_f16 = need(malloc(n_y * sizeof(*got_f16)));
        weir_test_fetch(device, y, got_f16, n_y * sizeof(*got_f16));
        for (size_t i = 0; i < n_y; i++) {
            got[i] = weir_f16_to_f32(got_f16[i]);
        }
        free(got_f16);
    } else {
        weir_test_fetch(device, y, got, n_y * sizeof(*got));
    }
    double error = weir_test_nmse(got, want, n_y);
    weir_test_device_reset(device);
    free(before);
    free(got);
    free(want);
    free(x_f16);
    free(x);
    return error;
}
