/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

/* One level: name, units, limit, depth; per second. */
#define LEVEL(name, u, l, b)                                                                       \
    {                                                                                              \
        .key = WEIR_STR_INIT(name), .units = (u), .limit = (l), .period_us = SECOND, .burst = (b)  \
    }
#define LEVELS(...)                                                                                \
    .levels = (const weir_store_limit[]){__VA_ARGS__},                                             \
    .n = sizeof((const weir_store_limit[]){__VA_ARGS__}) / sizeof(weir_store_limit)
#define TAKE(...) CALL(.op = WEIR_STORE_TAKE, ACME, LEVELS(__VA_ARGS__))
#define GIVE(...) CALL(.op = WEIR_STORE_GIVE, ACME, LEVELS(__VA_ARGS__))

static void a_limit_lets_its_burst_through_and_no_more(void **state)
{
    (void)state;
    uint64_t began_us = fixture_driver->now_us();
    for (int i = 0; i < 5; i++) {
        const struct answer *a = TAKE(LEVEL("rps", 1, 1, 5));
        assert_int_equal(a->rc, 0);
        assert_int_equal(a->n_left, 1);
        assert_int_equal(a->left[0].units, 4 - i);
        assert_true(a->left[0].reset_us <= (uint64_t)(i + 1) * SECOND);
    }
    uint64_t passed_us = fixture_driver->now_us() - began_us;
    const struct answer *a = TAKE(LEVEL("rps", 1, 1, 5));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->refused_by, 0);
    assert_int_equal(a->left[0].units, 0);
    assert_true(a->retry_after_us > 0 && a->retry_after_us <= SECOND);
    assert_true(a->left[0].reset_us <= 5 * SECOND);
    assert_true(a->left[0].reset_us + passed_us + SECOND / 10 >= 5 * SECOND);
    /* Another tenant and another key have limits of their own. */
    assert_int_equal(CALL(.op = WEIR_STORE_TAKE, OTHER, LEVELS(LEVEL("rps", 5, 1, 5)))->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_TAKE, LEVELS(LEVEL("rps", 5, 1, 5)))->rc, 0);
    assert_int_equal(TAKE(LEVEL("tpm", 5, 1, 5))->rc, 0);
}

static void a_limit_refills_at_its_rate(void **state)
{
    (void)state;
    assert_int_equal(TAKE(LEVEL("k", 5, 5, 5))->rc, 0);
    const struct answer *a = TAKE(LEVEL("k", 2, 5, 5));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_true(a->retry_after_us <= 2 * SECOND / 5);
    fixture_advance(a->retry_after_us);
    assert_int_equal(TAKE(LEVEL("k", 2, 5, 5))->rc, 0);
    assert_int_equal(TAKE(LEVEL("k", 2, 5, 5))->rc, WEIR_E_BUSY);
}

static void a_take_of_one_level_is_all_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(TAKE(LEVEL("k", 3, 1, 5))->rc, 0);
    assert_int_equal(TAKE(LEVEL("k", 3, 1, 5))->rc, WEIR_E_BUSY);
    assert_int_equal(TAKE(LEVEL("k", 2, 1, 5))->rc, 0);
    const struct answer *a = TAKE(LEVEL("k", 6, 1, 5));
    assert_int_equal(a->rc, WEIR_E_TOOBIG);
    assert_int_equal(a->n_left, 1);
    a = TAKE(LEVEL("k", 0, 1, 5)); /* a look */
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 0);
}

