/* SPDX-License-Identifier: Apache-2.0 */
#include "bucket.h"

#include "tests/support/cmocka.h"

#define SECOND_US UINT64_C(1000000)
#define NOW (1000 * SECOND_US)

static struct bucket make(const char *json, bool leased)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    struct limit_set set = {.n_rates = 0};
    limit_set_add(&set, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    assert_int_equal(set.n_rates, 1);
    struct bucket b;
    bucket_init(&b, &set.rates[0], leased);
    return b;
}

static void limits_are_read_with_bursts_and_fractions(void **state)
{
    (void)state;
    const char json[] = "{\"requests_per_second\":0.5,\"tokens_per_minute\":{\"limit\":200000,"
                        "\"burst\":50000},\"concurrent\":7,\"requests_per_day\":-1}";
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    struct limit_set set = {.n_rates = 0};
    limit_set_add(&set, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    assert_int_equal(set.n_rates, 2);
    assert_int_equal(set.concurrent, 7);
    assert_int_equal(set.rates[0].limit, 500);
    assert_int_equal(set.rates[0].period_us, 1000 * SECOND_US);
    assert_int_equal(set.rates[0].burst, 1);
    assert_int_equal(limit_shown(&set.rates[0]), 1);
    assert_int_equal(set.rates[1].limit, 200000);
    assert_int_equal(set.rates[1].burst, 50000);
    assert_string_equal(limit_suffix(&set.rates[1]), "tpm");
}

static void a_lease_leaves_a_margin_of_its_life(void **state)
{
    (void)state;
    struct bucket b = make("{\"tokens_per_minute\":200000}", true);
    assert_int_equal(b.life_us, 250000);
    assert_int_equal(b.depth, 200000 - 834); /* a quarter of a second, rounded up */
    b = make("{\"requests_per_second\":1000}", true);
    assert_int_equal(b.life_us, 20000);
    assert_int_equal(b.depth, 1000 - 21);
    /* Small limits are taken exactly, and a store that is not shared too. */
    b = make("{\"requests_per_second\":50}", true);
    assert_int_equal(b.life_us, 0);
    assert_int_equal(b.depth, 50);
    b = make("{\"tokens_per_minute\":200000}", false);
    assert_int_equal(b.depth, 200000);
}

static void a_cold_key_takes_exactly_and_a_hot_one_in_advance(void **state)
{
    (void)state;
    struct bucket b = make("{\"requests_per_minute\":60000}", true);
    assert_int_equal(bucket_ask(&b, 1, NOW), 1);
    for (uint64_t t = NOW; t < NOW + SECOND_US; t += 1000) {
        bucket_note(&b, 1, t); /* 1000 per second */
    }
    uint64_t now = NOW + SECOND_US;
    b.wanted = 1;
    uint64_t ask = bucket_ask(&b, 1, now);
    assert_in_range(ask, 200, 260); /* a quarter of a second's worth */
    bucket_saw(&b, 80, now);
    assert_int_equal(bucket_ask(&b, 1, now), 1 + 80 / 2); /* little is left: little is taken */
    bucket_saw(&b, 0, now);
    assert_int_equal(bucket_ask(&b, 1, now), 1);
}

static void a_balance_is_not_spent_after_its_lease(void **state)
{
    (void)state;
    struct bucket b = make("{\"requests_per_minute\":60000}", true);
    bucket_credit(&b, 10, NOW);
    assert_true(bucket_spend(&b, 4, NOW + 250000, false));
    assert_false(bucket_spend(&b, 1, NOW + 250001, false));
    assert_int_equal(bucket_expire(&b, NOW + 250000, false), 0);
    assert_int_equal(bucket_expire(&b, NOW + 250001, false), 6);
    assert_int_equal(b.balance, 0);
}

static void a_refund_does_not_make_older_units_younger(void **state)
{
    (void)state;
    struct bucket b = make("{\"requests_per_minute\":60000}", true);
    bucket_credit(&b, 10, NOW);
    bucket_refund(&b, 5, NOW, NOW + 200000);
    assert_int_equal(b.balance, 15);
    assert_int_equal(b.lease_until_us, NOW + 250000);
}

static void a_refund_after_the_limit_refilled_is_nothing(void **state)
{
    (void)state;
    struct bucket b = make("{\"tokens_per_minute\":600}", true);
    bucket_refund(&b, 100, NOW, NOW + 60 * SECOND_US);
    assert_int_equal(b.balance, 0);
    bucket_refund(&b, 100, NOW, NOW + 59 * SECOND_US);
    assert_int_equal(b.balance, 100);
}

static void what_is_owed_is_paid_with_the_next_call(void **state)
{
    (void)state;
    struct bucket b = make("{\"tokens_per_minute\":600}", true);
    bucket_owe(&b, 50);
    assert_false(bucket_spend(&b, 1, NOW, true));
    b.wanted = 10;
    uint64_t ask = bucket_ask(&b, 10, NOW);
    assert_int_equal(ask, 60);
    bucket_credit(&b, ask, NOW);
    assert_true(bucket_spend(&b, 10, NOW, true));
    assert_int_equal(b.balance, 0);
}

static void headers_say_what_is_left_and_when_it_is_whole(void **state)
{
    (void)state;
    struct bucket b = make("{\"requests_per_minute\":60}", true);
    assert_int_equal(bucket_remaining(&b, NOW), 60);
    bucket_saw(&b, 30, NOW);
    assert_int_equal(bucket_remaining(&b, NOW), 30);
    assert_int_equal(bucket_reset_us(&b, NOW), 30 * SECOND_US);
    assert_int_equal(bucket_remaining(&b, NOW + 10 * SECOND_US), 40);
    bucket_saw(&b, 0, NOW);
    assert_in_range(bucket_retry_us(&b, 1, NOW), SECOND_US, SECOND_US + 1);
    assert_true(bucket_is_short(&b, 1, NOW));
    assert_false(bucket_is_short(&b, 1, NOW + 51000)); /* too old to be believed */
}

static void without_the_store_each_replica_has_its_share(void **state)
{
    (void)state;
    struct bucket b = make("{\"requests_per_minute\":60}", true);
    for (int i = 0; i < 20; i++) {
        assert_true(bucket_spend_local(&b, 1, NOW, 3));
    }
    assert_false(bucket_spend_local(&b, 1, NOW, 3));
    assert_true(bucket_spend_local(&b, 1, NOW + 3 * SECOND_US, 3));
    assert_false(bucket_spend_local(&b, 1, NOW + 3 * SECOND_US, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_read_with_bursts_and_fractions),
        cmocka_unit_test(a_lease_leaves_a_margin_of_its_life),
        cmocka_unit_test(a_cold_key_takes_exactly_and_a_hot_one_in_advance),
        cmocka_unit_test(a_balance_is_not_spent_after_its_lease),
        cmocka_unit_test(a_refund_does_not_make_older_units_younger),
        cmocka_unit_test(a_refund_after_the_limit_refilled_is_nothing),
        cmocka_unit_test(what_is_owed_is_paid_with_the_next_call),
        cmocka_unit_test(headers_say_what_is_left_and_when_it_is_whole),
        cmocka_unit_test(without_the_store_each_replica_has_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
