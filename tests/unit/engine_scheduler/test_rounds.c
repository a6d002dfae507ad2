/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs when: prefix reuse, choices, priorities, fairness, preemption, pauses, pacing. */
#include <stdio.h>
#include <stdlib.h>

#include "rig.h"
#include "tests/support/cmocka.h"

static const char LONG_PROMPT[] =
    "The quick brown fox jumps over the lazy dog, and then it does the same thing all over again.";

/* Never ends by itself, so that tests know how long it runs. */
static weir_generation endless(const char *prompt, uint32_t max_tokens)
{
    weir_generation g = rig_completion(prompt, max_tokens);
    g.ignore_eos = 1;
    return g;
}

static void open_rig(struct rig *r)
{
    rig_init(r);
    rig_open(r);
}

static void a_repeated_prompt_comes_from_the_cache_but_for_its_tail(void **state)
{
    (void)state;
    static struct rig r;
    open_rig(&r);
    weir_generation g = endless(LONG_PROMPT, 5);
    weir_ticket first = rig_add(&r, &g);
    rig_run(&r, 100);
    weir_ticket second = rig_add(&r, &g);
    rig_run(&r, 100);
    g.tenant = weir_str_from("someone else");
    weir_ticket third = rig_add(&r, &g);
    rig_run(&r, 100);

    uint32_t full_pages = (uint32_t)(g.prompt.n - 1) / WEIR_PAGE_TOKENS;
    assert_int_equal(r.sink->streams[first].outcome.cached_tokens, 0);
    assert_int_equal(r.sink->streams[second].outcome.cached_tokens, full_pages * WEIR_PAGE_TOKENS);
    assert_int_equal(r.sink->streams[third].outcome.cached_tokens, 0);
    rig_check(&r, first);
    rig_check(&r, second);
    rig_check(&r, third);
    rig_close(&r);
}

static void prompts_that_arrive_together_are_computed_once(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_step_tokens = 32;
    rig_open(&r);
    weir_generation g = endless(LONG_PROMPT, 10);
    weir_ticket tickets[4];
    for (int i = 0; i < 4; i++) {
        tickets[i] = rig_add(&r, &g);
    }
    rig_run(&r, 200);
    uint32_t tail = (uint32_t)g.prompt.n - (uint32_t)(g.prompt.n - 1) / 16 * 16;
    /* But for the tails, and the page that one may have begun when another completes it. */
    assert_true(r.counters.prompt_tokens <= g.prompt.n + 3 * (tail + 16));
    for (int i = 0; i < 4; i++) {
        rig_check(&r, tickets[i]);
    }
    rig_close(&r);
}

static void the_last_prompt_token_is_always_computed(void **state)
{
    (void)state;
    static struct rig r;
    open_rig(&r);
    weir_generation g = endless("exactly 32 characters, two pages", 20);
    assert_int_equal(g.prompt.n, 32);
    rig_add(&r, &g);
    rig_run(&r, 100);
    weir_ticket again = rig_add(&r, &g);
    rig_run(&r, 100);
    assert_int_equal(r.sink->streams[again].outcome.cached_tokens, 16);
    rig_check(&r, again);
    rig_close(&r);
}

static void a_chat_that_goes_on_finds_its_own_answer_in_the_cache(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.backend.end_every = 0;
    rig_open(&r);
    weir_generation g = endless(LONG_PROMPT, 40);
    weir_ticket first = rig_add(&r, &g);
    rig_run(&r, 100);
    /* The answer's pages are found only when the next prompt spells the same tokens. */
    int32_t tokens[400];
    uint32_t n = (uint32_t)g.prompt.n;
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = (unsigned char)g.prompt.p[i];
    }
    for (uint32_t i = 0; i < 40; i++, n++) {
        tokens[n] = fake_backend_next(&r.backend, tokens, n, (uint32_t)g.prompt.n, &g.sampling);
    }
    weir_generation next = endless("", 5);
    next.prompt_tokens = tokens;
    next.n_prompt_tokens = n;
    weir_ticket second = rig_add(&r, &next);
    rig_run(&r, 100);
    assert_int_equal(r.sink->streams[first].n_finished, 1);
    /* The last sampled token was never computed. */
    assert_int_equal(r.sink->streams[second].outcome.cached_tokens, (n - 1) / 16 * 16);
    rig_close(&r);
}

