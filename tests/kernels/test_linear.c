/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "engine/gguf/tensor_type.h"
#include "kernels/emu/emu.h"
#include "tests/kernels/linear_case.h"
#include "tests/support/cmocka.h"

static const uint32_t all_types[] = {WEIR_TENSOR_F32,  WEIR_TENSOR_F16,  WEIR_TENSOR_BF16,
                                     WEIR_TENSOR_Q4_0, WEIR_TENSOR_Q4_1, WEIR_TENSOR_Q5_0,
                                     WEIR_TENSOR_Q5_1, WEIR_TENSOR_Q8_0, WEIR_TENSOR_Q4_K,
                                     WEIR_TENSOR_Q5_K, WEIR_TENSOR_Q6_K};
enum { N_TYPES = sizeof(all_types) / sizeof(all_types[0]) };

/* Runs the case on both wave widths. */
static void check(const struct weir_linear_case *c, double most)
{
    for (uint32_t index = 0; index < 4; index += 2) {
        struct weir_test_device device;
        weir_test_device_open(&device, weir_emu_api(), index, NULL, 0);
        weir_emu_pool_seed(weir_emu_context_pool(device.context), c->seed);
        double error = weir_test_linear(&device, c);
        if (!(error < most)) {
            fprintf(stderr, "device %u, type %u, %u x %u, %u tokens: %g\n", index, c->types[0],
                    c->n_rows[0], c->n_cols, c->n_tokens, error);
        }
        assert_true(error < most);
        weir_test_device_close(&device);
    }
}

static void check_tokens(uint32_t n_tokens)
{
    for (uint32_t i = 0; i < N_TYPES; i++) {
        check(&(struct weir_linear_case){.types = {all_types[i]},
                                         .n_rows = {50},
                                         .n_cols = 768,
                                         .n_w = 1,
                                         .n_tokens = n_tokens,
                                         .seed = i},
              1e-6);
    }
}

static void one_token_of_every_type(void **state)
{
    (void)state;
    check_tokens(1);
}

static void few_tokens_of_every_type(void **state)
{
    (void)state;
    check_tokens(4);
    check_tokens(8);
}

static void sixteen_tokens_of_every_type(void **state)
{
    (void)state;
    check_tokens(16);
}

static void twenty_tokens_of_every_type(void **state)
{
    (void)state;
    check_tokens(20);
}

static void slices_of_64_of_every_type(void **state)
{
    (void)state;
    check_tokens(65);
}

/* Only devices with waves of 32 have it. */
static void check_hopper(const struct weir_linear_case *c)
{
    struct weir_test_device device;
    weir_test_device_open(&device, weir_emu_api(), 0, NULL, 0);
    device.info.props.has_wgmma = 1;
    double error = weir_test_linear(&device, c);
    if (!(error < 1e-6)) {
        fprintf(stderr, "hopper, type %u, %u x %u, %u tokens: %g\n", c->types[0], c->n_rows[0],
                c->n_cols, c->n_tokens, error);
    }
    assert_true(error < 1e-6);
    weir_test_device_close(&device);
}

static void hopper_multiplies_every_type(void **state)
{
    (void)state;
    static const uint32_t n_tokens[] = {20, 64, 70};
    for (uint32_t i = 0; i < 3 * N_TYPES; i++) {
        check_hopper(&(struct weir_linear_case){.types = {all_types[i / 3]},
                                                .n_rows = {50},
                                                .n_cols = 1280,
                                                .n_w = 1,
                                                .n_tokens = n_tokens[i % 3],
                                                .has_bias = 1,
                                                .seed = i});
    }
}

static void hopper_takes_wide_slices(void **state)
{
    (void)state;
    static const uint32_t types[] = {WEIR_TENSOR_Q4_K, WEIR_TENSOR_F16, WEIR_TENSOR_Q8_0};
    for (uint32_t i = 0; i < 3; i++) {
        check_hopper(&(struct weir_linear_case){.types = {types[i], types[i]},
                                                .n_rows = {136, 136},
                                                .n_cols = 256,
                                                .n_w = 2,
                                                .n_tokens = 400,
                                                .glu = i == 1 ? WEIR_GLU_SILU : WEIR_GLU_NONE,
                                                .seed = i});
    }
}

