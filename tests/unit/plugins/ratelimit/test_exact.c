/* SPDX-License-Identifier: Apache-2.0 */
/* No interleaving exceeds a limit, and a burst uses it: three replicas, answers late and in any
 * order, requests that end in any way. */
#include <stdio.h>

#include "ratelimit_fixture.h"

enum { N_REPLICAS = 3, MAX_OPEN = 400, MAX_LATENCY_US = 8000 };

struct meter { /* a leaky bucket over what was admitted */
    double level, per_us, burst;
    uint64_t last_us;
};

struct open_request {
    struct fake_request *r;
    bool counted;
};

static struct fake_world *w;
static struct fake_host *hosts[N_REPLICAS];
static struct open_request open_requests[MAX_OPEN];
static uint32_t n_open, n_admitted, n_refused;
static uint64_t random_state;

static uint32_t draw(uint32_t n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(0x2545F4914F6CDD1D) >> 33) % n);
}

static void begin(const char *config, uint64_t seed)
{
    w = fake_world_create(WEIR_STORE_SHARED, false);
    w->forgets_ended = true;
    for (int i = 0; i < N_REPLICAS; i++) {
        hosts[i] = fake_host_create(w, the_policy(), config);
    }
    n_open = n_admitted = n_refused = 0;
    random_state = seed * 2654435761u + 88172645463325252u;
}

static void count(struct meter *m, double units)
{
    double drained = (double)(w->now_us - m->last_us) * m->per_us;
    m->level = m->level > drained ? m->level - drained : 0;
    m->last_us = w->now_us;
    m->level += units;
    if (m->level > m->burst + 1e-6) {
        fail_msg("%.3f units in the bucket, %.3f fit", m->level, m->burst);
    }
}

static void drop(uint32_t i)
{
    open_requests[i] = open_requests[--n_open];
}

/* Requests whose verdict came; admitted ones are counted in the meters. */
static void look(struct meter *requests)
{
    for (uint32_t i = n_open; i-- > 0;) {
        struct open_request *o = &open_requests[i];
        if (o->counted || o->r->verdict == WEIR_SUSPEND) {
            continue;
        }
        if (o->r->verdict == WEIR_CONTINUE) {
            count(requests, 1);
            n_admitted++;
            o->counted = true;
        } else {
            assert_int_equal(o->r->verdict, WEIR_DENY);
            assert_int_equal(o->r->status, 429);
            n_refused++;
            fake_complete(o->r, 0, 0);
            drop(i);
        }
    }
}

static void end_one(void)
{
    if (n_open == 0) {
        return;
    }
    uint32_t i = draw(n_open);
    fake_complete(open_requests[i].r, draw(2) * 10, draw(20)); /* waiting ones leave */
    drop(i);
}

static void act(struct meter *requests, const char *tenant)
{
    static const char *const users[] = {"alice", "bob", "carol"};
    switch (draw(10)) {
    case 0: end_one(); break;
    case 1: fake_advance(w, draw(MAX_LATENCY_US / 4)); break;
    case 2:
    case 3:
    case 4:
        if (w->n_waiting) {
            fake_answer(w, draw(w->n_waiting < 4 ? w->n_waiting : 4));
        }
        break;
    default:
        if (n_open < MAX_OPEN) {
            open_requests[n_open++] = (struct open_request){
                fake_ask(hosts[draw(N_REPLICAS)], tenant, users[draw(3)], 10, 20), false};
        } else {
            end_one();
        }
    }
    look(requests);
}

/* Long waits would add what refills during them: answers come within MAX_LATENCY_US. */
static void bound_latency(void)
{
    static uint64_t since_us;
    if (w->n_waiting == 0 || w->now_us - since_us > MAX_LATENCY_US) {
        fake_answer_all(w);
        since_us = w->now_us;
    }
}

static void run(const char *config, double per_s, double burst, uint64_t seed, int n_acts)
{
    begin(config, seed);
    struct meter m = {.per_us = per_s / 1e6,
                      .burst = burst + per_s * 2 * MAX_LATENCY_US / 1e6 + 1,
                      .last_us = w->now_us};
    for (int i = 0; i < n_acts; i++) {
        act(&m, "acme");
        bound_latency();
    }
    while (n_open) {
        fake_answer_all(w);
        look(&m);
        end_one();
    }
    fake_world_destroy(w);
}

static void no_interleaving_exceeds_an_exact_limit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run(CONFIG("{\"tenant\":{\"requests_per_second\":40}}", "deny"), 40, 40, seed, 3000);
        assert_true(n_admitted > 30 && n_refused > 0);
    }
}

static void no_interleaving_exceeds_a_leased_limit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run(CONFIG("{\"tenant\":{\"requests_per_second\":300},"
                   "\"user\":{\"requests_per_second\":2000},"
                   "\"global\":{\"requests_per_second\":900}}",
                   "deny"),
            300, 300, seed, 8000);
        assert_true(n_admitted > 300 && n_refused > 0);
    }
}

