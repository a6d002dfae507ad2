/* SPDX-License-Identifier: Apache-2.0 */
/* A generation that runs: chunks from the flow, through the plugins, into the reply, to the client.
 */
#include "run.h"

#include "core/request/admission.h"
#include "core/request/answer.h"
#include "core/request/hedge.h"
#include "core/request/observe.h"
#include "core/request/replay.h"
#include "core/request/retry.h"
#include "core/server/worker.h"

static void read_chunks(struct weir_request *r);
static void read_ring(struct weir_request *r);
static const struct weir_flow_reader direct_reader;

static void read_flow(struct weir_request_flow *f)
{
    if (f == f->request->lead) {
        read_chunks(f->request);
    } else {
        weir_hedge_read(f->request);
    }
}

static void flow_ready(struct weir_inbox_item *item)
{
    read_flow((struct weir_request_flow *)(void *)((char *)item -
                                                   offsetof(struct weir_request_flow, item)));
}

int weir_run_submit(struct weir_request *r, struct weir_request_flow *f, struct weir_target *target,
                    const weir_prepared *prepared, weir_ticket *ret_ticket)
{
    int rc = weir_flow_init(&f->flow, weir_worker_inbox(r->worker), &f->item,
                            weir_target_is_on_loops(target) ? &direct_reader : NULL);
    if (rc < 0) {
        return rc;
    }
    f->request = r;
    f->item.run = flow_ready;
    weir_ticket ticket = weir_target_begin(target, &f->flow);
    rc = ticket ? weir_target_submit(target, &r->api.generation, prepared, ticket) : WEIR_E_BUSY;
    if (rc < 0) {
        if (ticket) {
            weir_target_forget(target, ticket);
        }
        weir_flow_finish(&f->flow);
        return rc;
    }
    *ret_ticket = ticket;
    return 0;
}

int weir_run_begin(struct weir_request *r)
{
    r->api.generation.loop = weir_worker_settings(r->worker)->index;
    r->api.generation.stream = r->api.stream;
    r->api.generation.user = r->user;
    r->api.generation.traceparent = r->traceparent;
    r->lead = r->lead ? r->lead : &r->first;
    int rc = weir_run_submit(r, r->lead, r->target, &r->prepared, &r->ticket);
    if (rc < 0) {
        return rc;
    }
    r->is_prepared = false; /* the target owns the prepared state now */
    r->begun_us = r->last_piece_us = weir_worker_now_us(r->worker);
    weir_request_hold(r, WEIR_HOLD_TARGET);
    weir_hedge_expect(r);
    r->lead->flow.is_held = false;
    return 0;
}

static void begin_stream(struct weir_request *r)
{
    weir_answer_stream_headers(r);
    (void)weir_http_add_own_header(r->ex, weir_str_from("Content-Type"),
                                   weir_str_from("text/event-stream; charset=utf-8"));
    (void)weir_http_add_own_header(r->ex, weir_str_from("Cache-Control"),
                                   weir_str_from("no-cache"));
    (void)weir_http_add_own_header(r->ex, weir_str_from("X-Accel-Buffering"), weir_str_from("no"));
    r->status = 200;
    if (weir_http_stream_begin(r->ex, 200) < 0) {
        weir_http_abort(r->ex);
    }
}

/* An end that comes out of this call is read later: the caller still needs the request. */
static void cancel_target(struct weir_request *r)
{
    if (!r->cancelled) {
        bool was_held = r->lead->flow.is_held;
        r->cancelled = true;
        r->lead->flow.is_held = true;
        weir_target_cancel(r->target, r->ticket);
        r->lead->flow.is_held = was_held;
    }
}

/* What reads the chunks drops the hold when it sees the mark. */
static void cancel_replay(struct weir_request *r)
{
    r->replay->cancelled = true;
    if (!r->replay->is_read) {
        weir_request_drop(r, WEIR_HOLD_REPLAY);
    }
}

void weir_run_cancel(struct weir_request *r)
{
    if (r->holds & WEIR_HOLD_REPLAY) {
        cancel_replay(r);
        return;
    }
    if (!(r->holds & WEIR_HOLD_TARGET)) {
        return;
    }
    weir_hedge_cancel(r);
    /* Also when plugins had cancelled it: what lies in the flow would keep its end from us. */
    weir_flow_abandon(&r->lead->flow);
    cancel_target(r);
}

/* Tokens given so far are delivered when the kernel has taken all that was written until now. */
static void note_sent(struct weir_request *r, uint64_t n_tokens)
{
    weir_delivery_note(&r->delivery, weir_http_given_bytes(r->ex), n_tokens);
}

