/* SPDX-License-Identifier: Apache-2.0 */
#include "circuit.h"

#include "tests/support/cmocka.h"

enum { S = 1000000 };

static const struct circuit_settings settings = {.failure_threshold = 3,
                                                 .failure_percent = 50,
                                                 .min_requests = 10,
                                                 .window_us = 10 * S,
                                                 .open_us = 10 * S,
                                                 .max_open_us = 35 * S,
                                                 .trial_requests = 2};

static enum circuit_advice note(struct circuit *c, bool is_good, uint64_t now_us)
{
    return circuit_note(c, &settings, is_good, now_us, now_us);
}

static int64_t permits(const struct circuit *c)
{
    return circuit_permits(c, &settings);
}

static void failures_in_a_row_open_it(void **state)
{
    (void)state;
    struct circuit c = {0};
    assert_int_equal(permits(&c), -1);
    assert_int_equal(note(&c, false, 1 * S), CIRCUIT_STAY);
    assert_int_equal(note(&c, false, 1 * S), CIRCUIT_STAY);
    assert_int_equal(note(&c, true, 1 * S), CIRCUIT_STAY); /* begins anew */
    assert_int_equal(note(&c, false, 1 * S), CIRCUIT_STAY);
    assert_int_equal(note(&c, false, 1 * S), CIRCUIT_STAY);
    assert_int_equal(note(&c, false, 1 * S), CIRCUIT_SHOULD_OPEN);
    circuit_open(&c, &settings, 1 * S);
    assert_int_equal(permits(&c), 0);
}

static void a_windows_rate_opens_it(void **state)
{
    (void)state;
    struct circuit c = {0};
    for (int i = 0; i < 4; i++) { /* 8 of them: too few to say anything */
        assert_int_equal(note(&c, true, 1 * S), CIRCUIT_STAY);
        assert_int_equal(note(&c, false, 1 * S), CIRCUIT_STAY);
    }
    for (int i = 0; i < 4; i++) { /* another window */
        assert_int_equal(note(&c, true, 12 * S), CIRCUIT_STAY);
        assert_int_equal(note(&c, false, 12 * S), CIRCUIT_STAY);
    }
    assert_int_equal(note(&c, true, 12 * S), CIRCUIT_STAY);
    assert_int_equal(note(&c, false, 12 * S), CIRCUIT_SHOULD_OPEN); /* 5 of 10 */
}

static void it_is_open_longer_each_time(void **state)
{
    (void)state;
    struct circuit c = {0};
    uint64_t now_us = 1 * S;
    const uint64_t lengths_s[] = {10, 20, 35, 35};
    for (int i = 0; i < 4; i++) {
        circuit_open(&c, &settings, now_us);
        assert_false(circuit_tick(&c, now_us + lengths_s[i] * S - 1));
        now_us += lengths_s[i] * S;
        assert_true(circuit_tick(&c, now_us));
        assert_int_equal(c.state, CIRCUIT_HALF_OPEN);
        assert_int_equal(permits(&c), 0); /* not tried yet */
        circuit_try(&c, now_us + 10 * S);
        assert_int_equal(permits(&c), 2);
        assert_int_equal(note(&c, false, now_us), CIRCUIT_SHOULD_OPEN);
    }
    circuit_close(&c, now_us);
    circuit_open(&c, &settings, now_us); /* all is forgiven */
    assert_int_equal(c.until_us, now_us + 10 * S);
    for (int i = 0; i < 100; i++) {
        circuit_open(&c, &settings, now_us);
        assert_int_equal(c.until_us - now_us, i == 0 ? 20 * S : 35 * S);
    }
}

static void all_of_a_trial_must_go_well(void **state)
{
    (void)state;
    struct circuit c = {0};
    circuit_open(&c, &settings, 0);
    assert_true(circuit_tick(&c, 10 * S));
    circuit_try(&c, 20 * S);
    assert_int_equal(note(&c, true, 11 * S), CIRCUIT_PASSED);
    assert_int_equal(permits(&c), 1);
    assert_int_equal(note(&c, true, 12 * S), CIRCUIT_SHOULD_CLOSE);
    circuit_close(&c, 12 * S);
    assert_int_equal(permits(&c), -1);
}

static void a_trial_that_nobody_uses_ends(void **state)
{
    (void)state;
    struct circuit c = {0};
    circuit_open(&c, &settings, 0);
    assert_true(circuit_tick(&c, 10 * S));
    circuit_try(&c, 20 * S);
    assert_int_equal(note(&c, true, 11 * S), CIRCUIT_PASSED);
    assert_false(circuit_tick(&c, 20 * S - 1));
    assert_true(circuit_tick(&c, 20 * S));
    assert_int_equal(permits(&c), 0);
    assert_int_equal(c.state, CIRCUIT_HALF_OPEN);
    circuit_try(&c, 30 * S); /* what passed still counts */
    assert_int_equal(note(&c, true, 21 * S), CIRCUIT_SHOULD_CLOSE);
}

static void what_began_before_says_nothing(void **state)
{
    (void)state;
    struct circuit c = {0};
    circuit_open(&c, &settings, 5 * S);
    assert_int_equal(circuit_note(&c, &settings, true, 6 * S, 6 * S), CIRCUIT_STAY);
    assert_true(circuit_tick(&c, 15 * S));
    circuit_try(&c, 25 * S);
    assert_int_equal(circuit_note(&c, &settings, false, 14 * S, 16 * S), CIRCUIT_STAY);
    circuit_close(&c, 17 * S);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(circuit_note(&c, &settings, false, 16 * S, 18 * S), CIRCUIT_STAY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(a_windows_rate_opens_it),
        cmocka_unit_test(it_is_open_longer_each_time),
        cmocka_unit_test(all_of_a_trial_must_go_well),
        cmocka_unit_test(a_trial_that_nobody_uses_ends),
        cmocka_unit_test(what_began_before_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
