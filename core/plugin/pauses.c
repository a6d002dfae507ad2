/* SPDX-License-Identifier: Apache-2.0 */
/* host->pause(): plugins that hold back the output until a ticket of theirs ends. */
#include "core/plugin/run_internal.h"

struct weir_plugin_pause {
    struct weir_plugin_run *run;
    struct weir_plugin_instance *instance;
    weir_ticket ticket; /* 0: none is open */
};

static struct weir_tickets *tickets_of(const struct weir_plugin_run *run)
{
    return run->chain->plugins->tickets;
}

/* [chain->n] in the order of the chain; NULL when the arena is full. */
static struct weir_plugin_pause *get_pauses(struct weir_plugin_run *run)
{
    if (!run->pauses) {
        run->pauses = weir_arena_array(run->arena, run->chain->n, sizeof(*run->pauses));
        for (uint32_t i = 0; run->pauses && i < run->chain->n; i++) {
            run->pauses[i] = (struct weir_plugin_pause){run, run->chain->links[i].instance, 0};
        }
    }
    return run->pauses;
}

static void close_pause(struct weir_plugin_pause *p)
{
    if (p->ticket) {
        weir_tickets_cancel(tickets_of(p->run), p->ticket);
        p->ticket = 0;
        p->run->n_pauses--;
    }
}

void weir_plugin_run_unpause(struct weir_plugin_run *run)
{
    for (uint32_t i = 0; run->n_pauses && i < run->chain->n; i++) {
        close_pause(&run->pauses[i]);
    }
}

bool weir_plugin_run_is_paused(const struct weir_plugin_run *run)
{
    return run->n_pauses > 0;
}

/* The verdict after a pause, WEIR_FAIL for one that makes no sense here. */
static int call_hook(struct weir_plugin_pause *p, int rc, weir_str data)
{
    struct weir_plugin_run *run = p->run;
    struct weir_plugin_instance *inst = p->instance;
    run->in_phase_hook = true; /* it may deny() */
    run->answered = run->responded = false;
    run->may_pause = inst;
    uint64_t start_ns = weir_plugin_run_now_ns(run);
    int verdict = WEIR_FAIL;
    if (inst->lib->policy.on_resume) {
        verdict = inst->lib->policy.on_resume(inst->self, run->req, WEIR_PHASE_OUTPUT, rc, data);
    }
    run->may_pause = NULL;
    run->in_phase_hook = false;
    bool sound = verdict == WEIR_CONTINUE || (verdict == WEIR_DENY && !run->responded) ||
                 (verdict == WEIR_SUSPEND && p->ticket != 0);
    if (!sound) {
        verdict = WEIR_FAIL;
    }
    (void)weir_plugin_run_note(run, inst, WEIR_HOOK_RESUME, start_ns, verdict == WEIR_FAIL);
    if (verdict == WEIR_DENY && !run->answered) {
        (void)run->chain->plugins->options.ops->deny(
            run->req, 503, (weir_str){NULL, 0}, (weir_str){NULL, 0},
            (weir_str)WEIR_STR_INIT("The answer was ended by a policy."));
    }
    return verdict;
}

/* A weir_ticket_ended; arg is the pause. */
static void pause_ended(void *arg, int rc, weir_str data)
{
    struct weir_plugin_pause *p = arg;
    struct weir_plugin_run *run = p->run;
    p->ticket = 0;
    run->n_pauses--;
    int verdict = weir_plugin_run_admits(run, p->instance) ? call_hook(p, rc, data) : WEIR_FAIL;
    if (verdict != WEIR_SUSPEND) {
        close_pause(p);
    }
    bool goes_on =
        verdict == WEIR_CONTINUE || verdict == WEIR_SUSPEND ||
        (verdict == WEIR_FAIL && weir_plugin_run_fail(run, p->instance) == WEIR_PLUGIN_DONE);
    if (!goes_on) {
        weir_plugin_run_unpause(run);
        run->output_resumed(run, WEIR_PLUGIN_ANSWERED);
    } else if (run->n_pauses == 0) {
        run->output_resumed(run, WEIR_PLUGIN_DONE);
    }
}

weir_ticket weir_plugin_run_pause(struct weir_plugin_run *run,
                                  const struct weir_plugin_instance *inst, uint32_t timeout_ms)
{
    if (run->may_pause != inst || !run->output_resumed || run->abandoned || !get_pauses(run)) {
        return 0;
    }
    struct weir_plugin_pause *p = run->pauses;
    while (p->instance != inst) {
        p++;
    }
    if (p->ticket == 0) {
        p->ticket = weir_tickets_open(tickets_of(run), run->loop, timeout_ms, pause_ended, p);
        run->n_pauses += p->ticket != 0;
    }
    return p->ticket;
}
