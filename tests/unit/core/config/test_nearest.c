/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/nearest.h"

#include "tests/support/cmocka.h"

static void the_closest_word_within_two_edits_is_named(void **state)
{
    (void)state;
    static const char *const words[] = {"serve", "check",       "version",
                                        "help",  "completions", "model"};
    static const struct {
        const char *typed, *meant; /* NULL: nothing is near */
    } cases[] = {
        {"chek", "check"},
        {"hlep", "help"},
        {"versoin", "version"},
        {"complitons", "completions"},
        {"models", "model"},
        {"x", NULL},
        {"", NULL},
        {"hp", NULL},
        {"serverless", NULL},
        {"mdl", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_nearest s;
        weir_nearest_init(&s, weir_str_from(cases[i].typed));
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
            weir_nearest_offer(&s, weir_str_from(words[k]));
        }
        if (cases[i].meant) {
            assert_non_null(s.best.p);
            assert_string_equal(s.best.p, cases[i].meant);
        } else {
            assert_null(s.best.p);
        }
    }
}

static void long_words_are_left_alone(void **state)
{
    (void)state;
    char word[200];
    memset(word, 'a', sizeof(word));
    struct weir_nearest s;
    weir_nearest_init(&s, (weir_str){word, sizeof(word)});

    weir_nearest_offer(&s, (weir_str){word, sizeof(word)});

    assert_null(s.best.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_closest_word_within_two_edits_is_named),
        cmocka_unit_test(long_words_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
