/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A plugin host without a server: virtual clock, one loop that the caller turns, synthetic
 * requests.
 *
 * The clock stands still unless advance() moves it, so timeouts are tested in no time.
 * Ownership: the stage owns all that it makes. Threads: one; plugins' own threads may wake it.
 * Errors: one sentence. */
#include <pthread.h>
#include <stdatomic.h>

#include "core/plugin/plugins.h"

struct weir_store;
struct weir_tenants;

struct weir_kit_stage {
    _Atomic uint64_t now_ns;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool awake; /* wake() since the last turn */
    struct weir_plugin_loop *loop;
    struct weir_metrics *metrics;
    struct weir_store *store;
    struct weir_tenants *tenants;
    struct weir_plugins *plugins;
};

int weir_kit_stage_init(struct weir_kit_stage *s, const struct weir_plugin_request_ops *ops,
                        struct weir_plugin_limits limits);
void weir_kit_stage_finish(struct weir_kit_stage *s);

/* `plugins` is YAML or JSON as under `plugins:`: "[header_stamp, {auth: {required: true}}]". */
int weir_kit_stage_configure(struct weir_kit_stage *s, const char *plugins,
                             const char *tenants_json, struct weir_error *err);

void weir_kit_stage_turn(struct weir_kit_stage *s);
/* Moves the clock on and turns. */
void weir_kit_stage_advance(struct weir_kit_stage *s, uint64_t us);
/* Waits (real time) until something was posted, then turns; false after timeout_ms. */
bool weir_kit_stage_wait(struct weir_kit_stage *s, uint32_t timeout_ms);
