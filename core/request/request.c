/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/admin/call.h"
#include "core/request/admission.h"
#include "core/request/answer.h"
#include "core/request/generate.h"
#include "core/request/observe.h"
#include "core/request/replay.h"
#include "core/request/request_pool.h"
#include "core/request/routes.h"
#include "core/request/run.h"
#include "core/request/tenant.h"
#include "core/server/worker.h"

enum { CLIENT_CLOSED_REQUEST = 499 };

static bool id_is_sane(weir_str s)
{
    if (s.n == 0 || s.n > 64) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.' || c == ':';
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* Eight digits at once: a byte for each four bits, and those above 9 made letters. */
static char *put_hex(char *to, uint32_t v)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t x = (v & 0xffff) | (uint64_t)(v >> 16) << 32;
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x << 4) & each * 15;
    uint64_t is_letter = (x + each * 6) >> 4 & each;
    x += each * '0' + is_letter * ('a' - '0' - 10);
    memcpy(to, &x, sizeof(x));
    return to + sizeof(x);
}

void weir_request_id_make(struct weir_random *random, char out[WEIR_REQUEST_ID_BYTES])
{
    uint64_t one = weir_random_u64(random), two = weir_random_u64(random);
    memcpy(out, "req_", 4);
    char *to = put_hex(put_hex(out + 4, (uint32_t)one), (uint32_t)(one >> 32));
    *put_hex(to, (uint32_t)two) = '\0';
}

/* The client's own id when it sent one that is safe to log, else a random one. */
static void choose_id(struct weir_request *r)
{
    weir_str given = weir_http_header(r->ex, "x-request-id");
    if (id_is_sane(given)) {
        (void)snprintf(r->id, sizeof(r->id), "%.*s", (int)given.n, given.p);
    } else {
        weir_request_id_make(weir_worker_random(r->worker), r->id);
    }
}

struct weir_request *weir_request_create(struct weir_worker *worker, struct weir_http_exchange *ex)
{
    struct weir_request *r = weir_request_pool_take(weir_worker_requests(worker));
    if (!r) {
        return NULL;
    }
    r->worker = worker;
    r->ex = ex;
    r->arrived_us = weir_worker_now_us(worker);
    r->holds = WEIR_HOLD_EXCHANGE;
    r->out.max_bytes = weir_worker_settings(worker)->max_response_bytes;
    if (!r->arena.head) {
        weir_arena_init(&r->arena, weir_worker_settings(worker)->request_arena_bytes);
    }
    choose_id(r);
    r->method = weir_http_method(ex);
    r->path = weir_http_path(ex);
    r->peer = weir_http_peer(ex);
    weir_str traceparent = weir_http_header(ex, "traceparent");
    if (traceparent.n) { /* a target reads it, and may do so when the exchange has gone */
        r->traceparent = weir_arena_copy(&r->arena, traceparent);
    }
    r->class_rank = 1;
    return r;
}

/* The exchange goes, and the request stays. */
static void keep_texts(struct weir_request *r)
{
    r->method = weir_arena_copy(&r->arena, r->method);
    r->path = weir_arena_copy(&r->arena, r->path);
    r->peer = weir_arena_copy(&r->arena, r->peer);
}

void weir_request_hold(struct weir_request *r, enum weir_request_hold reason)
{
    r->holds |= reason;
}