static void matrices_of_several_types_share_an_input(void **state)
{
    (void)state;
    for (uint32_t n_tokens = 1; n_tokens < 40; n_tokens += 19) {
        check(&(struct weir_linear_case){.types = {WEIR_TENSOR_Q4_K, WEIR_TENSOR_Q4_K,
                                                   WEIR_TENSOR_Q6_K},
                                         .n_rows = {64, 48, 16},
                                         .n_cols = 512,
                                         .n_w = 3,
                                         .n_tokens = n_tokens,
                                         .has_bias = 1,
                                         .seed = 3},
              1e-6);
    }
}

static void columns_need_not_fill_a_record(void **state)
{
    (void)state;
    static const uint32_t n_cols[] = {32, 576, 96, 1056};
    for (uint32_t i = 0; i < 4; i++) {
        check(&(struct weir_linear_case){.types = {i % 2 ? WEIR_TENSOR_Q4_1 : WEIR_TENSOR_Q8_0},
                                         .n_rows = {1 + 17 * i},
                                         .n_cols = n_cols[i],
                                         .n_w = 1,
                                         .n_tokens = 1 + 8 * i,
                                         .seed = i},
              1e-6);
    }
}

/* More than what a block keeps of x at once. */
static void few_tokens_may_be_long(void **state)
{
    (void)state;
    static const uint32_t n_tokens[] = {1, 3, 8};
    static const uint32_t types[] = {WEIR_TENSOR_Q4_K, WEIR_TENSOR_F16, WEIR_TENSOR_Q6_K,
                                     WEIR_TENSOR_Q8_0};
    for (uint32_t i = 0; i < 12; i++) {
        check(&(struct weir_linear_case){.types = {types[i / 3]},
                                         .n_rows = {i % 2 ? 20 : 300},
                                         .n_cols = 16640 / n_tokens[i % 3] / 256 * 256 + 768,
                                         .n_w = 1,
                                         .n_tokens = n_tokens[i % 3],
                                         .seed = i},
              1e-6);
    }
}

static void gates_are_fused(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_TYPES; i++) {
        check(&(struct weir_linear_case){.types = {all_types[i], all_types[i]},
                                         .n_rows = {72, 72},
                                         .n_cols = 256,
                                         .n_w = 2,
                                         .n_tokens = i % 2 ? 3 : 30,
                                         .glu = i % 3 ? WEIR_GLU_SILU : WEIR_GLU_GELU,
                                         .f16_out = 1,
                                         .seed = i},
              2e-6);
    }
}

static void results_are_added(void **state)
{
    (void)state;
    for (uint32_t n_tokens = 2; n_tokens < 80; n_tokens += 31) {
        check(&(struct weir_linear_case){.types = {WEIR_TENSOR_Q5_0},
                                         .n_rows = {300},
                                         .n_cols = 2048,
                                         .n_w = 1,
                                         .n_tokens = n_tokens,
                                         .add = 1,
                                         .has_bias = 1,
                                         .seed = 5},
              1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_token_of_every_type),
        cmocka_unit_test(few_tokens_of_every_type),
        cmocka_unit_test(sixteen_tokens_of_every_type),
        cmocka_unit_test(twenty_tokens_of_every_type),
        cmocka_unit_test(slices_of_64_of_every_type),
        cmocka_unit_test(hopper_multiplies_every_type),
        cmocka_unit_test(hopper_takes_wide_slices),
        cmocka_unit_test(matrices_of_several_types_share_an_input),
        cmocka_unit_test(columns_need_not_fill_a_record),
        cmocka_unit_test(few_tokens_may_be_long),
        cmocka_unit_test(gates_are_fused),
        cmocka_unit_test(results_are_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
