/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/gguf/describe.h"
#include "tests/support/cmocka.h"
#include "tests/support/files.h"

/* A heap copy of exactly n bytes, so that a sanitizer sees every read past the end. */
static void check_corpus_file(const char *file, const char *expect)
{
    char name[256];
    (void)snprintf(name, sizeof(name), "corpus/gguf/%s", file);
    size_t n_bytes;
    char *read = weir_test_read_file(weir_test_data_path(name), &n_bytes);
    char *exact = malloc(n_bytes ? n_bytes : 1);
    assert_non_null(exact);
    memcpy(exact, read, n_bytes);
    free(read);

    struct weir_gguf *g = NULL;
    struct weir_error err = {0};
    int r = weir_gguf_open_memory(exact, n_bytes, &g, &err);
    if (strcmp(expect, "ok") == 0) {
        if (r < 0) {
            fail_msg("%s: %s", file, err.message);
        }
    } else if (r == 0) {
        fail_msg("%s: accepted, expected '%s'", file, expect);
    } else if (!strstr(err.message, expect)) {
        fail_msg("%s: says '%s', expected '%s'", file, err.message, expect);
    } else {
        assert_int_equal(err.code, r);
        assert_null(g);
    }
    weir_gguf_destroy(g);
    free(exact);
}

static void hostile_files_are_refused_with_their_sentence(void **state)
{
    (void)state;
    char *list = weir_test_read_file(weir_test_data_path("corpus/gguf/expect.txt"), NULL);
    size_t n = 0;
    char *rest = list;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        char *tab = strchr(line, '\t');
        assert_non_null(tab);
        *tab = '\0';
        check_corpus_file(line, tab + 1);
        n++;
    }
    assert_true(n > 50);
    free(list);
}

static void every_cut_of_a_good_file_is_refused(void **state)
{
    (void)state;
    size_t n_bytes;
    char *good = weir_test_read_file(weir_test_data_path("corpus/gguf/good.gguf"), &n_bytes);
    for (size_t n = 0; n < n_bytes; n++) {
        struct weir_gguf *g = NULL;
        char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, good, n);
        assert_true(weir_gguf_open_memory(cut, n, &g, NULL) < 0);
        free(cut);
    }
    free(good);
}