static void complete_plugins(struct weir_request *r)
{
    if (!r->run_begun) {
        return;
    }
    if (weir_plugin_chain_n(r->run.chain) == 0) { /* nobody asks for the usage */
        weir_plugin_run_finish(&r->run);
        return;
    }
    weir_usage usage = {
        .struct_size = sizeof(usage),
        .http_status = r->status,
        .finish = r->finish,
        .n_choices = r->api.generation.n,
        .prompt_tokens = r->outcome.prompt_tokens,
        .cached_tokens = r->outcome.cached_tokens,
        .completion_tokens = r->outcome.completion_tokens,
        .queue_us = r->granted_us ? r->granted_us - r->enqueued_us : 0,
        .first_token_us = r->first_chunk_us ? r->first_chunk_us - r->arrived_us : 0,
        .total_us = weir_worker_now_us(r->worker) - r->arrived_us,
        .model = r->model ? weir_model_name_str(r->model) : (weir_str){NULL, 0},
        .target = r->replay   ? weir_str_from(r->replay->source)
                  : r->target ? weir_str_from(weir_target_name(r->target))
                              : (weir_str){NULL, 0},
        .error_code = r->error_code ? weir_str_from(r->error_code) : (weir_str){NULL, 0},
        .delivered_tokens = r->delivery.n_delivered,
        .device_us = r->outcome.device_us,
        .flags = r->replay ? WEIR_USAGE_REPLAYED : 0,
    };
    weir_plugin_run_complete(&r->run, &usage);
    weir_plugin_run_finish(&r->run);
}

static void end_request(struct weir_request *r)
{
    r->closing = true;
    if (r->status == 0) {
        r->status = CLIENT_CLOSED_REQUEST;
        r->finish = WEIR_FINISH_CANCEL;
    }
    complete_plugins(r);
    weir_admin_finish(r);
    weir_observe_request(weir_worker_observer(r->worker), r);
    weir_generate_finish(r);
    weir_request_pool_give_back(weir_worker_requests(r->worker), r);
}

void weir_request_drop(struct weir_request *r, enum weir_request_hold reason)
{
    r->holds &= ~(uint32_t)reason;
    if (r->holds == 0 && !r->closing) {
        end_request(r);
    }
}

/* A plugin had kept the answer: the others are asked, then it goes out. */
static void replay(struct weir_request *r)
{
    r->replay = r->answer_replay;
    r->answer_replay = NULL;
    if (r->next_model) { /* the answer is of the model that a policy chose */
        r->model = r->next_model;
        r->next_model = NULL;
        r->reply.model = r->api.model;
    }
    weir_request_phase(r, WEIR_PHASE_REPLAY, weir_run_replay);
}

static void phase_ended(struct weir_request *r, enum weir_plugin_outcome outcome)
{
    switch (outcome) {
    case WEIR_PLUGIN_DONE: r->after_phase(r); return;
    case WEIR_PLUGIN_ANSWERED:
        if (r->answer_replay) {
            replay(r);
            return;
        }
        weir_answer_plugin(r);
        weir_generate_abandon(r);
        return;
    case WEIR_PLUGIN_SUSPENDED: return;
    }
}

/* The plugin host: a suspended phase has ended. */
static void phase_resumed(struct weir_plugin_run *run, enum weir_plugin_outcome outcome)
{
    phase_ended((struct weir_request *)(void *)((char *)run - offsetof(struct weir_request, run)),
                outcome);
}

/* The plugin host: the last pause of the output has ended. */
static void output_resumed(struct weir_plugin_run *run, enum weir_plugin_outcome outcome)
{
    weir_run_unpaused(
        (struct weir_request *)(void *)((char *)run - offsetof(struct weir_request, run)),
        outcome == WEIR_PLUGIN_ANSWERED);
}

void weir_request_phase(struct weir_request *r, enum weir_phase phase,
                        void (*next)(struct weir_request *r))
{
    r->after_phase = next;
    phase_ended(r, weir_plugin_run_phase(&r->run, phase));
}

static void start_body(struct weir_request *r)
{
    r->body_text = weir_http_body(r->ex);
    /* Plugins may read it when the exchange has gone. */
    if (r->run_begun && weir_plugin_chain_n(r->run.chain) > 0) {
        r->body_text = weir_arena_copy(&r->arena, r->body_text);
    }
    if (!r->body_text.p) {
        weir_answer_error(r, 413, "", "request_too_large",
                          "The request needs more memory than one request may use.");
        return;
    }
    r->route->run(r);
}

static void headers_passed(struct weir_request *r)
{
    if (!weir_tenant_is_served(r)) {
        return;
    }
    r->headers_done = true;
    if (r->body_ready) {
        start_body(r);
    }
}