static void choices_share_the_prompt_and_differ_by_seed(void **state)
{
    (void)state;
    static struct rig r;
    open_rig(&r);
    weir_generation g = endless(LONG_PROMPT, 30);
    g.n = 4;
    g.sampling.temperature = 1;
    g.sampling.seed = 7;
    weir_ticket t = rig_add(&r, &g);
    rig_run(&r, 200);

    uint32_t tail = (uint32_t)g.prompt.n - (uint32_t)(g.prompt.n - 1) / 16 * 16;
    assert_int_equal(r.counters.prompt_tokens, g.prompt.n + 3 * tail);
    assert_int_equal(r.sink->streams[t].outcome.cached_tokens, 0);
    assert_string_not_equal(r.sink->streams[t].choices[0].text, r.sink->streams[t].choices[1].text);
    rig_check(&r, t);
    rig_close(&r);
}

static void more_choices_than_the_batch_holds_take_turns(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 3;
    rig_open(&r);
    weir_generation g = endless(LONG_PROMPT, 10);
    g.n = 8;
    g.sampling.temperature = 1;
    weir_ticket t = rig_add(&r, &g);
    rig_run(&r, 500);
    rig_check(&r, t);
    rig_close(&r);
}

static void a_better_class_takes_the_place_of_a_worse_one(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 2;
    rig_open(&r);
    weir_generation batch = endless("background work", 200);
    batch.class_rank = 2;
    weir_ticket a = rig_add(&r, &batch), b = rig_add(&r, &batch);
    rig_run(&r, 20);
    weir_generation critical = endless("now", 5);
    critical.class_rank = 0;
    weir_ticket c = rig_add(&r, &critical);
    rig_run(&r, 8);

    assert_int_equal(r.sink->streams[c].n_finished, 1);
    assert_int_equal(r.counters.preemptions, 1);
    rig_run(&r, 1000);
    rig_check(&r, a);
    rig_check(&r, b);
    rig_check(&r, c);
    /* Its full pages were still there; computed again is the rest of a page at most, twice. */
    assert_true(r.counters.recomputed_tokens < 32);
    rig_close(&r);
}

static void an_equal_class_waits_and_priority_decides_who_is_next(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 1;
    rig_open(&r);
    weir_generation g = endless("first", 20);
    weir_ticket running = rig_add(&r, &g);
    rig_run(&r, 3);
    weir_ticket plain = rig_add(&r, &g);
    g.priority = -1;
    weir_ticket urgent = rig_add(&r, &g);

    rig_run(&r, 30);
    assert_int_equal(r.sink->streams[running].n_finished, 1);
    assert_int_equal(r.sink->streams[urgent].choices[0].n_chunks > 0, 1);
    assert_int_equal(r.sink->streams[plain].choices[0].n_chunks, 0);
    assert_int_equal(r.counters.preemptions, 0);
    rig_run(&r, 100);
    rig_check(&r, plain);
    rig_close(&r);
}

static void a_quiet_tenant_passes_a_busy_one(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 2;
    rig_open(&r);
    weir_generation noisy = endless("the noisy neighbour wants all of it", 20);
    noisy.tenant = weir_str_from("noisy");
    for (int i = 0; i < 40; i++) {
        rig_add(&r, &noisy);
    }
    rig_run(&r, 50);
    weir_generation quiet = endless("hello", 20);
    quiet.tenant = weir_str_from("quiet");
    weir_ticket first = rig_add(&r, &quiet), second = rig_add(&r, &quiet);
    /* Two places, each free again after about 20 steps; both tenants then share them. */
    rig_run(&r, 75);
    assert_int_equal(r.sink->streams[first].n_finished, 1);
    assert_int_equal(r.sink->streams[second].n_finished, 1);
    rig_run(&r, 2000);
    rig_close(&r);
}

static void when_pages_run_out_the_first_goes_on_and_the_last_is_computed_again(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.backend.n_pages = 16;
    r.backend.end_every = 0;
    rig_open(&r);
    for (int i = 0; i < 60; i++) { /* short answers: the next ones are predicted short, too */
        weir_generation g = endless("short", 1);
        rig_add(&r, &g);
        rig_run(&r, 2);
    }
    /* Each needs 13 pages of 16. */
    static const char *const prompts[] = {"one", "two", "three"};
    weir_ticket tickets[3];
    for (int i = 0; i < 3; i++) {
        weir_generation g = endless(prompts[i], 200);
        tickets[i] = rig_add(&r, &g);
    }
    uint64_t limit = 0;
    while (r.sink->streams[tickets[0]].n_finished == 0 && limit++ < 1000) {
        rig_run(&r, 1);
    }
    /* Served at once and never thrown out: one step per token, and the pacing's odd step. */
    assert_true(limit <= 210);
    rig_run(&r, 2000);
    for (int i = 0; i < 3; i++) {
        rig_check(&r, tickets[i]);
    }
    assert_true(r.counters.preemptions >= 1);
    assert_true(r.counters.preemptions <= 3); /* no thrashing */
    rig_close(&r);
}

