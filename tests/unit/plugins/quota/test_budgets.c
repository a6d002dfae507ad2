/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets as clients and operators see them. The world begins on 2026-01-01 00:00 UTC. */
#include <stdlib.h>

#include "quota_fixture.h"

/* A number by chance, the same in every run (Knuth's MMIX generator). */
static uint32_t chance(void)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33);
}

#define HOUR_US (UINT64_C(3600) * 1000000)
#define MONTH_KEY "quota/tenant//tokens/month/2026-01-01"

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

static void jump(uint64_t us)
{
    w->now_us += us;
    w->wall_us += us;
    fake_advance(w, 0);
}

static void a_request_reserves_its_most_and_settles_its_use(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_month\":1000}}", "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 500);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 600);
    fake_complete(r, 100, 50);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 150);
    r = fake_ask(h, "acme", "alice", 100, 700);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    fake_complete(r, 100, 900); /* more than reserved, and than the budget */
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 1150);
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->status, 429);
}

static void an_exhausted_budget_says_when_it_resets(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"user\":{\"tokens_per_day\":1000}}", "deny"));
    fake_complete(fake_ask(h, "acme", "alice", 400, 500), 400, 500);
    const struct fake_request *r = fake_ask(h, "acme", "alice", 100, 50);
    assert_int_equal(r->verdict, WEIR_DENY);
    assert_int_equal(r->status, 429);
    assert_string_equal(r->code, "insufficient_quota");
    assert_string_equal(fake_header(r, "x-should-retry"), "false");
    assert_string_equal(fake_header(r, "x-weir-quota-reset"), "2026-01-02T00:00:00Z");
    assert_string_equal(fake_header(r, "retry-after"), "86400");
    assert_string_equal(r->text,
                        "You exceeded the quota of this user on tokens per day: limit 1000, left "
                        "100, this request may need 150. It resets at 2026-01-02T00:00:00Z.");
    assert_int_equal(fake_ask(h, "acme", "bob", 100, 50)->verdict, WEIR_CONTINUE);
    jump(24 * HOUR_US);
    assert_int_equal(fake_ask(h, "acme", "alice", 100, 50)->verdict, WEIR_CONTINUE);
}

static void a_hundred_requests_on_a_budget_of_ten_admit_ten(void **state)
{
    (void)state;
    const char config[] = CONFIG("{\"tenant\":{\"tokens_per_month\":1000}}", "deny");
    struct fake_host *hosts[3] = {shared(config)};
    hosts[1] = fake_host_create(w, the_policy(), config);
    hosts[2] = fake_host_create(w, the_policy(), config);
    struct fake_request *all[100];
    uint32_t passed = 0;
    for (int i = 0; i < 100; i++) {
        all[i] = fake_ask(hosts[i % 3], "acme", "alice", 40, 60);
        assert_int_equal(all[i]->verdict, WEIR_SUSPEND);
    }
    while (w->n_waiting) {
        fake_answer(w, chance() % w->n_waiting);
    }
    for (int i = 0; i < 100; i++) {
        passed += all[i]->verdict == WEIR_CONTINUE;
        assert_true(all[i]->verdict == WEIR_CONTINUE || all[i]->status == 429);
    }
    assert_int_equal(passed, 10);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 1000);
}

static void money_is_counted_at_the_price_of_the_day(void **state)
{
    (void)state;
    struct fake_host *h = alone(PRICED(
        "{\"tenant\":{\"spend_per_month\":{\"amount\":0.10,\"currency\":\"EUR\"}}}", "deny"));
    const char january[] = "quota/tenant//spend/month/2026-01-01";
    const char february[] = "quota/tenant//spend/month/2026-02-01";
    struct fake_request *r = fake_ask(h, "acme", "alice", 1000, 1000);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    /* 1000 at 10, 1000 at 40 per million; a request at 0.001 */
    assert_int_equal(fake_budget_taken(w, "acme", january), 10000 + 40000 + 1000);
    fake_complete(r, 1000, 100);
    assert_int_equal(fake_budget_taken(w, "acme", january), 10000 + 4000 + 1000);
    r = fake_ask(h, "acme", "alice", 1000, 2000);
    assert_int_equal(r->status, 429);
    assert_string_equal(r->text,
                        "You exceeded the quota of this tenant on spend per month: limit 0.100000 "
                        "EUR, left 0.085000 EUR, this request may need 0.091000 EUR. It resets at "
                        "2026-02-01T00:00:00Z.");
    jump(31 * 24 * HOUR_US);
    r = fake_ask(h, "acme", "alice", 1000, 100);
    fake_complete(r, 1000, 100);
    assert_int_equal(fake_budget_taken(w, "acme", february), 20000 + 8000 + 2000);
}

