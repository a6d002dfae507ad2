/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/balance/algorithm.h"
#include "core/balance/retry_budget.h"
#include "tests/support/cmocka.h"

enum { MAX = WEIR_BALANCE_MAX_TARGETS, N_ASKS = 20000 };

struct rig {
    struct weir_balance *b;
    _Atomic uint32_t loads[MAX];
    uint32_t n, counts[MAX];
    uint64_t now_us;
};

static void make(struct rig *g, enum weir_balance_kind kind, uint32_t n, const uint32_t *weights)
{
    *g = (struct rig){.n = n, .now_us = 1000000};
    struct weir_balance_config config = {.kind = kind, .load_bound = 1.25};
    assert_int_equal(weir_balance_create(&config, g->loads, &g->b), 0);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m/%u", i);
        assert_int_equal(weir_balance_add(g->b, name, weights ? weights[i] : 100, NULL), 0);
        weir_balance_set_share(g->b, i, WEIR_BALANCE_FULL_SHARE);
    }
}

static uint32_t ask(struct rig *g, const struct weir_balance_ask *a)
{
    static const struct weir_balance_ask nothing;
    uint32_t i = weir_balance_choose(g->b, a ? a : &nothing, g->now_us);
    if (i != WEIR_BALANCE_NONE) {
        g->counts[i]++;
    }
    return i;
}

/* A request stays on the target. */
static void stay(struct rig *g, uint32_t t)
{
    assert_true(t < g->n);
    if (t < MAX) {
        g->loads[t]++;
    }
}

/* Requests that stay: each raises the load of its target. */
static void fill(struct rig *g, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        stay(g, ask(g, NULL));
    }
}

static void assert_part(const struct rig *g, uint32_t i, double part, double off)
{
    double sum = 0;
    for (uint32_t k = 0; k < g->n; k++) {
        sum += g->counts[k];
    }
    double is = g->counts[i] / sum;
    if (is < part - off || is > part + off) {
        fail_msg("target %u has %.4f, not %.4f", i, is, part);
    }
}

static void round_robin_is_exact(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_ROUND_ROBIN, 3, (uint32_t[]){50, 30, 20});
    for (int i = 0; i < 1000; i++) {
        ask(&g, NULL);
    }
    assert_int_equal(g.counts[0], 500);
    assert_int_equal(g.counts[1], 300);
    assert_int_equal(g.counts[2], 200);
    weir_balance_destroy(g.b);
    make(&g, WEIR_BALANCE_ROUND_ROBIN, 4, NULL);
    uint32_t seen = 0;
    for (int i = 0; i < 4; i++) { /* equals take strict turns */
        seen |= 1u << ask(&g, NULL);
    }
    assert_int_equal(seen, 15);
    weir_balance_destroy(g.b);
}

static void round_robin_spreads_a_heavy_target(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_ROUND_ROBIN, 2, (uint32_t[]){95, 5});
    int since = 0, longest = 0;
    for (int i = 0; i < 2000; i++) {
        since = ask(&g, NULL) == 1 ? 0 : since + 1;
        longest = since > longest ? since : longest;
    }
    assert_int_equal(g.counts[1], 100);
    assert_true(longest < 40); /* of a round of 20 */
    weir_balance_destroy(g.b);
}

static void least_connections_evens_the_load(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_LEAST_CONNECTIONS, 3, (uint32_t[]){100, 200, 100});
    fill(&g, 400);
    assert_in_range(g.counts[0], 99, 101);
    assert_in_range(g.counts[1], 199, 201);
    g.loads[0] = 0; /* its requests have ended: it gets all until it is as full */
    memset(g.counts, 0, sizeof(g.counts));
    fill(&g, 90);
    assert_int_equal(g.counts[0], 90);
    weir_balance_destroy(g.b);
    make(&g, WEIR_BALANCE_LEAST_CONNECTIONS, 4, NULL);
    for (int i = 0; i < N_ASKS; i++) { /* idle: not always the first */
        ask(&g, NULL);
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_part(&g, i, 0.25, 0.02);
    }
    weir_balance_destroy(g.b);
}

static void power_of_two_is_nearly_as_even(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_POWER_OF_TWO, 10, NULL);
    fill(&g, 1000);
    for (uint32_t i = 0; i < 10; i++) {
        assert_in_range(g.counts[i], 90, 110);
    }
    memset((void *)g.loads, 0, sizeof(g.loads));
    memset(g.counts, 0, sizeof(g.counts));
    g.loads[3] = 100; /* the fullest is never the better of two */
    for (int i = 0; i < 2000; i++) {
        ask(&g, NULL);
    }
    assert_int_equal(g.counts[3], 0);
    weir_balance_destroy(g.b);
}