/* Sends the first n_bytes of `out`, which carry n_tokens with those before; marks the request
 * paused when the client is slow. */
static void send_part(struct weir_request *r, size_t n_bytes, uint64_t n_tokens)
{
    if (!r->ex || r->failed || r->out.len == 0) {
        weir_buf_reset(&r->out);
        return;
    }
    if (n_bytes == 0) {
        return;
    }
    if (!weir_http_response_begun(r->ex)) {
        begin_stream(r);
    }
    int rc = weir_http_stream_write(r->ex, (weir_str){r->out.data, n_bytes});
    weir_buf_consume(&r->out, n_bytes);
    if (rc >= 0) {
        note_sent(r, n_tokens);
    }
    if (rc == 1) {
        r->paused = true;
    } else if (rc < 0) {
        weir_http_abort(r->ex); /* a stream with a hole must not end as if it were whole */
        weir_run_cancel(r);
    }
}

static void send_out(struct weir_request *r)
{
    send_part(r, r->out.len, r->n_out_tokens);
}

static void mark_chunk(struct weir_request *r, const weir_chunk *chunk)
{
    uint64_t now_us = weir_worker_now_us(r->worker);
    r->last_piece_us = now_us;
    if (chunk->n_tokens) {
        weir_observe_token(weir_worker_observer(r->worker), r, now_us);
        if (!r->first_chunk_us) {
            r->first_chunk_us = now_us;
        }
        r->last_chunk_us = now_us;
    }
}

/* One chunk as the plugins leave it, into the reply. */
static void deliver(void *arg, const weir_chunk *chunk)
{
    struct weir_request *r = arg;
    if (chunk->kind == WEIR_CHUNK_FINISH && chunk->choice == 0) {
        r->finish = chunk->finish;
    }
    r->n_out_tokens += chunk->n_tokens;
    int rc = weir_reply_add(&r->reply, chunk, &r->out);
    if (rc < 0 && r->deliver_rc == 0) {
        r->deliver_rc = rc;
    }
}

static char *arena_text(struct weir_request *r, weir_str text)
{
    return (char *)(uintptr_t)weir_arena_copy(&r->arena, text).p;
}

static void fail_run(struct weir_request *r, uint32_t status, const char *code, const char *message)
{
    if (!r->ex || r->failed) {
        return; /* the first failure is the one that the client was told */
    }
    r->failed = true;
    weir_plugin_run_unpause(&r->run);
    r->error_code = code;
    r->finish = WEIR_FINISH_ERROR;
    if (weir_http_response_begun(r->ex)) {
        weir_buf_reset(&r->out);
        weir_reply_error(&r->reply, weir_str_from(message), weir_str_from(code), &r->out);
        if (weir_http_stream_write(r->ex, weir_buf_view(&r->out)) < 0) {
            weir_http_abort(r->ex); /* so that the client can tell it from an end */
        }
        (void)weir_http_stream_end(r->ex);
    } else if (status == 503 || status == 429) {
        weir_answer_busy(r, status, code,
                         r->outcome.retry_after_us ? r->outcome.retry_after_us : 1000000, "%s",
                         message);
    } else {
        char *param = r->outcome.param.n ? arena_text(r, r->outcome.param) : NULL;
        weir_answer_error(r, status, param ? param : "", code, "%s", message);
    }
}

/* The target's own words, where it knows what the client should see. */
static void fail_by_outcome(struct weir_request *r)
{
    const weir_outcome *o = &r->outcome;
    char *code = o->code.n ? arena_text(r, o->code) : NULL;
    char *message = o->status ? arena_text(r, o->message)
                              : (char *)weir_arena_printf(&r->arena, "The model failed: %.*s",
                                                          (int)o->message.n, o->message.p)
                                    .p;
    fail_run(r, o->status ? o->status : 503, code ? code : "model_failed",
             message ? message : "The model failed.");
}

static void answer_too_large(struct weir_request *r)
{
    fail_run(r, 500, "response_too_large", "The answer is larger than this server allows.");
}

static void end_stream(struct weir_request *r)
{
    if (weir_reply_end(&r->reply, &r->outcome, &r->out) < 0) {
        answer_too_large(r);
        return;
    }
    send_out(r);
    weir_answer_stream_trailers(r);
    if (weir_http_stream_end(r->ex) >= 0) {
        note_sent(r, r->n_out_tokens);
    }
}

