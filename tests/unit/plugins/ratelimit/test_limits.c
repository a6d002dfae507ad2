/* SPDX-License-Identifier: Apache-2.0 */
/* What clients and operators see of the limits, with a store that answers at once and with one that
 * takes its time. */
#include <stdio.h>
#include <stdlib.h>

#include "ratelimit_fixture.h"

static struct fake_world *w;

static int end(void **state)
{
    (void)state;
    fake_world_destroy(w);
    return 0;
}

static struct fake_host *alone(const char *config)
{
    w = fake_world_create(0, true);
    return fake_host_create(w, the_policy(), config);
}

static struct fake_host *shared(const char *config)
{
    w = fake_world_create(WEIR_STORE_SHARED, false);
    return fake_host_create(w, the_policy(), config);
}

static void an_admitted_request_is_told_its_limits(void **state)
{
    (void)state;
    struct fake_host *h =
        alone(CONFIG("{\"tenant\":{\"requests_per_second\":50,\"tokens_per_minute\":6000},"
                     "\"global\":{\"requests_per_minute\":100000}}",
                     "deny"));
    const struct fake_request *r = fake_ask(h, "acme", "alice", 100, 500);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_string_equal(fake_header(r, "x-ratelimit-limit-requests"), "50");
    assert_string_equal(fake_header(r, "x-ratelimit-remaining-requests"), "49");
    assert_string_equal(fake_header(r, "x-ratelimit-reset-requests"), "20ms");
    assert_string_equal(fake_header(r, "x-ratelimit-limit-tokens"), "6000");
    assert_string_equal(fake_header(r, "x-ratelimit-remaining-tokens"), "5400");
    assert_string_equal(fake_header(r, "x-ratelimit-reset-tokens"), "6s");
    assert_string_equal(fake_header(r, "ratelimit-policy"),
                        "\"tenant-rps\";q=50;w=1, \"tenant-tpm\";q=6000;qu=\"tokens\";w=60");
    assert_string_equal(fake_header(r, "ratelimit"),
                        "\"tenant-rps\";r=49;t=1, \"tenant-tpm\";r=5400;t=6");
}

static void a_refused_request_is_told_when_to_come_back(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"user\":{\"requests_per_minute\":2}}", "deny"));
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    const struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
    assert_int_equal(r->verdict, WEIR_DENY);
    assert_int_equal(r->status, 429);
    assert_string_equal(r->code, "rate_limit_exceeded");
    assert_string_equal(r->text,
                        "Rate limit reached for this user on requests per minute: limit 2, "
                        "requested 1. Please try again in 31s.");
    assert_string_equal(fake_header(r, "retry-after"), "31");
    assert_string_equal(fake_header(r, "retry-after-ms"), "30001");
    assert_string_equal(fake_header(r, "x-ratelimit-remaining-requests"), "0");
    /* Others are not concerned. */
    assert_int_equal(fake_ask(h, "acme", "bob", 1, 1)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(h, "other", "alice", 1, 1)->verdict, WEIR_CONTINUE);
}

static void a_request_that_can_never_pass_is_told_so(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_minute\":1000}}", "deny"));
    const struct fake_request *r = fake_ask(h, "acme", "alice", 500, 501);
    assert_int_equal(r->status, 429);
    assert_string_equal(fake_header(r, "x-should-retry"), "false");
    assert_string_equal(fake_header(r, "retry-after"), "");
    assert_non_null(strstr(r->text, "at most 1000 at once; this request needs 1001"));
    assert_int_equal(fake_ask(h, "acme", "alice", 500, 500)->verdict, WEIR_CONTINUE);
}

static void unused_tokens_come_back_and_an_overrun_is_owed(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_minute\":1000}}", "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 800);
    assert_int_equal(fake_ask(h, "acme", "alice", 100, 100)->verdict, WEIR_DENY);
    fake_complete(r, 100, 50);
    r = fake_ask(h, "acme", "alice", 100, 700);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_string_equal(fake_header(r, "x-ratelimit-remaining-tokens"), "50");
    fake_complete(r, 100, 740); /* 40 more than reserved */
    r = fake_ask(h, "acme", "alice", 1, 10);
    assert_int_equal(r->verdict, WEIR_DENY == r->verdict ? WEIR_DENY : WEIR_CONTINUE);
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 20)->verdict, WEIR_DENY);
}

static void n_choices_reserve_n_answers(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_minute\":1000}}", "deny"));
    struct fake_request *r = fake_request(h, "acme", "alice", 100, 100);
    r->numbers[WEIR_NUMBER_N] = 4;
    fake_run(r, WEIR_PHASE_BODY);
    assert_string_equal(fake_header(r, "x-ratelimit-remaining-tokens"), "500");
}

