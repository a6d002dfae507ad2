/* SPDX-License-Identifier: Apache-2.0 */
#include "generate.h"

#include <stdlib.h>

#include "base/clock.h"
#include "core/api/json_body.h"
#include "core/request/admission.h"
#include "core/request/answer.h"
#include "core/request/hedge.h"
#include "core/request/observe.h"
#include "core/request/overload.h"
#include "core/request/retry.h"
#include "core/request/routing.h"
#include "core/request/run.h"
#include "core/request/streams.h"
#include "core/request/tenant.h"
#include "core/server/server.h"

void weir_generate_answer_not_ready(struct weir_request *r)
{
    struct weir_model *model = r->asked_model ? r->asked_model : r->model;
    uint32_t state = weir_model_state(model);
    const char *name = weir_model_name(model);
    if (state == WEIR_TARGET_LOADING) {
        weir_answer_busy(r, 503, "model_loading", 2000000, "The model '%s' is still loading.",
                         name);
    } else {
        weir_answer_busy(r, 503, "model_unavailable", 5000000,
                         "The model '%s' has no target that can run now.", name);
    }
}

void weir_generate_discard(struct weir_request *r)
{
    if (r->is_prepared) {
        weir_target_discard(r->target, r->prepared.state);
        r->is_prepared = false;
    }
}

/* The request goes to another model: prepared again, but the phases that have run stay run. */
static bool prepare_fallback(struct weir_request *r)
{
    if (!weir_overload_fall_back(r)) {
        return false;
    }
    weir_generate_prepare(r, r->target, r->after_prepare);
    return true;
}

static void answer_unprepared(struct weir_request *r)
{
    bool failed =
        r->prepare_rc == WEIR_E_BUSY || (r->prepare_rc == WEIR_E_ARG && r->model != r->asked_model);
    if (failed && !(r->holds & WEIR_HOLD_GRANT) && prepare_fallback(r)) {
        return;
    }
    if (r->prepare_rc == WEIR_E_ARG && r->model != r->asked_model) {
        weir_generate_answer_not_ready(r); /* what it asks for is right for the model it named */
    } else if (r->prepare_rc == WEIR_E_ARG) {
        weir_answer_refusal(r, &r->refusal);
    } else if (r->prepare_rc == WEIR_E_BUSY) {
        weir_generate_answer_not_ready(r);
    } else {
        weir_answer_error(r, 500, "", "prepare_failed", "The prompt could not be prepared: %s.",
                          weir_error_name(r->prepare_rc));
    }
    weir_admission_abandon(r);
}

static void prepared(struct weir_request *r)
{
    r->is_prepared = r->prepare_rc == 0;
    if (!r->ex || weir_http_response_begun(r->ex)) {
        return; /* the client left meanwhile */
    }
    if (r->is_prepared) {
        r->after_prepare(r);
    } else if (r->prepare_rc == WEIR_E_BUSY && r->has_place) {
        weir_admission_put_back(r); /* its target failed in this moment */
    } else {
        answer_unprepared(r);
    }
}

static void prepare_now(struct weir_request *r)
{
    r->prepare_rc = weir_target_prepare(r->target, &r->api.generation, &r->prepared, &r->refusal);
}

static struct weir_request *from_work(uv_work_t *work)
{
    return (struct weir_request *)(void *)((char *)work - offsetof(struct weir_request, work));
}

static void prepare_on_pool(uv_work_t *work)
{
    prepare_now(from_work(work));
}

static void prepared_on_pool(uv_work_t *work, int status)
{
    struct weir_request *r = from_work(work);
    if (status < 0) {
        r->prepare_rc = WEIR_E_CANCELLED;
    }
    prepared(r);
    weir_request_drop(r, WEIR_HOLD_PREPARE);
}

void weir_generate_prepare(struct weir_request *r, struct weir_target *target,
                           void (*next)(struct weir_request *r))
{
    weir_generate_discard(r);
    r->api.generation.sampling = weir_api_request_sampling(&r->api, weir_model_sampling(r->model));
    r->target = target;
    r->after_prepare = next;
    if (r->body_text.n > WEIR_INLINE_PREPARE_BYTES) {
        weir_request_hold(r, WEIR_HOLD_PREPARE);
        if (uv_queue_work(weir_worker_loop(r->worker), &r->work, prepare_on_pool,
                          prepared_on_pool) == 0) {
            return;
        }
        weir_request_drop(r, WEIR_HOLD_PREPARE);
    }
    prepare_now(r);
    prepared(r);
}

static void route(struct weir_request *r)
{
    if (!weir_overload_pass_uncached(r)) {
        return;
    }
    weir_generation *g = &r->api.generation;
    g->max_tokens = r->prepared.max_tokens;
    g->class_rank = r->class_rank;
    g->priority = r->priority;
    weir_admission_enqueue(r);
}

/* Goes on with `next`, for another model or target when a policy asked for that in this phase: the
 * prompt is then prepared again, since its tokens are another model's. */
static void follow_route(struct weir_request *r, void (*next)(struct weir_request *r))
{
    if (!r->next_model) {
        next(r);
        return;
    }
    weir_generate_discard(r);
    r->model = r->asked_model = r->next_model;
    r->next_model = NULL;
    r->n_fallbacks_tried = 0;
    r->api.model = weir_model_name_str(r->model);
    r->reply.model = r->api.model;
    weir_tenant_choose_class(r);
    weir_tenant_read_resources(r);
    weir_observe_model(weir_worker_observer(r->worker), r);
    struct weir_target *target = weir_routing_choose(r, r->model);
    if (target || weir_overload_fall_back(r)) {
        weir_generate_prepare(r, target ? target : r->target, next);
    } else {
        weir_generate_answer_not_ready(r);
    }
}

