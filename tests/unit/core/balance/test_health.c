/* SPDX-License-Identifier: Apache-2.0 */
#include "core/balance/health.h"
#include "tests/support/cmocka.h"

enum { S = 1000000 };

static const struct weir_health_config usual = {.consecutive_errors = 5,
                                                .success_percent = 50,
                                                .min_requests = 20,
                                                .window_ms = 10000,
                                                .eject_ms = 10000,
                                                .max_eject_ms = 25000,
                                                .max_ejected_percent = 50,
                                                .slow_start_ms = 10000};

static struct weir_health *make(const struct weir_health_config *config, uint32_t n,
                                bool is_checked)
{
    struct weir_health *h = NULL;
    assert_int_equal(weir_health_create(config, &h), 0);
    for (uint32_t i = 0; i < n; i++) {
        weir_health_add(h, is_checked);
    }
    return h;
}

static struct weir_health_view look(struct weir_health *h, uint32_t target, uint64_t now_us)
{
    struct weir_health_view view;
    weir_health_refresh(h, target, true, now_us, &view);
    return view;
}

static bool err(struct weir_health *h, uint32_t target, uint32_t n, uint64_t now_us)
{
    bool ejected = false;
    for (uint32_t i = 0; i < n; i++) {
        ejected |= weir_health_report(h, target, false, now_us);
    }
    return ejected;
}

static void errors_in_a_row_eject_for_longer_each_time(void **state)
{
    (void)state;
    struct weir_health *h = make(&usual, 3, false);
    uint64_t t = S;
    assert_int_equal(look(h, 0, t).state, WEIR_HEALTH_READY);
    assert_false(err(h, 0, 4, t));
    (void)weir_health_report(h, 0, true, t); /* the row is broken */
    assert_false(err(h, 0, 4, t));
    assert_true(err(h, 0, 1, t));
    assert_int_equal(look(h, 0, t).state, WEIR_HEALTH_EJECTED);
    assert_int_equal(look(h, 0, t).share_ppm, 0);
    assert_int_equal(look(h, 0, t + 9 * S).state, WEIR_HEALTH_EJECTED);
    t += 10 * S;
    assert_int_equal(look(h, 0, t).state, WEIR_HEALTH_SLOW_START);
    assert_true(err(h, 0, 5, t));
    assert_int_equal(look(h, 0, t + 19 * S).state, WEIR_HEALTH_EJECTED);
    t += 20 * S;
    assert_int_equal(look(h, 0, t).state, WEIR_HEALTH_SLOW_START);
    assert_true(err(h, 0, 5, t)); /* 30 s, but no longer than 25 s */
    (void)look(h, 0, t + 24 * S);
    assert_int_equal(look(h, 0, t + 25 * S).state, WEIR_HEALTH_SLOW_START);
    t += 25 * S;
    for (int i = 0; i < 20; i++) { /* good for long: forgiven */
        t += 10 * S;
        (void)look(h, 0, t);
    }
    assert_true(err(h, 0, 5, t));
    (void)look(h, 0, t + 9 * S);
    assert_int_equal(look(h, 0, t + 10 * S).state, WEIR_HEALTH_SLOW_START);
    assert_int_equal(weir_health_ejections(h, 0, WEIR_HEALTH_BY_ERRORS), 4);
    weir_health_destroy(h);
}

static void one_target_always_stays(void **state)
{
    (void)state;
    struct weir_health *h = make(&usual, 1, false);
    assert_false(err(h, 0, 100, S));
    weir_health_destroy(h);
    h = make(&usual, 5, false);
    uint32_t n = 0;
    for (uint32_t i = 0; i < 5; i++) {
        n += err(h, i, 5, S);
    }
    assert_int_equal(n, 2); /* half of them */
    weir_health_destroy(h);
    struct weir_health_config all = usual;
    all.max_ejected_percent = 100;
    h = make(&all, 3, false);
    n = 0;
    for (uint32_t i = 0; i < 3; i++) {
        n += err(h, i, 5, S);
    }
    assert_int_equal(n, 2);
    weir_health_destroy(h);
}

static void a_bad_rate_ejects(void **state)
{
    (void)state;
    struct weir_health *h = make(&usual, 2, false);
    uint64_t t = S;
    (void)look(h, 0, t);
    t += 11 * S;
    (void)look(h, 0, t);
    for (int i = 0; i < 30; i++) { /* never five in a row */
        (void)weir_health_report(h, 0, i % 3 == 0, t);
        (void)weir_health_report(h, 1, i % 3 != 0, t);
    }
    t += 11 * S;
    assert_int_equal(look(h, 0, t).state, WEIR_HEALTH_EJECTED);
    assert_int_equal(look(h, 1, t).state, WEIR_HEALTH_READY);
    assert_int_equal(weir_health_ejections(h, 0, WEIR_HEALTH_BY_RATE), 1);
    assert_int_equal(weir_health_results(h, 0, true), 10);
    assert_int_equal(weir_health_results(h, 0, false), 20);
    weir_health_destroy(h);
}

