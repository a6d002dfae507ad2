/* SPDX-License-Identifier: Apache-2.0 */
#include "retry.h"

#include "base/random.h"
#include "core/request/admission.h"
#include "core/request/answer.h"
#include "core/request/generate.h"
#include "core/request/observe.h"
#include "core/request/overload.h"
#include "core/request/request.h"
#include "core/request/routing.h"
#include "core/request/run.h"
#include "core/server/server.h"

/* Is it the target's fault, and not the request's or the client's? */
static bool is_failure(const weir_outcome *o, bool is_late)
{
    switch (o->rc) {
    case WEIR_E_ARG:
    case WEIR_E_TOOBIG:
    case WEIR_E_UNSUPPORTED:
    case WEIR_E_CANCELLED: return is_late;
    default: return o->rc < 0;
    }
}

void weir_retry_count(struct weir_request *r, const struct weir_attempt_end *end)
{
    uint64_t now_us = weir_worker_now_us(r->worker);
    const weir_outcome *o = end->outcome;
    bool is_bad = is_failure(o, end->is_late);
    bool is_limit = o->rc == WEIR_E_BUSY && !(o->flags & WEIR_OUTCOME_TARGET_FAILED);
    bool is_neutral =
        (!is_bad && o->rc < 0) || is_limit; /* it says nothing of the target's health */
    weir_attempt attempt = {.struct_size = sizeof(attempt),
                            .result = is_neutral ? WEIR_ATTEMPT_NEUTRAL
                                      : is_bad   ? WEIR_ATTEMPT_BAD
                                                 : WEIR_ATTEMPT_GOOD,
                            .rc = o->rc,
                            .begun_us = end->begun_us};
    weir_targets_tell(weir_worker_server(r->worker)->targets, end->model, end->target, &attempt);
    if (!is_neutral) {
        weir_model_report(end->model, end->target, !is_bad, end->ttft_us, now_us);
    }
    if (o->rc < 0 && o->retry_after_us) {
        weir_health_postpone(weir_model_health(end->model), end->target,
                             now_us + o->retry_after_us);
        weir_model_refresh(end->model);
    }
}

void weir_retry_note(struct weir_request *r)
{
    weir_retry_count(r, &(struct weir_attempt_end){
                            .model = r->model,
                            .target = r->entry.target,
                            .outcome = &r->outcome,
                            .is_late = r->is_late,
                            .begun_us = r->begun_us,
                            .ttft_us = r->first_chunk_us ? r->first_chunk_us - r->begun_us : 0});
    r->tried |= UINT64_C(1) << r->entry.target;
}

/* Nothing was sent, nor shown to a plugin. What was only gathered is forgotten. */
static bool is_untouched(const struct weir_request *r)
{
    return r->ex && !weir_http_response_begun(r->ex) && !r->failed &&
           !(r->has_chunk && weir_plugin_run_shows_chunks(&r->run));
}

static int forget_answer(struct weir_request *r)
{
    r->outcome = (weir_outcome){.struct_size = sizeof(r->outcome)};
    r->is_late = r->cancelled = r->paused = false;
    if (!r->has_chunk) {
        return 0;
    }
    r->has_chunk = false;
    r->first_chunk_us = r->last_chunk_us = 0;
    r->n_out_tokens = 0;
    r->deliver_rc = 0;
    r->finish = WEIR_FINISH_NONE;
    weir_buf_reset(&r->out);
    weir_reply_recycle(&r->reply);
    return weir_reply_init(&r->reply, &r->arena);
}

static uint64_t backoff_us(const struct weir_request *r, const struct weir_config_gateway *g)
{
    uint64_t most_us = (uint64_t)g->retries.backoff_ms * 1000;
    uint32_t shift = r->n_retries < 20 ? r->n_retries : 20;
    uint64_t cap_us = (uint64_t)g->retries.max_backoff_ms * 1000;
    most_us = most_us << shift < cap_us ? most_us << shift : cap_us;
    return most_us ? weir_random_u64(weir_worker_random(r->worker)) % (most_us + 1) : 0;
}

