/* SPDX-License-Identifier: Apache-2.0 */
/* What tenants get of an engine, in virtual time: weights, bounds of time and pages, and how little
 * a loud one can do to a quiet one. */
#include <stdio.h>
#include <stdlib.h>

#include "rig.h"
#include "tests/support/cmocka.h"

enum { MAX_TENANTS = 5, PROMPT_BYTES = 512 };

static uint64_t rng = 1;

static uint32_t random_below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng * 0x2545F4914F6CDD1Du) >> 33) % n;
}

static char prompts[RIG_JOBS][PROMPT_BYTES + 1];

/* Ends by its length alone. No two prompts begin alike. */
static weir_generation request(const struct rig *r, const char *tenant, uint32_t n_prompt,
                               uint32_t n_tokens)
{
    char *text = prompts[r->n_jobs + 1];
    assert_true(n_prompt <= PROMPT_BYTES);
    for (uint32_t i = 0; i < n_prompt; i++) {
        text[i] = (char)('a' + random_below(26));
    }
    text[n_prompt] = '\0';
    weir_generation g = rig_completion(text, n_tokens);
    g.ignore_eos = 1;
    g.tenant = weir_str_from(tenant);
    return g;
}

/* One round; where all who could run have used up their time, the time passes. */
static void run_round(struct rig *r)
{
    int stepped = weir_scheduler_run(r->scheduler);
    assert_true(stepped >= 0);
    uint64_t idle_us = weir_scheduler_idle_us(r->scheduler);
    if (!stepped && idle_us > 0) {
        atomic_fetch_add(&r->backend.now_us, idle_us);
    }
}

static void cancel_all(struct rig *r)
{
    for (uint32_t t = 1; t <= r->n_jobs; t++) {
        if (r->jobs[t]) {
            weir_scheduler_cancel(r->scheduler, r->jobs[t]);
        }
    }
    (void)rig_run(r, 10);
    rig_close(r);
}

static bool has_begun(const struct rig *r, weir_ticket t)
{
    return r->sink->streams[t].choices[0].n_chunks > 0;
}

/* ---- a loud and a quiet one ---- */

enum { LOUD_OUTSTANDING = 40, QUIET_ROUNDS = 20 };

/* About SmolLM2 on two cores. */
static void open_like_a_small_machine(struct rig *r)
{
    rig_init(r);
    r->backend.step_us = 4000;
    r->backend.decode_row_us = 1100;
    r->backend.prompt_token_us = 1000;
    r->max_batch = 16;
    r->max_step_tokens = 512;
    rig_open(r);
    atomic_store(&r->backend.now_us, 1000000);
}

static uint32_t n_of_loud(const struct rig *r, const weir_ticket quiet)
{
    return r->n_live - (quiet != 0 && r->jobs[quiet] != NULL);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The quiet tenant's time to the first token, P95, while the loud one has so many requests open. */
static uint64_t quiet_ttft_us(uint32_t n_loud, uint32_t n_prompt)
{
    static struct rig r;
    uint64_t ttft[QUIET_ROUNDS], arrives_us = 3000000;
    uint32_t n = 0;
    weir_ticket quiet = 0;
    bool waits = false;
    open_like_a_small_machine(&r);
    rng = 99;
    while (n < QUIET_ROUNDS) {
        while (n_of_loud(&r, quiet) < n_loud && r.n_jobs + 2 < RIG_JOBS) {
            weir_generation g = request(&r, "loud", 20 + random_below(300), 20 + random_below(150));
            rig_add(&r, &g);
        }
        uint64_t now = r.backend.now_us;
        if (!waits && now >= arrives_us) { /* it came while the last step ran */
            weir_generation g = request(&r, "quiet", n_prompt, 8);
            quiet = rig_add(&r, &g);
            waits = true;
        }
        run_round(&r);
        if (r.backend.now_us == now) {
            atomic_fetch_add(&r.backend.now_us, 1000); /* nothing to do */
        }
        if (waits && has_begun(&r, quiet)) {
            ttft[n++] = r.backend.now_us - arrives_us;
            waits = false;
            /* well below half of the machine: it is quiet */
            arrives_us = r.backend.now_us + 4000 * n_prompt + random_below(1000000);
        }
    }
    cancel_all(&r);
    qsort(ttft, n, sizeof(ttft[0]), compare_u64);
    return ttft[n - 2];
}

static void a_flood_leaves_a_quiet_tenant_its_first_token(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {120, 300, 500};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint64_t alone = quiet_ttft_us(0, lengths[i]);
        uint64_t beside = quiet_ttft_us(LOUD_OUTSTANDING, lengths[i]);
        if (beside * 2 > alone * 3) {
            fail_msg("a prompt of %u: %llu us alone, %llu us beside a flood", lengths[i],
                     (unsigned long long)alone, (unsigned long long)beside);
        }
    }
}