static void seconds_of_the_device_are_counted_when_they_are_known(void **state)
{
    (void)state;
    struct fake_host *h = alone(PRICED(
        "{\"tenant\":{\"spend_per_month\":{\"amount\":0.10,\"currency\":\"EUR\"}}}", "deny"));
    const char january[] = "quota/tenant//spend/month/2026-01-01";
    struct fake_request *r = fake_request(h, "acme", "alice", 1000, 100);
    r->fields[WEIR_FIELD_MODEL] = "g";
    fake_run(r, WEIR_PHASE_BODY);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_budget_taken(w, "acme", january), 10000 + 4000);
    r->device_us = 1500000;
    fake_complete(r, 1000, 100);
    assert_int_equal(fake_budget_taken(w, "acme", january), 10000 + 4000 + 30000);
}

static void a_request_settles_in_the_window_in_which_it_began(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_day\":1000}}", "deny"));
    jump(23 * HOUR_US);
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 500);
    jump(2 * HOUR_US);
    fake_complete(r, 100, 200);
    assert_int_equal(fake_budget_taken(w, "acme", "quota/tenant//tokens/day/2026-01-01"), 300);
    assert_int_equal(fake_budget_taken(w, "acme", "quota/tenant//tokens/day/2026-01-02"), 0);
}

static void a_tenants_day_begins_by_its_clocks(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{}", "deny"));
    fake_tenant(w, "acme",
                "{\"quota\":{\"tokens_per_day\":1000,\"timezone\":\"America/New_York\"}}");
    fake_complete(fake_ask(h, "acme", "alice", 500, 500), 500, 500); /* 31 December there */
    const struct fake_request *r = fake_ask(h, "acme", "alice", 1, 1);
    assert_string_equal(fake_header(r, "x-weir-quota-reset"), "2026-01-01T05:00:00Z");
    assert_int_equal(fake_budget_taken(w, "acme", "quota/tenant//tokens/day/2025-12-31"), 1000);
    fake_tenant(w, "acme", "{\"quota\":{\"tokens_per_day\":1000,\"timezone\":\"Mars/Olympus\"}}");
    assert_int_equal(fake_ask(h, "acme", "alice", 1, 1)->verdict, WEIR_CONTINUE);
    assert_non_null(strstr(h->log, "quota.timezone is no zone of the IANA database"));
}

static void a_key_may_have_budgets_of_its_own(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{}", "deny"));
    for (int i = 0; i < 3; i++) {
        struct fake_request *r = fake_request(h, "acme", "alice", 10, 30);
        r->fields[WEIR_FIELD_KEY_LIMITS] = "{\"quota\":{\"tokens_per_day\":100}}";
        fake_run(r, WEIR_PHASE_BODY);
        assert_int_equal(r->verdict, i < 2 ? WEIR_CONTINUE : WEIR_DENY);
        fake_complete(r, 10, 30);
    }
    assert_int_equal(fake_ask(h, "acme", "alice", 10, 30)->verdict, WEIR_CONTINUE);
}

static void a_rolling_budget_is_never_exceeded_in_any_stretch(void **state)
{
    (void)state;
    struct fake_host *h = alone(
        CONFIG("{\"tenant\":{\"tokens_per_day\":{\"limit\":1000,\"rolling\":true}}}", "deny"));
    uint64_t used[400] = {0};
    uint32_t total = 0;
    for (int hour = 0; hour < 400; hour++) {
        for (int i = 0; i < 3; i++) {
            struct fake_request *r = fake_ask(h, "acme", "alice", 20, 30);
            if (r->verdict == WEIR_CONTINUE) {
                used[hour] += 50;
                total += 50;
                fake_complete(r, 20, 30);
            }
        }
        uint64_t day = 0;
        for (int k = hour > 23 ? hour - 23 : 0; k <= hour; k++) {
            day += used[k];
        }
        assert_true(day <= 1000);
        jump(HOUR_US);
    }
    assert_true(total >= 13000); /* of 16667: up to a quarter is late */
}

