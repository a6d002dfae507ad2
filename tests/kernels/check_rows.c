/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that move or map whole rows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/quant/dequant.h"
#include "engine/quant/half.h"
#include "kernels/copy_pages/copy_pages.h"
#include "kernels/embed/embed.h"
#include "kernels/glu/glu.h"
#include "kernels/glu/glu_ref.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/pool/pool.h"
#include "kernels/select_rows/select_rows.h"
#include "tests/kernels/check.h"

enum { MAX_FLOATS = 1 << 15 };

static float a[MAX_FLOATS], b[MAX_FLOATS], want[MAX_FLOATS], got[MAX_FLOATS];
static uint16_t halves[MAX_FLOATS];
static uint8_t bytes[1 << 16];

static void random_bytes(uint8_t *to, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        to[i] = (uint8_t)(seed >> 24);
    }
}

static int is_same(float x, float y)
{
    return (x == y && signbit(x) == signbit(y)) || (isnan(x) && isnan(y));
}

static int check_embed(struct weir_test_device *device, uint32_t type)
{
    enum { WIDTH = 512, VOCAB = 7, TOKENS = 6 };
    static const int32_t ids[TOKENS] = {6, 0, -1, 7, 3, 1};
    static const int32_t from[TOKENS] = {-1, -1, -1, -1, 1, -1};
    static const int32_t sampled[2] = {5, 2};
    static const int32_t taken[TOKENS] = {6, 0, -1, -1, 2, 1};
    const size_t row_bytes = weir_tensor_row_bytes(type, WIDTH);
    random_bytes(bytes, row_bytes * VOCAB, type + 1);
    const struct weir_embed_args args = {
        .table = weir_test_array(device, bytes, row_bytes * VOCAB),
        .ids = weir_test_array(device, ids, sizeof(ids)),
        .from = weir_test_array(device, from, sizeof(from)),
        .sampled = weir_test_array(device, sampled, sizeof(sampled)),
        .out = weir_test_array(device, NULL, TOKENS * WIDTH * sizeof(float)),
        .row_bytes = row_bytes,
        .type = type,
        .n_tokens = TOKENS,
        .n_embd = WIDTH,
        .n_vocab = VOCAB,
        .scale = 3.0f,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_embed_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.out, got, TOKENS * WIDTH * sizeof(float));
    int failed = 0;
    for (uint32_t t = 0; t < TOKENS; t++) {
        memset(want, 0, WIDTH * sizeof(float));
        if (taken[t] >= 0 &&
            weir_dequant_row(type, bytes + (size_t)taken[t] * row_bytes, want, WIDTH) < 0) {
            abort();
        }
        for (uint32_t i = 0; i < WIDTH; i++) {
            failed |= !is_same(got[t * WIDTH + i], want[i] * 3.0f);
        }
    }
    if (failed) {
        fprintf(stderr, "embed: rows of type %u differ\n", type);
    }
    weir_test_device_reset(device);
    return failed;
}

static int check_glu(struct weir_test_device *device, uint32_t activation, uint32_t n_tokens,
                     uint32_t n_ff)
{
    const size_t n = (size_t)n_tokens * n_ff;
    weir_test_random(a, 2 * n, 3);
    for (size_t i = 0; i < 2 * n; i++) {
        a[i] *= 8.0f;
    }
    for (uint32_t t = 0; t < n_tokens; t++) {
        const float *row = a + (size_t)t * 2 * n_ff;
        (activation == WEIR_GLU_SILU ? weir_glu_silu_ref : weir_glu_gelu_ref)(
            row, row + n_ff, n_ff, want + (size_t)t * n_ff);
    }
    const struct weir_glu_args args = {
        .gate_up = weir_test_array(device, a, 2 * n * sizeof(float)),
        .out = weir_test_array(device, NULL, n * sizeof(float)),
        .out_f16 = weir_test_array(device, NULL, n * sizeof(uint16_t)),
        .n_tokens = n_tokens,
        .n_ff = n_ff,
        .activation = activation,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_glu_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.out, got, n * sizeof(float));
    weir_test_fetch(device, args.out_f16, halves, n * sizeof(uint16_t));
    int failed = !(weir_test_nmse(got, want, n) < 1e-12);
    for (size_t i = 0; i < n; i++) {
        failed |= weir_f32_to_f16(got[i]) != halves[i];
    }
    if (failed) {
        fprintf(stderr, "glu: wrong (activation %u, %u x %u)\n", activation, n_tokens, n_ff);
    }
    weir_test_device_reset(device);
    return failed;
}