static void answer_whole(struct weir_request *r)
{
    struct weir_buf *out = weir_worker_scratch(r->worker);
    if (weir_reply_end(&r->reply, &r->outcome, out) < 0) {
        answer_too_large(r);
        return;
    }
    weir_answer_json(r, 200, weir_buf_view(out));
    if (weir_http_response_begun(r->ex)) {
        note_sent(r, r->n_out_tokens);
    }
}

static void finish_reply(struct weir_request *r)
{
    if (!r->ex || r->failed) {
        return;
    }
    if (r->is_late && !r->filtered) {
        fail_run(r, 504, "target_timeout", "The model took too long to begin its answer.");
        return;
    }
    if (r->outcome.rc == WEIR_E_CANCELLED && !r->filtered) {
        fail_run(r, 503, "cancelled", "The generation was cancelled by the server.");
        return;
    }
    if (r->outcome.rc < 0 && !r->filtered) {
        fail_by_outcome(r);
        return;
    }
    if (r->api.stream) {
        end_stream(r);
    } else {
        answer_whole(r);
    }
}

void weir_run_answer_failure(struct weir_request *r)
{
    finish_reply(r);
}

static void end_run(struct weir_request *r)
{
    r->outcome.cached_tokens = r->outcome.cached_tokens > r->outcome.prompt_tokens
                                   ? r->outcome.prompt_tokens
                                   : r->outcome.cached_tokens;
    if (weir_hedge_takes_over(r, true)) {
        return;
    }
    r->entry.completion_tokens = r->outcome.completion_tokens;
    if (weir_retry_after(r)) {
        return;
    }
    weir_admission_leave(r);
    finish_reply(r);
    weir_request_drop(r, WEIR_HOLD_TARGET);
}

/* A plugin ended a choice; once it has ended all of them the target need not go on. */
static void choice_filtered(struct weir_request *r, uint32_t choice)
{
    r->filtered_choices |= UINT64_C(1) << (choice % 64);
    uint32_t n = r->api.generation.n;
    uint64_t all = n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
    if (r->filtered_choices == all && !r->cancelled) {
        r->filtered = true;
        if (r->replay) {
            r->cancelled = true;
        } else {
            cancel_target(r);
        }
    }
}

/* A plugin holds back the output; nobody waits for it after a failure. */
static bool is_held(const struct weir_request *r)
{
    return weir_plugin_run_is_paused(&r->run) && r->ex && !r->failed;
}

static void handle_chunk(struct weir_request *r, const weir_chunk *chunk)
{
    mark_chunk(r, chunk);
    if (!r->ex || r->failed) {
        return;
    }
    r->has_chunk = true;
    if (r->api.stream) {
        weir_http_stream_expect(r->ex);
    }
    size_t n_bytes = r->out.len;
    uint64_t n_tokens = r->n_out_tokens;
    if (weir_plugin_run_chunk(&r->run, chunk, deliver, r) == WEIR_PLUGIN_CHUNK_ENDED) {
        choice_filtered(r, chunk->choice);
    }
    if (is_held(r) && r->api.stream) {
        send_part(r, n_bytes, n_tokens); /* what came before this chunk need not wait with it */
    }
    if (r->deliver_rc < 0 && !r->cancelled) {
        answer_too_large(r);
        weir_run_cancel(r);
    }
}

static struct weir_request_flow *of_flow(struct weir_flow *flow)
{
    return (struct weir_request_flow *)(void *)((char *)flow -
                                                offsetof(struct weir_request_flow, flow));
}

/* From a target on this loop, as it comes. */
static int take_chunk(struct weir_flow *flow, const weir_chunk *chunk)
{
    struct weir_request_flow *f = of_flow(flow);
    struct weir_request *r = f->request;
    weir_fetch(&r->worker,
               offsetof(struct weir_request, route) - offsetof(struct weir_request, worker));
    weir_fetch(&r->api.stream, 1);
    weir_fetch(&r->run, sizeof(r->run) - sizeof(r->run.choices));
    if (!weir_hedge_choose(r, f)) {
        return WEIR_E_GONE;
    }
    if (r->paused || is_held(r)) {
        return WEIR_E_BUSY;
    }
    flow->is_held = true;
    weir_fetch(r->ex, WEIR_FETCH_LINE_BYTES);
    weir_reply_expect(&r->reply);
    handle_chunk(r, chunk);
    if (r->api.stream && !is_held(r)) {
        send_out(r);
    }
    flow->is_held = false;
    return r->cancelled || !r->ex || r->failed ? WEIR_E_GONE : 0;
}

static void take_end(struct weir_flow *flow)
{
    read_flow(of_flow(flow));
}

static const struct weir_flow_reader direct_reader = {take_chunk, take_end};

