/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/norm/rms_norm_ref.h"
#include "kernels/rope/rope_ref.h"
#include "kernels/rope_kv/rope_kv.h"
#include "tests/kernels/check.h"
#include "tests/kernels/paged.h"

enum { N_TOKENS = 5, STRIDE = 4, HEADS_MAX = 8, DIM_MAX = 256, N_PAGES = 10 };

struct shape {
    uint32_t head_dim, n_rot, n_head, n_head_kv, type;
    int is_neox, has_norm;
    double base;
};

static const int32_t positions[N_TOKENS] = {0, 15, 16, 50, -1}; /* the last is padding */
static const int32_t table_rows[N_TOKENS] = {0, 0, 1, 1, 0};
static const uint32_t tables[2 * STRIDE] = {3, 1, 0, 0, 9, 5, 7, 2};

static float qkv[N_TOKENS * HEADS_MAX * DIM_MAX], got[N_TOKENS * HEADS_MAX * DIM_MAX];
static float q_norm[DIM_MAX], k_norm[DIM_MAX];
static double turns[DIM_MAX / 2];
static uint8_t fetched[1 << 20];

static void reference(const struct shape *s, const float *x, const float *norm, int32_t pos,
                      float *want)
{
    memcpy(want, x, s->head_dim * sizeof(*x));
    if (norm) {
        weir_rms_norm_ref(want, norm, 1e-6f, s->head_dim, want);
    }
    weir_rope_ref(want, s->n_rot, s->is_neox, (uint32_t)pos, s->base);
}

/* Queries in place; keys and values in the pages, and nothing else there. */
static int judge(const struct shape *s, const struct weir_test_pool *before,
                 struct weir_test_pool *after)
{
    const uint32_t n_heads = s->n_head + 2 * s->n_head_kv;
    int failed = 0;
    for (uint32_t t = 0; t < N_TOKENS; t++) {
        const float *in = qkv + (size_t)t * n_heads * s->head_dim;
        const float *out = got + (size_t)t * n_heads * s->head_dim;
        for (uint32_t h = 0; h < n_heads; h++) {
            const float *x = in + (size_t)h * s->head_dim;
            const float *y = out + (size_t)h * s->head_dim;
            float want[DIM_MAX];
            if (positions[t] < 0 || h >= s->n_head) {
                failed |= memcmp(x, y, s->head_dim * sizeof(*x)) != 0;
            } else {
                reference(s, x, s->has_norm ? q_norm : NULL, positions[t], want);
                failed |= !(weir_test_nmse(y, want, s->head_dim) < 1e-11);
            }
            if (positions[t] < 0 || h < s->n_head) {
                continue;
            }
            const int is_value = h >= s->n_head + s->n_head_kv;
            const uint32_t kv_head = h - s->n_head - (is_value ? s->n_head_kv : 0);
            const uint32_t pos = (uint32_t)positions[t];
            const uint32_t page = tables[table_rows[t] * STRIDE + pos / WEIR_KV_PAGE_TOKENS];
            const uint32_t slot = pos % WEIR_KV_PAGE_TOKENS;
            memcpy(want, x, s->head_dim * sizeof(*x));
            if (!is_value) {
                reference(s, x, s->has_norm ? k_norm : NULL, positions[t], want);
            }
            float stored[DIM_MAX];
            weir_test_pool_read(after, is_value, page, kv_head, slot, stored);
            failed |= !(weir_test_nmse(stored, want, s->head_dim) <
                        (s->type == WEIR_KV_F16 ? 1e-6 : 5e-4));
        }
    }
    /* What nobody wrote is still as it was: count the bytes that changed. */
    const size_t element = s->type == WEIR_KV_F16 ? 2 : 1;
    size_t n_changed = 0;
    for (size_t i = 0; i < before->n_bytes; i++) {
        n_changed += before->bytes[i] != after->bytes[i];
    }
    const size_t row = s->head_dim * element + (s->type == WEIR_KV_I8 ? 2 : 0);
    failed |= n_changed > (size_t)(N_TOKENS - 1) * 2 * s->n_head_kv * row;
    return failed;
}

static int check(struct weir_test_device *device, const struct shape *s)
{
    const size_t n = (size_t)N_TOKENS * (s->n_head + 2 * s->n_head_kv) * s->head_dim;
    weir_test_random(qkv, n, 5);
    weir_test_random(q_norm, s->head_dim, 6);
    weir_test_random(k_norm, s->head_dim, 7);
    for (uint32_t i = 0; i < s->n_rot / 2; i++) {
        turns[i] = pow(s->base, -2.0 * i / s->n_rot) / 6.283185307179586476925;
    }
    struct weir_test_pool before, after;
    weir_test_pool_init(&before, s->type, s->n_head_kv, s->head_dim, N_PAGES);
    weir_test_pool_init(&after, s->type, s->n_head_kv, s->head_dim, N_PAGES);
    uint8_t *pool = weir_test_array(device, before.bytes, before.n_bytes);
    const struct weir_rope_kv_args args = {
        .qkv = weir_test_array(device, qkv, n * sizeof(float)),
        .pos = weir_test_array(device, positions, sizeof(positions)),
        .table = weir_test_array(device, table_rows, sizeof(table_rows)),
        .pages = weir_test_array(device, tables, sizeof(tables)),
        .q_norm = s->has_norm ? weir_test_array(device, q_norm, sizeof(q_norm)) : NULL,
        .k_norm = s->has_norm ? weir_test_array(device, k_norm, sizeof(k_norm)) : NULL,
        .turns = weir_test_array(device, turns, sizeof(turns)),
        .kv = weir_kv_layer(pool, s->type, before.n_layer, before.layer, s->n_head_kv, s->head_dim),
        .n_tokens = N_TOKENS,
        .pages_stride = STRIDE,
        .n_head = s->n_head,
        .n_rot = s->n_rot,
        .is_neox = (uint32_t)s->is_neox,
        .eps = 1e-6f,
        .magnitude = 1.0f,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_rope_kv_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.qkv, got, n * sizeof(float));
    if (before.n_bytes > sizeof(fetched)) {
        abort();
    }
    weir_test_fetch(device, pool, fetched, before.n_bytes);
    memcpy(after.bytes, fetched, before.n_bytes);
    const int failed = judge(s, &before, &after);
    if (failed) {
        fprintf(stderr, "rope_kv: wrong (head_dim %u, n_rot %u, type %u, neox %d, norm %d)\n",
                s->head_dim, s->n_rot, s->type, s->is_neox, s->has_norm);
    }
    weir_test_pool_finish(&before);
    weir_test_pool_finish(&after);
    weir_test_device_reset(device);
    return failed;
}

int weir_check_rope_kv(struct weir_test_device *device)
{
    static const struct shape shapes[] = {
        {64, 64, 3, 1, WEIR_KV_F16, 0, 0, 10000}, {64, 64, 3, 1, WEIR_KV_I8, 0, 0, 10000},
        {128, 128, 4, 2, WEIR_KV_F16, 1, 1, 1e6}, {128, 128, 4, 2, WEIR_KV_I8, 1, 1, 1e6},
        {80, 32, 2, 2, WEIR_KV_F16, 1, 0, 10000}, {96, 96, 2, 1, WEIR_KV_I8, 0, 0, 500000},
        {256, 256, 4, 1, WEIR_KV_F16, 1, 1, 1e6}, {80, 32, 2, 2, WEIR_KV_I8, 0, 1, 10000},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        failed += check(device, &shapes[i]);
    }
    return failed;
}
