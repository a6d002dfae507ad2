/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by run.c, chunks.c, pauses.c, admin.c and the host table. */
#include "core/plugin/plugins_internal.h"
#include "core/plugin/run.h"

/* A weir_ticket_ended; arg is the run. */
void weir_plugin_run_ticket_ended(void *arg, int rc, weir_str data);

/* The same; arg is the struct weir_plugin_admin. */
void weir_plugin_admin_ticket_ended(void *arg, int rc, weir_str data);

/* Time before a hook, and what to note after it, which returns the time then. */
uint64_t weir_plugin_run_now_ns(const struct weir_plugin_run *run);
uint64_t weir_plugin_run_note(struct weir_plugin_run *run, struct weir_plugin_instance *inst,
                              enum weir_plugin_hook hook, uint64_t start_ns, bool failed);
/* When the hook that this thread is in began, by the system's clock; 0: in none. The memory store
 * takes it for the time: one look at the clock then serves all that a hook asks of it. */
extern _Thread_local uint64_t weir_plugin_hook_ns;
void weir_plugin_run_enter(const struct weir_plugin_run *run, uint64_t now_ns);
static inline void weir_plugin_run_leave(void)
{
    weir_plugin_hook_ns = 0;
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