static void read_replay(struct weir_request *r)
{
    struct weir_replay *p = r->replay;
    p->is_read = true;
    while (!p->cancelled && !r->paused && !is_held(r) && p->at < p->n) {
        handle_chunk(r, &p->chunks[p->at++]);
        if (r->out.len > WEIR_FLOW_BYTES && r->api.stream && !is_held(r)) {
            send_out(r);
        }
    }
    bool ended = !p->cancelled && !is_held(r) && p->at == p->n;
    if (ended) {
        finish_reply(r);
    }
    p->is_read = false;
    if (ended || p->cancelled) {
        weir_request_drop(r, WEIR_HOLD_REPLAY);
    } else if (!is_held(r) && r->api.stream) {
        send_out(r);
    }
}

void weir_run_replay(struct weir_request *r)
{
    r->enqueued_us = weir_worker_now_us(r->worker);
    r->granted_us = r->enqueued_us;
    r->outcome = r->replay->outcome;
    r->outcome.rc = 0;
    weir_request_hold(r, WEIR_HOLD_REPLAY);
    read_replay(r);
}

static void read_chunks(struct weir_request *r)
{
    if (r->holds & WEIR_HOLD_REPLAY) {
        read_replay(r);
        return;
    }
    if (!(r->holds & WEIR_HOLD_TARGET)) {
        return; /* the end was read already; only the exchange still lives */
    }
    r->lead->flow.is_held = true;
    read_ring(r);
    r->lead->flow.is_held = false;
    if (is_held(r)) {
        return;
    }
    if (r->api.stream) {
        send_out(r);
    }
    if (weir_flow_ended(&r->lead->flow, &r->outcome)) {
        end_run(r);
    }
}

void weir_run_read(struct weir_request *r)
{
    read_chunks(r);
}

static void read_ring(struct weir_request *r)
{
    const weir_chunk *chunk;
    while (!r->paused && !is_held(r) && (chunk = weir_flow_peek(&r->lead->flow)) != NULL) {
        (void)weir_hedge_choose(r, r->lead);
        handle_chunk(r, chunk);
        if (weir_flow_pop(&r->lead->flow)) {
            weir_target_wake(r->target, r->ticket);
        }
        if (r->out.len > WEIR_FLOW_BYTES && !is_held(r)) {
            send_out(r);
        }
    }
}

void weir_run_unpaused(struct weir_request *r, bool denied)
{
    if (denied) {
        fail_run(r, r->answer_status ? r->answer_status : 503,
                 r->answer_code.n ? r->answer_code.p : "policy_ended",
                 r->answer_text.n ? r->answer_text.p : "The answer was ended by a policy.");
        weir_run_cancel(r);
    }
    read_chunks(r);
}

void weir_run_writable(struct weir_request *r)
{
    if (r->paused) {
        r->paused = false;
        read_chunks(r);
    }
}

static bool is_over(uint64_t since_us, uint32_t bound_ms, uint64_t now_us)
{
    return bound_ms && now_us > since_us + (uint64_t)bound_ms * 1000;
}

void weir_run_tick(struct weir_request *r, uint64_t now_us)
{
    if (!(r->holds & WEIR_HOLD_TARGET) || r->cancelled) {
        return;
    }
    const struct weir_target_terms *terms = weir_model_terms(r->model, r->entry.target);
    bool waits_for_client = r->paused || is_held(r);
    if (waits_for_client) {
        r->last_piece_us = now_us; /* what comes next could not have been seen before */
    }
    if (is_over(r->arrived_us, terms->total_ms, now_us)) {
        fail_run(r, 504, "total_timeout", "The answer took longer than it may take in all.");
        weir_run_cancel(r);
    } else if (!r->has_chunk && is_over(r->begun_us, terms->first_token_ms, now_us)) {
        r->outcome.rc = WEIR_E_TIMEOUT;
        if (!weir_hedge_takes_over(r, false)) {
            r->is_late = true; /* told to the client when no other target can have it */
            weir_run_cancel(r);
        }
    } else if (r->has_chunk && is_over(r->last_piece_us, terms->between_tokens_ms, now_us)) {
        r->is_late = true;
        fail_run(r, 504, "target_timeout", "The model stopped in the middle of its answer.");
        weir_run_cancel(r);
    }
}

void weir_run_end_late(struct weir_request *r)
{
    weir_observe_rejected(weir_worker_observer(r->worker), r, "deadline");
    fail_run(r, 504, "deadline_exceeded", "The request's deadline has passed.");
    weir_run_cancel(r);
}