static void a_take_takes_from_all_levels_or_from_none(void **state)
{
    (void)state;
    assert_int_equal(
        TAKE(LEVEL("global", 1, 1, 9), LEVEL("tenant", 1, 1, 5), LEVEL("user", 1, 1, 2))->rc, 0);
    const struct answer *a =
        TAKE(LEVEL("global", 3, 1, 9), LEVEL("tenant", 3, 1, 5), LEVEL("user", 2, 1, 2));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->refused_by, 2);
    assert_int_equal(a->left[0].units, 8);
    assert_int_equal(a->left[1].units, 4);
    assert_int_equal(a->left[2].units, 1);
    a = TAKE(LEVEL("global", 1, 1, 9), LEVEL("tenant", 6, 1, 5), LEVEL("user", 2, 1, 2));
    assert_int_equal(a->rc, WEIR_E_TOOBIG);
    assert_int_equal(a->refused_by, 1);
    a = TAKE(LEVEL("global", 8, 1, 9), LEVEL("tenant", 0, 1, 5), LEVEL("user", 1, 1, 2));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 0);
    assert_int_equal(a->left[1].units, 4);
    assert_int_equal(a->left[2].units, 0);
    /* The longest wait counts: 5 units of tenant come later than 1 of user. */
    a = TAKE(LEVEL("tenant", 5, 1, 5), LEVEL("user", 1, 5, 2), LEVEL("free", 1, 1, 5));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->refused_by, 0);
    assert_true(a->retry_after_us > SECOND / 2);
    assert_int_equal(a->left[2].units, 5);
}

static void what_is_given_back_can_be_taken_again(void **state)
{
    (void)state;
    assert_int_equal(TAKE(LEVEL("a", 5, 1, 5), LEVEL("b", 5, 1, 5))->rc, 0);
    const struct answer *a = GIVE(LEVEL("a", 2, 1, 5), LEVEL("b", 99, 1, 5), LEVEL("c", 1, 1, 5));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 2);
    assert_int_equal(a->left[1].units, 5); /* never beyond a whole limit */
    assert_int_equal(a->left[2].units, 5);
    assert_int_equal(TAKE(LEVEL("a", 2, 1, 5), LEVEL("b", 5, 1, 5), LEVEL("c", 5, 1, 5))->rc, 0);
    assert_int_equal(TAKE(LEVEL("a", 1, 1, 5))->rc, WEIR_E_BUSY);
    assert_int_equal(TAKE(LEVEL("b", 1, 1, 5))->rc, WEIR_E_BUSY);
    assert_int_equal(TAKE(LEVEL("c", 1, 1, 5))->rc, WEIR_E_BUSY);
}

static void a_limit_is_exact_over_time(void **state)
{
    (void)state;
    uint64_t taken = 0, began_us = fixture_driver->now_us();
    for (int i = 0; i < 20; i++) { /* 7 per 300 ms, which divides badly, depth 7; always asking */
        for (;;) {
            const weir_store_limit level = {
                .key = WEIR_STR_INIT("k"), .units = 1, .limit = 7, .period_us = 300000, .burst = 7};
            if (CALL(.op = WEIR_STORE_TAKE, ACME, .levels = &level, .n = 1)->rc) {
                break;
            }
            taken++;
        }
        fixture_advance(SECOND / 10);
    }
    uint64_t passed_us = fixture_driver->now_us() - began_us;
    assert_true(taken <= 7 + passed_us * 7 / 300000);
    assert_true(taken >= 7 + 19 * 7 / 3 - 1);
}

static void large_and_odd_numbers_are_exact(void **state)
{
    (void)state;
    /* A billion tokens a day, taken in pieces of which two fit, and three half a minute later. */
    const uint64_t limit = 1000000007, day_us = UINT64_C(86400) * SECOND;
    weir_store_limit level = {WEIR_STR_INIT("tpd"), 333433337, limit, day_us, limit};
    uint64_t taken = 0;
    while (CALL(.op = WEIR_STORE_TAKE, ACME, .levels = &level, .n = 1)->rc == 0) {
        taken += level.units;
    }
    assert_int_equal(taken, 2 * 333433337);
    level.units = 0;
    int64_t left = CALL(.op = WEIR_STORE_TAKE, ACME, .levels = &level, .n = 1)->left[0].units;
    assert_true(left >= (int64_t)(limit - taken) - 1 && left < (int64_t)(limit - taken) + 400000);
    weir_store_limit huge = {WEIR_STR_INIT("huge"), UINT64_MAX, UINT64_MAX, SECOND, UINT64_MAX};
    assert_int_equal(CALL(.op = WEIR_STORE_TAKE, ACME, .levels = &huge, .n = 1)->rc, 0);
    weir_store_limit slow = {WEIR_STR_INIT("slow"), 1, 1, UINT64_C(365) * day_us, 1};
    assert_int_equal(CALL(.op = WEIR_STORE_TAKE, ACME, .levels = &slow, .n = 1)->rc, 0);
    const struct answer *a = CALL(.op = WEIR_STORE_TAKE, ACME, .levels = &slow, .n = 1);
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_true(a->retry_after_us > 364 * day_us && a->retry_after_us <= 365 * day_us);
}

