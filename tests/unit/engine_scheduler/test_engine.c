/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "reference.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_backend.h"
#include "tests/support/fake_sink.h"

struct fixture {
    struct fake_backend backend;
    struct fake_sink *sink;
    struct weir_engine *engine;
    const weir_backend_stream *stream;
};

static void open_fixture(struct fixture *f)
{
    struct weir_engine_config config = {
        .backend = fake_backend(),
        .host = &f->backend.host,
        .max_batch = 4,
        .max_step_tokens = 64,
        .stall_limit_ms = 1000,
        .reload_ms = 1,
    };
    f->sink = fake_sink_create();
    f->stream = weir_engine_stream();
    struct weir_error err = {0};
    assert_int_equal(weir_engine_create(&config, &f->sink->sink, &f->engine, &err), 0);
}

static weir_target_status status_of(struct fixture *f)
{
    weir_target_status st = {.struct_size = sizeof(st)};
    f->stream->status(f->engine, &st);
    return st;
}

/* notify() is promised at every change of state, so there is no need to poll by time. */
static void wait_for_state(struct fixture *f, enum weir_target_state state)
{
    uint32_t seen = 0;
    for (;;) {
        if (status_of(f).state == (uint32_t)state) {
            return;
        }
        pthread_mutex_lock(&f->sink->lock);
        while (f->sink->n_notifies == seen) {
            pthread_cond_wait(&f->sink->changed, &f->sink->lock);
        }
        seen = f->sink->n_notifies;
        pthread_mutex_unlock(&f->sink->lock);
    }
}

static void start(struct fixture *f)
{
    fake_backend_init(&f->backend);
    open_fixture(f);
    wait_for_state(f, WEIR_TARGET_READY);
}

static void stop(struct fixture *f)
{
    f->stream->close(f->engine);
    assert_int_equal(f->sink->n_violations, 0);
    assert_int_equal(f->backend.n_violations, 0);
    assert_int_equal(f->backend.n_loads - f->backend.n_unloads, 0);
    fake_sink_destroy(f->sink);
    fake_backend_finish(&f->backend);
}

static weir_generation completion(const char *prompt, uint32_t max_tokens)
{
    return (weir_generation){
        .struct_size = sizeof(weir_generation),
        .kind = WEIR_GENERATION_COMPLETION,
        .class_rank = 1,
        .prompt = weir_str_from(prompt),
        .max_tokens = max_tokens,
        .n = 1,
    };
}

static void submit(struct fixture *f, const weir_generation *g, weir_ticket ticket)
{
    weir_prepared prepared = {.struct_size = sizeof(prepared)};
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    assert_int_equal(f->stream->prepare(f->engine, g, &prepared, &refusal), 0);
    assert_int_equal(f->stream->submit(f->engine, g, &prepared, ticket), 0);
}

static void check_answer(struct fixture *f, const weir_generation *g, weir_ticket ticket)
{
    int32_t prompt[4096];
    for (size_t i = 0; i < g->prompt.n; i++) {
        prompt[i] = (unsigned char)g->prompt.p[i];
    }
    const struct fake_stream *s = &f->sink->streams[ticket];
    assert_int_equal(s->n_finished, 1);
    assert_int_equal(s->outcome.rc, 0);
    for (uint32_t i = 0; i < g->n; i++) {
        struct reference want =
            reference_run(&f->backend, g, prompt, (uint32_t)g->prompt.n, g->max_tokens, i);
        assert_string_equal(s->choices[i].text, want.text);
        assert_int_equal(s->choices[i].finish, want.finish);
        assert_int_equal(s->choices[i].n_tokens, want.n_tokens);
        free(want.text);
    }
}

static void a_completion_comes_from_submit_to_finish(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    weir_generation g = completion("Once upon a time there was a very small test", 100);

    submit(&f, &g, 1);
    assert_true(fake_sink_wait(f.sink, 1, 0));

    check_answer(&f, &g, 1);
    assert_int_equal(f.sink->streams[1].outcome.prompt_tokens, g.prompt.n);
    stop(&f);
}

