/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <stdio.h>

#include "lane.h"
#include "link.h"

enum {
    MAX_EVENT_BYTES = 1 << 20,
    MAX_ANSWER_BYTES = 16 << 20,
    MAX_ERROR_BYTES = 64 * 1024,
    MAX_HELD_BYTES = 8 << 20,
    KEEP_BYTES = 64 * 1024,
    DONE = 1 /* of on_event: the stream has said that it is whole */
};

void weir_upstream_job_init(struct weir_upstream_job *j)
{
    *j = (struct weir_upstream_job){0};
    weir_sse_init(&j->sse, MAX_EVENT_BYTES);
    weir_buf_init(&j->body, MAX_ANSWER_BYTES);
    weir_buf_init(&j->stuck, MAX_EVENT_BYTES);
    weir_buf_init(&j->held, MAX_HELD_BYTES);
}

void weir_upstream_job_free(struct weir_upstream_job *j)
{
    weir_sse_finish(&j->sse);
    weir_buf_finish(&j->body);
    weir_buf_finish(&j->stuck);
    weir_buf_finish(&j->held);
}

static void empty(struct weir_buf *b)
{
    if (b->cap > KEEP_BYTES) {
        weir_buf_finish(b);
    }
    weir_buf_reset(b);
}

static uint64_t now_ms(const struct weir_upstream_job *j)
{
    return uv_now(j->lane->loop);
}

static uint64_t now_us(const struct weir_upstream_job *j)
{
    const weir_host *host = j->lane->upstream->host;
    return host->now_us(host);
}

/* Ends the job with what is in `failure` (rc 0: well). The memory goes back to the lane first: the
 * core may do anything in finish(). */
static void finish(struct weir_upstream_job *j)
{
    struct weir_upstream_lane *l = j->lane;
    struct weir_upstream *u = l->upstream;
    struct weir_upstream_failure failure;
    failure.rc = j->failure.rc;
    if (failure.rc < 0) { /* else there is nothing in it */
        failure = j->failure;
    }
    weir_ticket ticket = j->ticket;
    bool tells = j->answer.has_usage;
    weir_outcome outcome = {
        .struct_size = sizeof(outcome),
        .rc = failure.rc,
        .prompt_tokens =
            tells && j->answer.prompt_tokens ? j->answer.prompt_tokens : j->prompt_tokens,
        .cached_tokens = j->answer.cached_tokens,
        .completion_tokens = tells ? j->answer.completion_tokens : j->answer.n_counted,
    };
    if (failure.rc < 0) {
        outcome.status = failure.status;
        outcome.flags = failure.flags;
        outcome.retry_after_us = failure.retry_after_us;
        outcome.code = weir_str_from(failure.code);
        outcome.param = weir_str_from(failure.param);
        outcome.message = weir_str_from(failure.message);
    }
    if (failure.rc < 0 && !j->has_answer && !j->was_sent) {
        outcome.prompt_tokens = 0; /* nobody read it */
    }
    if (j->link) {
        weir_upstream_link_leave(j->link, j);
    }
    empty(&j->body);
    empty(&j->stuck);
    empty(&j->held);
    weir_sse_reset(&j->sse);
    weir_upstream_lane_forget(l, j);
    weir_upstream_total_add(&l->totals.prompt_tokens, outcome.prompt_tokens);
    weir_upstream_total_add(&l->totals.completion_tokens, outcome.completion_tokens);
    weir_upstream_total_add(&l->totals.done, 1);
    l->n_ends[failure.rc == 0                  ? WEIR_UPSTREAM_OK
              : failure.rc == WEIR_E_CANCELLED ? WEIR_UPSTREAM_CANCELLED
                                               : WEIR_UPSTREAM_FAILED]++;
    if (failure.rc < 0 && failure.kind) {
        weir_upstream_count_error(&u->figures, failure.kind);
    }
    u->sink->finish(u->sink, ticket, &outcome);
}

static void finish_well(struct weir_upstream_job *j)
{
    j->failure.rc = 0;
    finish(j);
}

void weir_upstream_job_fail(struct weir_upstream_job *j, const struct weir_upstream_failure *why)
{
    if (&j->failure != why) {
        j->failure = *why;
    }
    finish(j);
}

static void fail_protocol(struct weir_upstream_job *j, const char *what)
{
    weir_upstream_fail_protocol(&j->failure, "The model's server sent %s.", what);
    finish(j);
}

/* ---- chunks ---- */

static void note_progress(struct weir_upstream_job *j)
{
    j->progress_ms = now_ms(j);
    if (!j->has_progress) {
        j->has_progress = true;
        if (!j->answer.stream || !j->sent_us) {
            return; /* all tokens came at once */
        }
        uint64_t us = now_us(j);
        weir_upstream_count_first_token(&j->lane->upstream->figures,
                                        us > j->sent_us ? us - j->sent_us : 0);
    }
}

