/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is shown of each target: its health, its load, what its requests became.
 *
 * The figures are kept by health and balance; they are read when somebody scrapes.
 * Threads: create, destroy [main]; collect [any]. */
#include "core/metrics/metrics.h"
#include "core/target/model.h"

struct weir_target_metrics;

int weir_target_metrics_create(struct weir_metrics *metrics,
                               struct weir_target_metrics **ret_metrics, struct weir_error *err);
void weir_target_metrics_destroy(struct weir_target_metrics *t); /* NULL ok */
void weir_target_metrics_collect(struct weir_target_metrics *t, struct weir_model *model);