static void no_interleaving_exceeds_the_places(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        begin(CONFIG("{\"tenant\":{\"concurrent\":7},\"user\":{\"concurrent\":3}}", "deny"), seed);
        struct meter unlimited = {.per_us = 1, .burst = 1e9, .last_us = w->now_us};
        for (int i = 0; i < 3000; i++) {
            act(&unlimited, "acme");
            uint32_t running = 0;
            for (uint32_t k = 0; k < n_open; k++) {
                running += open_requests[k].counted;
            }
            assert_in_range(running, 0, 7);
            assert_in_range(fake_budget_taken(w, "acme", "ratelimit/tenant//slots"), running, 7);
        }
        assert_true(n_admitted > 50);
        fake_world_destroy(w);
        n_open = 0;
    }
}

/* Tokens used, and those reserved by requests that run, from the beginning on. */
static void no_interleaving_exceeds_a_token_limit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        begin(
            CONFIG("{\"tenant\":{\"tokens_per_second\":{\"limit\":2000,\"burst\":4000}}}", "deny"),
            seed);
        uint64_t start_us = w->now_us;
        double used = 0;
        struct meter unlimited = {.per_us = 1, .burst = 1e9, .last_us = w->now_us};
        for (int i = 0; i < 5000; i++) {
            if (draw(10) == 0 && n_open) {
                uint32_t k = draw(n_open);
                uint64_t prompt = open_requests[k].counted ? 10 : 0;
                uint64_t answer = open_requests[k].counted ? draw(21) : 0;
                used += (double)(prompt + answer);
                fake_complete(open_requests[k].r, prompt, answer);
                drop(k);
            } else if (draw(2) && n_open < MAX_OPEN) {
                open_requests[n_open++] = (struct open_request){
                    fake_ask(hosts[draw(N_REPLICAS)], "acme", "alice", 10, 20), false};
            } else if (draw(3) == 0) {
                fake_advance(w, draw(4000));
            } else if (w->n_waiting) {
                fake_answer(w, draw(w->n_waiting < 4 ? w->n_waiting : 4));
            }
            look(&unlimited);
            double held = 0;
            for (uint32_t k = 0; k < n_open; k++) {
                held += open_requests[k].counted ? 30 : 0;
            }
            double most = 4000 + (double)(w->now_us - start_us) * 2000 / 1e6;
            assert_true(used + held <= most + 1e-6);
        }
        assert_true(n_admitted > 100);
        fake_world_destroy(w);
        n_open = 0;
    }
}

/* 3 replicas, more requests than the limit allows, a millisecond of latency. */
static void saturate(const char *config, double per_s, double burst, uint64_t us)
{
    begin(config, 1);
    struct meter m = {.per_us = per_s / 1e6,
                      .burst = burst + per_s * 2 * MAX_LATENCY_US / 1e6 + 1,
                      .last_us = w->now_us};
    uint64_t start_us = w->now_us;
    while (w->now_us - start_us < us) {
        for (int i = 0; i < N_REPLICAS; i++) {
            for (int k = 0; k < 2 && n_open < MAX_OPEN; k++) {
                open_requests[n_open++] =
                    (struct open_request){fake_ask(hosts[i], "acme", "alice", 1, 1), false};
            }
        }
        fake_advance(w, 1000);
        fake_answer_all(w);
        look(&m);
        while (n_open > MAX_OPEN / 2) {
            end_one();
        }
    }
    double allowed = burst + per_s * (double)us / 1e6;
    double part = n_admitted / allowed;
    if (part < 0.97 || part > 1.0) {
        fail_msg("%u of %.0f were admitted (%.4f)", n_admitted, allowed, part);
    }
    print_message("%u of %.0f admitted, %u store calls for %u requests\n", n_admitted, allowed,
                  w->n_calls, n_admitted + n_refused);
    fake_world_destroy(w);
    n_open = 0;
}

static void a_burst_uses_the_limit(void **state)
{
    (void)state;
    saturate(CONFIG("{\"tenant\":{\"requests_per_second\":1000}}", "deny"), 1000, 1000, 3000000);
    saturate(CONFIG("{\"tenant\":{\"requests_per_minute\":3000}}", "deny"), 50, 3000, 3000000);
    saturate(CONFIG("{\"tenant\":{\"requests_per_second\":50}}", "deny"), 50, 50, 5000000);
    saturate(CONFIG("{\"global\":{\"requests_per_second\":1000},\"tenant\":"
                    "{\"requests_per_minute\":90000},\"user\":{\"requests_per_minute\":90000}}",
                    "deny"),
             1000, 1000, 3000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_interleaving_exceeds_an_exact_limit),
        cmocka_unit_test(no_interleaving_exceeds_a_leased_limit),
        cmocka_unit_test(no_interleaving_exceeds_the_places),
        cmocka_unit_test(no_interleaving_exceeds_a_token_limit),
        cmocka_unit_test(a_burst_uses_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
