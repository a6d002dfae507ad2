/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

static void append_past_maximum_fails_and_stays_failed(void **state)
{
    (void)state;
    struct weir_buf b;
    weir_buf_init(&b, 5);

    weir_buf_add_text(&b, "abc");
    weir_buf_add_text(&b, "def");
    assert_true(b.failed);
    weir_buf_add_text(&b, "g");
    assert_string_equal(b.data, "abc");
    weir_buf_reset(&b);
    weir_buf_add_text(&b, "vwxyz");
    assert_false(b.failed);
    assert_string_equal(b.data, "vwxyz");

    weir_buf_finish(&b);
}

static void json_string_escapes_and_repairs(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "\"plain\""},
        {"q\"b\\n\n\t\r\x01", "\"q\\\"b\\\\n\\n\\t\\r\\u0001\""},
        {"h\xC3\xA9 \xF0\x9F\x98\x80", "\"h\xC3\xA9 \xF0\x9F\x98\x80\""},
        {"\xFF\xC3", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_buf b;
        weir_buf_init(&b, 1000);
        weir_buf_add_json_str(&b, weir_str_from(cases[i].in));
        assert_string_equal(b.data, cases[i].out);
        weir_buf_finish(&b);
    }
}

static void numbers_and_printf(void **state)
{
    (void)state;
    struct weir_buf b;
    weir_buf_init(&b, 1000);

    weir_buf_add_u64(&b, 0);
    weir_buf_add_u64(&b, UINT64_MAX);
    weir_buf_printf(&b, "|%s", "x");
    assert_string_equal(b.data, "018446744073709551615|x");
    weir_buf_consume(&b, 20);
    assert_string_equal(b.data, "5|x");

    char *taken = weir_buf_take(&b, NULL);
    assert_string_equal(taken, "5|x");
    free(taken);
    weir_buf_finish(&b);
}

static void numbers_have_as_many_digits_as_printf_gives_them(void **state)
{
    (void)state;
    struct weir_buf b;
    weir_buf_init(&b, 1000);
    for (uint64_t power = 1, digits = 1; digits <= 20; power *= 10, digits++) {
        const uint64_t near[] = {power - 1, power, power + 1, power + power / 3, power * 9};
        for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
            char wanted[32];
            (void)snprintf(wanted, sizeof(wanted), "%" PRIu64, near[i]);
            weir_buf_reset(&b);
            weir_buf_add_u64(&b, near[i]);
            assert_string_equal(b.data, wanted);
        }
    }
    for (uint64_t bit = 1; bit; bit <<= 1) {
        char wanted[32];
        (void)snprintf(wanted, sizeof(wanted), "%" PRIu64, bit);
        weir_buf_reset(&b);
        weir_buf_add_u64(&b, bit);
        assert_string_equal(b.data, wanted);
    }
    weir_buf_finish(&b);
}

/* Plain bytes are looked at many at a time: the odd one must be found wherever it stands. */
static void json_string_finds_what_is_odd_anywhere(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *json;
    } odd[] = {{"\"", "\\\""},  {"\\", "\\\\"},           {"\x1f", "\\u001f"},
               {"\n", "\\n"},   {"\x80", "\xEF\xBF\xBD"}, {"\xC3\xA9", "\xC3\xA9"},
               {"\x7f", "\x7f"}};
    struct weir_buf b;
    weir_buf_init(&b, 1000);
    for (size_t n = 1; n < 70; n++) {
        for (size_t at = 0; at < n; at++) {
            for (size_t k = 0; k < sizeof(odd) / sizeof(odd[0]); k++) {
                char raw[100], wanted[100];
                int before = (int)at, behind = (int)(n - at - 1);
                static const char plain[] = "abcdefghijklmnopqrstuvwxyz 0123456789[]ABCDEFGHIJKLMN"
                                            "OPQRSTUVWXYZ~!#$%&'()*+,-./:;<=>?@^_`{|}";
                int n_raw = snprintf(raw, sizeof(raw), "%.*s%s%.*s", before, plain, odd[k].raw,
                                     behind, plain);
                (void)snprintf(wanted, sizeof(wanted), "\"%.*s%s%.*s\"", before, plain, odd[k].json,
                               behind, plain);
                weir_buf_reset(&b);
                weir_buf_add_json_str(&b, (weir_str){raw, (size_t)n_raw});
                assert_string_equal(b.data, wanted);
            }
        }
    }
    weir_buf_finish(&b);
}

static void fixed_memory_does_not_grow(void **state)
{
    (void)state;
    char memory[16];
    struct weir_buf b;
    weir_buf_init_fixed(&b, memory, sizeof(memory));
    weir_buf_add_text(&b, "0123456789");
    weir_buf_add_u64(&b, 12345);
    assert_false(b.failed);
    assert_string_equal(memory, "012345678912345");
    weir_buf_add_char(&b, 'x');
    assert_true(b.failed);
    assert_string_equal(memory, "012345678912345");
}

static void recycling_keeps_what_is_small(void **state)
{
    (void)state;
    struct weir_buf b;
    weir_buf_init(&b, 100000);
    weir_buf_add_text(&b, "text");
    char *kept = b.data;
    weir_buf_recycle(&b, 4096);
    assert_ptr_equal(b.data, kept);
    assert_int_equal(b.len, 0);
    assert_non_null(weir_buf_reserve(&b, 5000));
    weir_buf_recycle(&b, 4096);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    weir_buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_past_maximum_fails_and_stays_failed),
        cmocka_unit_test(json_string_escapes_and_repairs),
        cmocka_unit_test(json_string_finds_what_is_odd_anywhere),
        cmocka_unit_test(fixed_memory_does_not_grow),
        cmocka_unit_test(recycling_keeps_what_is_small),
        cmocka_unit_test(numbers_and_printf),
        cmocka_unit_test(numbers_have_as_many_digits_as_printf_gives_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