static void a_slot_of_the_loud_one_is_given_up_at_once(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 4;
    rig_open(&r);
    weir_ticket loud[6];
    for (int i = 0; i < 6; i++) {
        weir_generation g = request(&r, "loud", 20, 150);
        loud[i] = rig_add(&r, &g);
    }
    (void)rig_run(&r, 20);
    weir_generation g = request(&r, "quiet", 20, 20);
    weir_ticket first = rig_add(&r, &g);
    (void)rig_run(&r, 4);
    assert_true(has_begun(&r, first));
    assert_int_equal(r.counters.preemptions, 1);
    weir_ticket more[3];
    for (int i = 0; i < 3; i++) {
        weir_generation h = request(&r, "quiet", 20, 60);
        more[i] = rig_add(&r, &h);
    }
    (void)rig_run(&r, 3);
    assert_true(has_begun(&r, more[0])); /* two of four slots are its share, no more */
    assert_false(has_begun(&r, more[1]));
    assert_int_equal(r.counters.preemptions, 2);
    (void)rig_run(&r, 3000);
    for (int i = 0; i < 6; i++) {
        rig_check(&r, loud[i]);
    }
    rig_check(&r, first);
    rig_close(&r);
}

static void who_yields_does_so_a_few_times_at_most(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 2;
    rig_open(&r);
    weir_ticket loud[2];
    for (int i = 0; i < 2; i++) {
        weir_generation g = request(&r, "loud", 20, 60);
        loud[i] = rig_add(&r, &g);
    }
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 120 && (r.jobs[loud[0]] || r.jobs[loud[1]]); i++) {
        weir_generation g = request(&r, names[i % 3], 5, 6);
        rig_add(&r, &g);
        (void)rig_run(&r, 3);
    }
    assert_int_equal(r.sink->streams[loud[0]].n_finished, 1);
    assert_true(r.counters.preemptions < 60);
    cancel_all(&r);
}

static void having_had_the_device_alone_is_no_debt(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 4;
    rig_open(&r);
    for (int i = 0; i < 20; i++) {
        weir_generation g = request(&r, "quiet", 200, 20);
        rig_add(&r, &g);
        (void)rig_run(&r, 200);
    }
    for (int i = 0; i < 12; i++) { /* new to the engine */
        weir_generation g = request(&r, "loud", 50, 100);
        rig_add(&r, &g);
    }
    (void)rig_run(&r, 20);
    weir_generation g = request(&r, "quiet", 40, 5);
    weir_ticket t = rig_add(&r, &g);
    (void)rig_run(&r, 10);
    assert_true(has_begun(&r, t));
    cancel_all(&r);
}

/* ---- weights ---- */

struct crowd {
    uint32_t n_tenants, weight[MAX_TENANTS];
    uint8_t tenant_of[RIG_JOBS];
    uint64_t done[MAX_TENANTS]; /* work of jobs that have ended */
    uint32_t n_ended[MAX_TENANTS];
    bool counted[RIG_JOBS];
};

static const char *const names[MAX_TENANTS] = {"t0", "t1", "t2", "t3", "t4"};

enum { MAX_PROMPT = 100, MAX_COMPLETION = 60, BACKLOG = 6 };

static uint32_t waiting_of(const struct rig *r, const struct crowd *c, uint32_t tenant)
{
    uint32_t n = 0;
    for (uint32_t t = 1; t <= r->n_jobs; t++) {
        n += r->jobs[t] && c->tenant_of[t] == tenant && weir_sequence_waits(r->jobs[t]->sequences);
    }
    return n;
}

static void keep_busy(struct rig *r, struct crowd *c)
{
    for (uint32_t i = 0; i < c->n_tenants; i++) {
        while (waiting_of(r, c, i) < BACKLOG && r->n_jobs + 1 < RIG_JOBS) {
            weir_generation g = request(r, names[i], 1 + random_below(MAX_PROMPT),
                                        1 + random_below(MAX_COMPLETION));
            g.tenant_weight = c->weight[i];
            weir_ticket t = rig_add(r, &g);
            c->tenant_of[t] = (uint8_t)i;
        }
    }
}

static uint64_t work_so_far(const struct rig *r, const struct crowd *c, uint32_t tenant)
{
    uint64_t work = c->done[tenant];
    for (uint32_t t = 1; t <= r->n_jobs; t++) {
        const struct weir_job *job = r->jobs[t];
        if (job && c->tenant_of[t] == tenant) {
            work += 2 * job->completion_tokens +
                    (job->first_token_us ? job->prompt->n_tokens : job->sequences->n_computed);
        }
    }
    return work;
}