static void a_level_that_refuses_takes_nothing_from_the_others(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"requests_per_minute\":100},"
                                       "\"global\":{\"requests_per_minute\":10},"
                                       "\"model\":{\"tokens_per_minute\":50}}",
                                       "deny"));
    assert_int_equal(fake_ask(h, "acme", "alice", 10, 20)->verdict, WEIR_CONTINUE);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(fake_ask(h, "acme", "alice", 10, 20)->verdict, WEIR_DENY);
    }
    const struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_string_equal(fake_header(r, "x-ratelimit-remaining-requests"), "8"); /* global's */
}

static void places_are_taken_and_freed(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"concurrent\":2}}", "deny"));
    struct fake_request *a = fake_ask(h, "acme", "alice", 1, 1);
    assert_int_equal(fake_ask(h, "acme", "bob", 1, 1)->verdict, WEIR_CONTINUE);
    const struct fake_request *c = fake_ask(h, "acme", "carol", 1, 1);
    assert_int_equal(c->verdict, WEIR_DENY);
    assert_non_null(strstr(c->text, "this tenant on concurrent requests: limit 2"));
    assert_string_equal(fake_header(c, "retry-after"), "1");
    assert_int_equal(fake_budget_taken(w, "acme", "ratelimit/tenant//slots"), 2);
    fake_complete(a, 1, 1);
    struct fake_request *d = fake_ask(h, "acme", "carol", 1, 1);
    assert_int_equal(d->verdict, WEIR_CONTINUE);
    fake_complete(d, 1, 1);
    fake_advance(w, 30000); /* places stay at hand for a moment, for those who come next */
    assert_int_equal(fake_budget_taken(w, "acme", "ratelimit/tenant//slots"), 1);
}

static void places_at_hand_are_no_ones_who_takes_over(void **state)
{
    (void)state;
    const char *config = CONFIG("{\"tenant\":{\"concurrent\":4}}", "deny");
    struct fake_host *old = alone(config), *new = fake_host_create(w, the_policy(), config);
    struct fake_request *r[4];
    r[0] = fake_ask(old, "acme", "alice", 1, 1);
    r[1] = fake_ask(old, "acme", "alice", 1, 1); /* asks for more than it needs */
    assert_true(fake_budget_taken(w, "acme", "ratelimit/tenant//slots") >= 2);
    fake_advance(w, 30000);
    assert_int_equal(fake_budget_taken(w, "acme", "ratelimit/tenant//slots"), 2);
    r[2] = fake_ask(new, "acme", "alice", 1, 1);
    r[3] = fake_ask(new, "acme", "alice", 1, 1);
    assert_int_equal(r[2]->verdict, WEIR_CONTINUE);
    assert_int_equal(r[3]->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(new, "acme", "alice", 1, 1)->verdict, WEIR_DENY);
    assert_int_equal(fake_ask(old, "acme", "alice", 1, 1)->verdict, WEIR_DENY);
}

static void instances_of_a_process_have_one_limit(void **state)
{
    (void)state;
    const char *config = CONFIG("{\"tenant\":{\"requests_per_hour\":3}}", "deny");
    struct fake_host *old = alone(config), *new = fake_host_create(w, the_policy(), config);
    assert_int_equal(fake_ask(old, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(new, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(old, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(new, "acme", "alice", 1, 1)->verdict, WEIR_DENY);
    assert_int_equal(fake_ask(old, "acme", "alice", 1, 1)->verdict, WEIR_DENY);
}

static void the_tenants_record_is_obeyed_and_may_change(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG(
        "{\"tenant\":{\"requests_per_minute\":5},\"user\":{\"requests_per_minute\":4}}", "deny"));
    fake_tenant(w, "acme",
                "{\"limits\":{\"requests_per_minute\":3,\"users\":{\"alice\":"
                "{\"requests_per_minute\":1}},\"models\":{\"m\":{\"requests_per_hour\":2}}}}");
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    const struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
    assert_non_null(strstr(r->text, "this user on requests per minute: limit 1"));
    assert_int_equal(fake_ask(h, "acme", "bob", 1, 1)->verdict, WEIR_CONTINUE);
    r = fake_ask(h, "acme", "carol", 1, 1);
    assert_non_null(strstr(r->text, "this tenant and model on requests per hour: limit 2"));
    fake_tenant(w, "acme", "{\"limits\":{\"requests_per_minute\":6}}");
    for (int i = 0; i < 6; i++) { /* a changed limit begins anew */
        r = fake_ask(h, "acme", i % 2 ? "dave" : "frank", 1, 1);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
    }
    r = fake_ask(h, "acme", "erin", 1, 1);
    assert_non_null(strstr(r->text, "this tenant on requests per minute: limit 6"));
}

static void a_key_may_have_limits_of_its_own(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"key\":{\"requests_per_minute\":3}}", "deny"));
    const char *const json[] = {"{\"limits\":{\"requests_per_minute\":1}}",
                                "{\"limits\":{\"requests_per_minute\":2}}", NULL};
    for (int i = 0; i < 3; i++) { /* of one key, changed while it is used */
        struct fake_request *r = fake_request(h, "acme", "alice", 1, 1);
        r->fields[WEIR_FIELD_KEY_LIMITS] = json[i];
        fake_run(r, WEIR_PHASE_BODY);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
        char limit[2] = {"123"[i], '\0'};
        assert_string_equal(fake_header(r, "x-ratelimit-limit-requests"), limit);
    }
}

