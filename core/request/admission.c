/* SPDX-License-Identifier: Apache-2.0 */
#include "admission.h"

#include "core/request/answer.h"
#include "core/request/generate.h"
#include "core/request/observe.h"
#include "core/request/overload.h"
#include "core/request/run.h"
#include "core/server/worker.h"

static struct weir_queue *queue_of(const struct weir_request *r)
{
    return weir_model_queue(r->model);
}

void weir_admission_leave(struct weir_request *r)
{
    if (r->has_place) {
        r->has_place = false;
        weir_queue_release(queue_of(r), &r->entry, weir_worker_now_us(r->worker));
    }
}

void weir_admission_put_back(struct weir_request *r)
{
    r->has_place = false;
    weir_queue_put_back(queue_of(r), &r->entry, weir_worker_now_us(r->worker));
}

static void run(struct weir_request *r)
{
    r->admitted = true;
    r->api.generation.max_tokens = r->prepared.max_tokens; /* plugins may have lowered it */
    int rc = weir_run_begin(r);
    if (rc == 0) {
        weir_request_drop(r, WEIR_HOLD_GRANT);
    } else if (rc == WEIR_E_BUSY) {
        weir_admission_put_back(r);
    } else if (rc == WEIR_E_DEVICE || rc == WEIR_E_TOOBIG) {
        weir_generate_discard(r); /* it was for a model that has been loaded anew since */
        weir_admission_put_back(r);
    } else {
        weir_answer_busy(r, 503, "model_failed", 1000000,
                         "The model could not take the request: %s.", weir_error_name(rc));
        weir_admission_abandon(r);
    }
}

static void admit(struct weir_request *r)
{
    if (r->admitted) {
        run(r); /* it was put back after ADMIT had passed */
    } else {
        weir_request_phase(r, WEIR_PHASE_ADMIT, run);
    }
}

/* The queue was closed: no target can run anything. */
static void send_away(struct weir_request *r)
{
    bool is_wanted = r->ex && !weir_http_response_begun(r->ex);
    if (is_wanted && weir_overload_fall_back(r)) {
        weir_request_drop(r, WEIR_HOLD_GRANT); /* the exchange keeps it */
        weir_generate_prepare(r, r->target, weir_admission_enqueue);
        return;
    }
    weir_observe_rejected(weir_worker_observer(r->worker), r, "no_target");
    weir_generate_answer_not_ready(r);
    weir_request_drop(r, WEIR_HOLD_GRANT);
}

static void take_place(struct weir_request *r)
{
    bool first = r->granted_us == 0;
    r->has_place = true;
    r->granted_us = weir_worker_now_us(r->worker);
    if (!r->ex || weir_http_response_begun(r->ex)) { /* left meanwhile */
        weir_admission_abandon(r);
        return;
    }
    if (first) {
        weir_observe_granted(weir_worker_observer(r->worker), r);
    }
    struct weir_target *target = weir_model_target(r->model, r->entry.target);
    weir_balance_note_prompt(weir_model_balance(r->model), &r->ask, r->entry.target);
    if (target == r->target && r->is_prepared) {
        admit(r);
    } else {
        weir_generate_prepare(r, target, admit);
    }
}

static void called_on_loop(struct weir_inbox_item *item)
{
    struct weir_request *r =
        (struct weir_request *)(void *)((char *)item - offsetof(struct weir_request, call_item));
    if (r->entry.state == WEIR_QUEUE_GRANTED) {
        take_place(r);
    } else {
        send_away(r);
    }
}

void weir_admission_called(void *arg, struct weir_queue_entry *entry)
{
    (void)arg;
    struct weir_request *r =
        (struct weir_request *)(void *)((char *)entry - offsetof(struct weir_request, entry));
    struct weir_inbox *inbox = weir_worker_inbox(r->worker);
    weir_inbox_post(inbox, &r->call_item);
    weir_inbox_wake(inbox);
}

void weir_admission_enqueue(struct weir_request *r)
{
    r->enqueued_us = weir_worker_now_us(r->worker);
    uint64_t timeout_us = (uint64_t)weir_model_queue_timeout_ms(r->model) * 1000u;
    uint64_t deadline_us = r->enqueued_us + timeout_us;
    uint64_t wanted_us = r->arrived_us + (uint64_t)r->deadline_ms * 1000u;
    if (r->deadline_ms && wanted_us < deadline_us) {
        deadline_us = wanted_us;
    }
    r->call_item.run = called_on_loop;
    r->entry = (struct weir_queue_entry){
        .class_rank = r->class_rank,
        .priority = r->priority,
        .n_places = r->api.generation.n,
        .prompt_tokens = r->prepared.prompt_tokens,
        .target = r->target_index,
        .tenant_hash = r->tenant_hash,
        .tenant_weight = r->resources.weight,
        .max_waiting = r->resources.queue,
        .is_pinned = r->is_pinned,
        .excluded = r->ask.excluded,
        .deadline_us = deadline_us,
    };
    weir_request_hold(r, WEIR_HOLD_GRANT);
    uint64_t retry_after_us = 0;
    int rc = weir_queue_push(queue_of(r), &r->entry, r->enqueued_us, &retry_after_us);
    if (rc > 0) {
        take_place(r);
    } else if (rc == WEIR_E_GONE) {
        send_away(r);
    } else if (rc == WEIR_E_TOOBIG) {
        weir_observe_rejected(weir_worker_observer(r->worker), r, "tenant_queue_full");
        weir_answer_busy(r, 429, "tenant_queue_full", retry_after_us,
                         "You have as many requests waiting for model '%s' as you may: %u. Retry "
                         "after %.1f s.",
                         weir_model_name(r->model), r->resources.queue,
                         (double)retry_after_us / 1e6);
        weir_request_drop(r, WEIR_HOLD_GRANT);
    } else if (rc == WEIR_E_NOMEM) {
        weir_answer_busy(r, 503, "out_of_memory", 1000000, "No memory for this request now.");
        weir_request_drop(r, WEIR_HOLD_GRANT);
    } else if (rc < 0) {
        weir_observe_rejected(weir_worker_observer(r->worker), r, "queue_full");
        weir_answer_busy(r, 429, "queue_full", retry_after_us,
                         "The queue of model '%s' is full. Retry after %.1f s.",
                         weir_model_name(r->model), (double)retry_after_us / 1e6);
        weir_request_drop(r, WEIR_HOLD_GRANT);
    }
}

void weir_admission_abandon(struct weir_request *r)
{
    if (!(r->holds & WEIR_HOLD_GRANT)) {
        return;
    }
    bool waiting = weir_queue_remove(queue_of(r), &r->entry);
    if (waiting || r->has_place) {
        weir_admission_leave(r);
        weir_request_drop(r, WEIR_HOLD_GRANT);
    } /* else the queue's call is under way and will find the exchange gone */
}

void weir_admission_tick(struct weir_request *r, uint64_t now_us)
{
    if (!(r->holds & WEIR_HOLD_GRANT) || now_us < r->entry.deadline_us ||
        !weir_queue_remove(queue_of(r), &r->entry)) {
        return;
    }
    struct weir_queue_outlook outlook;
    weir_queue_look(queue_of(r), r->tenant_hash, r->resources.weight, r->class_rank, &outlook);
    weir_observe_rejected(weir_worker_observer(r->worker), r, "queue_timeout");
    weir_answer_busy(r, 503, "queue_timeout", outlook.retry_after_us,
                     "No place became free in time for model '%s'.", weir_model_name(r->model));
    weir_request_drop(r, WEIR_HOLD_GRANT);
}