static void thresholds_warn_once(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_month\":1000}}", "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 500, 200);
    assert_string_equal(fake_header(r, "x-weir-quota-warning"), "");
    fake_complete(r, 500, 200);
    r = fake_ask(h, "acme", "alice", 100, 10);
    assert_string_equal(fake_header(r, "x-weir-quota-warning"),
                        "80% of the tokens per month of this tenant are used or reserved");
    fake_complete(r, 100, 10);
    fake_complete(fake_ask(h, "acme", "alice", 10, 10), 10, 10);
    fake_complete(fake_ask(h, "acme", "alice", 80, 10), 80, 10);
    fake_advance(w, 1100000);
    assert_true(fake_metric(h, "warnings{tenant}") == 2);
    const char *first = strstr(h->log, "tenant acme/: 80 % of tokens per month");
    assert_non_null(first);
    assert_null(strstr(first + 20, ": 80 %"));
    assert_non_null(strstr(h->log, ": 90 %"));
}

static void every_level_has_its_own_budget(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"tokens_per_month\":1000},"
                                        "\"user\":{\"tokens_per_day\":300,\"requests_per_day\":4},"
                                        "\"key\":{\"tokens_per_month\":900},"
                                        "\"global\":{\"tokens_per_month\":650}}",
                                        "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 200);
    fake_answer_all(w);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_int_equal(w->n_calls, 2); /* the tenant's in one call, and what all share */
    r = fake_ask(h, "acme", "alice", 1, 1);
    fake_answer_all(w);
    assert_non_null(strstr(r->text, "this user on tokens per day"));
    r = fake_ask(h, "acme", "bob", 100, 200);
    fake_answer_all(w);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    r = fake_ask(h, "acme", "carol", 100, 10);
    fake_answer_all(w);
    assert_non_null(strstr(r->text, "this service on tokens per month"));
    fake_complete(r, 0, 0);
    fake_answer_all(w);
    /* What the tenant's levels had reserved for it went back. */
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 600);
}

/* A store in this process: budgets at hand. */
static void every_level_has_its_own_budget_alone_too(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_month\":1000},"
                                       "\"user\":{\"tokens_per_day\":300},"
                                       "\"global\":{\"tokens_per_month\":650}}",
                                       "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 200);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_int_equal(w->n_calls, 2);
    assert_non_null(
        strstr(fake_ask(h, "acme", "alice", 1, 1)->text, "this user on tokens per day"));
    struct fake_request *other = fake_ask(h, "acme", "bob", 100, 200);
    assert_int_equal(other->verdict, WEIR_CONTINUE);
    struct fake_request *last = fake_ask(h, "acme", "carol", 100, 10);
    assert_non_null(strstr(last->text, "this service on tokens per month"));
    fake_complete(last, 0, 0);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 600);
    jump(31 * 24 * HOUR_US); /* other windows; what is held stays with its own */
    fake_complete(fake_ask(h, "acme", "alice", 10, 20), 10, 5);
    fake_complete(r, 100, 50);
    fake_complete(other, 1, 1);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 152);
    assert_int_equal(fake_budget_taken(w, "", "quota/global//tokens/month/2026-01-01"), 152);
    assert_int_equal(fake_budget_taken(w, "acme", "quota/tenant//tokens/month/2026-02-01"), 15);
}

static void many_budgets_have_room_too(void **state)
{
    (void)state;
    struct fake_host *h = alone(
        CONFIG("{\"tenant\":{\"tokens_per_day\":{\"limit\":1000,\"rolling\":true},"
               "\"requests_per_day\":{\"limit\":9,\"rolling\":true},\"tokens_per_month\":5000,"
               "\"tokens_per_week\":{\"limit\":3000,\"rolling\":true},\"tokens_per_hour\":900,"
               "\"tokens_per_minute\":{\"limit\":900,\"rolling\":true}}}",
               "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 200);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_int_equal(fake_ask(h, "acme", "alice", 100, 600)->status, 429);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 300);
    w->fault = FAKE_STORE_IS_FULL; /* it moves out of the request */
    fake_complete(r, 100, 50);
    w->fault = FAKE_STORE_WORKS;
    for (int i = 0; i < 3; i++) {
        fake_advance(w, 1000000);
    }
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 150);
}

static void what_is_held_goes_back_when_another_level_has_no_price(void **state)
{
    (void)state;
    struct fake_host *h = alone(PRICED(
        "{\"tenant\":{\"tokens_per_month\":1000},\"global\":{\"spend_per_month\":{\"amount\":"
        "10,\"currency\":\"EUR\"}}}",
        "deny"));
    struct fake_request *r = fake_request(h, "acme", "alice", 100, 10);
    r->fields[WEIR_FIELD_MODEL] = "unknown";
    fake_run(r, WEIR_PHASE_BODY);
    assert_string_equal(r->code, "model_without_price");
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 0);
}

