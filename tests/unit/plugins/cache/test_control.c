/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include "tests/support/cmocka.h"

static struct cache_control parse(const char *text)
{
    return cache_control_parse(weir_str_from(text));
}

static void directives_are_read_in_any_case_and_order(void **state)
{
    (void)state;
    struct cache_control c = parse(" Max-Age=30 ,\tNO-CACHE, x=\"a\" ,, only-if-cached");
    assert_true(c.no_cache && c.only_if_cached && !c.no_store);
    assert_int_equal(c.max_age_s, 30);
    assert_true(parse("no-store").no_store);
    assert_int_equal(parse("max-age=\"7\"").max_age_s, 7);
}

static void what_is_not_meant_for_us_changes_nothing(void **state)
{
    (void)state;
    static const char *const others[] = {"",        ",",       "no-cachex", "no",
                                         "private", "max-age", "=",         "a=="};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct cache_control c = parse(others[i]);
        assert_false(c.no_cache || c.no_store || c.only_if_cached);
        assert_true(c.max_age_s == UINT64_MAX);
    }
}

static void strange_ages_are_the_strictest(void **state)
{
    (void)state;
    assert_int_equal(parse("max-age=-1").max_age_s, 0);
    assert_int_equal(parse("max-age=").max_age_s, 0);
    assert_int_equal(parse("max-age=1x").max_age_s, 0);
    assert_true(parse("max-age=99999999999999999999999").max_age_s > UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directives_are_read_in_any_case_and_order),
        cmocka_unit_test(what_is_not_meant_for_us_changes_nothing),
        cmocka_unit_test(strange_ages_are_the_strictest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