static void a_full_reader_pauses_only_its_own_stream(void **state)
{
    (void)state;
    static struct rig r;
    open_rig(&r);
    weir_generation g = endless("reader", 50);
    weir_ticket slow = rig_add(&r, &g), quick = rig_add(&r, &g);
    fake_sink_set_busy(r.sink, slow, UINT32_MAX);
    rig_run(&r, 200);
    assert_int_equal(r.sink->streams[quick].n_finished, 1);
    assert_int_equal(r.sink->streams[slow].choices[0].n_chunks, 0);
    assert_int_equal(r.counters.completion_tokens, 50 + 1); /* nothing is computed ahead */

    fake_sink_set_busy(r.sink, slow, 0);
    weir_scheduler_wake(r.scheduler, r.jobs[slow]);
    rig_run(&r, 200);
    rig_check(&r, slow);
    rig_close(&r);
}

static void a_paused_stream_gives_up_its_pages_when_they_are_needed(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.backend.n_pages = 8;
    rig_open(&r);
    weir_generation g = endless(LONG_PROMPT, 20); /* 6 to 8 pages */
    weir_ticket slow = rig_add(&r, &g);
    fake_sink_set_busy(r.sink, slow, UINT32_MAX);
    rig_run(&r, 50);
    weir_generation other =
        endless("another prompt that is not shared with the first one at all", 30);
    weir_ticket quick = rig_add(&r, &other);
    rig_run(&r, 100);
    assert_int_equal(r.sink->streams[quick].n_finished, 1);
    assert_int_equal(r.counters.preemptions, 1);

    fake_sink_set_busy(r.sink, slow, 0);
    weir_scheduler_wake(r.scheduler, r.jobs[slow]);
    rig_run(&r, 100);
    rig_check(&r, slow);
    rig_check(&r, quick);
    rig_close(&r);
}

static void cancel_frees_everything_in_every_state(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.max_batch = 3;
    r.max_step_tokens = 16;
    rig_open(&r);
    weir_generation g = endless(LONG_PROMPT, 50);
    weir_ticket decoding = rig_add(&r, &g);
    rig_run(&r, 10);
    weir_generation h = endless("paused", 50);
    weir_ticket paused = rig_add(&r, &h);
    fake_sink_set_busy(r.sink, paused, UINT32_MAX);
    rig_run(&r, 5);
    weir_generation fresh = endless("a prompt that takes several steps to compute, for sure", 50);
    weir_ticket prefilling = rig_add(&r, &fresh);
    rig_run(&r, 1);
    weir_ticket waiting = rig_add(&r, &h);
    const weir_ticket all[] = {decoding, paused, prefilling, waiting};
    for (size_t i = 0; i < 4; i++) {
        weir_scheduler_cancel(r.scheduler, r.jobs[all[i]]);
    }
    uint64_t steps = r.counters.steps;
    (void)rig_run(&r, 10);
    assert_int_equal(r.counters.steps, steps);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(r.sink->streams[all[i]].outcome.rc, WEIR_E_CANCELLED);
    }
    assert_int_equal(r.counters.cancelled, 4);
    rig_close(&r);
}

static void a_reader_that_is_gone_ends_the_work_in_that_step(void **state)
{
    (void)state;
    static struct rig r;
    open_rig(&r);
    weir_generation g = endless("gone", 50);
    weir_ticket t = rig_add(&r, &g);
    rig_run(&r, 5);
    fake_sink_set_gone(r.sink, t);
    /* Or in the next one, when the text of that step's token comes behind it. */
    assert_int_equal(rig_run(&r, 50), r.in_halves ? 2 : 1);
    assert_int_equal(r.sink->streams[t].outcome.rc, WEIR_E_CANCELLED);
    rig_close(&r);
}