static void only_configured_levels_hold(void **state)
{
    (void)state;
    struct fake_host *h =
        alone("{\"levels\":[\"user\"],\"limits\":{\"tenant\":{\"requests_per_minute\":1},"
              "\"user\":{\"requests_per_minute\":2}},\"on_store_loss\":\"deny\"," REST "}");
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->verdict, WEIR_DENY);
    assert_int_equal(fake_ask(h, "acme", NULL, 1, 1)->verdict, WEIR_CONTINUE);
}

static void several_levels_of_a_tenant_are_one_call(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"requests_per_minute\":50,"
                                        "\"tokens_per_minute\":5000},"
                                        "\"user\":{\"requests_per_minute\":9},"
                                        "\"key\":{\"requests_per_minute\":9}}",
                                        "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 10, 10);
    assert_int_equal(r->verdict, WEIR_SUSPEND);
    assert_int_equal(w->n_calls, 1);
    fake_answer_all(w);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_string_equal(fake_header(r, "x-ratelimit-remaining-requests"), "8");
    assert_int_equal(w->n_calls, 1);
}

static void those_who_wait_for_a_key_share_a_call(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"requests_per_minute\":50}}", "deny"));
    struct fake_request *all[60];
    uint32_t passed = 0;
    for (int i = 0; i < 60; i++) {
        all[i] = fake_ask(h, "acme", "alice", 1, 1);
        assert_int_equal(all[i]->verdict, WEIR_SUSPEND);
    }
    assert_int_equal(w->n_calls, 1);
    for (int i = 0; i < 8; i++) {
        fake_answer_all(w);
    }
    for (int i = 0; i < 60; i++) {
        passed += all[i]->verdict == WEIR_CONTINUE;
        assert_true(all[i]->verdict != WEIR_SUSPEND);
    }
    assert_int_equal(passed, 50);
    assert_in_range(w->n_calls, 2, 6);
}

static void a_hot_key_seldom_asks_the_store(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"requests_per_minute\":600000}}", "deny"));
    for (int i = 0; i < 4000; i++) { /* 2000 per second */
        struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
        fake_answer_all(w);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
        fake_complete(r, 1, 1);
        fake_advance(w, 500);
        if (i == 1999) {
            w->n_calls = 0;
        }
    }
    assert_in_range(w->n_calls, 1, 40); /* of 2000 */
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "leases{tenant}") > 1);
    assert_true(fake_metric(h, "leased_units{tenant,requests}") > 1000);
    assert_true(fake_metric(h, "decisions{all,allowed}") == 4000);
}

static void a_lease_that_nobody_uses_goes_back(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"requests_per_hour\":3600}}", "deny"));
    for (int i = 0; i < 1000; i++) {
        struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
        fake_answer_all(w);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
        fake_complete(r, 1, 1);
        fake_advance(w, 1000);
    }
    fake_advance(w, 400000);
    fake_answer_all(w);
    /* Another replica sees exactly 1000 spent; 1.4 s refilled a unit or two. */
    struct fake_host *other = fake_host_create(
        w, the_policy(), CONFIG("{\"tenant\":{\"requests_per_hour\":3600}}", "deny"));
    struct fake_request *r = fake_ask(other, "acme", "alice", 1, 1);
    fake_answer_all(w);
    assert_in_range(atoi(fake_header(r, "x-ratelimit-remaining-requests")), 2596, 2601);
}

