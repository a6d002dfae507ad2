/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/run.h"

#include <stddef.h>

#include "base/log.h"
#include "core/plugin/run_internal.h"

int weir_plugin_run_init(struct weir_plugin_run *run, struct weir_plugin_chain *chain,
                         weir_req *req, struct weir_plugin_loop *loop, struct weir_arena *arena,
                         weir_plugin_resumed resumed)
{
    memset(run, 0,
           weir_plugin_chain_has_chunk_hooks(chain) ? sizeof(*run)
                                                    : offsetof(struct weir_plugin_run, choices));
    run->req = req;
    run->loop = loop;
    run->arena = arena;
    run->resumed = resumed;
    if (chain->state_bytes) {
        run->state = weir_arena_alloc(arena, chain->state_bytes);
        if (!run->state) {
            return WEIR_E_NOMEM;
        }
    }
    run->lane = weir_guard_lane_of(weir_plugin_loop_number(loop));
    run->weight = chain->n == 0 || chain->times_all ? 1 : weir_plugin_loop_draw(loop);
    run->chain = weir_plugin_chain_ref(chain);
    return 0;
}

static const struct weir_plugin_request_ops *ops_of(const struct weir_plugin_run *run)
{
    return run->chain->plugins->options.ops;
}

bool weir_plugin_run_admits(struct weir_plugin_run *run, struct weir_plugin_instance *inst)
{
    return !weir_plugin_guard_was_closed(&inst->guard) ||
           weir_plugin_guard_admits(&inst->guard, weir_plugin_run_now_ns(run) / 1000);
}

void weir_plugin_run_judge(struct weir_plugin_run *run, struct weir_plugin_instance *inst,
                           enum weir_plugin_hook hook, uint64_t start_ns, uint64_t end_ns,
                           bool failed)
{
    uint64_t spent_ns = end_ns > start_ns ? end_ns - start_ns : 0;
    weir_plugin_loop_turned(run->loop); /* it is later now than those behind it should be told */
    if (weir_plugin_guard_judge(&inst->guard, spent_ns, end_ns, failed)) {
        weir_log(WEIR_LOG_ERROR, inst->component, NULL,
                 "quarantined for %u s after repeated failures or overruns (last in %s); its "
                 "requests are %s meanwhile",
                 (unsigned)(inst->guard.limits.cool_down_us / 1000000), weir_plugin_hook_name(hook),
                 inst->fail_open ? "passed on" : "refused");
    }
}

enum weir_plugin_outcome weir_plugin_run_fail(struct weir_plugin_run *run,
                                              const struct weir_plugin_instance *inst)
{
    if (inst->fail_open) {
        return WEIR_PLUGIN_DONE;
    }
    (void)ops_of(run)->deny(
        run->req, 503, (weir_str)WEIR_STR_INIT("server_error"),
        (weir_str)WEIR_STR_INIT("policy_unavailable"),
        (weir_str)WEIR_STR_INIT("A policy of this service failed; the request was not run."));
    return WEIR_PLUGIN_ANSWERED;
}

/* What a verdict means, with the mistakes that a plugin can make in returning it. */
static bool is_sound(const struct weir_plugin_run *run, int verdict)
{
    switch (verdict) {
    case WEIR_CONTINUE:
    case WEIR_DENY: return !(run->answered && run->responded && verdict == WEIR_DENY);
    case WEIR_RESPOND: return run->answered && run->responded;
    case WEIR_SUSPEND: return run->ticket != 0;
    default: return false;
    }
}

static enum weir_plugin_outcome apply_verdict(struct weir_plugin_run *run,
                                              struct weir_plugin_instance *inst, int verdict)
{
    switch (verdict) {
    case WEIR_CONTINUE: return WEIR_PLUGIN_DONE;
    case WEIR_DENY:
        if (!run->answered) {
            (void)ops_of(run)->deny(run->req, 403, (weir_str){NULL, 0}, (weir_str){NULL, 0},
                                    (weir_str)WEIR_STR_INIT("The request was denied by a policy."));
        }
        return WEIR_PLUGIN_ANSWERED;
    case WEIR_RESPOND: return WEIR_PLUGIN_ANSWERED;
    case WEIR_SUSPEND: return WEIR_PLUGIN_SUSPENDED;
    default: return weir_plugin_run_fail(run, inst);
    }
}

static void drop_ticket(struct weir_plugin_run *run)
{
    weir_tickets_cancel(run->chain->plugins->tickets, run->ticket);
    run->ticket = 0;
}

/* What every phase hook has around it. rc and data are NULL for on_phase. *at_ns: now, before and
 * after. */