static void a_failure_of_one_sequence_leaves_the_others_alone(void **state)
{
    (void)state;
    static struct rig r;
    open_rig(&r);
    weir_generation g = endless(LONG_PROMPT, 30);
    weir_ticket bad = rig_add(&r, &g);
    weir_generation h = endless("good", 30);
    weir_ticket good = rig_add(&r, &h);
    rig_run(&r, 5);
    r.backend.fail_slot = 0;
    rig_run(&r, 1);
    r.backend.fail_slot = -1;
    rig_run(&r, 100);
    assert_int_equal(r.sink->streams[bad].outcome.rc, WEIR_E_DEVICE);
    rig_check(&r, good);
    rig_close(&r);
}

static char long_text[4001];

/* The longest gap of one running stream while a 4,000-token prompt arrives, over its usual one. */
static double stretch_by_long_prompt(uint64_t step_us, uint64_t row_us, uint64_t prompt_token_us)
{
    static struct rig r;
    rig_init(&r);
    r.backend.n_ctx = 8192;
    r.backend.step_us = step_us;
    r.backend.decode_row_us = row_us;
    r.backend.prompt_token_us = prompt_token_us;
    r.max_step_tokens = 512;
    rig_open(&r);
    weir_generation g = endless("stream", 6000);
    weir_ticket stream = rig_add(&r, &g);
    rig_run(&r, 50);
    memset(long_text, 'x', sizeof(long_text) - 1);
    weir_generation h = endless(long_text, 3);
    weir_ticket late = rig_add(&r, &h);
    uint64_t begin = r.backend.now_us;
    uint64_t longest_us = 0;
    while (r.sink->streams[late].n_finished == 0) {
        uint64_t before_us = r.backend.now_us;
        uint64_t n_tokens = r.jobs[stream]->completion_tokens;
        rig_run(&r, 1);
        assert_int_equal(r.jobs[stream]->completion_tokens, n_tokens + 1);
        uint64_t took_us = r.backend.now_us - before_us;
        longest_us = took_us > longest_us ? took_us : longest_us;
    }
    /* The prompt is not starved either: about half of the time goes into it. */
    uint64_t took_us = r.backend.now_us - begin;
    assert_true(took_us < 4000 * prompt_token_us * 3 + 20 * (step_us + row_us));
    weir_scheduler_cancel(r.scheduler, r.jobs[stream]);
    rig_run(&r, 5);
    rig_close(&r);
    return (double)longest_us / (double)(step_us + row_us);
}

static void text_is_made_while_the_next_step_runs(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.in_halves = true;
    r.backend.end_every = 0;
    rig_open(&r);
    weir_generation g = endless("abc", 3);
    weir_ticket t = rig_add(&r, &g);
    const uint64_t *n_counted = &r.counters.completion_tokens;
    const struct fake_choice *c = &r.sink->streams[t].choices[0];
    for (uint32_t n = 1; n < 3; n++) {
        assert_int_equal(rig_run(&r, 1), 1);
        assert_int_equal(*n_counted, n);
        assert_int_equal(c->n_tokens, n - 1);
    }
    assert_int_equal(rig_run(&r, 1), 1); /* nothing comes behind the last one */
    assert_int_equal(c->n_tokens, 3);
    assert_int_equal(rig_run(&r, 1), 0);
    rig_check(&r, t);
    rig_close(&r);
}

static void a_long_prompt_does_not_hold_up_a_stream(void **state)
{
    (void)state;
    static const struct {
        uint64_t step_us, row_us, prompt_token_us;
    } machines[] = {
        {3000, 200, 400}, {1000, 10, 10}, {20000, 100, 30}, {3000, 200, 1200}, {500, 500, 700},
    };
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
        double stretch = stretch_by_long_prompt(machines[i].step_us, machines[i].row_us,
                                                machines[i].prompt_token_us);
        if (stretch >= 3) {
            fail_msg("machine %zu: the longest gap is %.1f times the usual", i, stretch);
        }
    }
}

/* A stream runs, and a long prompt is in pieces beside it. */
static weir_ticket open_with_prompt_in_pieces(struct rig *r, weir_ticket *ret_stream)
{
    rig_init(r);
    r->in_halves = false;
    r->in_pieces = true;
    r->backend.prompt_token_us = 1000;
    rig_open(r);
    static weir_generation stream, late;
    stream = endless("stream", 60);
    *ret_stream = rig_add(r, &stream);
    rig_run(r, 5);
    late = endless(LONG_PROMPT, 5);
    weir_ticket t = rig_add(r, &late);
    uint64_t n_tokens = r->counters.completion_tokens;
    rig_run(r, 3);
    assert_int_equal(r->counters.completion_tokens, n_tokens + 3); /* the stream went on */
    assert_int_equal(r->backend.n_prefills, 1);
    assert_true(r->backend.n_pieces >= 3);
    assert_true(r->jobs[t]->sequences[0].in_pieces);
    return t;
}

