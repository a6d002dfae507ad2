/* SPDX-License-Identifier: Apache-2.0 */
/* Chat and text completions: parse, prepare, BODY, ROUTE, queue, ADMIT, run, stream. */
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/clock.h"
#include "core/api/json_body.h"
#include "core/request/answer.h"
#include "core/request/observe.h"
#include "core/request/request.h"
#include "core/request/tenant.h"
#include "core/server/worker.h"

/* Longer bodies are rendered and tokenised on the thread pool, so that a loop never works for
 * milliseconds on one request. */
enum { INLINE_PREPARE_BYTES = 16 * 1024 };

static struct weir_request *from_member(void *member, size_t offset)
{
    return (struct weir_request *)(void *)((char *)member - offset);
}

static void answer_not_ready(struct weir_request *r)
{
    uint32_t state = weir_model_state(r->model);
    const char *name = weir_model_name(r->model);
    if (state == WEIR_TARGET_LOADING) {
        weir_answer_busy(r, 503, "model_loading", 2000000, "The model '%s' is still loading.",
                         name);
    } else {
        weir_answer_busy(r, 503, "model_unavailable", 5000000,
                         "The model '%s' has no target that can run now.", name);
    }
}

static void read_chunks(struct weir_request *r);

/* ---- running ---- */

static void flow_ready(struct weir_inbox_item *item)
{
    read_chunks(from_member(item, offsetof(struct weir_request, flow_item)));
}

static void release_place(struct weir_request *r)
{
    struct weir_queue *q = weir_model_queue(r->model);
    weir_queue_charge(q, r->entry.tenant_hash, 0, r->outcome.completion_tokens);
    weir_queue_release(q, &r->entry, weir_clock_mono_us());
    weir_worker_wake_all(r->worker); /* the place may have gone to another worker's request */
}

static void begin_stream(struct weir_request *r)
{
    weir_answer_headers(r);
    (void)weir_http_add_header(r->ex, "Content-Type",
                               weir_str_from("text/event-stream; charset=utf-8"));
    (void)weir_http_add_header(r->ex, "Cache-Control", weir_str_from("no-cache"));
    (void)weir_http_add_header(r->ex, "X-Accel-Buffering", weir_str_from("no"));
    r->status = 200;
    if (weir_http_stream_begin(r->ex, 200) < 0) {
        weir_http_abort(r->ex);
    }
}

static void cancel_run(struct weir_request *r)
{
    if ((r->holds & WEIR_HOLD_TARGET) && !r->cancelled) {
        r->cancelled = true;
        weir_flow_abandon(&r->flow);
        weir_target_cancel(r->target, r->ticket);
    }
}

/* Sends what `out` holds; marks the request paused when the client is slow. */
static void send_out(struct weir_request *r)
{
    if (!r->ex || r->failed || r->out.len == 0) {
        weir_buf_reset(&r->out);
        return;
    }
    if (!weir_http_response_begun(r->ex)) {
        begin_stream(r);
    }
    int rc = weir_http_stream_write(r->ex, weir_buf_view(&r->out));
    weir_buf_reset(&r->out);
    if (rc == 1) {
        r->paused = true;
    } else if (rc < 0) {
        weir_http_abort(r->ex); /* a stream with a hole must not end as if it were whole */
        cancel_run(r);
    }
}

static void mark_chunk(struct weir_request *r, const weir_chunk *chunk)
{
    uint64_t now_us = weir_clock_mono_us();
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
    int rc = weir_reply_add(&r->reply, chunk, &r->out);
    if (rc < 0 && r->deliver_rc == 0) {
        r->deliver_rc = rc;
    }
}

static void fail_run(struct weir_request *r, uint32_t status, const char *code, const char *message)
{
    if (!r->ex || r->failed) {
        return; /* the first failure is the one that the client was told */
    }
    r->failed = true;
    r->error_code = code;
    r->finish = WEIR_FINISH_ERROR;
    if (weir_http_response_begun(r->ex)) {
        weir_buf_reset(&r->out);
        weir_reply_error(&r->reply, weir_str_from(message), weir_str_from(code), &r->out);
        if (weir_http_stream_write(r->ex, weir_buf_view(&r->out)) < 0) {
            weir_http_abort(r->ex); /* so that the client can tell it from an end */
        }
        (void)weir_http_stream_end(r->ex);
    } else if (status == 503) {
        weir_answer_busy(r, status, code, 1000000, "%s", message);
    } else {
        weir_answer_error(r, status, "", code, "%s", message);
    }
}

