/* SPDX-License-Identifier: Apache-2.0 */
/* A store that hangs, is gone, or does what it does not confirm: on_store_loss decides. */
#include "quota_fixture.h"

#define BUDGET "{\"tenant\":{\"tokens_per_month\":1200}}"
#define KEY "quota/tenant//tokens/month/2026-01-01"

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
    struct fake_request *r = fake_ask(h, "acme", "alice", 40, 60);
    fake_answer_all(w);
    fake_time_out(w);
    return r;
}

static void settle(struct fake_request *r, uint64_t prompt, uint64_t completion)
{
    fake_complete(r, prompt, completion);
    fake_answer_all(w);
    fake_time_out(w);
}

static void deny_answers_503(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "deny"), FAKE_STORE_HANGS);
    const struct fake_request *r = ask(h);
    assert_int_equal(r->status, 503);
    assert_string_equal(r->code, "quota_unavailable");
    assert_string_equal(fake_header(r, "retry-after"), "1");
    assert_non_null(strstr(h->log, "does not answer in time; requests with a budget are refused"));
    uint32_t calls = w->n_calls;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->status, 503);
    }
    assert_int_equal(w->n_calls, calls);
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "decisions{tenant,store_lost}") == 51);
    assert_true(fake_metric(h, "store_lost") == 1);
}

static void allow_counts_when_the_store_is_back(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "allow"), FAKE_STORE_IS_GONE);
    for (int i = 0; i < 20; i++) {
        struct fake_request *r = ask(h);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
        settle(r, 40, 30);
    }
    fake_advance(w, 500000);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 0);
    w->fault = FAKE_STORE_WORKS;
    for (int i = 0; i < 4; i++) {
        fake_advance(w, 1000000);
        fake_answer_all(w);
    }
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 20 * 70);
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "decisions_without_store{allow}") == 20);
    assert_true(fake_metric(h, "settlements_pending") == 0);
    assert_int_equal(ask(h)->status, 429);
}

static void local_spends_a_share_of_what_was_left(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "local"), FAKE_STORE_WORKS);
    settle(ask(h), 200, 200); /* 800 are left */
    w->fault = FAKE_STORE_IS_GONE;
    struct fake_request *first = ask(h);
    assert_int_equal(first->verdict, WEIR_CONTINUE);
    assert_int_equal(ask(h)->verdict, WEIR_CONTINUE);
    assert_int_equal(ask(h)->status, 429); /* 800 over 4 replicas are 200 */
    settle(first, 10, 10);                 /* 80 of them were not used */
    assert_int_equal(ask(h)->status, 429);
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "decisions_without_store{local}") == 2);
}

static void a_lost_settlement_is_tried_again_and_counts_once(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "deny"), FAKE_STORE_WORKS);
    struct fake_request *r = ask(h);
    w->fault = FAKE_STORE_FORGETS; /* it settles, and nobody hears of it */
    settle(r, 40, 10);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 50);
    w->fault = FAKE_STORE_WORKS;
    for (int i = 0; i < 4; i++) {
        fake_advance(w, 1000000);
        fake_answer_all(w);
    }
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 50);
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "settlements_pending") == 0);
}

static void a_settlement_that_never_comes_leaves_the_reservation(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "deny"), FAKE_STORE_WORKS);
    struct fake_request *r = ask(h);
    w->fault = FAKE_STORE_HANGS; /* it may have happened */
    settle(r, 40, 10);
    w->fault = FAKE_STORE_IS_GONE;
    for (int i = 0; i < 60; i++) {
        fake_advance(w, 1000000);
        fake_answer_all(w);
    }
    w->fault = FAKE_STORE_WORKS;
    for (int i = 0; i < 3; i++) {
        fake_advance(w, 1000000);
        fake_answer_all(w);
    }
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 100);
    assert_true(fake_metric(h, "settlements_dropped") == 1);
}