static void route_passed(struct weir_request *r)
{
    follow_route(r, route);
}

static void run_route(struct weir_request *r)
{
    weir_request_phase(r, WEIR_PHASE_ROUTE, route_passed);
}

static void body_passed(struct weir_request *r)
{
    follow_route(r, run_route);
}

static void prompt_known(struct weir_request *r)
{
    r->given_max_tokens = r->prepared.max_tokens;
    weir_request_phase(r, WEIR_PHASE_BODY, body_passed);
}

static weir_str make_id(struct weir_request *r, weir_str prefix)
{
    weir_str of = r->api.generation.request_id;
    char *id = weir_arena_take(&r->arena, prefix.n + of.n + 1);
    if (!id) {
        return (weir_str){NULL, 0};
    }
    memcpy(id, prefix.p, prefix.n);
    memcpy(id + prefix.n, of.p, of.n + 1);
    return (weir_str){id, prefix.n + of.n};
}

static int init_reply(struct weir_request *r)
{
    static const weir_str chat_prefix = WEIR_STR_INIT("chatcmpl-");
    static const weir_str text_prefix = WEIR_STR_INIT("cmpl-");
    const weir_generation *g = &r->api.generation;
    r->reply = (struct weir_reply){
        .kind = g->kind,
        .stream = r->api.stream,
        .include_usage = r->api.include_usage,
        .want_logprobs = g->want_logprobs,
        .id = make_id(r, g->kind == WEIR_GENERATION_CHAT ? chat_prefix : text_prefix),
        .model = weir_model_name_str(r->model),
        .created_s = weir_clock_wall_s(),
        .n_choices = g->n,
        .max_bytes = weir_worker_settings(r->worker)->max_response_bytes,
        .frame = weir_worker_reply_frame(r->worker),
        .spare = r->reply.spare,
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

/* False: the tenant has as many streams as it may. */
static bool count_stream(struct weir_request *r)
{
    if (!r->api.stream || r->resources.streams == 0) {
        return true;
    }
    int rc = weir_streams_take(weir_worker_server(r->worker)->streams, r->tenant_hash,
                               r->resources.streams);
    r->counts_as_stream = rc == 0;
    if (rc == WEIR_E_BUSY) {
        weir_observe_rejected(weir_worker_observer(r->worker), r, "tenant_streams");
        weir_answer_busy(r, 429, "tenant_streams_exceeded", 1000000,
                         "You have %u streaming requests open, as many as you may.",
                         r->resources.streams);
    } else if (rc < 0) {
        weir_answer_busy(r, 503, "out_of_memory", 1000000, "No memory for this request now.");
    }
    return rc == 0;
}

static void generate(struct weir_request *r, uint32_t kind)
{
    struct weir_error err; /* filled when something is wrong */
    if (!read_deadline(r)) {
        return;
    }
    int rc = weir_json_body_parse(weir_http_body(r->ex), &r->arena, &r->body, &err);
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
    if (!r->api.seed_given) {
        r->api.generation.sampling.seed = weir_random_u64(weir_worker_random(r->worker));
    }
    r->model = weir_models_find(weir_worker_models(r->worker), r->api.model);
    if (!r->model || !weir_tenant_allows(r, r->model)) {
        r->model = NULL; /* and not a word more than for a model that does not exist */
        weir_answer_unknown_model(r, r->api.model);
        return;
    }
    r->api.model = weir_model_name_str(r->model);
    if (r->api.user.n && r->user.n == 0) {
        r->user = r->api.user;
    }
    r->asked_model = r->model;
    r->api.generation.request_id = weir_str_from(r->id);
    weir_tenant_choose_class(r);
    weir_tenant_read_resources(r);
    weir_observe_model(weir_worker_observer(r->worker), r);
    if (!count_stream(r) || !weir_overload_pass(r)) {
        return;
    }
    r->asked_max_tokens = r->api.generation.max_tokens;
    if (init_reply(r) < 0) {
        weir_answer_error(r, 413, "", "request_too_large",
                          "The request needs more memory than one request may use.");
        return;
    }
    if (weir_routing_is_forbidden(r, r->model)) {
        weir_answer_error(r, 403, "model", "region_not_allowed",
                          "The model '%s' runs in none of the regions that you may use.",
                          weir_model_name(r->model));
        return;
    }
    weir_retry_budget_earn(weir_model_retry_budget(r->model));
    struct weir_target *target = weir_routing_choose(r, r->model);
    if (target || weir_overload_fall_back(r)) {
        weir_generate_prepare(r, target ? target : r->target, prompt_known);
    } else {
        weir_generate_answer_not_ready(r);
    }
}

void weir_generate_chat(struct weir_request *r)
{
    generate(r, WEIR_GENERATION_CHAT);
}

void weir_generate_completion(struct weir_request *r)
{
    generate(r, WEIR_GENERATION_COMPLETION);
}

void weir_generate_embeddings(struct weir_request *r)
{
    generate(r, WEIR_GENERATION_EMBEDDING);
}

void weir_generate_abandon(struct weir_request *r)
{
    weir_run_cancel(r);
    weir_retry_abandon(r);
    weir_admission_abandon(r);
}

void weir_generate_finish(struct weir_request *r)
{
    weir_generate_discard(r);
    if (r->counts_as_stream) {
        weir_streams_give(weir_worker_server(r->worker)->streams, r->tenant_hash);
    }
    weir_flow_finish(&r->first.flow);
    weir_reply_recycle(&r->reply);
    weir_inbox_withdraw(weir_worker_inbox(r->worker), &r->first.item);
    weir_hedge_finish(r);
    yyjson_doc_free(r->body);
    r->body = NULL;
}
