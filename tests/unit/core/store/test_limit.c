/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of limits: what fits is exactly the burst, whatever the numbers. */
#include "core/store/limit.h"

#include "tests/support/cmocka.h"

/* How many units fit when they are taken `step` at a time, all at one moment. */
static uint64_t capacity(uint64_t limit, uint64_t period_us, uint64_t burst, uint64_t step)
{
    const weir_store_limit level = {WEIR_STR_INIT("k"), step, limit, period_us, burst};
    struct weir_store_span span = weir_store_limit_span(&level);
    return span.depth_ns / span.units_ns * step;
}

static void a_burst_taken_by_ones_is_whole(void **state)
{
    (void)state;
    static const uint64_t limits[] = {1, 3, 7, 11, 13, 97, 100, 999, 1000, 7919};
    static const uint64_t periods_us[] = {1000000, 60000000, UINT64_C(3600000000)};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (size_t k = 0; k < sizeof(periods_us) / sizeof(periods_us[0]); k++) {
            assert_int_equal(capacity(limits[i], periods_us[k], limits[i], 1), limits[i]);
            assert_int_equal(capacity(limits[i], periods_us[k], 5, 1), 5);
        }
    }
}

static void no_numbers_let_more_through_than_the_burst(void **state)
{
    (void)state;
    for (uint64_t limit = 1; limit < 100000000; limit = limit * 3 + 1) {
        for (uint64_t period_us = 1000; period_us < UINT64_C(100000000000); period_us *= 10) {
            for (uint64_t burst = 1; burst < 100000; burst = burst * 5 + 2) {
                assert_true(capacity(limit, period_us, burst, 1) <= burst);
                if (burst >= 3) { /* more at once than the burst is refused apart */
                    assert_true(capacity(limit, period_us, burst, 3) <= burst);
                }
            }
        }
    }
}

static void budgets_do_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(weir_store_budget_left(100, 30).units, 70);
    assert_int_equal(weir_store_budget_left(100, 130).units, -30);
    assert_true(weir_store_budget_left(UINT64_MAX, 0).units == INT64_MAX);
    assert_true(weir_store_budget_left(0, UINT64_MAX).units == -INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_taken_by_ones_is_whole),
        cmocka_unit_test(no_numbers_let_more_through_than_the_burst),
        cmocka_unit_test(budgets_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
