/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's whole life while memory runs out: load, prepare, submit, rounds, end. Whatever
 * fails, a submitted job ends exactly once, and the engine serves again and can be destroyed. */
#include <pthread.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_backend.h"

enum { N_JOBS = 3 };

/* Keeps no text, so that it needs no memory of its own. */
struct counting_sink {
    weir_sink sink;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t n_changes;
    int n_finished[N_JOBS + 1];
    int rc[N_JOBS + 1];
};

static struct counting_sink *from(const weir_sink *sink)
{
    return (struct counting_sink *)(void *)sink;
}

static int push(const weir_sink *sink, weir_ticket ticket, const weir_chunk *chunk)
{
    (void)sink;
    (void)ticket;
    (void)chunk;
    return 0;
}

static void notify(const weir_sink *sink)
{
    struct counting_sink *s = from(sink);
    pthread_mutex_lock(&s->lock);
    s->n_changes++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void finish(const weir_sink *sink, weir_ticket ticket, const weir_outcome *outcome)
{
    struct counting_sink *s = from(sink);
    pthread_mutex_lock(&s->lock);
    s->n_finished[ticket]++;
    s->rc[ticket] = outcome->rc;
    pthread_mutex_unlock(&s->lock);
    notify(sink);
}

static void flush(const weir_sink *sink)
{
    (void)sink;
}

/* Waits until `done` holds; it is asked again after each notify() and finish(). */
static void wait_until(struct counting_sink *s, bool (*done)(void *arg), void *arg)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        uint32_t seen = s->n_changes;
        pthread_mutex_unlock(&s->lock);
        if (done(arg)) {
            return;
        }
        pthread_mutex_lock(&s->lock);
        while (s->n_changes == seen) {
            pthread_cond_wait(&s->changed, &s->lock);
        }
        pthread_mutex_unlock(&s->lock);
    }
}

struct life {
    struct fake_backend backend;
    struct counting_sink sink;
    struct weir_engine *engine;
    weir_ticket ticket; /* waited for */
};

static bool is_ready(void *arg)
{
    weir_target_status status = {.struct_size = sizeof(status)};
    weir_engine_stream()->status(((struct life *)arg)->engine, &status);
    return status.state == WEIR_TARGET_READY;
}

static bool is_finished(void *arg)
{
    struct life *l = arg;
    pthread_mutex_lock(&l->sink.lock);
    bool finished = l->sink.n_finished[l->ticket] > 0;
    pthread_mutex_unlock(&l->sink.lock);
    return finished;
}

/* Plain; several choices under a schema with everything that a stream can ask for; and a chat. */
static weir_generation generation(weir_ticket ticket)
{
    weir_generation g = {
        .struct_size = sizeof(g),
        .kind = WEIR_GENERATION_COMPLETION,
        .class_rank = 1,
        .prompt = WEIR_STR_INIT("a prompt of more than one page of sixteen tokens"),
        .max_tokens = 20,
        .n = 1,
    };
    if (ticket == 2) {
        g.n = 3;
        g.want_logprobs = 1;
        g.n_top = 5;
        g.stop[g.n_stop++] = weir_str_from("never said");
        g.format = WEIR_FORMAT_JSON_SCHEMA;
        g.schema_json = weir_str_from("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
                                      "\"integer\"}},\"additionalProperties\":false}");
    } else if (ticket == 3) {
        g.kind = WEIR_GENERATION_CHAT;
        g.messages_json = weir_str_from("[{\"role\":\"user\",\"content\":\"hello\"}]");
    }
    return g;
}

static int run_job(struct life *l, weir_ticket ticket)
{
    const weir_backend_stream *stream = weir_engine_stream();
    const weir_generation g = generation(ticket);
    weir_prepared prepared = {.struct_size = sizeof(prepared)};
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    int r = stream->prepare(l->engine, &g, &prepared, &refusal);
    if (r < 0) {
        return r;
    }
    r = stream->submit(l->engine, &g, &prepared, ticket);
    if (r < 0) {
        stream->discard(l->engine, prepared.state);
        return r;
    }
    l->ticket = ticket;
    wait_until(&l->sink, is_finished, l);
    return l->sink.rc[ticket];
}

/* WEIR_E_INTERNAL is never a right answer here: it would say that a promise was broken. */
static int live(void *arg)
{
    (void)arg;
    static struct life l;
    memset(&l, 0, sizeof(l));
    fake_backend_init(&l.backend);
    pthread_mutex_init(&l.sink.lock, NULL);
    pthread_cond_init(&l.sink.changed, NULL);
    l.sink.sink = (weir_sink){.struct_size = sizeof(l.sink.sink),
                              .push = push,
                              .finish = finish,
                              .notify = notify,
                              .flush = flush};
    const struct weir_engine_config config = {.backend = fake_backend(),
                                              .host = &l.backend.host,
                                              .max_batch = 4,
                                              .max_step_tokens = 64,
                                              .reload_ms = 1};
    struct weir_error err = {0};
    int r = weir_engine_create(&config, &l.sink.sink, &l.engine, &err);
    int result = r;
    for (weir_ticket t = 1; r == 0 && t <= N_JOBS; t++) {
        wait_until(&l.sink, is_ready, &l); /* a load that failed is tried again */
        int job = run_job(&l, t);
        result = result < 0 ? result : job;
    }
    weir_engine_destroy(l.engine);
    for (weir_ticket t = 1; t <= N_JOBS; t++) {
        if (l.sink.n_finished[t] > 1) {
            abort();
        }
    }
    if (l.backend.n_violations > 0 || l.backend.is_loaded) {
        abort();
    }
    pthread_cond_destroy(&l.sink.changed);
    pthread_mutex_destroy(&l.sink.lock);
    fake_backend_finish(&l.backend);
    return result;
}

static void jobs_end_once_and_the_engine_survives(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(live, NULL, 10000) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_end_once_and_the_engine_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