static void latency_prefers_the_fast(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_LATENCY, 3, NULL);
    for (uint32_t i = 0; i < 3; i++) { /* unknown ones are tried first, one request each */
        uint32_t t = ask(&g, NULL);
        assert_int_equal(g.counts[t], 1);
        stay(&g, t);
    }
    weir_balance_note_ttft(g.b, 0, 10000, g.now_us);
    weir_balance_note_ttft(g.b, 1, 20000, g.now_us);
    weir_balance_note_ttft(g.b, 2, 100000, g.now_us);
    memset((void *)g.loads, 0, sizeof(g.loads));
    memset(g.counts, 0, sizeof(g.counts));
    fill(&g, 120);
    assert_true(g.counts[0] > g.counts[1] && g.counts[1] > g.counts[2]);
    assert_part(&g, 0, 0.63, 0.06); /* 1/10 : 1/20 : 1/100 */
    assert_part(&g, 1, 0.31, 0.06);
    /* One slow answer long ago is forgotten. */
    weir_balance_note_ttft(g.b, 0, 10000000, g.now_us);
    assert_true(weir_balance_ttft_ns(g.b, 0, g.now_us) > 1e9);
    g.now_us += 600 * UINT64_C(1000000);
    assert_true(weir_balance_ttft_ns(g.b, 0, g.now_us) < 1e6);
    weir_balance_destroy(g.b);
}

static void canary_is_sticky_and_weighted(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_CANARY, 3, (uint32_t[]){90, 5, 5});
    static uint32_t first[N_ASKS];
    for (uint32_t i = 0; i < N_ASKS; i++) {
        struct weir_balance_ask a = {.client = weir_balance_mix(i + 1)};
        first[i] = ask(&g, &a);
        assert_int_equal(ask(&g, &a), first[i]);
    }
    assert_part(&g, 0, 0.90, 0.01);
    assert_part(&g, 1, 0.05, 0.01);
    weir_balance_set_share(g.b, 1, 0); /* it goes: only its clients move */
    for (uint32_t i = 0; i < N_ASKS; i++) {
        struct weir_balance_ask a = {.client = weir_balance_mix(i + 1)};
        uint32_t now = ask(&g, &a);
        assert_true(now != 1 && (first[i] == 1 || now == first[i]));
    }
    weir_balance_destroy(g.b);
}

static void sessions_stay_within_the_bound(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_LEAST_CONNECTIONS, 5, NULL);
    struct weir_balance_ask hot = {.session = 4711};
    uint32_t home = ask(&g, &hot);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(&g, &hot), home); /* nothing stays: always the same */
    }
    memset(g.counts, 0, sizeof(g.counts));
    for (int i = 0; i < 1000; i++) { /* one hot session cannot drown its target */
        stay(&g, ask(&g, &hot));
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(g.counts[i] <= 251);
    }
    assert_true(g.counts[home] >= 249);
    weir_balance_destroy(g.b);
}

static void prompts_go_where_their_beginning_was(void **state)
{
    (void)state;
    struct rig g;
    make(&g, WEIR_BALANCE_PREFIX_AFFINITY, 4, NULL);
    static char text[8][4096];
    uint32_t homes[8];
    for (uint32_t i = 0; i < 8; i++) {
        memset(text[i], 'a' + (int)i, sizeof(text[i]));
        struct weir_balance_ask a = {.tenant = 7, .prompt = {text[i], sizeof(text[i])}};
        homes[i] = ask(&g, &a);
        weir_balance_note_prompt(g.b, &a, homes[i]);
        memset(text[i] + 3000, 'z',
               1096); /* the next turn of the conversation differs at its end */
        for (int k = 0; k < 50; k++) {
            assert_int_equal(ask(&g, &a), homes[i]);
        }
    }
    struct weir_balance_ask a = {.tenant = 7, .prompt = {text[0], sizeof(text[0])}};
    struct weir_balance_ask other = {.tenant = 8, .prompt = {text[0], sizeof(text[0])}};
    assert_int_equal(weir_prefix_index_find(g.b->prefixes, 8, other.prompt, UINT64_MAX),
                     UINT32_MAX); /* nobody learns of another tenant's prompts */
    g.loads[homes[0]] = 50;       /* overloaded: others help out */
    assert_int_not_equal(ask(&g, &a), homes[0]);
    weir_balance_set_share(g.b, homes[0], 0);
    assert_int_not_equal(ask(&g, &a), homes[0]);
    weir_balance_destroy(g.b);
}

