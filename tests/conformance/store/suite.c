/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/cmocka.h"

static const struct store_driver *driver;
static struct weir_store *store;

struct answer {
    int done; /* calls of `done` */
    weir_store_result result;
    char value[256];
};

static const weir_str acme = WEIR_STR_INIT("acme"), other = WEIR_STR_INIT("other");

static void on_done(void *arg, const weir_store_result *r)
{
    struct answer *a = arg;
    a->done++;
    a->result = *r;
    size_t n = r->value.n < sizeof(a->value) - 1 ? r->value.n : sizeof(a->value) - 1;
    if (n) {
        memcpy(a->value, r->value.p, n);
    }
    a->value[n] = '\0';
}

static const weir_store_result *settled(int rc, struct answer *a)
{
    assert_int_equal(rc, 0);
    if (driver->run_until) {
        driver->run_until(&a->done);
    }
    assert_int_equal(a->done, 1);
    return &a->result;
}

static struct answer last;

#define CALL(op, ...)                                                                              \
    (last = (struct answer){0},                                                                    \
     settled(store->driver->op(store, __VA_ARGS__, on_done, &last), &last))

static weir_str text(const char *s)
{
    return weir_str_from(s);
}

static int set_up(void **state)
{
    (void)state;
    return driver->open(&store);
}

static int tear_down(void **state)
{
    (void)state;
    driver->close(store);
    return 0;
}

enum { SECOND = 1000000 };

static void a_limit_lets_its_burst_through_and_no_more(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        const weir_store_result *r = CALL(gcra_take, acme, text("rps"), 1, 10, SECOND, 5);
        assert_int_equal(r->rc, 0);
        assert_int_equal(r->number, 4 - i);
    }
    const weir_store_result *r = CALL(gcra_take, acme, text("rps"), 1, 10, SECOND, 5);
    assert_int_equal(r->rc, WEIR_E_BUSY);
    assert_true(r->retry_after_us > 0 && r->retry_after_us <= SECOND / 10);
    assert_true(r->reset_us > 0 && r->reset_us <= SECOND / 2);
    /* Another tenant and another key have limits of their own. */
    assert_int_equal(CALL(gcra_take, other, text("rps"), 5, 10, SECOND, 5)->rc, 0);
    assert_int_equal(CALL(gcra_take, acme, text("tpm"), 5, 10, SECOND, 5)->rc, 0);
}

static void a_limit_refills_at_its_rate(void **state)
{
    (void)state;
    assert_int_equal(CALL(gcra_take, acme, text("k"), 5, 10, SECOND, 5)->rc, 0);
    uint64_t wait = CALL(gcra_take, acme, text("k"), 2, 10, SECOND, 5)->retry_after_us;
    assert_true(wait <= SECOND / 5);
    driver->advance(wait);
    assert_int_equal(CALL(gcra_take, acme, text("k"), 2, 10, SECOND, 5)->rc, 0);
    assert_int_equal(CALL(gcra_take, acme, text("k"), 1, 10, SECOND, 5)->rc, WEIR_E_BUSY);
}

static void a_take_is_all_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(CALL(gcra_take, acme, text("k"), 3, 10, SECOND, 5)->rc, 0);
    assert_int_equal(CALL(gcra_take, acme, text("k"), 3, 10, SECOND, 5)->rc, WEIR_E_BUSY);
    assert_int_equal(CALL(gcra_take, acme, text("k"), 2, 10, SECOND, 5)->rc, 0);
    assert_int_equal(CALL(gcra_take, acme, text("k"), 6, 10, SECOND, 5)->rc, WEIR_E_TOOBIG);
    assert_int_equal(CALL(gcra_take, acme, text("k"), 0, 10, SECOND, 5)->number, 0); /* a look */
}

static void a_limit_is_exact_over_a_long_time(void **state)
{
    (void)state;
    uint64_t taken = 0;
    for (int i = 0; i < 100; i++) { /* 10 s of 7 per second, depth 7, always asking */
        while (CALL(gcra_take, acme, text("k"), 1, 7, SECOND, 7)->rc == 0) {
            taken++;
        }
        driver->advance(SECOND / 10);
    }
    assert_true(taken >= 7 + 69 && taken <= 7 + 70);
}

