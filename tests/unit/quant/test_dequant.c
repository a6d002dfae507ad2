/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/quant/dequant.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/gguf/gguf.h"
#include "engine/quant/half.h"
#include "tests/support/cmocka.h"
#include "tests/support/files.h"

static void random_blocks_equal_the_golden_bits(void **state)
{
    (void)state;
    size_t n_bytes;
    char *golden = weir_test_read_file(weir_test_data_path("golden/quant.bin"), &n_bytes);
    size_t n_types = 0;
    for (size_t at = 0; at < n_bytes; n_types++) {
        uint32_t header[3]; /* type, n_elems, n_bytes */
        memcpy(header, golden + at, sizeof(header));
        at += sizeof(header);
        assert_int_equal(weir_tensor_row_bytes(header[0], header[1]), header[2]);
        float *out = calloc(header[1], sizeof(float));
        assert_int_equal(weir_dequant_row(header[0], golden + at, out, header[1]), 0);
        at += header[2];
        if (memcmp(out, golden + at, header[1] * sizeof(float)) != 0) {
            fail_msg("type %s differs", weir_tensor_type_info(header[0])->name);
        }
        at += header[1] * sizeof(float);
        free(out);
    }
    assert_int_equal(n_types, 11);
    free(golden);
}

/* As N_ROWS of make_quant.py. */
#define N_ROWS 4

static void hash_rows(const struct weir_gguf_tensor *t, char *ret_hex)
{
    size_t n_rows = t->dims[1] < N_ROWS ? (size_t)t->dims[1] : N_ROWS;
    size_t n_elems = (size_t)t->dims[0] * n_rows;
    float *out = calloc(n_elems, sizeof(float));
    assert_non_null(out);
    assert_int_equal(weir_dequant_row(t->type, t->data, out, n_elems), 0);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)out, n_elems * sizeof(float), digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        (void)snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
    }
    free(out);
}

static void rows_of_real_models_equal_the_golden_hashes(void **state)
{
    (void)state;
    char *list = weir_test_read_file(weir_test_data_path("golden/quant_models.txt"), NULL);
    size_t n = 0;
    char *rest = list;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        char file[128], tensor[128], type[16], hash[80];
        assert_int_equal(sscanf(line, "%127s %127s %15s %79s", file, tensor, type, hash), 4);
        const char *path = weir_test_model_path(file);
        if (!path) {
            continue;
        }
        struct weir_gguf *g = NULL;
        assert_int_equal(weir_gguf_open(path, &g, NULL), 0);
        const struct weir_gguf_tensor *t = weir_gguf_tensor(g, tensor);
        assert_non_null(t);
        assert_string_equal(weir_tensor_type_info(t->type)->name, type);
        char hex[2 * SHA256_DIGEST_LENGTH + 1];
        hash_rows(t, hex);
        if (strcmp(hex, hash) != 0) {
            fail_msg("%s %s (%s) differs", file, tensor, type);
        }
        weir_gguf_destroy(g);
        n++;
    }
    free(list);
    if (n == 0) {
        print_message("no model on this machine\n");
        skip();
    }
}

static void halves_survive_the_way_through_f32(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float from_f16 = weir_f16_to_f32((uint16_t)h);
        float from_bf16 = weir_bf16_to_f32((uint16_t)h);
        if (from_f16 == from_f16) {
            assert_int_equal(weir_f32_to_f16(from_f16), h);
        }
        if (from_bf16 == from_bf16) {
            assert_int_equal(weir_f32_to_bf16(from_bf16), h);
        }
    }
}

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        float in;
        uint16_t f16;
    } cases[] = {
        {65519.996f, 0x7BFF}, {65520.0f, 0x7C00},     {-1e9f, 0xFC00},      {0x1p-25f, 0x0000},
        {0x1.8p-25f, 0x0001}, {0x1p-24f, 0x0001},     {0x1.8p-24f, 0x0002}, {2049.0f, 0x6800},
        {2051.0f, 0x6802},    {0x1.ffep-15f, 0x0400},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(weir_f32_to_f16(cases[i].in), cases[i].f16);
    }
    assert_int_equal(weir_f32_to_bf16(weir_f32_from_bits(0x3F808000)), 0x3F80);
    assert_int_equal(weir_f32_to_bf16(weir_f32_from_bits(0x3F818000)), 0x3F82);
    assert_true((weir_f32_to_bf16(weir_f32_from_bits(0x7F800001)) & 0x7F) != 0);
}

static void bad_rows_are_refused(void **state)
{
    (void)state;
    float out[64];
    unsigned char block[64] = {0};
    assert_int_equal(weir_dequant_row(WEIR_TENSOR_Q4_0, block, out, 33), WEIR_E_ARG);
    assert_int_equal(weir_dequant_row(10, block, out, 256), WEIR_E_UNSUPPORTED);
    assert_int_equal(weir_dequant_row(9999, block, out, 256), WEIR_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_blocks_equal_the_golden_bits),
        cmocka_unit_test(rows_of_real_models_equal_the_golden_hashes),
        cmocka_unit_test(halves_survive_the_way_through_f32),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(bad_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