static void a_smaller_burst_takes_effect_at_once(void **state)
{
    (void)state;
    assert_int_equal(TAKE(LEVEL("k", 50, 1, 50))->rc, 0);
    const struct answer *a = TAKE(LEVEL("k", 1, 1, 2));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_true(a->retry_after_us <= SECOND);
    assert_true(a->left[0].reset_us <= 2 * SECOND + 1);
    fixture_advance(a->retry_after_us);
    assert_int_equal(TAKE(LEVEL("k", 1, 1, 2))->rc, 0); /* as it was told */
}

static void limits_that_make_no_sense_are_refused_at_once(void **state)
{
    (void)state;
    static const weir_store_limit bad[] = {
        {WEIR_STR_INIT(""), 1, 1, SECOND, 1},
        {WEIR_STR_INIT("k"), 1, 0, SECOND, 1},
        {WEIR_STR_INIT("k"), 1, 1, 0, 1},
        {WEIR_STR_INIT("k"), 1, 1, UINT64_MAX, 1},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(REFUSAL(.op = WEIR_STORE_TAKE, ACME, .levels = &bad[i], .n = 1),
                         WEIR_E_ARG);
    }
    static weir_store_limit many[WEIR_STORE_MAX_LEVELS + 1];
    assert_int_equal(REFUSAL(.op = WEIR_STORE_TAKE, ACME, .levels = many, .n = 17), WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_TAKE, ACME, .levels = many, .n = 0), WEIR_E_ARG);
    assert_int_equal(
        REFUSAL(.op = WEIR_STORE_TAKE, ACME, LEVELS(LEVEL("k", 1, 1, 1), LEVEL("k", 1, 1, 1))),
        WEIR_E_ARG);
}

static void sixteen_levels_are_possible(void **state)
{
    (void)state;
    weir_store_limit levels[WEIR_STORE_MAX_LEVELS];
    char names[WEIR_STORE_MAX_LEVELS][8];
    for (int i = 0; i < WEIR_STORE_MAX_LEVELS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "l%d", i);
        levels[i] = (weir_store_limit){text(names[i]), 1, 1, SECOND, (uint64_t)i + 1};
    }
    const struct answer *a =
        CALL(.op = WEIR_STORE_TAKE, ACME, .levels = levels, .n = WEIR_STORE_MAX_LEVELS);
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->n_left, WEIR_STORE_MAX_LEVELS);
    assert_int_equal(a->left[15].units, 15);
    a = CALL(.op = WEIR_STORE_TAKE, ACME, .levels = levels, .n = WEIR_STORE_MAX_LEVELS);
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->refused_by, 0);
    assert_int_equal(a->left[15].units, 15);
}

int suite_limits(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_limit_lets_its_burst_through_and_no_more),
        TEST(a_limit_refills_at_its_rate),
        TEST(a_take_of_one_level_is_all_or_nothing),
        TEST(a_take_takes_from_all_levels_or_from_none),
        TEST(what_is_given_back_can_be_taken_again),
        TEST(a_limit_is_exact_over_time),
        TEST(large_and_odd_numbers_are_exact),
        TEST(a_smaller_burst_takes_effect_at_once),
        TEST(limits_that_make_no_sense_are_refused_at_once),
        TEST(sixteen_levels_are_possible),
    };
    return cmocka_run_group_tests_name("store: limits", tests, NULL, NULL);
}
