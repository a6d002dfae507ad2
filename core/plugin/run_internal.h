/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by run.c, chunks.c, admin.c and the host table. */
#include "core/plugin/plugins_internal.h"
#include "core/plugin/run.h"

/* A weir_ticket_ended; arg is the run. */
void weir_plugin_run_ticket_ended(void *arg, int rc, weir_str data);

/* The same; arg is the struct weir_plugin_admin. */
void weir_plugin_admin_ticket_ended(void *arg, int rc, weir_str data);

/* Time before a hook, and what to note after it: false when a failure was counted. */
uint64_t weir_plugin_run_now_ns(const struct weir_plugin_run *run);
void weir_plugin_run_note(struct weir_plugin_run *run, struct weir_plugin_instance *inst,
                          enum weir_plugin_hook hook, uint64_t start_ns, bool failed);
bool weir_plugin_run_admits(struct weir_plugin_run *run, struct weir_plugin_instance *inst);

void weir_plugin_choices_finish(struct weir_plugin_run *run); /* chunks.c */