static void several_at_once_answer_as_alone(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    static char prompts[6][40];
    weir_generation g[6];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(prompts[i], sizeof(prompts[i]), "prompt number %d of several", i);
        g[i] = completion(prompts[i], 60);
        submit(&f, &g[i], (weir_ticket)i + 1);
    }
    for (int i = 0; i < 6; i++) {
        assert_true(fake_sink_wait(f.sink, (weir_ticket)i + 1, 0));
        check_answer(&f, &g[i], (weir_ticket)i + 1);
    }
    weir_target_status st = status_of(&f);
    assert_int_equal(st.n_vocab, FAKE_N_VOCAB);
    assert_string_equal(st.arch, "fake");
    stop(&f);
}

static void chat_without_a_template_joins_the_messages(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    static const struct {
        const char *json;
        uint32_t n_tokens; /* the fake backend has one token per byte */
    } cases[] = {
        {"[{\"role\":\"user\",\"content\":\"hello\"}]", 5},
        {"[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\"hi\"}]", 5},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"abc\"},"
         "{\"type\":\"text\",\"text\":\"d\"}]}]",
         4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_generation g = completion("", 10);
        g.kind = WEIR_GENERATION_CHAT;
        g.messages_json = weir_str_from(cases[i].json);
        weir_prepared prepared = {.struct_size = sizeof(prepared)};
        weir_refusal refusal = {.struct_size = sizeof(refusal)};
        assert_int_equal(f.stream->prepare(f.engine, &g, &prepared, &refusal), 0);
        assert_int_equal(prepared.prompt_tokens, cases[i].n_tokens);
        f.stream->discard(f.engine, prepared.state);
    }
    stop(&f);
}

static void what_cannot_be_done_is_refused_by_name(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    static char too_long[5000];
    memset(too_long, 'x', sizeof(too_long) - 1);
    static const weir_logit_bias bias[] = {{5, 1.0f}, {FAKE_N_VOCAB, 1.0f}};
    static const int32_t tokens[] = {1, -1};
    struct {
        weir_generation g;
        const char *param, *code;
    } cases[] = {
        {completion(too_long, 1), "prompt", "context_length_exceeded"},
        {completion("short", 4096), "max_tokens", "context_length_exceeded"},
        {completion("", 1), "prompt", ""},
        {completion("x", 1), "logit_bias", ""},
        {completion("", 1), "prompt", ""},
        {completion("x", 1), "response_format", ""},
        {completion("x", 1), "tools", "unsupported_parameter"},
        {completion("x", 1), "echo", "unsupported_parameter"},
        {completion("x", 1), "model", "model_not_supported"},
    };
    cases[3].g.sampling.bias = bias;
    cases[3].g.sampling.n_bias = 2;
    cases[4].g.prompt_tokens = tokens;
    cases[4].g.n_prompt_tokens = 2;
    cases[5].g.format = WEIR_FORMAT_JSON_SCHEMA;
    cases[5].g.schema_json = weir_str_from("{\"type\":\"nothing\"}");
    cases[6].g.tools_json = weir_str_from("[{}]");
    cases[6].g.tool_choice = WEIR_TOOLS_AUTO;
    cases[7].g.echo = cases[7].g.want_logprobs = 1;
    cases[8].g.kind = WEIR_GENERATION_EMBEDDING;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_prepared prepared = {.struct_size = sizeof(prepared)};
        weir_refusal refusal = {.struct_size = sizeof(refusal)};
        assert_int_equal(f.stream->prepare(f.engine, &cases[i].g, &prepared, &refusal), WEIR_E_ARG);
        assert_int_equal(refusal.status, 400);
        assert_string_equal(refusal.param, cases[i].param);
        assert_string_equal(refusal.code, cases[i].code);
        assert_true(strlen(refusal.message) > 10);
    }
    stop(&f);
}

static void without_max_tokens_as_many_as_fit_are_allowed(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    weir_generation g = completion("12345", 0);
    weir_prepared prepared = {.struct_size = sizeof(prepared)};
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    assert_int_equal(f.stream->prepare(f.engine, &g, &prepared, &refusal), 0);
    assert_int_equal(prepared.max_tokens, 4096 - 5);
    f.stream->discard(f.engine, prepared.state);
    stop(&f);
}