static int push(void *arg, const weir_chunk *chunk)
{
    struct weir_upstream_job *j = arg;
    const weir_sink *sink = j->lane->upstream->sink;
    if (j->is_gone) {
        return WEIR_E_GONE;
    }
    j->is_pushing = true;
    int r = sink->push(sink, j->ticket, chunk);
    j->is_pushing = false;
    if (r == 0) {
        note_progress(j);
    }
    j->is_gone = j->is_gone || r == WEIR_E_GONE || j->is_cancelled;
    return r;
}

static int read_event(struct weir_upstream_job *j, weir_str data)
{
    if (weir_str_is(data, "[DONE]")) {
        return DONE;
    }
    return weir_upstream_answer_read(&j->answer, data);
}

static int on_event(void *arg, weir_str data)
{
    struct weir_upstream_job *j = arg;
    int r = read_event(j, data);
    if (r == WEIR_E_BUSY) {
        weir_buf_add_str(&j->stuck, data);
        return j->stuck.failed ? WEIR_E_NOMEM : r;
    }
    return r;
}

/* What reading came to: goes on, waits for the reader, or the job has ended (false). */
static bool settle(struct weir_upstream_job *j, int r)
{
    if (j->is_cancelled) {
        j->failure = (struct weir_upstream_failure){.rc = WEIR_E_CANCELLED};
        finish(j);
        return false;
    }
    if (r == 0 || r == WEIR_E_GONE) {
        return true;
    }
    if (r == WEIR_E_BUSY) {
        j->is_paused = true;
        if (j->link) {
            weir_upstream_link_pause(j->link, j, true);
        }
        return true;
    }
    if (r == DONE && (j->is_gone || weir_upstream_answer_is_whole(&j->answer))) {
        finish_well(j);
    } else if (r == DONE) {
        fail_protocol(j, "an end before the end of every choice");
    } else if (r == WEIR_E_FORMAT) {
        finish(j); /* the answer's reader has said why */
    } else {
        weir_upstream_fail_protocol(&j->failure, "The model's server sent %s.",
                                    r == WEIR_E_TOOBIG ? "an event that is too large"
                                                       : "more than there is memory for");
        j->failure.kind = "too_big";
        finish(j);
    }
    return false;
}

static bool feed_stream(struct weir_upstream_job *j, const char *bytes, size_t n)
{
    size_t used = 0;
    int r = weir_sse_feed(&j->sse, bytes, n, on_event, j, &used);
    if (r == WEIR_E_BUSY && used < n) {
        weir_buf_add(&j->held, bytes + used, n - used);
        r = j->held.failed ? WEIR_E_TOOBIG : r;
    }
    return settle(j, r);
}

static bool is_stream(const struct weir_upstream_job *j)
{
    return j->head.status == 200 && j->head.is_sse;
}

void weir_upstream_job_head(struct weir_upstream_job *j, const struct weir_upstream_head *head)
{
    j->has_answer = true;
    j->head = *head;
    j->answer.stream = head->is_sse;
    j->body.max_bytes = head->status == 200 ? MAX_ANSWER_BYTES : MAX_ERROR_BYTES;
}

void weir_upstream_job_keep(struct weir_upstream_job *j)
{
    if (j->fresh.n) {
        weir_buf_add_str(&j->body, j->fresh);
        j->fresh.n = 0;
    }
}

void weir_upstream_job_body(struct weir_upstream_job *j, const char *bytes, size_t n)
{
    if (j->head.status == 200 && (j->head.is_encoded || !(j->head.is_sse || j->head.is_json))) {
        fail_protocol(j, "an answer that is neither JSON nor an event stream");
    } else if (is_stream(j) && !j->is_paused) {
        (void)feed_stream(j, bytes, n);
    } else if (is_stream(j)) {
        weir_buf_add(&j->held, bytes, n);
        (void)settle(j, j->held.failed ? WEIR_E_TOOBIG : 0);
    } else if (j->head.status == 200 && j->body.len == 0 && !j->fresh.n && n <= j->body.max_bytes) {
        j->fresh = (weir_str){bytes, n}; /* most answers come in one piece */
    } else if (j->head.status == 200) {
        weir_upstream_job_keep(j);
        weir_buf_add(&j->body, bytes, n);
        (void)settle(j, j->body.failed ? WEIR_E_TOOBIG : 0);
    } else { /* of an error's text the beginning will do */
        size_t room = j->body.max_bytes - j->body.len;
        weir_buf_add(&j->body, bytes, n < room ? n : room);
    }
}

