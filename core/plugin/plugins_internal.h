/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shapes shared inside core/plugin: the host's own state, and a chain. */
#include <pthread.h>

#include "core/plugin/chain.h"
#include "core/plugin/instance.h"
#include "core/plugin/tickets.h"

enum { WEIR_PLUGIN_MAX_LIBRARIES = 256 };

struct weir_plugins {
    struct weir_plugins_options options;
    struct weir_plugin_search search;
    struct weir_tickets *tickets;
    const char *ext_ids[8]; /* host extensions, NULL-ended */
    struct weir_plugin_library *libraries[WEIR_PLUGIN_MAX_LIBRARIES]; /* [main] */
    size_t n_libraries;
    struct weir_metric_family *hook_seconds, *failures, *quarantined, *hook_calls, *memory;
    pthread_mutex_t lock;                      /* current, dead */
    struct weir_plugin_chain *_Atomic current; /* written under the lock */
    struct weir_plugin_chain *dead;            /* to be destroyed on [main] */
    struct weir_plugin_task reap;
    struct weir_plugin_task messages; /* of the store wait */
};

struct weir_plugin_link {
    struct weir_plugin_instance *instance;
    const weir_policy *policy; /* the instance's */
    size_t state_at;           /* of its bytes in the run's state */
};

/* The links that have a hook, in their order. */
struct weir_plugin_hook_list {
    uint8_t n;
    uint8_t at[WEIR_PLUGIN_CHAIN_MAX];
};

struct weir_plugin_chain {
    atomic_uint refs;
    struct weir_plugins *plugins;
    struct weir_plugin_chain *next_dead;
    size_t state_bytes;
    bool times_all; /* hooks: the budget is too short for a clock's ticks */
    uint32_t n;
    struct weir_plugin_hook_list hooks[WEIR_HOOK__COUNT];
    struct weir_plugin_link links[WEIR_PLUGIN_CHAIN_MAX];
};

int weir_plugin_chain_create(struct weir_plugins *ps, struct weir_plugin_chain **ret_chain);
/* Appends an instance and owns it from then on. */
void weir_plugin_chain_add(struct weir_plugin_chain *chain, struct weir_plugin_instance *inst);
void weir_plugin_chain_destroy(struct weir_plugin_chain *chain); /* [main] */
/* Nothing of it is under way in the store; else the reaper is called when that has changed. [main]
 */
bool weir_plugin_chain_is_idle(const struct weir_plugin_chain *chain);