static void finish_reply(struct weir_request *r)
{
    if (!r->ex || r->failed) {
        return;
    }
    if (r->outcome.rc == WEIR_E_CANCELLED && !r->filtered) {
        fail_run(r, 503, "cancelled", "The generation was cancelled by the server.");
        return;
    }
    if (r->outcome.rc < 0 && !r->filtered) {
        char *message = (char *)weir_arena_printf(&r->arena, "The model failed: %.*s",
                                                  (int)r->outcome.message.n, r->outcome.message.p)
                            .p;
        fail_run(r, 503, "model_failed", message ? message : "The model failed.");
        return;
    }
    if (weir_reply_end(&r->reply, &r->outcome, &r->out) < 0) {
        fail_run(r, 500, "response_too_large", "The answer is larger than this server allows.");
    } else if (r->api.stream) {
        send_out(r);
        (void)weir_http_stream_end(r->ex);
    } else {
        weir_answer_json(r, 200, weir_buf_view(&r->out));
    }
}

static void end_run(struct weir_request *r)
{
    r->outcome.cached_tokens = r->outcome.cached_tokens > r->outcome.prompt_tokens
                                   ? r->outcome.prompt_tokens
                                   : r->outcome.cached_tokens;
    release_place(r);
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
        r->cancelled = true;
        weir_target_cancel(r->target, r->ticket);
    }
}

static void handle_chunk(struct weir_request *r, const weir_chunk *chunk)
{
    mark_chunk(r, chunk);
    if (!r->ex || r->failed) {
        return;
    }
    if (weir_plugin_run_chunk(&r->run, chunk, deliver, r) == WEIR_PLUGIN_CHUNK_ENDED) {
        choice_filtered(r, chunk->choice);
    }
    if (r->deliver_rc < 0 && !r->cancelled) {
        fail_run(r, 500, "response_too_large", "The answer is larger than this server allows.");
        cancel_run(r);
    }
}

static void read_chunks(struct weir_request *r)
{
    if (!(r->holds & WEIR_HOLD_TARGET)) {
        return; /* the end was read already; only the exchange still lives */
    }
    const weir_chunk *chunk;
    while (!r->paused && (chunk = weir_flow_peek(&r->flow)) != NULL) {
        handle_chunk(r, chunk);
        if (weir_flow_pop(&r->flow)) {
            weir_target_wake(r->target, r->ticket);
        }
        if (r->out.len > WEIR_FLOW_BYTES) {
            send_out(r);
        }
    }
    if (r->api.stream) {
        send_out(r);
    }
    if (weir_flow_ended(&r->flow, &r->outcome)) {
        end_run(r);
    }
}

void weir_generate_writable(struct weir_request *r)
{
    if (r->paused) {
        r->paused = false;
        read_chunks(r);
    }
}

/* ---- admission ---- */

static void give_place_back(struct weir_request *r)
{
    weir_queue_release(weir_model_queue(r->model), &r->entry, weir_clock_mono_us());
    weir_worker_wake_all(r->worker);
}

static void submit(struct weir_request *r)
{
    int rc = weir_flow_init(&r->flow, weir_worker_inbox(r->worker), &r->flow_item);
    if (rc == 0) {
        r->ticket = weir_target_begin(r->target, &r->flow);
        rc = r->ticket ? weir_target_submit(r->target, &r->api.generation, &r->prepared, r->ticket)
                       : WEIR_E_BUSY;
    }
    if (rc < 0) {
        if (r->ticket) {
            weir_target_forget(r->target, r->ticket);
        }
        give_place_back(r);
        weir_answer_busy(r, 503, "model_busy", 1000000, "The model cannot take the request now.");
        weir_request_drop(r, WEIR_HOLD_GRANT);
        return;
    }
    r->is_prepared = false; /* the target owns the prepared state now */
    weir_request_hold(r, WEIR_HOLD_TARGET);
    weir_request_drop(r, WEIR_HOLD_GRANT);
}

static void granted_on_loop(struct weir_inbox_item *item)
{
    struct weir_request *r = from_member(item, offsetof(struct weir_request, grant_item));
    r->granted_us = weir_clock_mono_us();
    if (!r->ex || weir_http_response_begun(r->ex)) { /* left or timed out meanwhile */
        give_place_back(r);
        weir_request_drop(r, WEIR_HOLD_GRANT);
        return;
    }
    weir_observe_granted(weir_worker_observer(r->worker), r);
    weir_request_phase(r, WEIR_PHASE_ADMIT, submit);
}

void weir_generate_granted(void *arg, struct weir_queue_entry *entry)
{
    (void)arg;
    struct weir_request *r = from_member(entry, offsetof(struct weir_request, entry));
    struct weir_inbox *inbox = weir_worker_inbox(r->worker);
    weir_inbox_post(inbox, &r->grant_item);
    weir_inbox_wake(inbox);
}