static enum weir_plugin_outcome call_hook(struct weir_plugin_run *run, const int *rc,
                                          const weir_str *data, uint64_t *at_ns)
{
    const struct weir_plugin_link *link = &run->chain->links[run->called];
    struct weir_plugin_instance *inst = link->instance;
    enum weir_plugin_hook hook = weir_plugin_phase_hook(run->phase);
    run->in_phase_hook = true;
    run->answered = false;
    run->responded = false;

    int verdict = WEIR_FAIL;
    if (!rc) {
        verdict = link->policy->on_phase(inst->self, run->req, run->phase);
    } else if (link->policy->on_resume) {
        verdict = link->policy->on_resume(inst->self, run->req, run->phase, *rc, *data);
    }
    run->in_phase_hook = false;
    if (!is_sound(run, verdict)) {
        verdict = WEIR_FAIL;
    }
    *at_ns =
        weir_plugin_run_note(run, inst, rc ? WEIR_HOOK_RESUME : hook, *at_ns, verdict == WEIR_FAIL);
    if (verdict != WEIR_SUSPEND && run->ticket != 0) {
        drop_ticket(run);
    }
    return apply_verdict(run, inst, verdict);
}

/* Goes on with the plugin at run->turn, to the end of the phase. One look at the clock between two
 * hooks is the end of one and the beginning of the other. */
static enum weir_plugin_outcome advance(struct weir_plugin_run *run, uint64_t at_ns)
{
    const struct weir_plugin_hook_list *l = &run->chain->hooks[weir_plugin_phase_hook(run->phase)];
    for (; run->turn < l->n; run->turn++) {
        run->called = l->at[run->turn];
        struct weir_plugin_instance *inst = run->chain->links[run->called].instance;
        enum weir_plugin_outcome outcome = weir_plugin_run_admits(run, inst)
                                               ? call_hook(run, NULL, NULL, &at_ns)
                                               : weir_plugin_run_fail(run, inst);
        if (outcome == WEIR_PLUGIN_SUSPENDED) {
            return outcome;
        }
        if (outcome == WEIR_PLUGIN_ANSWERED) {
            run->phase = 0;
            return outcome;
        }
    }
    run->phase = 0;
    return WEIR_PLUGIN_DONE;
}

enum weir_plugin_outcome weir_plugin_run_phase(struct weir_plugin_run *run, enum weir_phase phase)
{
    run->entered = true;
    if (run->chain->hooks[weir_plugin_phase_hook(phase)].n == 0) { /* nobody's time is taken */
        return WEIR_PLUGIN_DONE;
    }
    run->phase = phase;
    run->turn = 0;
    return advance(run, weir_plugin_run_now_ns(run));
}

void weir_plugin_run_ticket_ended(void *arg, int rc, weir_str data)
{
    struct weir_plugin_run *run = arg;
    run->ticket = 0;
    run->called = run->chain->hooks[weir_plugin_phase_hook(run->phase)].at[run->turn];
    uint64_t at_ns = weir_plugin_run_now_ns(run);
    enum weir_plugin_outcome outcome = call_hook(run, &rc, &data, &at_ns);
    if (outcome == WEIR_PLUGIN_DONE) {
        run->turn++;
        outcome = advance(run, at_ns);
    }
    if (outcome != WEIR_PLUGIN_SUSPENDED) {
        run->phase = 0;
        run->resumed(run, outcome);
    }
}

void weir_plugin_run_abandon(struct weir_plugin_run *run)
{
    run->abandoned = true;
    run->phase = 0;
    if (run->ticket != 0) {
        drop_ticket(run);
    }
    weir_plugin_run_unpause(run);
}

void weir_plugin_run_delivered(struct weir_plugin_run *run, uint64_t n_tokens)
{
    const struct weir_plugin_hook_list *l = &run->chain->hooks[WEIR_HOOK_DELIVERED];
    uint64_t at_ns = l->n ? weir_plugin_run_now_ns(run) : 0;
    for (uint32_t i = 0; i < l->n; i++) {
        run->called = l->at[i];
        const struct weir_plugin_link *link = &run->chain->links[run->called];
        link->policy->on_delivered(link->instance->self, run->req, n_tokens);
        at_ns = weir_plugin_run_note(run, link->instance, WEIR_HOOK_DELIVERED, at_ns, false);
    }
}

void weir_plugin_run_complete(struct weir_plugin_run *run, const weir_usage *usage)
{
    if (run->completed || !run->entered) {
        return;
    }
    run->completed = true;
    const struct weir_plugin_hook_list *l = &run->chain->hooks[WEIR_HOOK_COMPLETE];
    uint64_t at_ns = l->n ? weir_plugin_run_now_ns(run) : 0;
    for (uint32_t i = 0; i < l->n; i++) {
        run->called = l->at[i];
        const struct weir_plugin_link *link = &run->chain->links[run->called];
        link->policy->on_complete(link->instance->self, run->req, usage);
        at_ns = weir_plugin_run_note(run, link->instance, WEIR_HOOK_COMPLETE, at_ns, false);
    }
}

void weir_plugin_run_finish(struct weir_plugin_run *run)
{
    if (!run->chain) {
        return;
    }
    weir_plugin_run_abandon(run);
    weir_plugin_run_complete(run, &(weir_usage){.struct_size = sizeof(weir_usage),
                                                .http_status = 499,
                                                .finish = WEIR_FINISH_CANCEL});
    weir_plugin_choices_finish(run);
    weir_plugin_chain_unref(run->chain);
    run->chain = NULL;
}
