/* SPDX-License-Identifier: Apache-2.0 */
#include "adaptive.h"

#include <math.h>

#include "tests/support/cmocka.h"

#define MS UINT64_C(1000)

static const struct adaptive_options options = {.sla_us = {150 * MS, 200 * MS, 5000 * MS},
                                                .min = 2,
                                                .max = 64,
                                                .interval_us = 1000 * MS,
                                                .min_samples = 2};

static struct adaptive a;
static uint64_t now_us;

static int begin(void **state)
{
    (void)state;
    now_us = 1000000 * MS;
    return adaptive_init(&a, &options);
}

static int end(void **state)
{
    (void)state;
    adaptive_finish(&a);
    return 0;
}

/* Fills the limit, lets all see their first token after ttft, and ends them. */
static struct adaptive_cell *round_trip(uint64_t ttft_us)
{
    struct adaptive_cell *all[64], *c = NULL;
    uint32_t n = 0;
    while (n < 64 && adaptive_enter(&a, weir_str_from("m"), 1, now_us, &c)) {
        all[n++] = c;
    }
    assert_true(n > 0);
    now_us += 500 * MS;
    for (uint32_t i = 1; i < n; i++) {
        adaptive_sample(&a, all[i], ttft_us, now_us);
    }
    now_us += 500 * MS;
    adaptive_sample(&a, all[0], ttft_us, now_us);
    for (uint32_t i = 0; i < n; i++) {
        adaptive_leave(&a, all[i], true, ttft_us, now_us);
    }
    return all[0];
}

static void a_slow_first_token_lowers_the_limit(void **state)
{
    (void)state;
    struct adaptive_cell *c = round_trip(250 * MS);
    assert_true(fabs(c->limit - 64 * 200.0 / 250.0) < 1e-9);
    assert_int_equal(c->p95_us, 250 * MS);
    double before = c->limit;
    (void)round_trip(10000 * MS); /* never by more than half */
    assert_true(fabs(c->limit - before / 2) < 1e-9);
}

static void it_never_falls_below_the_minimum(void **state)
{
    (void)state;
    struct adaptive_cell *c = NULL;
    for (int i = 0; i < 20; i++) {
        c = round_trip(2000 * MS);
    }
    assert_true(c->limit >= 2 && c->limit < 10);
    assert_true(adaptive_enter(&a, weir_str_from("m"), 1, now_us, &c));
    assert_true(adaptive_enter(&a, weir_str_from("m"), 1, now_us, &c));
}

static void it_rises_again_when_the_sla_is_met(void **state)
{
    (void)state;
    struct adaptive_cell *c = round_trip(400 * MS);
    double low = c->limit;
    (void)round_trip(150 * MS);
    assert_true(fabs(c->limit - (low + sqrt(low))) < 1e-9);
    for (int i = 0; i < 20; i++) {
        (void)round_trip(150 * MS);
    }
    assert_true(c->limit == 64);
}

static void an_unused_limit_stays(void **state)
{
    (void)state;
    struct adaptive_cell *c = round_trip(400 * MS), *one = NULL;
    double low = c->limit;
    now_us += 1000 * MS;
    for (int i = 0; i < 20; i++) { /* one at a time */
        assert_true(adaptive_enter(&a, weir_str_from("m"), 1, now_us, &one));
        now_us += 200 * MS;
        adaptive_sample(&a, one, 50 * MS, now_us);
        adaptive_leave(&a, one, true, 50 * MS, now_us);
    }
    /* The first interval may still have seen the full round before it. */
    assert_true(c->limit <= low + sqrt(low));
}

static void those_who_leave_without_a_token_count(void **state)
{
    (void)state;
    struct adaptive_cell *all[20];
    for (int i = 0; i < 20; i++) {
        assert_true(adaptive_enter(&a, weir_str_from("m"), 1, now_us, &all[i]));
    }
    now_us += 2000 * MS;
    for (int i = 0; i < 20; i++) {
        adaptive_leave(&a, all[i], false, 2000 * MS, now_us);
    }
    assert_true(all[0]->limit == 32);
}

static void models_and_classes_are_apart(void **state)
{
    (void)state;
    struct adaptive_cell *slow = round_trip(1000 * MS), *other = NULL, *batch = NULL;
    assert_true(adaptive_enter(&a, weir_str_from("n"), 1, now_us, &other));
    assert_true(adaptive_enter(&a, weir_str_from("m"), 2, now_us, &batch));
    assert_true(slow->limit == 32 && other->limit == 64 && batch->limit == 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slow_first_token_lowers_the_limit, begin, end),
        cmocka_unit_test_setup_teardown(it_never_falls_below_the_minimum, begin, end),
        cmocka_unit_test_setup_teardown(it_rises_again_when_the_sla_is_met, begin, end),
        cmocka_unit_test_setup_teardown(an_unused_limit_stays, begin, end),
        cmocka_unit_test_setup_teardown(those_who_leave_without_a_token_count, begin, end),
        cmocka_unit_test_setup_teardown(models_and_classes_are_apart, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
