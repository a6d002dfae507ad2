/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Figures of GPUs as metrics: what a target's stats() gives under names that this file knows, as
 * weir_gpu_*{model, target}. Other names are for other readers and are passed over.
 * Ownership: create() to destroy(). Threads: as the observer's. */
#include "base/error.h"
#include "core/metrics/metrics.h"

struct weir_device_figures;
struct weir_model;

int weir_device_figures_create(struct weir_metrics *metrics,
                               struct weir_device_figures **ret_figures, struct weir_error *err);
void weir_device_figures_destroy(struct weir_device_figures *f); /* NULL ok */
void weir_device_figures_collect(struct weir_device_figures *f, struct weir_model *model);