/* The whole response is here, and all events of it are read. */
static void conclude(struct weir_upstream_job *j)
{
    if (j->head.status != 200) {
        weir_upstream_fail_status(&j->failure, j->head.status, j->head.retry_after_us,
                                  weir_buf_view(&j->body));
        finish(j);
    } else if (!is_stream(j)) {
        int r =
            weir_upstream_answer_read(&j->answer, j->fresh.n ? j->fresh : weir_buf_view(&j->body));
        if (r == WEIR_E_BUSY) {
            weir_upstream_job_keep(j); /* it is read once more */
        }
        if (settle(j, r) && r != WEIR_E_BUSY) {
            finish_well(j);
        }
    } else if (weir_upstream_answer_is_whole(&j->answer) || j->is_gone) {
        finish_well(j);
    } else {
        weir_upstream_fail_protocol(&j->failure,
                                    "The model's server ended the stream before the answer did.");
        j->failure.kind = "truncated";
        (void)snprintf(j->failure.code, sizeof(j->failure.code), "upstream_truncated");
        finish(j);
    }
}

void weir_upstream_job_end(struct weir_upstream_job *j)
{
    j->has_end = true;
    if (!j->is_paused) {
        conclude(j);
    }
}

void weir_upstream_job_wake(struct weir_upstream_job *j)
{
    if (!j->is_paused || j->is_pushing) {
        return;
    }
    j->is_paused = false;
    j->progress_ms = now_ms(j); /* the silence was the reader's */
    if (!is_stream(j)) {
        conclude(j);
        return;
    }
    int r = read_event(j, weir_buf_view(&j->stuck));
    if (r != WEIR_E_BUSY) {
        empty(&j->stuck);
    }
    if (!settle(j, r) || j->is_paused) {
        return;
    }
    struct weir_buf held = j->held;
    weir_buf_init(&j->held, MAX_HELD_BYTES);
    bool lives = held.len == 0 || feed_stream(j, held.data, held.len);
    weir_buf_finish(&held);
    if (lives && !j->is_paused) {
        if (j->has_end) {
            conclude(j);
        } else if (j->link) {
            weir_upstream_link_pause(j->link, j, false);
        }
    }
}

/* ---- life ---- */

void weir_upstream_job_begin(struct weir_upstream_job *j, struct weir_upstream_lane *lane,
                             const weir_generation *g, const weir_prepared *p, weir_ticket ticket)
{
    j->lane = lane;
    j->g = g;
    j->ticket = ticket;
    j->max_tokens = p->max_tokens;
    j->prompt_tokens = p->prompt_tokens;
    j->link = NULL;
    j->submitted_ms = now_ms(j);
    j->sent_ms = j->progress_ms = j->sent_us = 0;
    j->n_attempts = 0;
    j->is_lost = false;
    j->is_waiting = j->is_retried = j->was_sent = j->has_answer = j->has_progress = false;
    j->is_pushing = j->is_cancelled = j->is_paused = j->is_gone = j->has_end = false;
    j->fresh = (weir_str){NULL, 0};
    j->head = (struct weir_upstream_head){0};
    j->failure.rc = 0; /* who sets it sets all of it */
    struct weir_upstream_answer *a = &j->answer;
    uint32_t n = g->n ? g->n : 1;
    a->kind = g->kind;
    a->n_inputs = g->n_inputs;
    a->n_choices = n < WEIR_MAX_CHOICES ? n : WEIR_MAX_CHOICES;
    a->stream = false;
    a->ended = 0;
    a->has_usage = false;
    a->prompt_tokens = a->cached_tokens = a->completion_tokens = a->n_counted = 0;
    a->n_given = a->n_skip = 0;
    memset(a->seq, 0, a->n_choices * sizeof(a->seq[0]));
    a->emit = push;
    a->arg = j;
    a->alc = &lane->alc;
    a->arena = &lane->arena;
    a->failure = &j->failure;
}

void weir_upstream_job_sent(struct weir_upstream_job *j)
{
    j->was_sent = true;
    j->sent_ms = now_ms(j);
    j->sent_us = j->g->stream ? now_us(j) : 0; /* for the first token's time */
}

void weir_upstream_job_cancel(struct weir_upstream_job *j)
{
    j->is_cancelled = true;
    if (!j->is_pushing) {
        (void)settle(j, 0);
    }
}

static void time_out(struct weir_upstream_job *j, const char *what, uint32_t limit_ms)
{
    weir_upstream_fail_timeout(&j->failure, j->was_sent, what, limit_ms);
    finish(j);
}

void weir_upstream_job_tick(struct weir_upstream_job *j, uint64_t now)
{
    const struct weir_upstream_settings *s = &j->lane->upstream->settings;
    if (j->is_lost) {
        weir_upstream_fail_link(&j->failure, false, "memory", "There is no memory to send it.");
        finish(j);
    } else if (now - j->submitted_ms > s->total_ms) {
        time_out(j, "did not end its answer", s->total_ms);
    } else if (j->was_sent && j->g->stream && !j->has_progress) {
        if (now - j->sent_ms > s->first_token_ms) {
            time_out(j, "did not begin its answer", s->first_token_ms);
        }
    } else if (j->has_progress && !j->is_paused && now - j->progress_ms > s->between_tokens_ms) {
        time_out(j, "did not go on with its answer", s->between_tokens_ms);
    }
}
