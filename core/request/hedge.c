/* SPDX-License-Identifier: Apache-2.0 */
#include "hedge.h"

#include "base/clock.h"
#include "core/request/generate.h"
#include "core/request/observe.h"
#include "core/request/retry.h"
#include "core/request/run.h"
#include "core/server/worker.h"

/* The attempt that does not lead: at first the second one, after a change the first. */
struct weir_hedge {
    struct weir_request *request;
    struct weir_request_flow own; /* the second one's, whoever leads */
    uv_work_t work;               /* a long prompt is prepared for an engine on the pool */
    weir_generation generation;   /* what the pool reads, while the request may go on */
    weir_prepared prepared;
    int prepare_rc;
    uint64_t beside_us; /* when the attempt had begun that it was made for */
    struct weir_request_flow *flow;
    struct weir_model *model;
    struct weir_target *target;
    struct weir_queue_entry entry;
    weir_ticket ticket;
    uint64_t begun_us;
    bool runs, is_cancelled;
};

static void observe(struct weir_request *r, const char *what)
{
    weir_observe_retry(weir_worker_observer(r->worker), r, what);
}

/* ---- beginning ---- */

static struct weir_plugin_loop *loop_of(const struct weir_request *r)
{
    return weir_worker_plugin_loop(r->worker);
}

/* Another target, or NULL. Beside an engine of this process no other engine of it: that would only
 * take from the first. */
static struct weir_target *choose_target(struct weir_request *r, uint32_t *ret_index)
{
    struct weir_balance_ask ask = r->ask;
    ask.excluded |= r->tried | UINT64_C(1) << r->entry.target;
    struct weir_target *target =
        weir_model_choose(r->model, &ask, weir_worker_now_us(r->worker), ret_index);
    bool helps = target && (weir_target_is_on_loops(target) || weir_target_is_on_loops(r->target));
    return helps ? target : NULL;
}

static bool take_place(struct weir_request *r, struct weir_queue_entry *e, uint32_t index)
{
    *e = (struct weir_queue_entry){
        .class_rank = r->class_rank,
        .priority = r->priority,
        .n_places = r->api.generation.n,
        .prompt_tokens = r->entry.prompt_tokens,
        .target = index,
        .tenant_hash = r->tenant_hash,
        .tenant_weight = r->resources.weight,
        .is_pinned = true,
    };
    return weir_queue_try(weir_model_queue(r->model), e, weir_worker_now_us(r->worker));
}

static void leave_place(struct weir_model *model, struct weir_queue_entry *entry)
{
    weir_queue_release(weir_model_queue(model), entry, weir_clock_mono_us());
}

static bool is_waited_for(const struct weir_request *r)
{
    return (r->holds & WEIR_HOLD_TARGET) && !r->has_chunk && !r->cancelled && !r->failed && r->ex;
}

static bool submit(struct weir_request *r, struct weir_hedge *h)
{
    if (weir_run_submit(r, h->flow, h->target, &h->prepared, &h->ticket) < 0) {
        weir_target_discard(h->target, h->prepared.state);
        return false;
    }
    h->begun_us = weir_worker_now_us(r->worker);
    h->runs = true;
    h->flow->flow.is_held = false;
    observe(r, "hedge");
    return true;
}

/* It is prepared, or cannot be. The hold stays when it runs. */
static void prepared(struct weir_hedge *h)
{
    struct weir_request *r = h->request;
    bool waits = is_waited_for(r) && r->begun_us == h->beside_us;
    if (h->prepare_rc == 0 && !waits) {
        weir_target_discard(h->target, h->prepared.state);
    }
    if (h->prepare_rc < 0 || !waits || !submit(r, h)) {
        leave_place(h->model, &h->entry);
        weir_request_drop(r, WEIR_HOLD_HEDGE);
    }
}

static void prepare(uv_work_t *work)
{
    struct weir_hedge *h =
        (struct weir_hedge *)(void *)((char *)work - offsetof(struct weir_hedge, work));
    weir_refusal refusal = {.struct_size = sizeof(refusal)};
    h->prepare_rc = weir_target_prepare(h->target, &h->generation, &h->prepared, &refusal);
}

static void prepared_on_pool(uv_work_t *work, int status)
{
    struct weir_hedge *h =
        (struct weir_hedge *)(void *)((char *)work - offsetof(struct weir_hedge, work));
    h->prepare_rc = status < 0 ? WEIR_E_CANCELLED : h->prepare_rc;
    prepared(h);
}

/* A place is granted, and the purse allows it. */
static void begin_at(struct weir_request *r, struct weir_target *target,
                     const struct weir_queue_entry *place)
{
    struct weir_hedge *h = r->hedge;
    *h = (struct weir_hedge){.request = r,
                             .model = r->model,
                             .target = target,
                             .generation = r->api.generation,
                             .entry = *place,
                             .beside_us = r->begun_us};
    h->flow = &h->own; /* what it sends within submit() waits in it */
    weir_request_hold(r, WEIR_HOLD_HEDGE);
    bool is_long = r->body_text.n > WEIR_INLINE_PREPARE_BYTES && !weir_target_is_on_loops(target);
    if (!is_long ||
        uv_queue_work(weir_worker_loop(r->worker), &h->work, prepare, prepared_on_pool) < 0) {
        prepare(&h->work);
        prepared(h);
    }
}