static void a_client_that_leaves_while_waiting_costs_nothing(void **state)
{
    (void)state;
    struct fake_host *h =
        shared(CONFIG("{\"tenant\":{\"requests_per_minute\":50,\"concurrent\":1}}", "deny"));
    struct fake_request *a = fake_ask(h, "acme", "alice", 1, 1);
    struct fake_request *b = fake_ask(h, "acme", "alice", 1, 1);
    fake_complete(a, 0, 0);
    fake_answer_all(w);
    fake_answer_all(w);
    assert_int_equal(b->verdict, WEIR_CONTINUE);
    fake_complete(b, 0, 0);
    fake_advance(w, 500000);
    fake_answer_all(w);
    assert_int_equal(fake_budget_taken(w, "acme", "ratelimit/tenant//slots"), 0);
}

static void a_stranger_may_resume_at_any_time(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"requests_per_minute\":50}}", "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
    for (int i = 0; i < 3; i++) {
        (void)h->host.resume(&h->host, r->ticket, 7, weir_str_from("x"));
        fake_advance(w, 0);
        assert_int_equal(r->verdict, WEIR_SUSPEND);
    }
    fake_answer_all(w);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_int_equal(w->n_calls, 1);
}

static void a_killed_replicas_places_come_back(void **state)
{
    (void)state;
    const char config[] = CONFIG("{\"tenant\":{\"concurrent\":4}}", "deny");
    struct fake_host *a = shared(config), *b = fake_host_create(w, the_policy(), config);
    for (int i = 0; i < 3; i++) {
        (void)fake_ask(a, "acme", "alice", 1, 1);
    }
    fake_answer_all(w);
    for (int i = 0; i < 300; i++) { /* alive: the places are kept beyond the ttl */
        fake_advance(w, 100000);
        fake_answer_all(w);
    }
    assert_int_equal(fake_budget_taken(w, "acme", "ratelimit/tenant//slots"), 3);
    (void)fake_ask(b, "acme", "bob", 1, 1);
    fake_answer_all(w);
    struct fake_request *r = fake_ask(b, "acme", "bob", 1, 1);
    fake_answer_all(w);
    assert_int_equal(r->verdict, WEIR_DENY);
    fake_host_kill(a);
    for (int i = 0; i < 11; i++) {
        fake_advance(w, 1000000);
        fake_answer_all(w);
    }
    for (int i = 0; i < 3; i++) {
        r = fake_ask(b, "acme", "bob", 1, 1);
        fake_answer_all(w);
        assert_int_equal(r->verdict, WEIR_CONTINUE);
    }
}

/* Forty at a time, whose first tokens come after a second: where is the limit afterwards? */
static double adaptive_limit_after_a_second(const char *slas, uint64_t promised_us)
{
    char config[600];
    (void)snprintf(config, sizeof(config),
                   "{" LEVELS ",\"limits\":{},\"on_store_loss\":\"deny\",\"concurrent_ttl\":"
                   "\"10s\",\"assumed_tokens\":10,\"adaptive\":{\"enabled\":true,\"min\":1,"
                   "\"max\":40,\"interval\":\"1s\",\"min_samples\":10,\"ttft_max_ms\":%s}}",
                   slas);
    const weir_chunk first = {.struct_size = sizeof(first), .kind = WEIR_CHUNK_TEXT, .n_tokens = 1};
    weir_str out;
    struct fake_request *all[40];
    w = fake_world_create(0, true);
    w->ttft_max_us = promised_us;
    struct fake_host *h = fake_host_create(w, the_policy(), config);
    for (int i = 0; i < 40; i++) {
        all[i] = fake_ask(h, "acme", "alice", 1, 1);
    }
    fake_advance(w, 1000000);
    for (int i = 0; i < 40; i++) {
        (void)h->policy->on_chunk(h->instance, (weir_req *)all[i], &first, &out);
        fake_complete(all[i], 1, 1);
    }
    fake_advance(w, 1000000);
    double limit = fake_metric(h, "adaptive_limit{m,interactive_ui}");
    fake_world_destroy(w);
    return limit;
}

static void adaptive_admission_has_the_promised_sla(void **state)
{
    (void)state;
    assert_true(adaptive_limit_after_a_second("{\"interactive_ui\":800}", 1500000) == 32);
    assert_true(adaptive_limit_after_a_second("{\"batch\":800}", 900000) == 36);
    assert_true(adaptive_limit_after_a_second("{}", 1500000) == 40);
    assert_true(adaptive_limit_after_a_second("{}", 0) == 20); /* 200 ms; halved at most */
}