static void reservations_never_exceed_the_budget(void **state)
{
    (void)state;
    assert_int_equal(CALL(reserve, acme, text("b"), text("r1"), 60, 100, 60000)->rc, 0);
    assert_int_equal(last.result.number, 40);
    assert_int_equal(CALL(reserve, acme, text("b"), text("r2"), 50, 100, 60000)->rc, WEIR_E_BUSY);
    assert_int_equal(CALL(settle, acme, text("b"), text("r1"), 20)->rc, 0);
    assert_int_equal(CALL(reserve, acme, text("b"), text("r2"), 50, 100, 60000)->rc, 0);
    assert_int_equal(last.result.number, 30);
}

static void the_same_reservation_counts_once(void **state)
{
    (void)state;
    assert_int_equal(CALL(reserve, acme, text("b"), text("r"), 60, 100, 60000)->rc, 0);
    assert_int_equal(CALL(reserve, acme, text("b"), text("r"), 70, 100, 60000)->rc, 0);
    assert_int_equal(last.result.number, 30);
    assert_int_equal(CALL(settle, acme, text("b"), text("r"), 10)->number, 10);
    assert_int_equal(CALL(settle, acme, text("b"), text("r"), 10)->number, 10);
}

static void a_forgotten_reservation_gives_its_units_back(void **state)
{
    (void)state;
    assert_int_equal(CALL(reserve, acme, text("b"), text("r1"), 100, 100, 100)->rc, 0);
    assert_int_equal(CALL(reserve, acme, text("b"), text("r2"), 1, 100, 100)->rc, WEIR_E_BUSY);
    driver->advance(200 * 1000);
    assert_int_equal(CALL(reserve, acme, text("b"), text("r2"), 1, 100, 100)->rc, 0);
    /* It settles late: what was used counts all the same. */
    assert_int_equal(CALL(settle, acme, text("b"), text("r1"), 30)->rc, 0);
    assert_int_equal(CALL(reserve, acme, text("b"), text("r3"), 70, 100, 100)->rc, WEIR_E_BUSY);
    assert_int_equal(CALL(reserve, acme, text("b"), text("r3"), 69, 100, 100)->rc, 0);
}

static void values_are_kept_until_their_time_is_over(void **state)
{
    (void)state;
    assert_int_equal(CALL(get, acme, text("k"))->rc, WEIR_E_NOTFOUND);
    assert_int_equal(CALL(set, acme, text("k"), text("one"), 300, NULL, 0)->rc, 0);
    assert_int_equal(CALL(get, acme, text("k"))->rc, 0);
    assert_string_equal(last.value, "one");
    assert_int_equal(CALL(get, other, text("k"))->rc, WEIR_E_NOTFOUND);
    assert_int_equal(CALL(set, acme, text("k"), text("two"), 0, NULL, 0)->rc, 0);
    driver->advance(400 * 1000);
    assert_int_equal(CALL(get, acme, text("k"))->rc, 0);
    assert_string_equal(last.value, "two");
    assert_int_equal(CALL(set, acme, text("k"), text(""), 100, NULL, 0)->rc, 0);
    assert_int_equal(CALL(get, acme, text("k"))->rc, 0);
    assert_int_equal(last.result.value.n, 0);
    driver->advance(200 * 1000);
    assert_int_equal(CALL(get, acme, text("k"))->rc, WEIR_E_NOTFOUND);
}

