/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/scalar.h"

#include "tests/support/cmocka.h"

static void plain_words_follow_the_core_schema(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum weir_scalar_kind kind;
        double number;
    } cases[] = {
        {"", WEIR_SCALAR_NULL, 0},
        {"~", WEIR_SCALAR_NULL, 0},
        {"null", WEIR_SCALAR_NULL, 0},
        {"nULL", WEIR_SCALAR_STRING, 0},
        {"true", WEIR_SCALAR_BOOL, 0},
        {"FALSE", WEIR_SCALAR_BOOL, 0},
        {"yes", WEIR_SCALAR_STRING, 0},
        {"off", WEIR_SCALAR_STRING, 0},
        {"0", WEIR_SCALAR_INT, 0},
        {"-17", WEIR_SCALAR_INT, -17},
        {"+4", WEIR_SCALAR_INT, 4},
        {"007", WEIR_SCALAR_INT, 7},
        {"0o17", WEIR_SCALAR_INT, 15},
        {"0xfF", WEIR_SCALAR_INT, 255},
        {"-0x1", WEIR_SCALAR_STRING, 0},
        {"0x", WEIR_SCALAR_STRING, 0},
        {"-", WEIR_SCALAR_STRING, 0},
        {"1_000", WEIR_SCALAR_STRING, 0},
        {"12:30", WEIR_SCALAR_STRING, 0},
        {"1.5", WEIR_SCALAR_FLOAT, 1.5},
        {".5", WEIR_SCALAR_FLOAT, 0.5},
        {"5.", WEIR_SCALAR_FLOAT, 5},
        {"1e3", WEIR_SCALAR_FLOAT, 1000},
        {"-1.5E-1", WEIR_SCALAR_FLOAT, -0.15},
        {".", WEIR_SCALAR_STRING, 0},
        {"1e", WEIR_SCALAR_STRING, 0},
        {"1.2.3", WEIR_SCALAR_STRING, 0},
        {"127.0.0.1:80", WEIR_SCALAR_STRING, 0},
        {"9223372036854775807", WEIR_SCALAR_INT, 9223372036854775807.0},
        {"-9223372036854775808", WEIR_SCALAR_INT, -9223372036854775808.0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_scalar s;
        assert_int_equal(weir_scalar_resolve(weir_str_from(cases[i].text), &s), 0);
        assert_int_equal(s.kind, cases[i].kind);
        assert_true(s.number == cases[i].number);
    }
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"9223372036854775808", WEIR_E_TOOBIG},
        {"-9223372036854775809", WEIR_E_TOOBIG},
        {"0xffffffffffffffffff", WEIR_E_TOOBIG},
        {"1e400", WEIR_E_TOOBIG},
        {"0.00000000000000000000000000000000000000000000000000000000000000001", WEIR_E_TOOBIG},
        {".inf", WEIR_E_UNSUPPORTED},
        {"-.Inf", WEIR_E_UNSUPPORTED},
        {".NaN", WEIR_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_scalar s;
        assert_int_equal(weir_scalar_resolve(weir_str_from(cases[i].text), &s), cases[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_words_follow_the_core_schema),
        cmocka_unit_test(numbers_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