static void a_full_engine_says_busy_and_takes_more_later(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    fake_backend_block(&f.backend, true);
    weir_generation g = completion("busy", 30);
    weir_prepared prepared = {.struct_size = sizeof(prepared)};
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    weir_ticket n = 0;
    int r = 0;
    while (r == 0) {
        assert_int_equal(f.stream->prepare(f.engine, &g, &prepared, &refusal), 0);
        r = f.stream->submit(f.engine, &g, &prepared, n + 1);
        n += r == 0;
    }
    assert_int_equal(r, WEIR_E_BUSY);
    weir_target_status status = status_of(&f);
    assert_int_equal(n, status.max_sequences[0] + status.max_extra);
    assert_true(status.max_sequences[0] > status.max_sequences[1]);
    assert_true(status.max_sequences[1] > status.max_sequences[2]);

    fake_backend_block(&f.backend, false);
    for (weir_ticket t = 1; t <= n; t++) {
        assert_true(fake_sink_wait(f.sink, t, 0));
    }
    assert_int_equal(f.stream->submit(f.engine, &g, &prepared, n + 1), 0);
    assert_true(fake_sink_wait(f.sink, n + 1, 0));
    stop(&f);
}

static void cancel_and_wake_reach_the_engine_from_other_threads(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    weir_generation g = completion("cancel me", 4000);
    g.ignore_eos = 1;
    weir_generation h = completion("pause me", 50);
    fake_sink_set_busy(f.sink, 2, 1);
    submit(&f, &g, 1);
    submit(&f, &h, 2);
    assert_true(fake_sink_wait_refused(f.sink, 2));
    f.stream->wake(f.engine, 2);
    f.stream->wake(f.engine, 77); /* unknown: ignored */
    assert_true(fake_sink_wait(f.sink, 2, 0));
    assert_true(fake_sink_wait(f.sink, 1, 3));
    f.stream->cancel(f.engine, 1);
    assert_true(fake_sink_wait(f.sink, 1, 0));
    f.stream->cancel(f.engine, 1); /* over: ignored */

    assert_int_equal(f.sink->streams[1].outcome.rc, WEIR_E_CANCELLED);
    check_answer(&f, &h, 2);
    stop(&f);
}

static void a_failed_step_ends_its_jobs_and_the_model_is_loaded_again(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    fake_backend_block(&f.backend, true);
    weir_generation g = completion("fails", 100);
    submit(&f, &g, 1);
    submit(&f, &g, 2);
    atomic_store(&f.backend.fail_in_steps, 1);
    fake_backend_block(&f.backend, false);
    assert_true(fake_sink_wait(f.sink, 1, 0));
    assert_true(fake_sink_wait(f.sink, 2, 0));
    assert_int_equal(f.sink->streams[1].outcome.rc, WEIR_E_DEVICE);
    assert_int_equal(f.sink->streams[2].outcome.rc, WEIR_E_DEVICE);

    wait_for_state(&f, WEIR_TARGET_READY);
    assert_int_equal(f.backend.n_loads, 2);
    submit(&f, &g, 3);
    assert_true(fake_sink_wait(f.sink, 3, 0));
    check_answer(&f, &g, 3);
    stop(&f);
}

static void a_model_that_cannot_be_loaded_shows_why(void **state)
{
    (void)state;
    struct fixture f;
    fake_backend_init(&f.backend);
    atomic_store(&f.backend.load_fails, 1);
    f.backend.load_rc = WEIR_E_FORMAT;
    open_fixture(&f);
    wait_for_state(&f, WEIR_TARGET_FAILED);
    assert_string_equal(status_of(&f).error, "told to fail");
    weir_generation g = completion("x", 1);
    weir_prepared prepared = {.struct_size = sizeof(prepared)};
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    assert_int_equal(f.stream->prepare(f.engine, &g, &prepared, &refusal), WEIR_E_BUSY);
    f.stream->close(f.engine); /* also out of the wait that has no end */
    assert_int_equal(f.backend.n_loads, 1);
    fake_sink_destroy(f.sink);
    fake_backend_finish(&f.backend);
}

static void open_with_spare(struct fixture *f, struct fake_backend *spare)
{
    struct weir_engine_config config = {
        .backend = fake_backend(),
        .host = &f->backend.host,
        .spare = fake_backend(),
        .spare_host = &spare->host,
        .max_batch = 4,
        .max_step_tokens = 64,
        .reload_ms = 1,
    };
    f->sink = fake_sink_create();
    f->stream = weir_engine_stream();
    struct weir_error err = {0};
    assert_int_equal(weir_engine_create(&config, &f->sink->sink, &f->engine, &err), 0);
    wait_for_state(f, WEIR_TARGET_READY);
}