static void enqueue(struct weir_request *r)
{
    r->enqueued_us = weir_clock_mono_us();
    uint64_t timeout_us = (uint64_t)weir_model_queue_timeout_ms(r->model) * 1000u;
    uint64_t deadline_us = r->enqueued_us + timeout_us;
    uint64_t wanted_us = r->arrived_us + (uint64_t)r->deadline_ms * 1000u;
    if (r->deadline_ms && wanted_us < deadline_us) {
        deadline_us = wanted_us;
    }
    r->entry = (struct weir_queue_entry){
        .class_rank = r->class_rank,
        .priority = r->priority,
        .n_places = r->api.generation.n,
        .prompt_tokens = r->prepared.prompt_tokens,
        .tenant_hash = XXH3_64bits(r->tenant.p ? r->tenant.p : "", r->tenant.n),
        .deadline_us = deadline_us,
    };
    weir_request_hold(r, WEIR_HOLD_GRANT);
    uint64_t retry_after_us = 0;
    int rc =
        weir_queue_push(weir_model_queue(r->model), &r->entry, r->enqueued_us, &retry_after_us);
    if (rc < 0) {
        weir_observe_rejected(weir_worker_observer(r->worker), r, "queue_full");
        weir_answer_busy(r, 429, "queue_full", retry_after_us,
                         "The queue of model '%s' is full. Retry after %.1f s.",
                         weir_model_name(r->model), (double)retry_after_us / 1e6);
        weir_request_drop(r, WEIR_HOLD_GRANT);
    }
}

/* The client named a deadline: later, the answer is of no use to it. */
static void end_late_run(struct weir_request *r)
{
    weir_observe_rejected(weir_worker_observer(r->worker), r, "deadline");
    fail_run(r, 504, "deadline_exceeded", "The request's deadline has passed.");
    cancel_run(r);
}

void weir_request_tick(struct weir_request *r, uint64_t now_us)
{
    bool late = r->deadline_ms && now_us > r->arrived_us + (uint64_t)r->deadline_ms * 1000u;
    if (late && (r->holds & WEIR_HOLD_TARGET) && !r->cancelled) {
        end_late_run(r);
        return;
    }
    if (!(r->holds & WEIR_HOLD_GRANT) || now_us < r->entry.deadline_us ||
        !weir_queue_remove(weir_model_queue(r->model), &r->entry)) {
        return;
    }
    uint64_t wait_us = weir_queue_wait_us(weir_model_queue(r->model));
    weir_observe_rejected(weir_worker_observer(r->worker), r, "queue_timeout");
    weir_answer_busy(r, 503, "queue_timeout", wait_us,
                     "No place became free in time for model '%s'.", weir_model_name(r->model));
    weir_request_drop(r, WEIR_HOLD_GRANT);
}

static void route(struct weir_request *r)
{
    weir_generation *g = &r->api.generation;
    g->max_tokens = r->prepared.max_tokens;
    g->class_rank = r->class_rank;
    g->priority = r->priority;
    g->tenant = r->tenant;
    enqueue(r);
}

static void body_passed(struct weir_request *r)
{
    weir_request_phase(r, WEIR_PHASE_ROUTE, route);
}

/* ---- preparation ---- */

static void prepared(struct weir_request *r)
{
    if (r->prepare_rc == 0) {
        r->is_prepared = true;
    }
    if (!r->ex) {
        return; /* the client left meanwhile */
    }
    if (r->prepare_rc == WEIR_E_ARG) {
        weir_answer_refusal(r, &r->refusal);
    } else if (r->prepare_rc == WEIR_E_BUSY) {
        answer_not_ready(r);
    } else if (r->prepare_rc < 0) {
        weir_answer_error(r, 500, "", "prepare_failed", "The prompt could not be prepared: %s.",
                          weir_error_name(r->prepare_rc));
    } else {
        weir_request_phase(r, WEIR_PHASE_BODY, body_passed);
    }
}

static void prepare_on_pool(uv_work_t *work)
{
    struct weir_request *r = from_member(work, offsetof(struct weir_request, work));
    r->prepare_rc = weir_target_prepare(r->target, &r->api.generation, &r->prepared, &r->refusal);
}

static void prepared_on_pool(uv_work_t *work, int status)
{
    struct weir_request *r = from_member(work, offsetof(struct weir_request, work));
    if (status < 0) {
        r->prepare_rc = WEIR_E_CANCELLED;
    }
    prepared(r);
    weir_request_drop(r, WEIR_HOLD_PREPARE);
}

static void prepare(struct weir_request *r)
{
    r->target = weir_model_choose(r->model);
    if (!r->target) {
        answer_not_ready(r);
        return;
    }
    if (r->body_text.n > INLINE_PREPARE_BYTES) {
        weir_request_hold(r, WEIR_HOLD_PREPARE);
        if (uv_queue_work(weir_worker_loop(r->worker), &r->work, prepare_on_pool,
                          prepared_on_pool) == 0) {
            return;
        }
        weir_request_drop(r, WEIR_HOLD_PREPARE);
    }
    r->prepare_rc = weir_target_prepare(r->target, &r->api.generation, &r->prepared, &r->refusal);
    prepared(r);
}

