/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Makes the store that the configuration names.
 *
 * Why here: the daemon is where a driver is chosen and where its notices are logged.
 * Threads: [main-thread]. Errors: WEIR_E_* with a sentence; a server that is not there is none: the
 * store then refuses, and what uses it decides. */
#include "core/config/config.h"
#include "core/metrics/metrics.h"
#include "core/server/worker.h"
#include "core/store/store.h"

int weir_server_open_store(const struct weir_config *config, struct weir_metrics *metrics,
                           struct weir_store **ret_store, struct weir_error *err);
/* `admin`, whose loop is the main one, is attached: waits a moment for the store, so that plugins
 * find it. */
void weir_server_await_store(struct weir_store *store, struct weir_worker *admin);
/* Turns its loop until what was asked of the store on it has ended. */
void weir_server_finish_store(struct weir_store *store, struct weir_worker *admin);
