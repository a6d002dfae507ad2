/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#define HOLD(name, u, l)                                                                           \
    {                                                                                              \
        .key = WEIR_STR_INIT(name), .units = (u), .limit = (l)                                     \
    }
#define HOLDS(...)                                                                                 \
    .holds = (const weir_store_hold[]){__VA_ARGS__},                                               \
    .n = sizeof((const weir_store_hold[]){__VA_ARGS__}) / sizeof(weir_store_hold)
#define RESERVE(name, ms, ...)                                                                     \
    CALL(.op = WEIR_STORE_RESERVE, ACME, .id = WEIR_STR_INIT(name), .number = (ms),                \
         HOLDS(__VA_ARGS__))
#define RESERVE_KEPT(name, ms, ...)                                                                \
    CALL(.op = WEIR_STORE_RESERVE, ACME, .id = WEIR_STR_INIT(name), .number = (ms),                \
         .flags = WEIR_STORE_KEEP, HOLDS(__VA_ARGS__))
#define SETTLE(name, ...)                                                                          \
    CALL(.op = WEIR_STORE_SETTLE, ACME, .id = WEIR_STR_INIT(name), HOLDS(__VA_ARGS__))

static void reservations_never_exceed_the_budget(void **state)
{
    (void)state;
    const struct answer *a = RESERVE("r1", 60000, HOLD("b", 60, 100));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->n_left, 1);
    assert_int_equal(a->left[0].units, 40);
    assert_int_equal(a->left[0].reset_us, 0);
    a = RESERVE("r2", 60000, HOLD("b", 50, 100));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->left[0].units, 40);
    a = SETTLE("r1", HOLD("b", 20, 100));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 80);
    a = RESERVE("r2", 60000, HOLD("b", 50, 100));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 30);
    assert_int_equal(CALL(.op = WEIR_STORE_RESERVE, OTHER, .id = text("r2"), .number = 1000,
                          HOLDS(HOLD("b", 100, 100)))
                         ->rc,
                     0);
}

static void a_hundred_callers_get_what_the_budget_is_worth(void **state)
{
    (void)state;
    int passed = 0;
    for (int i = 0; i < 100; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "request-%d", i);
        passed += CALL(.op = WEIR_STORE_RESERVE, ACME, .id = text(id), .number = 60000,
                       HOLDS(HOLD("b", 10, 100)))
                      ->rc == 0;
    }
    assert_int_equal(passed, 10);
}

static void a_reservation_is_in_all_budgets_or_in_none(void **state)
{
    (void)state;
    assert_int_equal(RESERVE("r1", 60000, HOLD("small", 8, 10))->rc, 0);
    const struct answer *a =
        RESERVE("r2", 60000, HOLD("large", 5, 100), HOLD("small", 5, 10), HOLD("third", 5, 10));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->refused_by, 1);
    assert_int_equal(a->left[0].units, 100);
    assert_int_equal(a->left[1].units, 2);
    assert_int_equal(a->left[2].units, 10);
    a = RESERVE("r2", 60000, HOLD("large", 5, 100), HOLD("small", 2, 10), HOLD("third", 0, 0));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 95);
    assert_int_equal(a->left[1].units, 0);
    a = SETTLE("r2", HOLD("large", 7, 100), HOLD("small", 1, 10));
    assert_int_equal(a->left[0].units, 93);
    assert_int_equal(a->left[1].units, 1);
}

static void the_same_reservation_counts_once(void **state)
{
    (void)state;
    assert_int_equal(RESERVE("r", 60000, HOLD("b", 60, 100))->rc, 0);
    assert_int_equal(RESERVE("r", 60000, HOLD("b", 101, 100))->rc, WEIR_E_BUSY);
    const struct answer *a = RESERVE("r", 60000, HOLD("b", 100, 100));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 0);
    a = RESERVE("r", 60000, HOLD("b", 70, 100));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 30);
    assert_int_equal(SETTLE("r", HOLD("b", 10, 100))->left[0].units, 90);
    assert_int_equal(SETTLE("r", HOLD("b", 10, 100))->left[0].units, 90);
    /* A reservation that comes after its own end must not hold anything. */
    a = RESERVE("r", 60000, HOLD("b", 70, 100), HOLD("fresh", 1, 1));
    assert_int_equal(a->rc, WEIR_E_GONE);
    assert_int_equal(a->left[0].units, 90);
    assert_int_equal(a->left[1].units, 1);
}

static void more_may_be_used_than_was_reserved(void **state)
{
    (void)state;
    assert_int_equal(RESERVE("r", 60000, HOLD("b", 10, 100))->rc, 0);
    const struct answer *a = SETTLE("r", HOLD("b", 130, 100), HOLD("unheard-of", 7, 10));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, -30);
    assert_int_equal(a->left[1].units, 3);
    a = RESERVE("r2", 60000, HOLD("b", 1, 100));
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->left[0].units, -30);
    assert_int_equal(RESERVE("r3", 60000, HOLD("b", 1, 131))->rc, 0); /* a budget may be raised */
}

