/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/pattern.h"

#include "tests/support/cmocka.h"

static void patterns_of_ecma_match_alike(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *subject;
        bool matches;
    } cases[] = {
        {"^[a-z][a-z0-9-]*$", "abc-1", true},
        {"^[a-z][a-z0-9-]*$", "1abc", false},
        {"b", "abc", true},
        {"^\\d{2,3}$", "123", true},
        {"^\\d{2,3}$", "1", false},
        {"^[\\d_]+$", "1_2", true},
        {"^\\w+\\s\\w+$", "a b", true},
        {"^\\D+$", "a1", false},
        {"^(?:a|bc)+$", "abca", true},
        {"^[a\\-z]+$", "a-z", true},
        {"^[a\\-z]+$", "b", false},
        {"^[\\]\\[\\^]+$", "[]^", true},
        {"^[^/]+$", "a/b", false},
        {"^a\\.b\\/c$", "a.b/c", true},
        {"^a\\.b$", "axb", false},
        {"^$", "", true},
        {"", "anything", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_pattern p;
        assert_int_equal(weir_pattern_init(&p, weir_str_from(cases[i].pattern), NULL), 0);
        assert_int_equal(weir_pattern_matches(&p, weir_str_from(cases[i].subject)),
                         cases[i].matches);
        weir_pattern_finish(&p);
    }
}

static void what_cannot_be_matched_fast_or_alike_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "(?=a)",   "(?<n>a)",       "(a)\\1",  "\\bword", "\\u0041", "a*?",   "a++",
        "a{2}{3}", "(a{100}){100}", "a{2000}", "[a",      "(a",      "a{,3}", "a{x}",
        "[]",      "[\\D]",         "a\\",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_pattern p;
        struct weir_error err = {0};
        assert_int_equal(weir_pattern_init(&p, weir_str_from(bad[i]), &err), WEIR_E_UNSUPPORTED);
        assert_true(err.message[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_of_ecma_match_alike),
        cmocka_unit_test(what_cannot_be_matched_fast_or_alike_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
