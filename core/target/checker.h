/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The active checks of one target: it is asked now and then whether it is there.
 *
 * How: a thread of its own for each target, since a check waits, and one that hangs must not hold
 * up others. Startup is asked until it passes once; then liveness and readiness, each at its own
 * interval; the target is good while neither has failed so many times in a row.
 * Ownership: the target, the model and the texts outlive it. Threads: create, destroy [main];
 * destroy waits for a check under way. */
#include "core/target/model.h"

struct weir_check { /* one probe */
    bool enabled;
    const char *path; /* NULL: the upstream's list of models */
    uint32_t interval_ms, timeout_ms, n_failures, n_successes;
};

struct weir_checks {
    struct weir_check startup, liveness, readiness;
};

struct weir_checker;

bool weir_checks_are_enabled(const struct weir_checks *checks);
int weir_checker_create(struct weir_model *model, uint32_t target, const struct weir_checks *checks,
                        struct weir_checker **ret_checker);
void weir_checker_destroy(struct weir_checker *c); /* NULL ok */