static void a_settlement_that_did_not_happen_waits_for_the_store(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "deny"), FAKE_STORE_WORKS);
    struct fake_request *r = ask(h);
    w->fault = FAKE_STORE_IS_GONE;
    settle(r, 40, 10);
    for (int i = 0; i < 600; i++) {
        fake_advance(w, 1000000);
        fake_answer_all(w);
    }
    assert_true(fake_metric(h, "settlements_pending") == 1);
    w->fault = FAKE_STORE_WORKS;
    for (int i = 0; i < 3; i++) {
        fake_advance(w, 1000000);
        fake_answer_all(w);
    }
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 50);
}

static void what_may_have_been_reserved_is_settled(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "deny"), FAKE_STORE_FORGETS);
    struct fake_request *r = ask(h);
    assert_int_equal(r->status, 503);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 100);
    w->fault = FAKE_STORE_WORKS;
    settle(r, 0, 0);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 0);
    (void)h;
}

static void settlements_that_wait_are_sent_at_the_end(void **state)
{
    (void)state;
    struct fake_host *h = begin(CONFIG(BUDGET, "deny"), FAKE_STORE_WORKS);
    struct fake_request *r = ask(h);
    w->fault = FAKE_STORE_IS_GONE;
    settle(r, 40, 10);
    w->fault = FAKE_STORE_WORKS;
    fake_host_destroy(h);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 50);
}

/* A store in this process answers at once, but may be full. */
static void a_full_store_here_takes_settlements_later(void **state)
{
    (void)state;
    w = fake_world_create(0, true);
    struct fake_host *h = fake_host_create(w, the_policy(), CONFIG(BUDGET, "allow"));
    struct fake_request *held = ask(h), *last = ask(h);
    w->fault = FAKE_STORE_IS_FULL;
    struct fake_request *free_one = ask(h);
    assert_int_equal(free_one->verdict, WEIR_CONTINUE);
    fake_complete(held, 40, 10);
    fake_complete(free_one, 40, 20);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 200);
    fake_advance(w, 1000000);
    w->fault = FAKE_STORE_WORKS;
    for (int i = 0; i < 3; i++) {
        fake_advance(w, 1000000);
    }
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 50 + 60 + 100);
    w->fault = FAKE_STORE_IS_FULL;
    fake_complete(last, 40, 30);
    w->fault = FAKE_STORE_WORKS;
    fake_host_destroy(h);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 50 + 60 + 70);
}

static void deny_refuses_when_the_store_here_is_full(void **state)
{
    (void)state;
    w = fake_world_create(0, true);
    struct fake_host *h = fake_host_create(w, the_policy(), CONFIG(BUDGET, "deny"));
    w->fault = FAKE_STORE_IS_FULL;
    struct fake_request *r = ask(h);
    assert_int_equal(r->status, 503);
    assert_non_null(strstr(h->log, "the store is full; requests with a budget are refused"));
    fake_complete(r, 0, 0);
    w->fault = FAKE_STORE_WORKS;
    fake_advance(w, 2000000);
    assert_int_equal(ask(h)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_budget_taken(w, "acme", KEY), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(deny_answers_503, end),
        cmocka_unit_test_teardown(allow_counts_when_the_store_is_back, end),
        cmocka_unit_test_teardown(local_spends_a_share_of_what_was_left, end),
        cmocka_unit_test_teardown(a_lost_settlement_is_tried_again_and_counts_once, end),
        cmocka_unit_test_teardown(a_settlement_that_never_comes_leaves_the_reservation, end),
        cmocka_unit_test_teardown(a_settlement_that_did_not_happen_waits_for_the_store, end),
        cmocka_unit_test_teardown(what_may_have_been_reserved_is_settled, end),
        cmocka_unit_test_teardown(settlements_that_wait_are_sent_at_the_end, end),
        cmocka_unit_test_teardown(a_full_store_here_takes_settlements_later, end),
        cmocka_unit_test_teardown(deny_refuses_when_the_store_here_is_full, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