static void count_ended(const struct rig *r, struct crowd *c)
{
    for (uint32_t t = 1; t <= r->n_jobs; t++) {
        if (!r->jobs[t] && !c->counted[t]) {
            c->counted[t] = true;
            c->n_ended[c->tenant_of[t]]++;
            c->done[c->tenant_of[t]] +=
                2 * r->sink->streams[t].outcome.completion_tokens + r->generations[t].prompt.n;
        }
    }
}

static void served_work_follows_weights_over_any_long_window(void **state)
{
    (void)state;
    static struct rig r;
    static struct crowd c;
    for (uint32_t round = 0; round < 12; round++) {
        rng = 1234567 + round * 7919u;
        c = (struct crowd){.n_tenants = 2 + random_below(MAX_TENANTS - 1)};
        rig_init(&r);
        r.max_batch = 4 + random_below(8);
        r.max_step_tokens = r.max_batch + 32 + random_below(100);
        rig_open(&r);
        uint64_t weights = 0;
        for (uint32_t i = 0; i < c.n_tenants; i++) {
            c.weight[i] = 50 + random_below(300);
            weights += c.weight[i];
        }
        /* What may lie between two tenants: all that fits into the batch at a time, and a job. */
        const double bound = (r.max_batch + 1) * (MAX_PROMPT + 2.0 * MAX_COMPLETION);
        uint64_t before[MAX_TENANTS] = {0};
        bool full_window = false;
        for (uint32_t steps = 0; r.n_jobs + BACKLOG * MAX_TENANTS < RIG_JOBS; steps++) {
            keep_busy(&r, &c);
            run_round(&r);
            count_ended(&r, &c);
            if (steps % 400 != 399) {
                continue;
            }
            uint64_t work[MAX_TENANTS], total = 0;
            for (uint32_t i = 0; i < c.n_tenants; i++) {
                uint64_t now = work_so_far(&r, &c, i);
                work[i] = now - before[i];
                before[i] = now;
                total += work[i];
                assert_true(work[i] > 0);
            }
            for (uint32_t i = 0; full_window && i < c.n_tenants; i++) {
                double due = (double)total * c.weight[i] / (double)weights;
                if ((double)work[i] < due - bound || (double)work[i] > due + bound) {
                    fail_msg("round %u: tenant %u of weight %u/%llu has %llu of %llu, due %.0f +- "
                             "%.0f",
                             round, i, c.weight[i], (unsigned long long)weights,
                             (unsigned long long)work[i], (unsigned long long)total, due, bound);
                }
            }
            full_window = true;
        }
        assert_true(full_window);
        for (uint32_t i = 0; i < c.n_tenants; i++) {
            assert_true(c.n_ended[i] > 5);
        }
        cancel_all(&r);
    }
}

/* ---- bounds of time ---- */

/* The part of the time in which the tenant's sequences ran. */
static double time_part(struct rig *r, weir_ticket tickets[2], uint64_t for_us, double *ret_other)
{
    uint64_t began = r->backend.now_us, own = 0, other = 0;
    while (r->backend.now_us < began + for_us) {
        uint64_t tokens[2] = {r->jobs[tickets[0]]->completion_tokens,
                              tickets[1] ? r->jobs[tickets[1]]->completion_tokens : 0};
        uint64_t before = r->backend.now_us;
        int stepped = weir_scheduler_run(r->scheduler);
        uint64_t took = r->backend.now_us - before;
        bool ran[2] = {r->jobs[tickets[0]]->completion_tokens > tokens[0],
                       tickets[1] && r->jobs[tickets[1]]->completion_tokens > tokens[1]};
        own += ran[0] ? took / (1u + ran[1]) : 0;
        other += ran[1] ? took / (1u + ran[0]) : 0;
        if (!stepped) {
            uint64_t idle_us = weir_scheduler_idle_us(r->scheduler);
            assert_true(idle_us > 0); /* nobody is left hanging */
            atomic_fetch_add(&r->backend.now_us, idle_us);
        }
    }
    uint64_t passed = r->backend.now_us - began;
    *ret_other = (double)other / (double)passed;
    return (double)own / (double)passed;
}

static void a_hard_share_holds_also_alone(void **state)
{
    (void)state;
    static struct rig r;
    double other;
    rig_init(&r);
    r.backend.step_us = 7000;
    rig_open(&r);
    weir_generation g = request(&r, "capped", 20, 3000);
    g.tenant_share_ppm = 250000;
    g.tenant_is_capped = 1;
    weir_ticket tickets[2] = {rig_add(&r, &g), 0};
    double part = time_part(&r, tickets, 4000000, &other);
    assert_true(part > 0.22 && part < 0.27);
    cancel_all(&r);
}