static void a_prompt_in_pieces_is_computed_beside_the_streams(void **state)
{
    (void)state;
    static struct rig r;
    weir_ticket stream, t = open_with_prompt_in_pieces(&r, &stream);
    rig_run(&r, 1000);
    assert_true(r.backend.n_prefills >= 2 && r.backend.n_pieces > 4 * r.backend.n_prefills);
    assert_int_equal(r.backend.n_dropped, 0);
    rig_check(&r, stream);
    rig_check(&r, t);
    rig_close(&r);
}

static void a_prompt_in_pieces_is_dropped_when_its_client_leaves(void **state)
{
    (void)state;
    static struct rig r;
    weir_ticket stream, t = open_with_prompt_in_pieces(&r, &stream);
    weir_scheduler_cancel(r.scheduler, r.jobs[t]);
    rig_run(&r, 1);
    assert_int_equal(r.backend.n_dropped, 1);
    assert_int_equal(r.sink->streams[t].outcome.rc, WEIR_E_CANCELLED);
    rig_run(&r, 1000);
    rig_check(&r, stream);
    rig_close(&r);
}

static void a_prompt_in_pieces_goes_on_when_the_streams_end(void **state)
{
    (void)state;
    static struct rig r;
    weir_ticket stream, t = open_with_prompt_in_pieces(&r, &stream);
    weir_scheduler_cancel(r.scheduler, r.jobs[stream]);
    rig_run(&r, 1000);
    assert_int_equal(r.backend.n_dropped, 0);
    rig_check(&r, t);
    rig_close(&r);
}

static void the_device_s_time_is_shared_by_tokens(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.backend.step_us = 1000;
    rig_open(&r);
    uint64_t begin_us = r.backend.now_us;
    weir_generation g = endless(LONG_PROMPT, 40), h = endless("another prompt", 10);
    weir_ticket first = rig_add(&r, &g), second = rig_add(&r, &h);
    rig_run(&r, 1000);

    uint64_t all_us = r.backend.now_us - begin_us;
    uint64_t first_us = r.sink->streams[first].outcome.device_us;
    uint64_t second_us = r.sink->streams[second].outcome.device_us;
    assert_true(first_us > second_us && second_us > 0);
    assert_true(first_us + second_us <= all_us);
    assert_true(first_us + second_us + 2 + r.counters.steps / 1000 >= all_us); /* rounding */
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeated_prompt_comes_from_the_cache_but_for_its_tail),
        cmocka_unit_test(a_prompt_in_pieces_is_computed_beside_the_streams),
        cmocka_unit_test(a_prompt_in_pieces_is_dropped_when_its_client_leaves),
        cmocka_unit_test(a_prompt_in_pieces_goes_on_when_the_streams_end),
        cmocka_unit_test(the_device_s_time_is_shared_by_tokens),
        cmocka_unit_test(prompts_that_arrive_together_are_computed_once),
        cmocka_unit_test(the_last_prompt_token_is_always_computed),
        cmocka_unit_test(a_chat_that_goes_on_finds_its_own_answer_in_the_cache),
        cmocka_unit_test(choices_share_the_prompt_and_differ_by_seed),
        cmocka_unit_test(more_choices_than_the_batch_holds_take_turns),
        cmocka_unit_test(a_better_class_takes_the_place_of_a_worse_one),
        cmocka_unit_test(an_equal_class_waits_and_priority_decides_who_is_next),
        cmocka_unit_test(a_quiet_tenant_passes_a_busy_one),
        cmocka_unit_test(when_pages_run_out_the_first_goes_on_and_the_last_is_computed_again),
        cmocka_unit_test(a_full_reader_pauses_only_its_own_stream),
        cmocka_unit_test(a_paused_stream_gives_up_its_pages_when_they_are_needed),
        cmocka_unit_test(cancel_frees_everything_in_every_state),
        cmocka_unit_test(a_reader_that_is_gone_ends_the_work_in_that_step),
        cmocka_unit_test(a_failure_of_one_sequence_leaves_the_others_alone),
        cmocka_unit_test(text_is_made_while_the_next_step_runs),
        cmocka_unit_test(a_long_prompt_does_not_hold_up_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