static void nothing_before_the_first_good_check(void **state)
{
    (void)state;
    struct weir_health *h = make(&usual, 2, true);
    assert_int_equal(look(h, 0, S).state, WEIR_HEALTH_UNCHECKED);
    weir_health_set_checked(h, 0, false);
    assert_int_equal(look(h, 0, S).state, WEIR_HEALTH_UNCHECKED);
    assert_int_equal(look(h, 0, S).share_ppm, 0);
    weir_health_set_checked(h, 0, true);
    assert_int_equal(look(h, 0, S).share_ppm, WEIR_BALANCE_FULL_SHARE); /* at first: at once */
    weir_health_set_checked(h, 0, false);
    assert_int_equal(look(h, 0, S).state, WEIR_HEALTH_UNHEALTHY);
    weir_health_set_checked(h, 0, true);
    assert_int_equal(look(h, 0, S).share_ppm, WEIR_BALANCE_FULL_SHARE / 10);
    assert_in_range(look(h, 0, 6 * S).share_ppm, 540000, 560000);
    assert_int_equal(look(h, 0, 11 * S).state, WEIR_HEALTH_READY);
    weir_health_destroy(h);
}

static void it_comes_again_when_it_said(void **state)
{
    (void)state;
    struct weir_health *h = make(&usual, 2, false);
    (void)look(h, 0, S);
    weir_health_postpone(h, 0, 5 * S);
    weir_health_postpone(h, 0, 3 * S); /* the later one holds */
    assert_int_equal(look(h, 0, 4 * S).state, WEIR_HEALTH_POSTPONED);
    assert_int_equal(look(h, 0, 5 * S).share_ppm, WEIR_BALANCE_FULL_SHARE); /* it was not ill */
    weir_health_destroy(h);
}

static void a_breaker_has_a_say(void **state)
{
    (void)state;
    struct weir_health *h = make(&usual, 2, false);
    (void)look(h, 0, S);
    weir_health_set_permits(h, 0, 0);
    assert_int_equal(look(h, 0, S).state, WEIR_HEALTH_OPEN);
    weir_health_set_permits(h, 0, 2);
    struct weir_health_view view = look(h, 0, S);
    assert_int_equal(view.state, WEIR_HEALTH_HALF_OPEN);
    assert_int_equal(view.permits, 2);
    assert_int_equal(view.share_ppm, WEIR_BALANCE_FULL_SHARE); /* or nobody would try it */
    weir_health_set_permits(h, 0, UINT32_MAX);
    assert_int_equal(look(h, 0, 2 * S).state, WEIR_HEALTH_SLOW_START);
    assert_int_equal(look(h, 0, 30 * S).state, WEIR_HEALTH_READY);
    weir_health_refresh(h, 0, false, 30 * S, &view);
    assert_int_equal(view.state, WEIR_HEALTH_DOWN);
    assert_string_equal(weir_health_state_name(weir_health_state(h, 0)), "down");
    weir_health_destroy(h);
}

static void a_breaker_outranks_an_ejection(void **state)
{
    (void)state;
    struct weir_health *h = make(&usual, 2, false);
    (void)look(h, 0, S);
    assert_true(err(h, 0, 5, S));
    weir_health_set_permits(h, 0, 0);
    assert_int_equal(look(h, 0, S).state, WEIR_HEALTH_OPEN);
    weir_health_set_permits(h, 0, 1);
    assert_int_equal(look(h, 0, 2 * S).state, WEIR_HEALTH_HALF_OPEN);
    weir_health_set_permits(h, 0, UINT32_MAX); /* found good: long before its ejection's end */
    assert_int_equal(look(h, 0, 3 * S).state, WEIR_HEALTH_SLOW_START);
    assert_true(err(h, 0, 5, 4 * S)); /* its bit was free again */
    assert_int_equal(look(h, 0, 4 * S).state, WEIR_HEALTH_EJECTED);
    weir_health_destroy(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_in_a_row_eject_for_longer_each_time),
        cmocka_unit_test(one_target_always_stays),
        cmocka_unit_test(a_bad_rate_ejects),
        cmocka_unit_test(nothing_before_the_first_good_check),
        cmocka_unit_test(it_comes_again_when_it_said),
        cmocka_unit_test(a_breaker_has_a_say),
        cmocka_unit_test(a_breaker_outranks_an_ejection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