static void a_spare_takes_over_where_the_model_cannot_be_loaded(void **state)
{
    (void)state;
    struct fixture f;
    struct fake_backend spare;
    fake_backend_init(&f.backend);
    fake_backend_init(&spare);
    atomic_store(&f.backend.load_fails, 1);
    f.backend.load_rc = WEIR_E_NOMEM;
    open_with_spare(&f, &spare);
    assert_int_equal(f.backend.n_loads, 1);
    assert_int_equal(spare.n_loads, 1);
    weir_generation g = completion("hello", 5);
    submit(&f, &g, 1);
    assert_true(fake_sink_wait(f.sink, 1, 0));
    assert_int_equal(f.sink->streams[1].outcome.rc, 0);
    f.stream->close(f.engine);
    assert_int_equal(f.sink->n_violations, 0);
    assert_int_equal(spare.n_unloads, 1);
    fake_sink_destroy(f.sink);
    fake_backend_finish(&spare);
    fake_backend_finish(&f.backend);
}

static void a_spare_takes_over_from_a_device_that_does_not_come_back(void **state)
{
    (void)state;
    struct fixture f;
    struct fake_backend spare;
    fake_backend_init(&f.backend);
    fake_backend_init(&spare);
    open_with_spare(&f, &spare);
    assert_int_equal(spare.n_loads, 0);
    atomic_store(&f.backend.load_fails, 3);
    f.backend.load_rc = WEIR_E_DEVICE;
    atomic_store(&f.backend.fail_in_steps, 1);
    weir_generation g = completion("fails", 100);
    submit(&f, &g, 1);
    assert_true(fake_sink_wait(f.sink, 1, 0));
    assert_int_equal(f.sink->streams[1].outcome.rc, WEIR_E_DEVICE);

    wait_for_state(&f, WEIR_TARGET_READY);
    assert_int_equal(f.backend.n_loads, 4);
    assert_int_equal(spare.n_loads, 1);
    f.stream->close(f.engine);
    assert_int_equal(f.sink->n_violations, 0);
    assert_int_equal(spare.n_unloads, 1);
    fake_sink_destroy(f.sink);
    fake_backend_finish(&spare);
    fake_backend_finish(&f.backend);
}

static void close_ends_what_runs_also_in_the_middle_of_a_step(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    fake_backend_block(&f.backend, true);
    weir_generation g = completion("endless", 4000);
    for (weir_ticket t = 1; t <= 5; t++) {
        submit(&f, &g, t);
    }
    f.stream->close(f.engine);
    for (weir_ticket t = 1; t <= 5; t++) {
        assert_int_equal(f.sink->streams[t].n_finished, 1);
        assert_int_equal(f.sink->streams[t].outcome.rc, WEIR_E_CANCELLED);
    }
    assert_int_equal(f.backend.n_violations, 0);
    assert_int_equal(f.backend.n_loads - f.backend.n_unloads, 0);
    fake_sink_destroy(f.sink);
    fake_backend_finish(&f.backend);
}

static void a_step_that_hangs_shows_as_stalled(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    atomic_fetch_add(&f.backend.now_us, 3600u * 1000000u); /* idling for an hour is no stall */
    while (status_of(&f).state != WEIR_TARGET_READY) {
        sched_yield(); /* the first round, which has nothing to do, may still be ending */
    }
    fake_backend_block(&f.backend, true);
    weir_generation g = completion("hangs", 10);
    submit(&f, &g, 1);
    while (atomic_load(&f.backend.n_waiting) == 0) {
        sched_yield();
    }
    assert_int_equal(status_of(&f).state, WEIR_TARGET_READY);
    atomic_fetch_add(&f.backend.now_us, 501u * 1000u);
    assert_int_equal(status_of(&f).state, WEIR_TARGET_STALLED);
    fake_backend_block(&f.backend, false);
    assert_true(fake_sink_wait(f.sink, 1, 0));
    stop(&f);
}

