/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    fake_backend_init(&r->backend);
    const char *steps = getenv("WEIR_RIG_STEPS");
    r->in_halves = steps && strcmp(steps, "halves") == 0;
    r->in_pieces = steps && strcmp(steps, "pieces") == 0;
    r->max_batch = 8;
    r->max_live = 200;
    r->max_step_tokens = 64;
}

static void on_job_ended(void *arg, struct weir_job *job, const weir_outcome *outcome)
{
    struct rig *r = arg;
    r->sink->sink.finish(&r->sink->sink, job->ticket, outcome);
    r->jobs[job->ticket] = NULL;
    r->n_live -= job->n_sequences;
    weir_job_destroy(job);
}

void rig_open(struct rig *r)
{
    r->sink = fake_sink_create();
    r->model = fake_backend_open(&r->backend, &r->info);
    assert_non_null(r->model);
    assert_int_equal(weir_page_secret_init(&r->secret), 0);
    assert_int_equal(weir_backend_vocabulary_create(fake_backend(), r->model, r->info.n_vocab,
                                                    &r->vocabulary_impl, &r->vocabulary),
                     0);
    assert_int_equal(weir_grammars_create(&r->vocabulary, &r->secret, &r->grammars), 0);
    if (r->chat_template) {
        struct weir_chat_config chat = {.template = weir_str_from(r->chat_template)};
        assert_int_equal(weir_chat_create(&chat, &r->chat, NULL), 0);
    }
    uint32_t in_pool = r->info.n_pages * WEIR_PAGE_TOKENS;
    r->view = (struct weir_model_view){
        .vocabulary = &r->vocabulary,
        .secret = &r->secret,
        .n_ctx = in_pool < r->info.n_ctx ? in_pool : r->info.n_ctx,
        .caps = r->info.caps,
        .grammars = r->grammars,
        .chat = r->chat,
        .serial = 1,
        .n_logits = r->info.n_vocab,
        .page_bytes = WEIR_PAGE_TOKENS,
    };
    struct weir_scheduler_config config = {
        .backend = r->in_halves   ? fake_backend_in_halves()
                   : r->in_pieces ? fake_backend_in_pieces()
                                  : fake_backend(),
        .model = r->model,
        .info = &r->info,
        .vocabulary = &r->vocabulary,
        .secret = &r->secret,
        .sink = &r->sink->sink,
        .host = &r->backend.host,
        .max_batch = r->max_batch,
        .max_live = r->max_live,
        .max_step_tokens = r->max_step_tokens,
        .counters = &r->counters,
        .job_ended = on_job_ended,
        .arg = r,
    };
    assert_int_equal(weir_scheduler_create(&config, &r->scheduler), 0);
}

void rig_close(struct rig *r)
{
    weir_target_status st = rig_status(r);
    assert_int_equal(st.pages_used, 0);
    assert_int_equal(st.running + st.waiting, 0);
    for (uint32_t t = 1; t <= r->n_jobs; t++) {
        assert_int_equal(r->sink->streams[t].n_finished, 1);
    }
    weir_scheduler_destroy(r->scheduler);
    fake_backend()->unload(r->model);
    if (r->backend.n_violations > 0) {
        fail_msg("backend: %s", r->backend.violation);
    }
    if (r->sink->n_violations > 0) {
        fail_msg("sink: %s", r->sink->violation);
    }
    weir_grammars_destroy(r->grammars);
    weir_chat_destroy(r->chat);
    weir_backend_vocabulary_destroy(r->vocabulary_impl);
    fake_sink_destroy(r->sink);
    fake_backend_finish(&r->backend);
}

weir_generation rig_completion(const char *prompt, uint32_t max_tokens)
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

weir_ticket rig_add(struct rig *r, const weir_generation *g)
{
    weir_ticket ticket = ++r->n_jobs;
    assert_true(ticket < RIG_JOBS);
    r->generations[ticket] = *g;
    struct weir_prompt *prompt = NULL;
    weir_refusal refusal = {0};
    int e = weir_prepare(&r->view, &r->generations[ticket], &prompt, &refusal);
    if (e < 0) {
        fail_msg("refused: %s", refusal.message);
    }
    assert_int_equal(
        weir_job_create(&r->generations[ticket], prompt, ticket, &r->vocabulary, &r->jobs[ticket]),
        0);
    r->n_live += r->jobs[ticket]->n_sequences;
    weir_scheduler_add(r->scheduler, r->jobs[ticket]);
    return ticket;
}

uint32_t rig_run(struct rig *r, uint32_t max_rounds)
{
    uint32_t n = 0;
    while (n < max_rounds) {
        int stepped = weir_scheduler_run(r->scheduler);
        assert_true(stepped >= 0);
        if (!stepped) {
            break;
        }
        n++;
    }
    return n;
}

void rig_wake_all(struct rig *r)
{
    for (uint32_t t = 1; t <= r->n_jobs; t++) {
        if (r->jobs[t] && r->sink->streams[t].refused) {
            r->sink->streams[t].refused = false;
            weir_scheduler_wake(r->scheduler, r->jobs[t]);
        }
    }
}

weir_target_status rig_status(const struct rig *r)
{
    weir_target_status st = {0};
    weir_scheduler_status(r->scheduler, &st);
    return st;
}

void rig_check(struct rig *r, weir_ticket ticket)
{
    const weir_generation *g = &r->generations[ticket];
    const struct fake_stream *s = &r->sink->streams[ticket];
    int32_t prompt[4096];
    for (size_t i = 0; i < g->prompt.n; i++) {
        prompt[i] = (unsigned char)g->prompt.p[i];
    }
    uint32_t n_prompt = (uint32_t)g->prompt.n;
    uint32_t max_tokens = g->max_tokens ? g->max_tokens : r->view.n_ctx - n_prompt;
    uint64_t n_tokens = 0;
    assert_int_equal(s->n_finished, 1);
    assert_int_equal(s->outcome.rc, 0);
    assert_int_equal(s->outcome.prompt_tokens, n_prompt);
    for (uint32_t i = 0; i < g->n; i++) {
        const struct fake_choice *c = &s->choices[i];
        struct reference want = reference_run(&r->backend, g, prompt, n_prompt, max_tokens, i);
        const char *text = c->text ? c->text : "";
        if (g->echo) {
            assert_memory_equal(text, g->prompt.p, g->prompt.n);
            text += g->prompt.n;
        }
        assert_string_equal(text, want.text);
        assert_int_equal(c->finish, want.finish);
        assert_int_equal(c->n_tokens, want.n_tokens);
        n_tokens += want.n_tokens;
        free(want.text);
    }
    assert_int_equal(s->outcome.completion_tokens, n_tokens);
}
