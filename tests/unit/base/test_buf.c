/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_past_maximum_fails_and_stays_failed),
        cmocka_unit_test(json_string_escapes_and_repairs),
        cmocka_unit_test(numbers_and_printf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
