/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by run.c, chunks.c, pauses.c, admin.c and the host table. */
#include "core/plugin/plugins_internal.h"
#include "core/plugin/run.h"

/* A weir_ticket_ended; arg is the run. */
void weir_plugin_run_ticket_ended(void *arg, int rc, weir_str data);

/* The same; arg is the struct weir_plugin_admin. */
void weir_plugin_admin_ticket_ended(void *arg, int rc, weir_str data);

static inline enum weir_plugin_hook weir_plugin_phase_hook(int phase)
{
    return phase == WEIR_PHASE_REPLAY
               ? WEIR_HOOK_REPLAY
               : (enum weir_plugin_hook)(WEIR_HOOK_HEADERS + (phase - WEIR_PHASE_HEADERS));
}

/* Time before a hook, and what to note after it, which returns the time then. */
static inline uint64_t weir_plugin_run_now_ns(const struct weir_plugin_run *run)
{
    const struct weir_plugin_clock *c = weir_plugin_loop_clock(run->loop);
    return run->weight ? c->mono_ns(c->arg) : weir_plugin_clock_tick_ns();
}
/* Of a hook that failed or was slow. */
void weir_plugin_run_judge(struct weir_plugin_run *run, struct weir_plugin_instance *inst,
                           enum weir_plugin_hook hook, uint64_t start_ns, uint64_t end_ns,
                           bool failed);
static inline uint64_t weir_plugin_run_note(struct weir_plugin_run *run,
                                            struct weir_plugin_instance *inst,
                                            enum weir_plugin_hook hook, uint64_t start_ns,
                                            bool failed)
{
    enum { SLOW_NS = 1000 * 1000 };
    uint64_t end_ns = weir_plugin_run_now_ns(run);
    uint64_t spent_ns = end_ns > start_ns ? end_ns - start_ns : 0;
    weir_plugin_guard_count(&inst->guard, run->lane, hook, spent_ns, run->weight);
    if (failed || spent_ns >= SLOW_NS) {
        weir_plugin_run_judge(run, inst, hook, start_ns, end_ns, failed);
    }
    return end_ns;
}
bool weir_plugin_run_admits(struct weir_plugin_run *run, struct weir_plugin_instance *inst);

/* A failure, or a plugin in quarantine: on_error decides. */
enum weir_plugin_outcome weir_plugin_run_fail(struct weir_plugin_run *run,
                                              const struct weir_plugin_instance *inst);

void weir_plugin_choices_finish(struct weir_plugin_run *run); /* chunks.c */

/* host->pause() for the instance whose hook runs; the ticket that is open already, if so. 0: not
 * now, or no memory. */
weir_ticket weir_plugin_run_pause(struct weir_plugin_run *run,
                                  const struct weir_plugin_instance *inst,
                                  uint32_t timeout_ms); /* pauses.c */