/* OPTIONS of any path, a method that the path does not have, or a path that is not there. */
static void answer_without_route(struct weir_request *r, uint32_t status)
{
    struct weir_buf allow;
    weir_buf_init(&allow, 256);
    bool known = weir_routes_allow(weir_worker_routes(r->worker), r->path, &allow);
    if (known) {
        (void)weir_http_add_header(r->ex, weir_str_from("Allow"), weir_buf_view(&allow));
    }
    if (known && weir_str_is(r->method, "OPTIONS")) {
        weir_answer_empty(r, 204);
    } else if (status == 405) {
        weir_answer_error(r, 405, "", "method_not_allowed", "Method %.*s is not allowed for %.*s.",
                          (int)r->method.n, r->method.p, (int)r->path.n, r->path.p);
    } else {
        weir_answer_error(r, 404, "", "unknown_url",
                          "Unknown request URL: %.*s %.*s. See /v1/models.", (int)r->method.n,
                          r->method.p, (int)r->path.n, r->path.p);
    }
    weir_buf_finish(&allow);
}

void weir_request_headers(struct weir_request *r)
{
    uint32_t status = 0;
    r->route = weir_routes_find(weir_worker_routes(r->worker), r->method, r->path, &status);
    if (!r->route) {
        answer_without_route(r, status);
        return;
    }
    if (!r->route->phases) {
        r->headers_done = true;
        return;
    }
    weir_observe_received(weir_worker_observer(r->worker));
    if (weir_worker_is_draining(r->worker)) {
        weir_answer_busy(r, 503, "shutting_down", 1000000, "This server is shutting down.");
        return;
    }
    struct weir_plugin_chain *chain = weir_worker_chain(r->worker);
    int rc = weir_plugin_run_init(&r->run, chain, (weir_req *)(void *)r,
                                  weir_worker_plugin_loop(r->worker), &r->arena, phase_resumed);
    if (rc < 0) {
        weir_answer_busy(r, 503, "out_of_memory", 1000000, "No memory for this request now.");
        return;
    }
    r->run.output_resumed = output_resumed;
    r->run_begun = true;
    weir_request_phase(r, WEIR_PHASE_HEADERS, headers_passed);
}

void weir_request_body(struct weir_request *r)
{
    r->body_ready = true;
    if (r->headers_done) {
        start_body(r);
    }
}

void weir_request_writable(struct weir_request *r)
{
    weir_run_writable(r);
}

void weir_request_sent(struct weir_request *r)
{
    if (r->delivery.n && weir_delivery_taken(&r->delivery, weir_http_taken_bytes(r->ex)) &&
        r->run_begun) {
        weir_plugin_run_delivered(&r->run, r->delivery.n_delivered);
    }
}

void weir_request_closed(struct weir_request *r, enum weir_http_end why)
{
    weir_request_sent(r); /* a client that left has taken a part of what was under way */
    r->ex = NULL;
    if (why != WEIR_HTTP_END_DONE) {
        if (why == WEIR_HTTP_END_CLIENT_GONE || why == WEIR_HTTP_END_STALLED) {
            r->error_code = why == WEIR_HTTP_END_STALLED ? "client_stalled" : "client_gone";
        }
        if (r->run_begun) {
            weir_plugin_run_abandon(&r->run);
        }
        weir_admin_abandon(r);
        weir_generate_abandon(r);
    }
    if (r->holds != WEIR_HOLD_EXCHANGE) {
        keep_texts(r);
    }
    weir_request_drop(r, WEIR_HOLD_EXCHANGE);
}

void weir_request_tick(struct weir_request *r, uint64_t now_us)
{
    if (r->ex) {
        weir_request_sent(r); /* a slow client takes its bytes without an event for us */
    }
    bool late = r->deadline_ms && now_us > r->arrived_us + (uint64_t)r->deadline_ms * 1000u;
    if (late && (r->holds & WEIR_HOLD_TARGET) && !r->cancelled) {
        weir_run_end_late(r);
    } else {
        weir_run_tick(r, now_us);
        weir_admission_tick(r, now_us);
    }
}
