/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Joins the core, which knows targets, with the engine, which knows models: for `weir serve`.
 *
 * `backend: NAME` loads that plugin; `backend: auto` takes the device with the highest score of all
 * `backend: NAME` loads that plugin; `backend: auto` takes the device with the highest score of all
 * backends found, and keeps the CPU at hand for when that cannot load the model.
 * Ownership: the set keeps the libraries and host tables that its engines use, and what they are
 * opened with; finish it after the engines are destroyed. Threads: [main]. */
#include "core/server/server.h"

enum { WEIR_MAX_OPEN_BACKENDS = 1024 };

struct weir_engine_opening;

struct weir_open_engines {
    struct {
        struct weir_plugin_library *library;
        struct weir_plugin_instance *instance;
        struct weir_plugin_library *spare_library; /* `auto`: the CPU; NULL: none */
        struct weir_plugin_instance *spare_instance;
        struct weir_engine_opening *opening;
    } backends[WEIR_MAX_OPEN_BACKENDS];
    size_t n;
};

/* A weir_open_engine_fn; `arg` is a struct weir_open_engines. */
int weir_open_engine(void *arg, const struct weir_config *config,
                     const struct weir_config_model *model, const struct weir_config_target *target,
                     struct weir_plugins *plugins, struct weir_target_config *ret_target,
                     struct weir_error *err);
/* Every engine has been destroyed; the plugin host has not. */
void weir_open_engines_finish(void *arg);
