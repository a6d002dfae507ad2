/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_completion_comes_from_submit_to_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
