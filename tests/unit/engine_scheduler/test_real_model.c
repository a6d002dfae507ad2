/* SPDX-License-Identifier: Apache-2.0 */
/* The engine with the CPU backend and a real model: the same tokens however they are scheduled. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_sink.h"
#include "weir/plugin.h"

enum { N_PROMPTS = 8, N_TOKENS = 24, SKIPPED = 77 };

static char model_file[4096];

static const char *const prompts[N_PROMPTS] = {
    "Once upon a time",
    "The three laws of motion are these: first, a body stays at rest or moves on unless a force",
    "def fibonacci(n):\n    \"\"\"Returns the n-th number of the sequence.\"\"\"\n",
    "Ingredients for a simple bread: flour, water, salt and yeast. Mix them well, let the dough",
    "Paris is the capital of France, Berlin is the capital of Germany, Rome is the capital of "
    "Italy, and Madrid is the capital of Spain. The capital of Portugal is",
    "1, 2, 3, 4,",
    "Dear Sir or Madam,\n\nI am writing to complain about",
    "Paris is the capital of France, Berlin is the capital of Germany, Rome is the capital of "
    "Italy, and Madrid is the capital of Spain. A country without a capital is",
};

struct run {
    struct weir_engine *engine;
    struct fake_sink *sink;
    weir_generation generations[4 * N_PROMPTS];
    weir_ticket n;
};

static void wait_until_ready(struct run *r)
{
    weir_target_status st = {.struct_size = sizeof(st)};
    uint32_t seen = 0;
    weir_engine_stream()->status(r->engine, &st);
    while (st.state == WEIR_TARGET_LOADING) {
        pthread_mutex_lock(&r->sink->lock);
        while (r->sink->n_notifies == seen) {
            pthread_cond_wait(&r->sink->changed, &r->sink->lock);
        }
        seen = r->sink->n_notifies;
        pthread_mutex_unlock(&r->sink->lock);
        weir_engine_stream()->status(r->engine, &st);
    }
    if (st.state != WEIR_TARGET_READY) {
        fail_msg("%s", st.error);
    }
}

static void open_run(struct run *r, uint32_t max_batch, uint32_t max_step_tokens, uint64_t kv_bytes)
{
    struct weir_engine_config config = {
        .backend = weir_plugin_entry_v1()->get_ext(WEIR_EXT_BACKEND_STEP),
        .model_file = weir_str_from(model_file),
        .n_ctx = 512,
        .max_batch = max_batch,
        .max_step_tokens = max_step_tokens,
        .kv_bytes = kv_bytes,
    };
    *r = (struct run){.sink = fake_sink_create()};
    struct weir_error err = {0};
    assert_int_equal(weir_engine_create(&config, &r->sink->sink, &r->engine, &err), 0);
    wait_until_ready(r);
}

static void submit(struct run *r, const char *prompt, float temperature)
{
    weir_generation *g = &r->generations[r->n++];
    *g = (weir_generation){
        .struct_size = sizeof(*g),
        .kind = WEIR_GENERATION_COMPLETION,
        .class_rank = 1,
        .prompt = weir_str_from(prompt),
        .max_tokens = N_TOKENS,
        .n = 1,
        .ignore_eos = 1,
        .sampling = {.struct_size = sizeof(g->sampling),
                     .temperature = temperature,
                     .top_p = 1,
                     .typical_p = 1,
                     .repetition_penalty = 1,
                     .seed = 42},
    };
    const weir_backend_stream *stream = weir_engine_stream();
    weir_prepared prepared = {.struct_size = sizeof(prepared)};
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    assert_int_equal(stream->prepare(r->engine, g, &prepared, &refusal), 0);
    int e = stream->submit(r->engine, g, &prepared, r->n);
    while (e == WEIR_E_BUSY) {
        assert_true(r->n > 1);
        (void)fake_sink_wait(r->sink, r->n - 1, 0);
        e = stream->submit(r->engine, g, &prepared, r->n);
    }
    assert_int_equal(e, 0);
}

static const char *answer(struct run *r, weir_ticket ticket)
{
    int tries = 0;
    while (!fake_sink_wait(r->sink, ticket, 0)) {
        assert_true(++tries < 12); /* two minutes, on a busy machine */
    }
    assert_int_equal(r->sink->streams[ticket].outcome.rc, 0);
    return r->sink->streams[ticket].choices[0].text;
}

static void close_run(struct run *r)
{
    weir_engine_destroy(r->engine);
    assert_int_equal(r->sink->n_violations, 0);
    fake_sink_destroy(r->sink);
}

static float temperature_of(int i)
{
    return i % 2 ? 0.9f : 0;
}

static void the_answer_is_the_same_alone_and_in_a_batch_chunked_and_cached(void **state)
{
    (void)state;
    static struct run alone, together;
    open_run(&alone, 1, 512, 0);
    for (int i = 0; i < N_PROMPTS; i++) {
        submit(&alone, prompts[i], temperature_of(i));
        (void)answer(&alone, (weir_ticket)i + 1);
    }
    open_run(&together, N_PROMPTS, 16, 0);
    for (int i = 0; i < 2 * N_PROMPTS; i++) { /* the second time from the prefix cache */
        submit(&together, prompts[i % N_PROMPTS], temperature_of(i));
    }
    for (int i = 0; i < 2 * N_PROMPTS; i++) {
        assert_string_equal(answer(&together, (weir_ticket)i + 1),
                            answer(&alone, (weir_ticket)(i % N_PROMPTS) + 1));
    }
    weir_target_status st = {.struct_size = sizeof(st)};
    weir_engine_stream()->status(together.engine, &st);
    assert_true(st.prefix_tokens_hit > 0);
    close_run(&alone);
    close_run(&together);
}

static bool find_model(void)
{
    const char *dir = getenv("WEIR_MODELS");
    const char *home = getenv("HOME");
    (void)snprintf(model_file, sizeof(model_file), "%s%s/SmolLM2-135M-Instruct.Q4_1.gguf",
                   dir    ? dir
                   : home ? home
                          : "",
                   dir ? "" : "/.cache/weir/models");
    return access(model_file, R_OK) == 0;
}

int main(void)
{
    if (!find_model()) {
        (void)fprintf(stderr, "skipped: %s is not there\n", model_file);
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_the_same_alone_and_in_a_batch_chunked_and_cached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
