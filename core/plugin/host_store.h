/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Host extension "weir.store/1": hands a plugin's calls to the daemon's store, and keeps `done` and
 * messages from reaching an instance that has gone.
 *
 * Life of an instance with a store that answers later: it is destroyed once what it called is done.
 * What instance_destroy itself calls still happens, but nobody is told.
 * Threads: [main], but the extension's functions as weir/store.h says. */
#include "core/plugin/instance.h"
#include "weir/store.h"

/* The extension as this store offers it. */
const weir_ext_store *weir_host_store(const struct weir_store *s);

/* Before the plugin's own object is made. */
int weir_instance_store_start(struct weir_plugin_instance *inst);
/* Asks for the reaper when what is under way has ended; true: nothing is. */
bool weir_instance_store_is_idle(struct weir_plugin_instance *inst);
/* No message any more; before instance_destroy. */
void weir_instance_store_unsubscribe(struct weir_plugin_instance *inst);
/* No `done` any more; after instance_destroy. */
void weir_instance_store_end(struct weir_plugin_instance *inst);

/* Messages of the store are given out by a task on the main loop. */
void weir_plugins_watch_store(struct weir_plugins *ps);
void weir_plugins_unwatch_store(struct weir_plugins *ps);
