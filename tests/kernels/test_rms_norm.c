/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "engine/quant/half.h"
#include "kernels/emu/emu.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/norm/rms_norm_ref.h"
#include "tests/kernels/device.h"
#include "tests/support/cmocka.h"

enum { MAX_ELEMS = 3 * 8192 };

struct shape {
    uint32_t n_rows, n;
    int has_delta, has_post;
};

static float x[MAX_ELEMS], delta[MAX_ELEMS], post[MAX_ELEMS], weight[MAX_ELEMS];
static float want_x[MAX_ELEMS], want_y[MAX_ELEMS], got[MAX_ELEMS];
static uint16_t got_f16[MAX_ELEMS];

static void reference(const struct shape *s, float eps)
{
    for (uint32_t row = 0; row < s->n_rows; row++) {
        size_t at = (size_t)row * s->n;
        float branch[8192] = {0};
        if (s->has_post) {
            weir_rms_norm_ref(delta + at, post, eps, s->n, branch);
        } else if (s->has_delta) {
            memcpy(branch, delta + at, s->n * sizeof(float));
        }
        for (uint32_t i = 0; i < s->n; i++) {
            want_x[at + i] = x[at + i] + branch[i];
        }
        weir_rms_norm_ref(want_x + at, weight, eps, s->n, want_y + at);
    }
}

static void check(struct weir_test_device *device, const struct shape *s)
{
    size_t n = (size_t)s->n_rows * s->n;
    weir_test_random(x, n, 1);
    weir_test_random(delta, n, 2);
    weir_test_random(post, s->n, 3);
    weir_test_random(weight, s->n, 4);
    reference(s, 1e-5f);

    struct weir_rms_norm_args args = {
        .x = weir_test_array(device, x, n * sizeof(float)),
        .delta = s->has_delta ? weir_test_array(device, delta, n * sizeof(float)) : NULL,
        .post = s->has_post ? weir_test_array(device, post, s->n * sizeof(float)) : NULL,
        .weight = weir_test_array(device, weight, s->n * sizeof(float)),
        .y_f32 = weir_test_array(device, NULL, n * sizeof(float)),
        .y_f16 = weir_test_array(device, NULL, n * sizeof(uint16_t)),
        .n_rows = s->n_rows,
        .n = s->n,
        .eps = 1e-5f};
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_rms_norm_launch(&args, &device->info.props, &launch));

    weir_test_fetch(device, args.x, got, n * sizeof(float));
    assert_true(weir_test_nmse(got, want_x, n) < 1e-12);
    weir_test_fetch(device, args.y_f32, got, n * sizeof(float));
    assert_true(weir_test_nmse(got, want_y, n) < 1e-10);
    weir_test_fetch(device, args.y_f16, got_f16, n * sizeof(uint16_t));
    for (size_t i = 0; i < n; i++) {
        got[i] = weir_f16_to_f32(got_f16[i]);
    }
    assert_true(weir_test_nmse(got, want_y, n) < 1e-6);
    weir_test_device_reset(device);
}

static void rows_are_normed_on_every_kind_of_device(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{1, 4, 0, 0},    {3, 64, 1, 0},   {2, 576, 1, 1},
                                          {3, 4096, 1, 0}, {1, 8192, 1, 1}, {2, 100, 0, 0},
                                          {1, 2052, 1, 0}};
    for (uint32_t index = 0; index < 4; index += 2) {
        struct weir_test_device device;
        weir_test_device_open(&device, weir_emu_api(), index, NULL, 0);
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
            weir_emu_pool_seed(weir_emu_context_pool(device.context), i);
            check(&device, &shapes[i]);
        }
        weir_test_device_close(&device);
    }
}

static void odd_sizes_are_refused(void **state)
{
    (void)state;
    struct weir_gpu_launch launch;
    struct weir_gpu_props props = {.lanes = 32};
    struct weir_rms_norm_args args = {.n_rows = 1, .n = 6};
    assert_true(weir_rms_norm_launch(&args, &props, &launch) < 0);
    args.n = 65536;
    assert_true(weir_rms_norm_launch(&args, &props, &launch) < 0);
    args = (struct weir_rms_norm_args){.n_rows = 0, .n = 8};
    assert_int_equal(weir_rms_norm_launch(&args, &props, &launch), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_normed_on_every_kind_of_device),
        cmocka_unit_test(odd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