static void a_forgotten_reservation_gives_its_units_back(void **state)
{
    (void)state;
    assert_int_equal(RESERVE("r1", 200, HOLD("b", 100, 100))->rc, 0);
    assert_int_equal(RESERVE("r2", 200, HOLD("b", 1, 100))->rc, WEIR_E_BUSY);
    fixture_advance(300 * 1000);
    assert_int_equal(RESERVE("r2", 60000, HOLD("b", 1, 100))->rc, 0);
    /* It settles late: what was used counts all the same, once. */
    assert_int_equal(SETTLE("r1", HOLD("b", 30, 100))->left[0].units, 69);
    assert_int_equal(SETTLE("r1", HOLD("b", 30, 100))->left[0].units, 69);
    assert_int_equal(RESERVE("r3", 60000, HOLD("b", 70, 100))->rc, WEIR_E_BUSY);
    assert_int_equal(RESERVE("r3", 60000, HOLD("b", 69, 100))->rc, 0);
}

static void a_renewed_reservation_lives_on(void **state)
{
    (void)state;
    assert_int_equal(RESERVE("r1", 300, HOLD("b", 100, 100))->rc, 0);
    fixture_advance(200 * 1000);
    assert_int_equal(RESERVE("r1", 60000, HOLD("b", 100, 100))->rc, 0);
    fixture_advance(200 * 1000);
    assert_int_equal(RESERVE("r2", 200, HOLD("b", 1, 100))->rc, WEIR_E_BUSY);
}

static void a_kept_reservation_counts_as_used(void **state)
{
    (void)state;
    assert_int_equal(RESERVE_KEPT("r1", 200, HOLD("b", 60, 100))->rc, 0);
    assert_int_equal(RESERVE_KEPT("r2", 200, HOLD("b", 30, 100))->rc, 0);
    fixture_advance(300 * 1000);
    assert_int_equal(RESERVE("r3", 60000, HOLD("b", 11, 100))->rc, WEIR_E_BUSY);
    /* The truth about it may come late: it replaces what was kept. */
    const struct answer *a = SETTLE("r1", HOLD("b", 5, 100));
    assert_int_equal(a->left[0].units, 65);
    assert_int_equal(SETTLE("r1", HOLD("b", 5, 100))->left[0].units, 65);
    /* Or it lives on after all. */
    a = RESERVE_KEPT("r2", 60000, HOLD("b", 90, 100));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->left[0].units, 5);
    assert_int_equal(SETTLE("r2", HOLD("b", 0, 100))->left[0].units, 95);
}

static void budgets_are_exact_with_large_numbers(void **state)
{
    (void)state;
    const uint64_t max = WEIR_STORE_MAX_UNITS;
    assert_int_equal(RESERVE("r1", 60000, HOLD("b", max - 3, max))->left[0].units, 3);
    assert_int_equal(RESERVE("r2", 60000, HOLD("b", 4, max))->rc, WEIR_E_BUSY);
    assert_int_equal(RESERVE("r2", 60000, HOLD("b", 3, max))->rc, 0);
    assert_int_equal(SETTLE("r1", HOLD("b", max - 3, max))->left[0].units, 0);
    assert_int_equal(RESERVE("r", 60000, HOLD("open", 1, UINT64_MAX))->rc, 0);
}

static void reservations_that_make_no_sense_are_refused_at_once(void **state)
{
    (void)state;
    assert_int_equal(REFUSAL(.op = WEIR_STORE_RESERVE, ACME, .number = 1, HOLDS(HOLD("b", 1, 1))),
                     WEIR_E_ARG);
    assert_int_equal(
        REFUSAL(.op = WEIR_STORE_RESERVE, ACME, .id = text("r"), HOLDS(HOLD("b", 1, 1))),
        WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_RESERVE, ACME, .id = text("r"), .number = 1,
                             .flags = 1u << 9, HOLDS(HOLD("b", 1, 1))),
                     WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_SETTLE, ACME, .id = text("r"),
                             HOLDS(HOLD("b", 1, 1), HOLD("b", 1, 1))),
                     WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_SETTLE, ACME, .id = text("r"),
                             HOLDS(HOLD("b", WEIR_STORE_MAX_UNITS + 1, 1))),
                     WEIR_E_ARG);
}

int suite_budgets(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reservations_never_exceed_the_budget),
        TEST(a_hundred_callers_get_what_the_budget_is_worth),
        TEST(a_reservation_is_in_all_budgets_or_in_none),
        TEST(the_same_reservation_counts_once),
        TEST(more_may_be_used_than_was_reserved),
        TEST(a_forgotten_reservation_gives_its_units_back),
        TEST(a_renewed_reservation_lives_on),
        TEST(a_kept_reservation_counts_as_used),
        TEST(budgets_are_exact_with_large_numbers),
        TEST(reservations_that_make_no_sense_are_refused_at_once),
    };
    return cmocka_run_group_tests_name("store: budgets", tests, NULL, NULL);
}