static int check_select(struct weir_test_device *device)
{
    enum { ROWS = 9, WIDTH = 52, KEPT = 4 };
    static const int32_t rows[KEPT] = {8, 0, -1, 3};
    weir_test_random(a, ROWS * WIDTH, 4);
    const struct weir_select_rows_args args = {
        .in = weir_test_array(device, a, ROWS * WIDTH * sizeof(float)),
        .out = weir_test_array(device, NULL, KEPT * WIDTH * sizeof(float)),
        .rows = weir_test_array(device, rows, sizeof(rows)),
        .n_rows = KEPT,
        .width = WIDTH,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_select_rows_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.out, got, KEPT * WIDTH * sizeof(float));
    int failed = 0;
    for (uint32_t i = 0; i < KEPT * WIDTH; i++) {
        const int32_t row = rows[i / WIDTH];
        failed |= got[i] != (row < 0 ? 0.0f : a[(uint32_t)row * WIDTH + i % WIDTH]);
    }
    if (failed) {
        fprintf(stderr, "select_rows: wrong rows\n");
    }
    weir_test_device_reset(device);
    return failed;
}

static int check_layer_norm(struct weir_test_device *device, uint32_t width, int has_extras)
{
    enum { ROWS = 3 };
    const size_t n = (size_t)ROWS * width;
    weir_test_random(a, n, 8);
    weir_test_random(b, n + 2 * (size_t)width, 9);
    for (size_t i = 0; i < n; i++) {
        a[i] += 100.0f; /* a mean that squares would drown in */
    }
    const float *weight = b + n;
    const float *bias = weight + width;
    for (uint32_t row = 0; row < ROWS; row++) {
        double mean = 0, variance = 0;
        for (uint32_t i = 0; i < width; i++) {
            const size_t at = (size_t)row * width + i;
            mean += ((double)a[at] + (has_extras ? b[at] : 0.0f)) / width;
        }
        for (uint32_t i = 0; i < width; i++) {
            const size_t at = (size_t)row * width + i;
            const double c = (double)a[at] + (has_extras ? b[at] : 0.0f) - mean;
            variance += c * c / width;
        }
        for (uint32_t i = 0; i < width; i++) {
            const size_t at = (size_t)row * width + i;
            const double c = (double)a[at] + (has_extras ? b[at] : 0.0f) - mean;
            want[at] = (float)(c / sqrt(variance + 1e-5) * weight[i] + (has_extras ? bias[i] : 0));
        }
    }
    const struct weir_layer_norm_args args = {
        .in = weir_test_array(device, a, n * sizeof(float)),
        .delta = has_extras ? weir_test_array(device, b, n * sizeof(float)) : NULL,
        .weight = weir_test_array(device, weight, width * sizeof(float)),
        .bias = has_extras ? weir_test_array(device, bias, width * sizeof(float)) : NULL,
        .out = weir_test_array(device, NULL, n * sizeof(float)),
        .n_rows = ROWS,
        .width = width,
        .eps = 1e-5f,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_layer_norm_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.out, got, n * sizeof(float));
    const double nmse = weir_test_nmse(got, want, n);
    if (!(nmse < 1e-9)) {
        fprintf(stderr, "layer_norm: NMSE %.2g (width %u)\n", nmse, width);
    }
    weir_test_device_reset(device);
    return !(nmse < 1e-9);
}

