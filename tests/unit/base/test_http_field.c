/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http_field.h"

#include "tests/support/cmocka.h"

static void every_byte_is_judged_as_rfc_9110_says(void **state)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[40];
        memset(text, 'a', sizeof(text));
        bool is_tchar = c != 0 && strchr(tchars, c) != NULL;
        bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;
        for (size_t at = 0; at < sizeof(text); at++) { /* wherever it stands */
            text[at] = (char)c;
            assert_int_equal(weir_http_is_token((weir_str){text, sizeof(text)}), is_tchar);
            assert_int_equal(weir_http_is_field_value((weir_str){text, sizeof(text)}), !is_control);
            text[at] = 'a';
        }
    }
}

static void a_name_has_a_character_and_a_value_need_not(void **state)
{
    (void)state;
    assert_false(weir_http_is_token((weir_str){NULL, 0}));
    assert_true(weir_http_is_field_value((weir_str){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_judged_as_rfc_9110_says),
        cmocka_unit_test(a_name_has_a_character_and_a_value_need_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