static void a_share_holds_while_others_want_the_device(void **state)
{
    (void)state;
    static struct rig r;
    double other;
    rig_init(&r);
    r.backend.step_us = 7000;
    r.max_step_tokens = 300;
    rig_open(&r);
    weir_generation g = request(&r, "bounded", 20, 3500), h = request(&r, "free", 30, 3500);
    g.tenant_share_ppm = 200000;
    weir_ticket tickets[2] = {rig_add(&r, &g), 0};
    double part = time_part(&r, tickets, 2000000, &other);
    assert_true(part > 0.97); /* nobody else wants it */
    tickets[1] = rig_add(&r, &h);
    part = time_part(&r, tickets, 6000000, &other);
    assert_true(part > 0.15 && part < 0.25);
    assert_true(other > 0.74); /* no time is lost */
    cancel_all(&r);
}

/* ---- bounds of pages ---- */

static void a_tenant_stays_within_its_pages(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.backend.n_pages = 64;
    rig_open(&r);
    for (int i = 0; i < 6; i++) { /* 5 pages each, of 12 */
        weir_generation g = request(&r, "bounded", 40, 40);
        g.tenant_kv_bytes = 12 * WEIR_PAGE_TOKENS;
        rig_add(&r, &g);
    }
    weir_generation free = request(&r, "free", 40, 40);
    weir_ticket other = rig_add(&r, &free);
    uint32_t most = 0;
    for (int i = 0; i < 400; i++) {
        run_round(&r);
        weir_target_status st = rig_status(&r);
        uint32_t owned = st.pages_used + st.pages_cached;
        most = owned > most ? owned : most;
    }
    assert_true(most <= 12 + 5);
    rig_check(&r, other);
    for (weir_ticket t = 1; t <= 6; t++) {
        rig_check(&r, t);
    }
    rig_close(&r);
}

static void what_never_fits_is_refused(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    rig_open(&r);
    struct weir_prompt *prompt = NULL;
    weir_refusal refusal = {0};
    weir_generation g = request(&r, "bounded", 100, 100);
    g.tenant_kv_bytes = 12 * WEIR_PAGE_TOKENS;
    assert_int_equal(weir_prepare(&r.view, &g, &prompt, &refusal), WEIR_E_ARG);
    assert_string_equal(refusal.code, "kv_memory_exceeded");
    assert_string_equal(refusal.param, "max_tokens");
    g.max_tokens = 0; /* as many as fit */
    assert_int_equal(weir_prepare(&r.view, &g, &prompt, &refusal), 0);
    assert_int_equal(prompt->max_tokens, 12 * WEIR_PAGE_TOKENS - 100);
    weir_prompt_destroy(prompt);
    g = request(&r, "bounded", 200, 0);
    g.tenant_kv_bytes = 12 * WEIR_PAGE_TOKENS;
    assert_int_equal(weir_prepare(&r.view, &g, &prompt, &refusal), WEIR_E_ARG);
    assert_string_equal(refusal.param, "prompt");
    rig_close(&r);
}

/* ---- classes ---- */

static void waiting_lifts_a_class(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 1;
    r.backend.step_us = 50000;
    rig_open(&r);
    weir_generation batch = request(&r, "", 10, 20);
    batch.class_rank = 2;
    weir_ticket last = rig_add(&r, &batch);
    for (int i = 0; i < 900 && r.jobs[last]; i++) {
        if (r.n_live < 3) {
            weir_generation g = request(&r, "", 10, 10);
            g.class_rank = 0;
            rig_add(&r, &g);
        }
        run_round(&r);
    }
    assert_int_equal(r.sink->streams[last].n_finished, 1);
    cancel_all(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_leaves_a_quiet_tenant_its_first_token),
        cmocka_unit_test(a_slot_of_the_loud_one_is_given_up_at_once),
        cmocka_unit_test(who_yields_does_so_a_few_times_at_most),
        cmocka_unit_test(having_had_the_device_alone_is_no_debt),
        cmocka_unit_test(served_work_follows_weights_over_any_long_window),
        cmocka_unit_test(a_hard_share_holds_also_alone),
        cmocka_unit_test(a_share_holds_while_others_want_the_device),
        cmocka_unit_test(a_tenant_stays_within_its_pages),
        cmocka_unit_test(what_never_fits_is_refused),
        cmocka_unit_test(waiting_lifts_a_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