static int check_pool(struct weir_test_device *device, uint32_t mode, int is_normalised)
{
    enum { WIDTH = 100, TEXTS = 3 };
    static const struct weir_pool_text texts[TEXTS] = {{0, 1}, {1, 7}, {8, 30}};
    weir_test_random(a, 38 * WIDTH, 10);
    for (uint32_t t = 0; t < TEXTS; t++) {
        double squares = 0;
        double v[WIDTH];
        for (uint32_t i = 0; i < WIDTH; i++) {
            v[i] = 0;
            for (uint32_t r = 0; r < texts[t].n_rows; r++) {
                const double x = a[(texts[t].first_row + r) * WIDTH + i];
                v[i] += mode == WEIR_POOL_MEAN ? x / texts[t].n_rows
                        : r == (mode == WEIR_POOL_FIRST ? 0 : texts[t].n_rows - 1) ? x
                                                                                   : 0;
            }
            squares += v[i] * v[i];
        }
        for (uint32_t i = 0; i < WIDTH; i++) {
            want[t * WIDTH + i] = (float)(is_normalised ? v[i] / sqrt(squares) : v[i]);
        }
    }
    const struct weir_pool_args args = {
        .in = weir_test_array(device, a, 38 * WIDTH * sizeof(float)),
        .out = weir_test_array(device, NULL, TEXTS * WIDTH * sizeof(float)),
        .texts = weir_test_array(device, texts, sizeof(texts)),
        .n_texts = TEXTS,
        .width = WIDTH,
        .mode = mode,
        .is_normalised = (uint32_t)is_normalised,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_pool_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.out, got, TEXTS * WIDTH * sizeof(float));
    const double nmse = weir_test_nmse(got, want, TEXTS * WIDTH);
    if (!(nmse < 1e-11)) {
        fprintf(stderr, "pool: NMSE %.2g (mode %u)\n", nmse, mode);
    }
    weir_test_device_reset(device);
    return !(nmse < 1e-11);
}

static int check_copy_pages(struct weir_test_device *device)
{
    enum { PAGE = 4112, PAGES = 6 };
    static const struct weir_copy_pages_pair pairs[] = {{0, 3}, {5, 1}};
    static uint8_t after[PAGE * PAGES];
    random_bytes(bytes, PAGE * PAGES, 11);
    const struct weir_copy_pages_args args = {
        .pool = weir_test_array(device, bytes, PAGE * PAGES),
        .pairs = weir_test_array(device, pairs, sizeof(pairs)),
        .page_bytes = PAGE,
        .n_pairs = 2,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_copy_pages_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.pool, after, PAGE * PAGES);
    memcpy(bytes + (size_t)3 * PAGE, bytes, PAGE);
    memcpy(bytes + (size_t)1 * PAGE, bytes + (size_t)5 * PAGE, PAGE);
    const int failed = memcmp(bytes, after, PAGE * PAGES) != 0;
    if (failed) {
        fprintf(stderr, "copy_pages: wrong bytes\n");
    }
    weir_test_device_reset(device);
    return failed;
}

int weir_check_rows(struct weir_test_device *device)
{
    static const uint32_t types[] = {WEIR_TENSOR_F32,  WEIR_TENSOR_F16,  WEIR_TENSOR_BF16,
                                     WEIR_TENSOR_Q4_0, WEIR_TENSOR_Q4_1, WEIR_TENSOR_Q5_0,
                                     WEIR_TENSOR_Q5_1, WEIR_TENSOR_Q8_0, WEIR_TENSOR_Q4_K,
                                     WEIR_TENSOR_Q5_K, WEIR_TENSOR_Q6_K};
    int failed = 0;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        failed += check_embed(device, types[i]);
    }
    failed += check_glu(device, WEIR_GLU_SILU, 1, 4) + check_glu(device, WEIR_GLU_SILU, 3, 1540) +
              check_glu(device, WEIR_GLU_GELU, 5, 516);
    failed += check_select(device);
    failed += check_layer_norm(device, 384, 1) + check_layer_norm(device, 33, 0);
    for (uint32_t mode = WEIR_POOL_MEAN; mode <= WEIR_POOL_LAST; mode++) {
        failed += check_pool(device, mode, 0) + check_pool(device, mode, 1);
    }
    return failed + check_copy_pages(device);
}