static int init_reply(struct weir_request *r)
{
    const weir_generation *g = &r->api.generation;
    bool chat = g->kind == WEIR_GENERATION_CHAT;
    r->reply = (struct weir_reply){
        .kind = g->kind,
        .stream = r->api.stream,
        .include_usage = r->api.include_usage,
        .want_logprobs = g->want_logprobs,
        .id = weir_arena_printf(&r->arena, "%s-%s", chat ? "chatcmpl" : "cmpl", r->id),
        .model = weir_str_from(weir_model_name(r->model)),
        .created_s = weir_clock_wall_us() / 1000000u,
        .n_choices = g->n,
        .max_bytes = weir_worker_settings(r->worker)->max_response_bytes,
    };
    return r->reply.id.p ? weir_reply_init(&r->reply, &r->arena) : WEIR_E_NOMEM;
}

/* x-weir-deadline-ms: how long after its arrival the client still wants the answer. */
static bool read_deadline(struct weir_request *r)
{
    weir_str text = weir_http_header(r->ex, "x-weir-deadline-ms");
    uint32_t ms = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || i > 7) {
            ms = 0;
            break;
        }
        ms = ms * 10 + (uint32_t)(text.p[i] - '0');
    }
    if (text.n && ms == 0) {
        weir_answer_error(r, 400, "x-weir-deadline-ms", "invalid_value",
                          "x-weir-deadline-ms must be 1 to 99999999 milliseconds.");
        return false;
    }
    if (ms && (!r->deadline_ms || ms < r->deadline_ms)) {
        r->deadline_ms = ms; /* a plugin's shorter one stays */
    }
    return true;
}

static void generate(struct weir_request *r, uint32_t kind)
{
    struct weir_error err = {0};
    if (!read_deadline(r)) {
        return;
    }
    int rc = weir_json_body_parse(weir_http_body(r->ex), &r->body, &err);
    if (rc < 0) {
        weir_answer_error(r, 400, "", "invalid_json", "%s.", err.message);
        return;
    }
    rc =
        weir_api_request_parse(yyjson_doc_get_root(r->body), kind, &r->arena, &r->api, &r->refusal);
    if (rc < 0) {
        weir_answer_refusal(r, &r->refusal);
        return;
    }
    r->model = weir_models_find(weir_worker_models(r->worker), r->api.model);
    if (!r->model || !weir_tenant_allows(r, r->model)) {
        r->model = NULL; /* and not a word more than for a model that does not exist */
        weir_answer_unknown_model(r, r->api.model);
        return;
    }
    r->api.model = weir_str_from(weir_model_name(r->model));
    if (r->api.user.n && r->user.n == 0) {
        r->user = r->api.user;
    }
    r->api.generation.request_id = weir_str_from(r->id);
    r->grant_item.run = granted_on_loop;
    r->flow_item.run = flow_ready;
    weir_tenant_choose_class(r);
    weir_observe_model(weir_worker_observer(r->worker), r);
    if (init_reply(r) < 0) {
        weir_answer_error(r, 413, "", "request_too_large",
                          "The request needs more memory than one request may use.");
        return;
    }
    prepare(r);
}

void weir_generate_chat(struct weir_request *r)
{
    generate(r, WEIR_GENERATION_CHAT);
}

void weir_generate_completion(struct weir_request *r)
{
    generate(r, WEIR_GENERATION_COMPLETION);
}

/* ---- the end ---- */

void weir_generate_abandon(struct weir_request *r)
{
    if (r->holds & WEIR_HOLD_TARGET) {
        cancel_run(r);
        /* Also when plugins had cancelled it: what lies in the flow would keep its end from us. */
        weir_flow_abandon(&r->flow);
        return;
    }
    if (!(r->holds & WEIR_HOLD_GRANT)) {
        return;
    }
    bool waiting = weir_queue_remove(weir_model_queue(r->model), &r->entry);
    bool in_admit = !waiting && r->granted_us; /* refused, or the client left, during ADMIT */
    if (in_admit) {
        give_place_back(r);
    }
    if (waiting || in_admit) {
        weir_request_drop(r, WEIR_HOLD_GRANT);
    } /* else the grant is under way and will find the exchange gone */
}

void weir_generate_finish(struct weir_request *r)
{
    if (r->is_prepared) {
        weir_target_discard(r->target, r->prepared.state);
        r->is_prepared = false;
    }
    weir_flow_finish(&r->flow);
    weir_reply_finish(&r->reply);
    weir_inbox_withdraw(weir_worker_inbox(r->worker), &r->flow_item);
    yyjson_doc_free(r->body);
    r->body = NULL;
}