static void adaptive_admission_follows_the_first_tokens(void **state)
{
    (void)state;
    struct fake_host *h =
        alone("{" LEVELS ",\"limits\":{},\"on_store_loss\":\"deny\",\"concurrent_ttl\":\"10s\","
              "\"assumed_tokens\":10,\"adaptive\":{\"enabled\":true,\"min\":1,\"max\":40,"
              "\"interval\":\"1s\",\"min_samples\":10,\"ttft_max_ms\":{\"interactive_ui\":200,"
              "\"critical_api\":150,\"batch\":5000}}}");
    const weir_chunk first = {.struct_size = sizeof(first), .kind = WEIR_CHUNK_TEXT, .n_tokens = 1};
    weir_str out;
    struct fake_request *all[40];
    for (int i = 0; i < 40; i++) {
        all[i] = fake_ask(h, "acme", "alice", 1, 1);
        assert_int_equal(all[i]->verdict, WEIR_CONTINUE);
    }
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->status, 429);
    fake_advance(w, 1000000); /* five times the SLA */
    for (int i = 0; i < 40; i++) {
        assert_int_equal(h->policy->on_chunk(h->instance, (weir_req *)all[i], &first, &out),
                         WEIR_CHUNK_REST);
        fake_complete(all[i], 1, 1);
    }
    fake_advance(w, 1000000);
    assert_true(fake_metric(h, "adaptive_limit{m,interactive_ui}") == 20);
    assert_true(fake_metric(h, "adaptive_refused{m,interactive_ui}") == 1);
    uint32_t passed = 0;
    for (int i = 0; i < 40; i++) {
        passed += fake_ask(h, "acme", "alice", 1, 1)->verdict == WEIR_CONTINUE;
    }
    assert_int_equal(passed, 20);
}

static void the_admin_route_shows_a_tenant(void **state)
{
    (void)state;
    struct fake_host *h =
        alone(CONFIG("{\"tenant\":{\"requests_per_minute\":50,\"concurrent\":4}}", "deny"));
    (void)fake_ask(h, "acme", "alice", 1, 1);
    (void)fake_ask(h, "other", "alice", 1, 1);
    const struct fake_request *r = fake_admin(h, "/admin/v1/plugins/ratelimit/tenants/acme");
    assert_int_equal(r->status, 200);
    assert_string_equal(
        r->text,
        "{\"tenant\":\"acme\",\"store\":\"ok\",\"limits\":[{\"level\":\"tenant\",\"name\":\"\","
        "\"unit\":\"requests per minute\",\"limit\":50,\"burst\":50,\"remaining\":49,"
        "\"reset_ms\":1200,\"leased_here\":0,\"units_per_second_here\":0},{\"level\":\"tenant\","
        "\"name\":\"\",\"unit\":\"concurrent requests\",\"limit\":4,\"running_here\":1,"
        "\"reserved_here\":1}],\"complete\":true}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_admitted_request_is_told_its_limits, end),
        cmocka_unit_test_teardown(a_refused_request_is_told_when_to_come_back, end),
        cmocka_unit_test_teardown(a_request_that_can_never_pass_is_told_so, end),
        cmocka_unit_test_teardown(unused_tokens_come_back_and_an_overrun_is_owed, end),
        cmocka_unit_test_teardown(n_choices_reserve_n_answers, end),
        cmocka_unit_test_teardown(a_level_that_refuses_takes_nothing_from_the_others, end),
        cmocka_unit_test_teardown(places_are_taken_and_freed, end),
        cmocka_unit_test_teardown(places_at_hand_are_no_ones_who_takes_over, end),
        cmocka_unit_test_teardown(instances_of_a_process_have_one_limit, end),
        cmocka_unit_test_teardown(the_tenants_record_is_obeyed_and_may_change, end),
        cmocka_unit_test_teardown(a_key_may_have_limits_of_its_own, end),
        cmocka_unit_test_teardown(only_configured_levels_hold, end),
        cmocka_unit_test_teardown(several_levels_of_a_tenant_are_one_call, end),
        cmocka_unit_test_teardown(those_who_wait_for_a_key_share_a_call, end),
        cmocka_unit_test_teardown(a_hot_key_seldom_asks_the_store, end),
        cmocka_unit_test_teardown(a_lease_that_nobody_uses_goes_back, end),
        cmocka_unit_test_teardown(a_client_that_leaves_while_waiting_costs_nothing, end),
        cmocka_unit_test_teardown(a_stranger_may_resume_at_any_time, end),
        cmocka_unit_test_teardown(a_killed_replicas_places_come_back, end),
        cmocka_unit_test_teardown(adaptive_admission_follows_the_first_tokens, end),
        cmocka_unit_test(adaptive_admission_has_the_promised_sla),
        cmocka_unit_test_teardown(the_admin_route_shows_a_tenant, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