static void a_slow_start_gets_less(void **state)
{
    (void)state;
    static const enum weir_balance_kind kinds[] = {WEIR_BALANCE_ROUND_ROBIN,
                                                   WEIR_BALANCE_LEAST_CONNECTIONS};
    for (size_t k = 0; k < 2; k++) {
        struct rig g;
        make(&g, kinds[k], 2, NULL);
        weir_balance_set_share(g.b, 1, WEIR_BALANCE_FULL_SHARE / 10);
        fill(&g, 1100);
        assert_part(&g, 1, 1.0 / 11, 0.01);
        weir_balance_destroy(g.b);
    }
}

static void what_is_excluded_or_unusable_is_never_chosen(void **state)
{
    (void)state;
    for (int kind = 0; kind < WEIR_BALANCE_KINDS; kind++) {
        struct rig g;
        make(&g, (enum weir_balance_kind)kind, MAX, NULL);
        weir_balance_set_share(g.b, 5, 0);
        for (uint64_t i = 0; i < 2000; i++) {
            struct weir_balance_ask a = {
                .excluded = ~UINT64_C(0x8000000000000070), .session = i % 2 ? i : 0, .client = i};
            uint32_t t = ask(&g, &a);
            assert_true(t == 4 || t == 6 || t == 63);
        }
        struct weir_balance_ask all = {.excluded = UINT64_MAX};
        assert_int_equal(ask(&g, &all), WEIR_BALANCE_NONE);
        assert_int_equal(weir_balance_add(g.b, "m/64", 1, NULL), WEIR_E_TOOBIG);
        weir_balance_destroy(g.b);
    }
}

static void names_are_known(void **state)
{
    (void)state;
    for (int kind = 0; kind < WEIR_BALANCE_KINDS; kind++) {
        enum weir_balance_kind read;
        const char *name = weir_balance_kind_name((enum weir_balance_kind)kind);
        assert_true(weir_balance_kind_parse(weir_str_from(name), &read));
        assert_int_equal(read, kind);
    }
    enum weir_balance_kind read;
    assert_false(weir_balance_kind_parse(weir_str_from("best"), &read));
}

static void retries_are_a_part_of_requests(void **state)
{
    (void)state;
    struct weir_retry_budget b;
    weir_retry_budget_init(&b, 20);
    int n = 0;
    while (weir_retry_budget_take(&b)) {
        n++;
    }
    assert_int_equal(n, WEIR_RETRY_FIRST);
    n = 0;
    for (int i = 0; i < 1000; i++) { /* everything fails */
        weir_retry_budget_earn(&b);
        n += weir_retry_budget_take(&b);
    }
    assert_int_equal(n, 200);
    for (int i = 0; i < 10000; i++) { /* good times are not saved for ever */
        weir_retry_budget_earn(&b);
    }
    n = 0;
    while (weir_retry_budget_take(&b)) {
        n++;
    }
    assert_int_equal(n, WEIR_RETRY_PURSE);
    weir_retry_budget_tick(&b, 1000000);
    assert_true(weir_retry_budget_take(&b) && !weir_retry_budget_take(&b));
    weir_retry_budget_init(&b, 0);
    weir_retry_budget_earn(&b);
    weir_retry_budget_tick(&b, 5000000);
    assert_false(weir_retry_budget_take(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_is_exact),
        cmocka_unit_test(round_robin_spreads_a_heavy_target),
        cmocka_unit_test(least_connections_evens_the_load),
        cmocka_unit_test(power_of_two_is_nearly_as_even),
        cmocka_unit_test(latency_prefers_the_fast),
        cmocka_unit_test(canary_is_sticky_and_weighted),
        cmocka_unit_test(sessions_stay_within_the_bound),
        cmocka_unit_test(prompts_go_where_their_beginning_was),
        cmocka_unit_test(a_slow_start_gets_less),
        cmocka_unit_test(what_is_excluded_or_unusable_is_never_chosen),
        cmocka_unit_test(names_are_known),
        cmocka_unit_test(retries_are_a_part_of_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
