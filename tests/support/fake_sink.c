/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_sink.h"

#include <stdlib.h>
#include <time.h>

#include "base/utf8.h"

static void violate(struct fake_sink *f, const char *what)
{
    if (f->n_violations++ == 0) {
        f->violation = what;
    }
}

static void append(char **text, size_t *len, weir_str s)
{
    char *grown = realloc(*text, *len + s.n + 1);
    if (!grown) {
        abort();
    }
    if (s.n > 0) {
        memcpy(grown + *len, s.p, s.n);
    }
    *len += s.n;
    grown[*len] = '\0';
    *text = grown;
}

static void check_chunk(struct fake_sink *f, const struct fake_stream *stream,
                        const struct fake_choice *choice, const weir_chunk *c)
{
    if (stream->n_finished > 0 || choice->finish != WEIR_FINISH_NONE) {
        violate(f, "a chunk came behind the finish");
    }
    if (c->seq != choice->n_chunks) {
        violate(f, "the chunks' numbers have a gap");
    }
    if (!weir_utf8_is_valid(c->text)) {
        violate(f, "a chunk holds half a character");
    }
    if ((c->kind == WEIR_CHUNK_FINISH) != (c->finish != WEIR_FINISH_NONE)) {
        violate(f, "finish is set in the wrong kind of chunk");
    }
}

static void record(struct fake_choice *choice, const weir_chunk *c)
{
    choice->n_chunks++;
    choice->n_tokens += c->n_tokens;
    choice->finish = c->finish;
    if (c->kind == WEIR_CHUNK_TOOL_CALL) {
        append(&choice->arguments, &choice->arguments_len, c->text);
        if (c->tool_name.n > 0 && c->tool_name.n < sizeof(choice->tool_name)) {
            memcpy(choice->tool_name, c->tool_name.p, c->tool_name.n);
            choice->tool_name[c->tool_name.n] = '\0';
            choice->n_calls++;
        }
    } else {
        append(&choice->text, &choice->len, c->text);
    }
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        choice->n_logprobs++;
        append(&choice->logprob_bytes, &choice->logprob_len, c->logprobs[i].chosen.bytes);
    }
}

static int push(const weir_sink *sink, weir_ticket ticket, const weir_chunk *c)
{
    struct fake_sink *f = (struct fake_sink *)(void *)sink;
    int r = 0;
    (void)pthread_mutex_lock(&f->lock);
    struct fake_stream *stream = &f->streams[ticket];
    stream->n_pushes++;
    bool every = stream->refuse_every > 0 && stream->n_pushes % stream->refuse_every == 0;
    if (stream->gone) {
        r = WEIR_E_GONE;
    } else if (stream->busy_left > 0 || every) {
        stream->busy_left -= stream->busy_left > 0;
        stream->refused = true;
        r = WEIR_E_BUSY;
    } else {
        check_chunk(f, stream, &stream->choices[c->choice], c);
        record(&stream->choices[c->choice], c);
    }
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
    return r;
}

static void finish(const weir_sink *sink, weir_ticket ticket, const weir_outcome *outcome)
{
    struct fake_sink *f = (struct fake_sink *)(void *)sink;
    (void)pthread_mutex_lock(&f->lock);
    struct fake_stream *stream = &f->streams[ticket];
    if (stream->n_finished++ > 0) {
        violate(f, "a generation was finished twice");
    }
    stream->outcome = *outcome;
    stream->outcome.message = (weir_str){NULL, 0};
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

static void notify(const weir_sink *sink)
{
    struct fake_sink *f = (struct fake_sink *)(void *)sink;
    (void)pthread_mutex_lock(&f->lock);
    f->n_notifies++;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

static void flush(const weir_sink *sink)
{
    struct fake_sink *f = (struct fake_sink *)(void *)sink;
    (void)pthread_mutex_lock(&f->lock);
    f->n_flushes++;
    (void)pthread_mutex_unlock(&f->lock);
}

struct fake_sink *fake_sink_create(void)
{
    struct fake_sink *f = calloc(1, sizeof(*f));
    if (!f) {
        abort();
    }
    f->sink = (weir_sink){
        .struct_size = sizeof(f->sink),
        .push = push,
        .finish = finish,
        .notify = notify,
        .flush = flush,
    };
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->changed, NULL);
    return f;
}

void fake_sink_destroy(struct fake_sink *f)
{
    for (uint32_t t = 0; t <= FAKE_SINK_TICKETS; t++) {
        for (uint32_t i = 0; i < FAKE_SINK_CHOICES; i++) {
            free(f->streams[t].choices[i].text);
            free(f->streams[t].choices[i].logprob_bytes);
            free(f->streams[t].choices[i].arguments);
        }
    }
    (void)pthread_mutex_destroy(&f->lock);
    (void)pthread_cond_destroy(&f->changed);
    free(f);
}

static bool wait_until(struct fake_sink *f, bool (*done)(const struct fake_stream *, uint32_t),
                       weir_ticket ticket, uint32_t n)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    int r = 0;
    (void)pthread_mutex_lock(&f->lock);
    while (r == 0 && !done(&f->streams[ticket], n)) {
        r = pthread_cond_timedwait(&f->changed, &f->lock, &until);
    }
    bool ok = done(&f->streams[ticket], n);
    (void)pthread_mutex_unlock(&f->lock);
    return ok;
}

static bool has_chunks(const struct fake_stream *s, uint32_t n)
{
    return n > 0 ? s->choices[0].n_chunks >= n : s->n_finished > 0;
}

static bool was_refused(const struct fake_stream *s, uint32_t n)
{
    (void)n;
    return s->refused;
}

bool fake_sink_wait(struct fake_sink *f, weir_ticket ticket, uint32_t n_chunks)
{
    return wait_until(f, has_chunks, ticket, n_chunks);
}

bool fake_sink_wait_refused(struct fake_sink *f, weir_ticket ticket)
{
    return wait_until(f, was_refused, ticket, 0);
}

void fake_sink_set_busy(struct fake_sink *f, weir_ticket ticket, uint32_t n_refusals)
{
    (void)pthread_mutex_lock(&f->lock);
    f->streams[ticket].busy_left = n_refusals;
    f->streams[ticket].refused = false;
    (void)pthread_mutex_unlock(&f->lock);
}

void fake_sink_set_gone(struct fake_sink *f, weir_ticket ticket)
{
    (void)pthread_mutex_lock(&f->lock);
    f->streams[ticket].gone = true;
    (void)pthread_mutex_unlock(&f->lock);
}
