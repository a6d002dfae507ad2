/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The targets of all models in one row, for those who watch them and have a say (weir/targets.h).
 *
 * Why: models know their targets, plugins ask for all of them; and of several who have a say the
 * strictest holds, the more so while a reload's old and new chain both live.
 * Ownership: models are borrowed from open() to close(); a watch is the caller's from watch() to
 * unwatch(), after which its functions do not run any more. Threads: open, close, watch, unwatch
 * [main-thread]; the rest [any-thread]. Bounds: MAX_TARGETS; those behind have no number and are
 * not told of. */
#include <stdbool.h>

#include "weir/targets.h"

struct weir_model;
struct weir_models;
struct weir_targets;

enum { WEIR_TARGETS_MAX = 1024 };

struct weir_targets_watch {
    void (*opened)(void *arg);
    void (*ended)(void *arg, const weir_attempt *attempt);
    void *arg;
    struct weir_targets_watch *next;
    uint32_t *permits; /* [WEIR_TARGETS_MAX], by watch() */
};

int weir_targets_create(struct weir_targets **ret_targets);
void weir_targets_destroy(struct weir_targets *t); /* NULL ok; nobody watches any more */
void weir_targets_open(struct weir_targets *t, const struct weir_models *models);
void weir_targets_close(struct weir_targets *t);

int weir_targets_watch(struct weir_targets *t, struct weir_targets_watch *w);
/* Its word is taken back. */
void weir_targets_unwatch(struct weir_targets *t, struct weir_targets_watch *w);
/* An attempt on a model's target has ended; attempt->target is filled in. */
void weir_targets_tell(struct weir_targets *t, const struct weir_model *model, uint32_t index,
                       weir_attempt *attempt);

int weir_targets_get(struct weir_targets *t, uint32_t target, weir_target_info *out);
int weir_targets_permit(struct weir_targets *t, struct weir_targets_watch *w, uint32_t target,
                        int64_t n_requests);

/* For the plugin host, which links no models. */
struct weir_targets_ops {
    int (*watch)(struct weir_targets *t, struct weir_targets_watch *w);
    void (*unwatch)(struct weir_targets *t, struct weir_targets_watch *w);
    int (*get)(struct weir_targets *t, uint32_t target, weir_target_info *out);
    int (*permit)(struct weir_targets *t, struct weir_targets_watch *w, uint32_t target,
                  int64_t n_requests);
};
extern const struct weir_targets_ops weir_targets_ops;
