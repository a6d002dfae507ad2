/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Finds the outlier columns (linear/outliers.h) of a model's matrices when it is loaded.
 *
 * Why: which channels are large is a property of the model, but no tensor of the file tells it: a
 * few made-up tokens are run, and the columns that stand out in a product's inputs are taken.
 * Invariant: the choice depends on the file and the instruction set only, not on threads or limits,
 * so that answers do not either.
 * Ownership: the columns' weights are the plan's. Threads: one, before the first step. */
#include "backends/cpu/exec.h"

WEIR_NODISCARD int weir_cpu_find_outliers(struct weir_cpu_plan *plan, struct weir_cpu_exec *e);
