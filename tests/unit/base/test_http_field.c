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
        for (size_t i = 0; i < sizeof(text) * sizeof(text); i++) {
            size_t n = i / sizeof(text) + 1, at = i % sizeof(text); /* wherever it stands */
            text[at] = (char)c;
            assert_int_equal(weir_http_is_token((weir_str){text, n}), is_tchar || at >= n);
            assert_int_equal(weir_http_is_field_value((weir_str){text, n}), !is_control || at >= n);
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

static void known_names_are_found_in_any_case(void **state)
{
    static const char known[] = "x-gateway-destination-endpoint2";
    (void)state;
    for (size_t n = 1; n < sizeof(known); n++) {
        char name[sizeof(known)];
        for (size_t i = 0; i < n; i++) {
            name[i] = (char)(i % 2 && known[i] >= 'a' ? known[i] - 0x20 : known[i]);
        }
        assert_true(weir_http_is_named((weir_str){name, n}, (weir_str){known, n}));
        assert_true(weir_http_is_named((weir_str){known, n}, (weir_str){known, n}));
        assert_false(weir_http_is_named((weir_str){name, n - 1}, (weir_str){known, n}));
        for (size_t at = 0; at < n; at++) {
            for (int c = 0x21; c < 0x7f; c++) { /* a token's characters are among them */
                char is = name[at];
                name[at] = (char)c;
                assert_int_equal(weir_http_is_named((weir_str){name, n}, (weir_str){known, n}),
                                 (c >= 'A' && c <= 'Z' ? c + 0x20 : c) == known[at]);
                name[at] = is;
            }
        }
    }
    assert_true(weir_http_is_named((weir_str){NULL, 0}, (weir_str){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_judged_as_rfc_9110_says),
        cmocka_unit_test(a_name_has_a_character_and_a_value_need_not),
        cmocka_unit_test(known_names_are_found_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