static void a_step_that_never_returns_ends_its_requests_and_is_waited_for(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    atomic_store(&f.backend.is_deaf, true);
    fake_backend_block(&f.backend, true);
    weir_generation g = completion("hangs", 10);
    weir_logit_bias bias = {.token = 65, .bias = 1};
    g.sampling.bias = &bias;
    g.sampling.n_bias = 1;
    submit(&f, &g, 1);
    while (atomic_load(&f.backend.n_waiting) == 0) {
        sched_yield();
    }
    weir_generation later = completion("waits", 10);
    submit(&f, &later, 2); /* never looked at by the engine */
    atomic_fetch_add(&f.backend.now_us, 1001u * 1000u);
    assert_true(fake_sink_wait(f.sink, 1, 0));
    assert_true(fake_sink_wait(f.sink, 2, 0));
    memset(&g, 0x5a, sizeof(g)); /* the host may free them now */
    memset(&later, 0x5a, sizeof(later));
    memset(&bias, 0x5a, sizeof(bias));
    assert_int_equal(f.sink->streams[1].outcome.rc, WEIR_E_TIMEOUT);
    assert_int_equal(f.sink->streams[2].outcome.rc, WEIR_E_TIMEOUT);
    assert_int_equal(status_of(&f).state, WEIR_TARGET_FAILED);
    assert_non_null(strstr(status_of(&f).error, "has not finished a step"));
    weir_generation refused = completion("refused", 10);
    weir_prepared prepared = {.struct_size = sizeof(prepared)};
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    assert_int_equal(f.stream->prepare(f.engine, &refused, &prepared, &refusal), 0);
    assert_int_equal(f.stream->submit(f.engine, &refused, &prepared, 3), WEIR_E_BUSY);
    f.stream->discard(f.engine, prepared.state);

    fake_backend_block(&f.backend, false);
    atomic_store(&f.backend.is_deaf, false);
    wait_for_state(&f, WEIR_TARGET_READY);
    weir_generation again = completion("again", 10);
    submit(&f, &again, 4);
    assert_true(fake_sink_wait(f.sink, 4, 0));
    check_answer(&f, &again, 4);
    assert_int_equal(f.sink->streams[1].n_finished, 1);
    assert_int_equal(f.sink->streams[2].n_finished, 1);
    stop(&f);
}

static void tokenize_and_detokenize_are_inverse(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    int32_t tokens[16];
    char text[16];
    assert_int_equal(f.stream->tokenize(f.engine, weir_str_from("hello"), 1, tokens, 16), 5);
    assert_int_equal(f.stream->detokenize(f.engine, tokens, 5, text, sizeof(text)), 5);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(f.stream->detokenize(f.engine, tokens, 5, text, 3), 5);
    assert_int_equal(f.stream->tokenize(f.engine, weir_str_from("hello"), 1, tokens, 2), 5);
    tokens[1] = FAKE_N_VOCAB;
    assert_int_equal(f.stream->detokenize(f.engine, tokens, 2, text, sizeof(text)), WEIR_E_ARG);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_completion_comes_from_submit_to_finish),
        cmocka_unit_test(several_at_once_answer_as_alone),
        cmocka_unit_test(chat_without_a_template_joins_the_messages),
        cmocka_unit_test(what_cannot_be_done_is_refused_by_name),
        cmocka_unit_test(without_max_tokens_as_many_as_fit_are_allowed),
        cmocka_unit_test(a_full_engine_says_busy_and_takes_more_later),
        cmocka_unit_test(cancel_and_wake_reach_the_engine_from_other_threads),
        cmocka_unit_test(a_failed_step_ends_its_jobs_and_the_model_is_loaded_again),
        cmocka_unit_test(a_model_that_cannot_be_loaded_shows_why),
        cmocka_unit_test(a_spare_takes_over_where_the_model_cannot_be_loaded),
        cmocka_unit_test(a_spare_takes_over_from_a_device_that_does_not_come_back),
        cmocka_unit_test(close_ends_what_runs_also_in_the_middle_of_a_step),
        cmocka_unit_test(a_step_that_hangs_shows_as_stalled),
        cmocka_unit_test(a_step_that_never_returns_ends_its_requests_and_is_waited_for),
        cmocka_unit_test(tokenize_and_detokenize_are_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