/* False: nobody is free for it now, which may change. */
static bool begin(struct weir_request *r)
{
    uint32_t index = 0;
    struct weir_queue_entry place;
    struct weir_target *target = choose_target(r, &index);
    if (!target || !take_place(r, &place, index)) {
        return false;
    }
    if (!weir_retry_budget_take(weir_model_retry_budget(r->asked_model))) {
        observe(r, "no_budget");
        leave_place(r->model, &place);
        return true;
    }
    r->hedge = weir_arena_alloc(&r->arena, sizeof(*r->hedge));
    if (!r->hedge) {
        leave_place(r->model, &place);
        return true;
    }
    begin_at(r, target, &place);
    return true;
}

static void disarm(struct weir_request *r)
{
    if (r->is_hedge_armed) {
        r->is_hedge_armed = false;
        (void)weir_plugin_loop_timer_stop(loop_of(r), &r->hedge_timer);
    }
}

static void is_late(struct weir_plugin_timer *timer)
{
    struct weir_request *r =
        (struct weir_request *)(void *)((char *)timer - offsetof(struct weir_request, hedge_timer));
    if (!is_waited_for(r) || begin(r)) {
        disarm(r);
    } /* else again after the same time */
}

void weir_hedge_expect(struct weir_request *r)
{
    uint32_t after_ms = weir_model_hedge_after_ms(r->model);
    bool comes_whole = weir_target_is_on_loops(r->target) && !r->api.stream;
    if (after_ms == 0 || r->hedge || r->is_pinned || comes_whole) {
        return;
    }
    r->hedge_timer = (struct weir_plugin_timer){.fn = is_late};
    r->is_hedge_armed =
        weir_plugin_loop_timer_start(loop_of(r), &r->hedge_timer, (uint64_t)after_ms * 1000,
                                     (uint64_t)after_ms * 1000) == 0;
}

/* ---- who leads ---- */

/* Granted entries are linked nowhere, so they change places like the rest. */
static void change_places(struct weir_request *r)
{
    struct weir_hedge *h = r->hedge, was = *h;
    h->flow = r->lead;
    h->target = r->target;
    h->entry = r->entry;
    h->ticket = r->ticket;
    h->begun_us = r->begun_us;
    h->is_cancelled = r->cancelled;
    r->lead = was.flow;
    r->target = was.target;
    r->target_index = was.entry.target;
    r->entry = was.entry;
    r->ticket = was.ticket;
    r->begun_us = r->last_piece_us = was.begun_us;
    r->cancelled = was.is_cancelled;
}

static void end_other(struct weir_request *r)
{
    struct weir_hedge *h = r->hedge;
    h->runs = false;
    leave_place(h->model, &h->entry);
    weir_request_drop(r, WEIR_HOLD_HEDGE);
}

static void cancel_other(struct weir_request *r)
{
    struct weir_hedge *h = r->hedge;
    if (h && h->runs && !h->is_cancelled) {
        h->is_cancelled = true;
        h->flow->flow.is_held = true; /* its end is read later */
        weir_flow_abandon(&h->flow->flow);
        weir_target_cancel(h->target, h->ticket);
    }
}

bool weir_hedge_choose(struct weir_request *r, struct weir_request_flow *flow)
{
    if (flow != r->lead) {
        const struct weir_hedge *h = r->hedge;
        if (r->has_chunk || !r->ex || r->failed || !h->runs || h->is_cancelled) {
            return false;
        }
        change_places(r);
        observe(r, "hedge_won");
    }
    if (!r->has_chunk) {
        disarm(r);
        cancel_other(r);
    }
    return true;
}

static void count_other(struct weir_request *r, const weir_outcome *outcome)
{
    const struct weir_hedge *h = r->hedge;
    weir_retry_count(r, &(struct weir_attempt_end){.model = h->model,
                                                   .target = h->entry.target,
                                                   .outcome = outcome,
                                                   .begun_us = h->begun_us});
}

void weir_hedge_read(struct weir_request *r)
{
    struct weir_hedge *h = r->hedge;
    weir_outcome outcome;
    if (!h || !h->runs) {
        return; /* its end was read already */
    }
    if (weir_flow_ended(&h->flow->flow, &outcome)) {
        count_other(r, &outcome);
        end_other(r);
    } else if (!h->is_cancelled && weir_flow_peek(&h->flow->flow) &&
               weir_hedge_choose(r, h->flow)) {
        weir_run_read(r);
    }
}

bool weir_hedge_takes_over(struct weir_request *r, bool ended)
{
    const struct weir_hedge *h = r->hedge;
    disarm(r);
    if (!h || !h->runs || h->is_cancelled || r->has_chunk || r->outcome.rc >= 0 || !r->ex ||
        r->failed) {
        return false;
    }
    weir_retry_note(r);
    r->outcome = (weir_outcome){.struct_size = sizeof(r->outcome)};
    change_places(r);
    if (ended) {
        end_other(r); /* the leader keeps the request */
    } else {
        cancel_other(r);
    }
    return true;
}

void weir_hedge_cancel(struct weir_request *r)
{
    disarm(r);
    cancel_other(r);
}

void weir_hedge_finish(struct weir_request *r)
{
    if (r->hedge) {
        weir_flow_finish(&r->hedge->own.flow);
        weir_inbox_withdraw(weir_worker_inbox(r->worker), &r->hedge->own.item);
    }
}
