/* SPDX-License-Identifier: Apache-2.0 */
/* A store that hangs, is gone, or does what it does not confirm: on_store_loss decides. */
#include "ratelimit_fixture.h"

#define LIMITS "{\"tenant\":{\"requests_per_minute\":30,\"concurrent\":90}}"

static struct fake_world *w;

static int end(void **state)
{
    (void)state;
    fake_world_destroy(w);
    return 0;
}

static struct fake_host *begin(const char *config, enum fake_fault fault)
{
    w = fake_world_create(WEIR_STORE_SHARED, false);
    struct fake_host *h = fake_host_create(w, the_policy(), config);
    w->fault = fault;
    return h;
}

static struct fake_request *ask(struct fake_host *h)
{
    struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
    fake_answer_all(w);
    fake_time_out(w);
    return r;
}

static void deny_answers_503(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(LIMITS, "deny"), FAKE_STORE_HANGS);
    const struct fake_request *r = ask(h);
    assert_int_equal(r->verdict, WEIR_DENY);
    assert_int_equal(r->status, 503);
    assert_string_equal(r->code, "rate_limit_unavailable");
    assert_string_equal(fake_header(r, "retry-after"), "1");
    assert_non_null(strstr(h->log, "the store does not answer in time; requests are refused"));
    uint32_t calls = w->n_calls;
    for (int i = 0; i < 100; i++) { /* nobody waits for a store that is known to hang */
        r = fake_ask(h, "acme", "alice", 1, 1);
        assert_int_equal(r->status, 503);
    }
    assert_int_equal(w->n_calls, calls);
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "store_lost") == 1);
    assert_true(fake_metric(h, "decisions{tenant,store_lost}") == 101);
    assert_true(fake_metric(h, "store_failures") >= 1);
}

static void allow_lets_everything_pass(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(LIMITS, "allow"), FAKE_STORE_IS_GONE);
    for (int i = 0; i < 200; i++) {
        struct fake_request *r = ask(h);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
        fake_complete(r, 1, 1);
    }
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "decisions_without_store{allow}") == 200);
    assert_non_null(strstr(h->log, "the store is not there; requests pass without limits"));
}

static void a_full_store_is_called_full(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(LIMITS, "deny"), FAKE_STORE_IS_FULL);
    assert_int_equal(ask(h)->status, 503);
    assert_non_null(strstr(h->log, "the store is full; requests are refused"));
}

static void local_gives_each_replica_its_share(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(LIMITS, "local"), FAKE_STORE_HANGS);
    uint32_t passed = 0;
    for (int i = 0; i < 40; i++) {
        passed += ask(h)->verdict == WEIR_CONTINUE;
    }
    assert_int_equal(passed, 10); /* 30 requests over 3 replicas */
    fake_advance(w, 6000000);     /* a tenth of a minute: one more */
    passed = 0;
    for (int i = 0; i < 40; i++) {
        passed += ask(h)->verdict == WEIR_CONTINUE;
    }
    assert_int_equal(passed, 1);
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "decisions_without_store{local}") == 11);
    assert_non_null(strstr(h->log, "each replica counts its own share"));
}

static void local_places_are_a_share_too(void **state)
{
    (void)state;
    struct fake_host *h =
        begin(CONFIG("{\"tenant\":{\"concurrent\":6}}", "local"), FAKE_STORE_IS_GONE);
    struct fake_request *first = ask(h);
    assert_int_equal(first->verdict, WEIR_CONTINUE);
    assert_int_equal(ask(h)->verdict, WEIR_CONTINUE);
    assert_int_equal(ask(h)->status, 429);
    fake_complete(first, 1, 1);
    assert_int_equal(ask(h)->verdict, WEIR_CONTINUE);
    w->fault = FAKE_STORE_WORKS;
    fake_advance(w, 2000000);
    for (int i = 0; i < 4; i++) { /* the two that began without the store are not known to it */
        struct fake_request *r = ask(h);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
    }
}

static void a_store_that_comes_back_is_found(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(LIMITS, "deny"), FAKE_STORE_HANGS);
    assert_int_equal(ask(h)->status, 503);
    w->fault = FAKE_STORE_WORKS;
    fake_advance(w, 1100000);
    assert_int_equal(ask(h)->verdict, WEIR_CONTINUE);
    assert_non_null(strstr(h->log, "the store is back"));
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "store_lost") == 0);
}

static void only_one_request_tries_a_lost_store(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(LIMITS, "deny"), FAKE_STORE_HANGS);
    assert_int_equal(ask(h)->status, 503);
    fake_advance(w, 1100000);
    uint32_t calls = w->n_calls;
    const struct fake_request *first = fake_ask(h, "acme", "alice", 1, 1);
    assert_int_equal(first->verdict, WEIR_SUSPEND);
    for (int i = 0; i < 20; i++) {
        char tenant[8] = "t0";
        tenant[1] = (char)('a' + i);
        assert_int_equal(fake_ask(h, tenant, "alice", 1, 1)->status, 503);
    }
    assert_int_equal(w->n_calls, calls + 1);
    fake_time_out(w);
    assert_int_equal(first->status, 503);
}

static void what_happened_without_an_answer_is_never_spent_twice(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(LIMITS, "deny"), FAKE_STORE_FORGETS);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(h)->status, 503);
        fake_advance(w, 1100000);
    }
    w->fault = FAKE_STORE_WORKS;
    uint32_t passed = 0;
    for (int i = 0; i < 60; i++) {
        passed += ask(h)->verdict == WEIR_CONTINUE;
    }
    assert_in_range(passed, 25, 30); /* what may have been taken counts as taken */
}

static void a_lease_lasts_through_a_short_loss(void **state)
{
    (void)state;
    struct fake_host *h =
        begin(CONFIG("{\"tenant\":{\"requests_per_minute\":600000}}", "deny"), FAKE_STORE_WORKS);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ask(h)->verdict, WEIR_CONTINUE);
        fake_advance(w, 500);
    }
    w->fault = FAKE_STORE_IS_GONE;
    uint32_t passed = 0;
    for (int i = 0; i < 20; i++) {
        passed += ask(h)->verdict == WEIR_CONTINUE;
    }
    assert_true(passed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(deny_answers_503, end),
        cmocka_unit_test_teardown(allow_lets_everything_pass, end),
        cmocka_unit_test_teardown(a_full_store_is_called_full, end),
        cmocka_unit_test_teardown(local_gives_each_replica_its_share, end),
        cmocka_unit_test_teardown(local_places_are_a_share_too, end),
        cmocka_unit_test_teardown(a_store_that_comes_back_is_found, end),
        cmocka_unit_test_teardown(only_one_request_tries_a_lost_store, end),
        cmocka_unit_test_teardown(what_happened_without_an_answer_is_never_spent_twice, end),
        cmocka_unit_test_teardown(a_lease_lasts_through_a_short_loss, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