static struct weir_gguf *open_good(void)
{
    struct weir_gguf *g = NULL;
    struct weir_error err = {0};
    if (weir_gguf_open(weir_test_data_path("corpus/gguf/good.gguf"), &g, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return g;
}

static void integers_convert_when_they_fit(void **state)
{
    (void)state;
    struct weir_gguf *g = open_good();
    static const struct {
        const char *key;
        int code;
        uint32_t value;
    } cases[] = {
        {"k.u8", 0, 255},
        {"k.u16", 0, 65535},
        {"k.u32", 0, UINT32_MAX},
        {"k.i8", WEIR_E_FORMAT, 0},
        {"k.i32", WEIR_E_FORMAT, 0},
        {"k.u64", WEIR_E_FORMAT, 0},
        {"k.f32", WEIR_E_FORMAT, 0},
        {"k.bool", WEIR_E_FORMAT, 0},
        {"k.none", WEIR_E_NOTFOUND, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t v = 0;
        assert_int_equal(weir_gguf_u32(g, cases[i].key, &v, NULL), cases[i].code);
        assert_int_equal(v, cases[i].value);
    }
    uint64_t wide = 0;
    assert_int_equal(weir_gguf_u64(g, "k.u64", &wide, NULL), 0);
    assert_true(wide == (uint64_t)1 << 40);
    struct weir_error err;
    assert_int_equal(weir_gguf_u32(g, "k.i32", &(uint32_t){0}, &err), WEIR_E_FORMAT);
    assert_string_equal(err.message, "key 'k.i32' is -7, must not be negative");
    weir_gguf_destroy(g);
}

static void other_types_are_read_and_not_converted(void **state)
{
    (void)state;
    struct weir_gguf *g = open_good();
    float f = 0;
    bool b = false;
    weir_str s = {0};
    struct weir_gguf_array a;
    assert_int_equal(weir_gguf_f32(g, "k.f32", &f, NULL), 0);
    assert_true(f == 1.5f);
    assert_int_equal(weir_gguf_f32(g, "k.f64", &f, NULL), 0);
    assert_true(f == 2.5f);
    assert_int_equal(weir_gguf_f32(g, "k.u8", &f, NULL), WEIR_E_FORMAT);
    assert_int_equal(weir_gguf_bool(g, "k.bool", &b, NULL), 0);
    assert_true(b);
    assert_int_equal(weir_gguf_str(g, "general.architecture", &s, NULL), 0);
    assert_true(weir_str_is(s, "llama"));
    assert_int_equal(weir_gguf_array(g, "k.arr", WEIR_GGUF_U32, &a, NULL), WEIR_E_FORMAT);
    assert_int_equal(weir_gguf_array(g, "k.arr", WEIR_GGUF_I32, &a, NULL), 0);
    assert_int_equal(a.n, 3);
    assert_int_equal(weir_gguf_array_i32(&a, 1), -2);
    assert_int_equal(weir_gguf_array(g, "k.strs", WEIR_GGUF_STR, &a, NULL), 0);
    const unsigned char *cursor = a.data;
    assert_true(weir_str_is(weir_gguf_array_next_str(&cursor), "a"));
    assert_true(weir_str_is(weir_gguf_array_next_str(&cursor), ""));
    weir_gguf_destroy(g);
}

static void tensors_are_found_by_name(void **state)
{
    (void)state;
    struct weir_gguf *g = open_good();
    const struct weir_gguf_tensor *b = weir_gguf_tensor(g, "b");
    assert_non_null(b);
    assert_int_equal(b->n_bytes, 16);
    assert_int_equal(b->dims[0], 4);
    assert_int_equal(b->dims[1], 1);
    assert_int_equal((size_t)((const char *)b->data - (const char *)weir_gguf_tensor(g, "a")->data),
                     96);
    assert_memory_equal(b->data, ((float[]){1, 2, 3, 4}), 16);
    assert_null(weir_gguf_tensor(g, "c"));
    assert_null(weir_gguf_tensor(g, ""));
    weir_gguf_destroy(g);
}

static void missing_file_is_an_io_error_with_the_path(void **state)
{
    (void)state;
    struct weir_gguf *g = NULL;
    struct weir_error err;
    assert_int_equal(weir_gguf_open("/nonexistent.gguf", &g, &err), WEIR_E_IO);
    assert_string_equal(err.message, "/nonexistent.gguf: No such file or directory");
    assert_int_equal(weir_gguf_open("/", &g, &err), WEIR_E_IO);
}

static void description_names_what_a_person_wants(void **state)
{
    (void)state;
    const char *path = weir_test_model_path("SmolLM2-135M-Instruct.Q4_1.gguf");
    if (!path) {
        print_message("no SmolLM2 model on this machine\n");
        skip();
    }
    struct weir_gguf *g = NULL;
    assert_int_equal(weir_gguf_open(path, &g, NULL), 0);
    struct weir_gguf_summary s;
    weir_gguf_describe(g, &s);
    assert_true(weir_str_is(s.arch, "llama"));
    assert_int_equal(s.n_params, 134515008);
    assert_int_equal(s.context_length, 8192);
    assert_int_equal(s.n_unsupported, 0);
    assert_int_equal(s.types[0].type, WEIR_TENSOR_Q4_1);
    assert_true(strncmp(s.mix, "Q4_1 ", 5) == 0);
    weir_gguf_destroy(g);
}

static void unsupported_tensor_is_named(void **state)
{
    (void)state;
    struct weir_gguf *g = NULL;
    const char *path = weir_test_data_path("corpus/gguf/t_unsupported_type.gguf");
    assert_int_equal(weir_gguf_open(path, &g, NULL), 0);
    struct weir_gguf_summary s;
    weir_gguf_describe(g, &s);
    assert_int_equal(s.n_unsupported, 1);
    assert_true(weir_str_is(s.first_unsupported, "a"));
    assert_string_equal(s.first_unsupported_type, "I64");
    weir_gguf_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_files_are_refused_with_their_sentence),
        cmocka_unit_test(every_cut_of_a_good_file_is_refused),
        cmocka_unit_test(integers_convert_when_they_fit),
        cmocka_unit_test(other_types_are_read_and_not_converted),
        cmocka_unit_test(tensors_are_found_by_name),
        cmocka_unit_test(missing_file_is_an_io_error_with_the_path),
        cmocka_unit_test(description_names_what_a_person_wants),
        cmocka_unit_test(unsupported_tensor_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