static void a_client_that_leaves_while_waiting_costs_nothing(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"tokens_per_month\":1000}}", "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 200);
    assert_int_equal(r->verdict, WEIR_SUSPEND);
    fake_complete(r, 0, 0);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 300);
    fake_answer_all(w);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 0);
}

static void a_stranger_may_resume_at_any_time(void **state)
{
    (void)state;
    struct fake_host *h = shared(CONFIG("{\"tenant\":{\"tokens_per_month\":1000}}", "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 200);
    (void)h->host.resume(&h->host, r->ticket, 7, weir_str_from("x"));
    fake_advance(w, 0);
    assert_int_equal(r->verdict, WEIR_SUSPEND);
    fake_answer_all(w);
    assert_int_equal(r->verdict, WEIR_CONTINUE);
    assert_int_equal(w->n_calls, 1);
}

static void a_request_that_did_not_run_costs_nothing(void **state)
{
    (void)state;
    struct fake_host *h =
        alone(CONFIG("{\"tenant\":{\"tokens_per_month\":1000,\"requests_per_day\":5}}", "deny"));
    struct fake_request *r = fake_ask(h, "acme", "alice", 100, 200);
    r->status = 503; /* refused behind this plugin */
    fake_complete(r, 0, 0);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 0);
    assert_int_equal(fake_budget_taken(w, "acme", "quota/tenant//requests/day/2026-01-01"), 0);
}

static void a_dead_replicas_reservations_count_as_used(void **state)
{
    (void)state;
    const char config[] = CONFIG("{\"tenant\":{\"tokens_per_month\":1000}}", "deny");
    struct fake_host *a = shared(config), *b = fake_host_create(w, the_policy(), config);
    (void)fake_ask(a, "acme", "alice", 100, 600);
    fake_answer_all(w);
    fake_host_kill(a);
    jump(48 * HOUR_US);
    struct fake_request *r = fake_ask(b, "acme", "alice", 100, 300);
    fake_answer_all(w);
    assert_int_equal(r->status, 429);
    assert_int_equal(fake_budget_taken(w, "acme", MONTH_KEY), 700);
}

static void models_without_price_and_other_currencies_are_refused(void **state)
{
    (void)state;
    struct fake_host *h = alone(
        PRICED("{\"tenant\":{\"spend_per_month\":{\"amount\":10,\"currency\":\"EUR\"}}}", "deny"));
    struct fake_request *r = fake_request(h, "acme", "alice", 1, 1);
    r->fields[WEIR_FIELD_MODEL] = "unknown";
    fake_run(r, WEIR_PHASE_BODY);
    assert_int_equal(r->status, 403);
    assert_string_equal(r->code, "model_without_price");
    fake_tenant(w, "acme", "{\"quota\":{\"spend_per_month\":{\"amount\":1,\"currency\":\"USD\"}}}");
    r = fake_ask(h, "acme", "alice", 1, 1);
    assert_int_equal(r->status, 503);
    assert_non_null(strstr(h->log, "another currency than the price book"));
}

static void wrong_settings_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *config, *says;
    } cases[] = {
        {CONFIG("{\"tenant\":{\"spend_per_day\":{\"amount\":1,\"currency\":\"EUR\"}}}", "deny"),
         "spend budgets need a price_book"},
        {PRICED("{\"models\":{\"m\":{\"spend_per_day\":{\"amount\":1,\"currency\":\"USD\"}}}}",
                "deny"),
         "another currency"},
        {CONFIG_WITH("{}", "deny", ",\"price_book\":\"no/such.yaml\""),
         "no/such.yaml: No such file"},
        {"{\"timezone\":\"Mars/Olympus\"}", "timezone Mars/Olympus"},
        {"{\"on_store_loss\":\"local\"}", "needs replicas"},
        {"{\"warn_at\":[90,80]}", "ascending"},
    };
    struct fake_host *h = alone(CONFIG("{}", "deny"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_str err = {NULL, 0};
        assert_null(h->policy->instance_create(&h->host, weir_str_from(cases[i].config), &err));
        if (!strstr(err.p, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", err.p, cases[i].says);
        }
    }
}

static void the_admin_route_shows_a_tenant(void **state)
{
    (void)state;
    struct fake_host *h = alone(CONFIG("{\"tenant\":{\"tokens_per_month\":1000}}", "deny"));
    fake_complete(fake_ask(h, "acme", "alice", 100, 200), 100, 50);
    const struct fake_request *r = fake_admin(h, "/admin/v1/plugins/quota/tenants/acme");
    assert_string_equal(r->text,
                        "{\"tenant\":\"acme\",\"store\":\"ok\",\"budgets\":[{\"level\":"
                        "\"tenant\",\"name\":\"\",\"unit\":\"tokens per month\",\"rolling\":"
                        "false,\"limit\":\"1000\",\"left\":\"850\",\"since\":"
                        "\"2026-01-01T00:00:00Z\"}],\"complete\":true}");
}

/* Reserved and used never pass the budget by more than overruns, in any interleaving. */
static void no_interleaving_exceeds_a_budget(void **state)
{
    (void)state;
    const char config[] = CONFIG("{\"tenant\":{\"tokens_per_month\":20000},\"user\":"
                                 "{\"tokens_per_month\":9000}}",
                                 "deny");
    static const char *const users[] = {"alice", "bob", "carol"};
    for (unsigned seed = 1; seed <= 15; seed++) {
        srand(seed);
        struct fake_host *hosts[3] = {shared(config)};
        hosts[1] = fake_host_create(w, the_policy(), config);
        hosts[2] = fake_host_create(w, the_policy(), config);
        struct fake_request *open_requests[64];
        uint32_t n = 0, held = 0;
        uint64_t used = 0;
        for (int i = 0; i < 3000; i++) {
            uint32_t what = chance() % 4;
            if (what == 0 && n < 64) {
                open_requests[n++] =
                    fake_ask(hosts[chance() % 3], "acme", users[chance() % 3], 10, 90);
            } else if (what == 1 && n > 0) {
                uint32_t k = chance() % n;
                struct fake_request *r = open_requests[k];
                uint64_t answer = r->verdict == WEIR_CONTINUE ? chance() % 91 : 0;
                used += r->verdict == WEIR_CONTINUE ? 10 + answer : 0;
                fake_complete(r, r->verdict == WEIR_CONTINUE ? 10 : 0, answer);
                open_requests[k] = open_requests[--n];
            } else if (w->n_waiting) {
                fake_answer(w, chance() % w->n_waiting);
            }
            held = 0;
            for (uint32_t k = 0; k < n; k++) {
                held += open_requests[k]->verdict == WEIR_CONTINUE ? 100 : 0;
            }
            assert_true(used + held <= 20000);
        }
        while (n > 0) {
            fake_complete(open_requests[--n], 0, 0);
        }
        fake_answer_all(w);
        assert_true(used > 9000);
        if (seed < 15) {
            fake_world_destroy(w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_request_reserves_its_most_and_settles_its_use, end),
        cmocka_unit_test_teardown(an_exhausted_budget_says_when_it_resets, end),
        cmocka_unit_test_teardown(a_hundred_requests_on_a_budget_of_ten_admit_ten, end),
        cmocka_unit_test_teardown(money_is_counted_at_the_price_of_the_day, end),
        cmocka_unit_test_teardown(seconds_of_the_device_are_counted_when_they_are_known, end),
        cmocka_unit_test_teardown(a_request_settles_in_the_window_in_which_it_began, end),
        cmocka_unit_test_teardown(a_tenants_day_begins_by_its_clocks, end),
        cmocka_unit_test_teardown(a_key_may_have_budgets_of_its_own, end),
        cmocka_unit_test_teardown(a_rolling_budget_is_never_exceeded_in_any_stretch, end),
        cmocka_unit_test_teardown(thresholds_warn_once, end),
        cmocka_unit_test_teardown(every_level_has_its_own_budget, end),
        cmocka_unit_test_teardown(every_level_has_its_own_budget_alone_too, end),
        cmocka_unit_test_teardown(many_budgets_have_room_too, end),
        cmocka_unit_test_teardown(what_is_held_goes_back_when_another_level_has_no_price, end),
        cmocka_unit_test_teardown(a_client_that_leaves_while_waiting_costs_nothing, end),
        cmocka_unit_test_teardown(a_stranger_may_resume_at_any_time, end),
        cmocka_unit_test_teardown(a_request_that_did_not_run_costs_nothing, end),
        cmocka_unit_test_teardown(a_dead_replicas_reservations_count_as_used, end),
        cmocka_unit_test_teardown(models_without_price_and_other_currencies_are_refused, end),
        cmocka_unit_test_teardown(wrong_settings_are_told, end),
        cmocka_unit_test_teardown(the_admin_route_shows_a_tenant, end),
        cmocka_unit_test_teardown(no_interleaving_exceeds_a_budget, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
