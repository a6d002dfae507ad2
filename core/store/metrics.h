/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What /metrics shows of a store: operations by result, their time, and the driver's own figures.
 *
 * The store counts with atomics; before each scrape the counts are copied into the families.
 * Threads: start and stop [main]; observe [any]. Errors: WEIR_E_NOMEM. */
#include "core/metrics/metrics.h"
#include "core/store/store.h"

int weir_store_metrics_start(struct weir_store *s, struct weir_metrics *metrics);
void weir_store_metrics_stop(struct weir_store *s); /* no effect when it was not started */
void weir_store_metrics_observe(struct weir_store *s, enum weir_store_op op, uint64_t us);