static bool is_in_time(const struct weir_request *r, uint64_t wait_us)
{
    uint64_t now_us = weir_worker_now_us(r->worker);
    return r->deadline_ms == 0 ||
           now_us + wait_us < r->arrived_us + (uint64_t)r->deadline_ms * 1000;
}

static void try_again(struct weir_plugin_timer *timer)
{
    struct weir_request *r =
        (struct weir_request *)(void *)((char *)timer - offsetof(struct weir_request, retry_timer));
    if (is_untouched(r)) {
        struct weir_target *target = weir_routing_choose(r, r->model);
        bool again = target && (r->tried >> r->target_index & 1);
        if ((!target || again) && weir_overload_fall_back(r)) {
            target = r->target;
        }
        if (!target) {
            weir_run_answer_failure(r); /* nobody is left: what the last one said */
        } else if (forget_answer(r) == 0) {
            weir_generate_prepare(r, target, weir_admission_enqueue);
        } else {
            weir_answer_error(r, 500, "", "out_of_memory", "No memory for another attempt.");
        }
    }
    weir_request_drop(r, WEIR_HOLD_RETRY);
}

static bool begin_wait(struct weir_request *r, uint64_t wait_us)
{
    r->retry_timer = (struct weir_plugin_timer){.fn = try_again};
    return weir_plugin_loop_timer_start(weir_worker_plugin_loop(r->worker), &r->retry_timer,
                                        wait_us, 0) == 0;
}

/* How long the request must wait at least: its own target wants to be left alone, and no other is
 * there. */
static uint64_t asked_wait_us(const struct weir_request *r)
{
    struct weir_balance_ask ask = {.excluded = r->ask.excluded | r->tried};
    if (r->outcome.retry_after_us == 0 ||
        weir_model_choose(r->model, &ask, weir_worker_now_us(r->worker), NULL) ||
        r->n_fallbacks_tried < weir_model_n_fallbacks(r->asked_model)) {
        return 0;
    }
    return r->outcome.retry_after_us;
}

static bool may_retry(struct weir_request *r, const struct weir_config_gateway *g)
{
    if (!is_failure(&r->outcome, r->is_late) || !is_untouched(r) ||
        r->n_retries >= g->retries.attempts) {
        return false;
    }
    if (!weir_retry_budget_take(weir_model_retry_budget(r->asked_model))) {
        weir_observe_retry(weir_worker_observer(r->worker), r, "no_budget");
        return false;
    }
    return true;
}

bool weir_retry_after(struct weir_request *r)
{
    weir_retry_note(r);
    const struct weir_config_gateway *g = weir_worker_gateway(r->worker);
    if (!may_retry(r, g)) {
        return false;
    }
    uint64_t asked_us = asked_wait_us(r);
    uint64_t wait_us = asked_us + backoff_us(r, g);
    if (asked_us > (uint64_t)g->retries.max_backoff_ms * 1000 || !is_in_time(r, wait_us) ||
        !begin_wait(r, wait_us)) {
        return false; /* the client is told when to come again */
    }
    weir_observe_retry(weir_worker_observer(r->worker), r, r->is_late ? "timeout" : "failure");
    r->n_retries++;
    r->cancelled = false;
    r->admitted = false; /* ADMIT is told of the next target, and of a fallback's model */
    weir_admission_leave(r);
    weir_flow_finish(&r->lead->flow);
    weir_inbox_withdraw(weir_worker_inbox(r->worker), &r->lead->item);
    weir_request_hold(r, WEIR_HOLD_RETRY);
    weir_request_drop(r, WEIR_HOLD_TARGET);
    return true;
}

void weir_retry_abandon(struct weir_request *r)
{
    if ((r->holds & WEIR_HOLD_RETRY) &&
        weir_plugin_loop_timer_stop(weir_worker_plugin_loop(r->worker), &r->retry_timer)) {
        weir_request_drop(r, WEIR_HOLD_RETRY);
    }
}