static void a_tag_takes_all_its_values_of_that_tenant(void **state)
{
    (void)state;
    const weir_str both[] = {WEIR_STR_INIT("model:m"), WEIR_STR_INIT("user:u")};
    const weir_str one[] = {WEIR_STR_INIT("model:m")};
    for (int i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(
            CALL(set, acme, text(key), text("v"), 0, i % 2 ? both : one, i % 2 ? 2 : 1)->rc, 0);
    }
    assert_int_equal(CALL(set, acme, text("untagged"), text("v"), 0, NULL, 0)->rc, 0);
    assert_int_equal(CALL(set, other, text("k1"), text("v"), 0, both, 2)->rc, 0);
    assert_int_equal(CALL(invalidate, acme, text("user:u"))->number, 25);
    assert_int_equal(CALL(get, acme, text("k1"))->rc, WEIR_E_NOTFOUND);
    assert_int_equal(CALL(get, acme, text("k2"))->rc, 0);
    assert_int_equal(CALL(invalidate, acme, text("model:m"))->number, 25);
    assert_int_equal(CALL(get, acme, text("k2"))->rc, WEIR_E_NOTFOUND);
    assert_int_equal(CALL(get, acme, text("untagged"))->rc, 0);
    assert_int_equal(CALL(get, other, text("k1"))->rc, 0);
}

static void counters_add_and_expire(void **state)
{
    (void)state;
    assert_int_equal(CALL(add, acme, text("c"), 5, 300)->number, 5);
    assert_int_equal(CALL(add, acme, text("c"), -7, 300)->number, -2);
    assert_int_equal(CALL(add, other, text("c"), 1, 0)->number, 1);
    driver->advance(400 * 1000);
    assert_int_equal(CALL(add, acme, text("c"), 1, 300)->number, 1);
    assert_int_equal(CALL(add, other, text("c"), 1, 0)->number, 2);
}

static void kinds_of_the_same_key_do_not_meet(void **state)
{
    (void)state;
    assert_int_equal(CALL(set, acme, text("k"), text("v"), 0, NULL, 0)->rc, 0);
    assert_int_equal(CALL(add, acme, text("k"), 1, 0)->number, 1);
    assert_int_equal(CALL(gcra_take, acme, text("k"), 1, 1, SECOND, 1)->rc, 0);
    assert_int_equal(CALL(reserve, acme, text("k"), text("r"), 1, 1, 1000)->rc, 0);
    assert_int_equal(CALL(get, acme, text("k"))->rc, 0);
    assert_string_equal(last.value, "v");
}

static void what_is_out_of_bounds_is_refused_at_once(void **state)
{
    (void)state;
    static char large[WEIR_STORE_MAX_VALUE_BYTES + 1];
    const struct weir_store_driver *d = store->driver;
    struct answer a = {0};
    weir_str long_key = {large, WEIR_STORE_MAX_KEY_BYTES + 1}, none = {NULL, 0};
    assert_int_equal(d->get(store, acme, none, on_done, &a), WEIR_E_ARG);
    assert_int_equal(d->get(store, acme, long_key, on_done, &a), WEIR_E_ARG);
    assert_int_equal(
        d->set(store, acme, text("k"), (weir_str){large, sizeof(large)}, 0, NULL, 0, on_done, &a),
        WEIR_E_TOOBIG);
    assert_int_equal(d->set(store, acme, text("k"), none, 0, NULL, 9, on_done, &a), WEIR_E_ARG);
    assert_int_equal(d->gcra_take(store, acme, text("k"), 1, 0, SECOND, 1, on_done, &a),
                     WEIR_E_ARG);
    assert_int_equal(a.done, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int store_suite_run(const struct store_driver *of_driver)
{
    driver = of_driver;
    const struct CMUnitTest tests[] = {
        TEST(a_limit_lets_its_burst_through_and_no_more),
        TEST(a_limit_refills_at_its_rate),
        TEST(a_take_is_all_or_nothing),
        TEST(a_limit_is_exact_over_a_long_time),
        TEST(reservations_never_exceed_the_budget),
        TEST(the_same_reservation_counts_once),
        TEST(a_forgotten_reservation_gives_its_units_back),
        TEST(values_are_kept_until_their_time_is_over),
        TEST(a_tag_takes_all_its_values_of_that_tenant),
        TEST(counters_add_and_expire),
        TEST(kinds_of_the_same_key_do_not_meet),
        TEST(what_is_out_of_bounds_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
