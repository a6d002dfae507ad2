/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/findings.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

static char *printed(const struct weir_findings *f)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    weir_findings_print(f, out);
    fclose(out);
    return text;
}

static void lines_have_file_position_path_and_rule(void **state)
{
    (void)state;
    struct weir_findings f;
    weir_findings_init(&f, "weir.yaml");

    weir_findings_add(&f, (struct weir_place){3, 9}, "a.b", NULL, "must be %d", 7);
    weir_findings_add(&f, (struct weir_place){4, 1}, "c", "1.1", "is bad\n");

    char *text = printed(&f);
    assert_string_equal(text, "weir.yaml:3:9: a.b: must be 7\n"
                              "weir.yaml:4:1: c: is bad\\x0a (rule 1.1)\n");
    assert_true(weir_findings_malformed(&f));
    free(text);
    weir_findings_finish(&f);
}

static void broken_rules_alone_are_not_malformed(void **state)
{
    (void)state;
    struct weir_findings f;
    weir_findings_init(&f, "f");

    weir_findings_add(&f, (struct weir_place){1, 1}, "c", "1.1", "is bad");

    assert_false(weir_findings_malformed(&f));
    assert_false(weir_findings_empty(&f));
    weir_findings_finish(&f);
}

static void what_does_not_fit_is_counted(void **state)
{
    (void)state;
    struct weir_findings f;
    weir_findings_init(&f, "f");

    for (int i = 0; i < WEIR_FINDINGS_MAX + 3; i++) {
        weir_findings_add(&f, (struct weir_place){1, 1}, "a", NULL, "x");
    }

    assert_int_equal(f.n, WEIR_FINDINGS_MAX);
    char *text = printed(&f);
    assert_non_null(strstr(text, "f: 3 more not shown\n"));
    struct weir_error err = {0};
    assert_int_equal(weir_findings_to_error(&f, &err), WEIR_E_FORMAT);
    assert_string_equal(err.message, "f:1:1: a: x (and 22 more)");
    free(text);
    weir_findings_finish(&f);
}

static void sorting_goes_by_place_and_keeps_the_order_within_one(void **state)
{
    (void)state;
    struct weir_findings f;
    weir_findings_init(&f, "f");
    weir_findings_add(&f, (struct weir_place){2, 1}, "b", NULL, "x");
    weir_findings_add(&f, (struct weir_place){1, 9}, "a", NULL, "first");
    weir_findings_add(&f, (struct weir_place){1, 9}, "a", NULL, "second");

    weir_findings_sort(&f);

    assert_string_equal(f.items[0].text, "first");
    assert_string_equal(f.items[1].text, "second");
    assert_string_equal(f.items[2].path, "b");
    weir_findings_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_file_position_path_and_rule),
        cmocka_unit_test(broken_rules_alone_are_not_malformed),
        cmocka_unit_test(sorting_goes_by_place_and_keeps_the_order_within_one),
        cmocka_unit_test(what_does_not_fit_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
