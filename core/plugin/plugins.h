/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin host: finds and loads plugins, keeps the chain that requests run through.
 *
 * Reload: configure() builds a new chain beside the old one and swaps; a request ends on the chain
 * with which it began, and the old instances are destroyed on [main] when the last such request has
 * ended. Instances are never carried over, so that files named in a configuration are read anew;
 * state that must outlive a reload belongs into weir.store/1.
 * Ownership: the host owns libraries, instances and chains; options' pointers outlive it.
 * Threads: create, destroy, configure, check, load and host on [main], the thread that turns
 * main_loop; chain(), update() [any].
 * Errors: findings with file, line and column where a person wrote something wrong; else one
 * sentence. configure() that fails leaves the old chain in place. */
#include "core/config/config.h"
#include "core/config/doc.h"
#include "core/metrics/metrics.h"
#include "core/plugin/guard.h"
#include "core/plugin/library.h"
#include "core/plugin/loop.h"
#include "core/plugin/request_ops.h"
#include "core/plugin/search.h"

struct weir_plugins;
struct weir_plugin_chain;
struct weir_plugin_instance;
struct weir_store;
struct weir_targets;
struct weir_targets_ops;
struct weir_tenants;

enum { WEIR_PLUGIN_CHAIN_MAX = 64 }; /* plugins in a chain */

struct weir_plugins_options {
    const char *const *dirs; /* plugin_dirs of the configuration */
    size_t n_dirs;
    const struct weir_plugin_request_ops *ops;
    struct weir_metrics *metrics;
    struct weir_store *store;     /* NULL: weir.store/1 is not offered */
    struct weir_tenants *tenants; /* NULL: weir.tenants/1 is not offered */
    /* For weir.tenants/1. Does the registry know what the store has? NULL: yes. [any] */
    bool (*tenants_are_read)(void *arg);
    /* Judges an entry of the tenants block; `ret_problem` gets the sentence. */
    int (*check_tenant)(void *arg, weir_str name, weir_str entry, struct weir_error *ret_problem);
    void *tenants_arg;
    /* For weir.slas/1, by enum weir_class; read while instances are made, borrowed. NULL: not
     * offered. */
    const struct weir_config_latency_sla *slas;
    /* For weir.targets/1. NULL: there are no targets. */
    const struct weir_targets_ops *targets_ops;
    struct weir_targets *targets;
    struct weir_plugin_loop *main_loop;
    struct weir_plugin_limits limits;
};

/* One entry of `plugins:`. */
struct weir_plugin_spec {
    const char *name;                   /* a name, or the path of a .so */
    const struct weir_doc_node *entry;  /* where the name stands */
    const struct weir_doc_node *config; /* its mapping; an empty one when left out */
};

int weir_plugins_create(const struct weir_plugins_options *options,
                        struct weir_plugins **ret_plugins);
/* Every request has ended, and what was asked of the store: what is under way still is not told any
 * more. Destroys the chain and what still waits to be destroyed. NULL ok. */
void weir_plugins_destroy(struct weir_plugins *ps);
const struct weir_plugin_search *weir_plugins_search(const struct weir_plugins *ps);

/* Loads, checks configurations and order, creates instances, swaps. tenants_json is the whole
 * `tenants:` block ("{}" for none). Nothing of the arguments is kept. */
int weir_plugins_configure(struct weir_plugins *ps, const struct weir_plugin_spec *specs,
                           size_t n_specs, weir_str tenants_json, struct weir_findings *findings);
/* The same up to, and without, creating instances: for `weir check`. */
int weir_plugins_check(struct weir_plugins *ps, const struct weir_plugin_spec *specs,
                       size_t n_specs, struct weir_findings *findings);

/* A reference to the chain in force: weir_plugin_chain_unref(). Never NULL: empty at first. */
struct weir_plugin_chain *weir_plugins_chain(struct weir_plugins *ps);

/* For who needs it often: makes *chain (NULL at first), a reference that the caller keeps, the
 * chain in force. A chain that is kept is not destroyed, so do this now and then. */
void weir_plugins_update(struct weir_plugins *ps, struct weir_plugin_chain **chain);

/* Loads a plugin by name or path, for its backend interfaces: weir_plugin_library_unref(). A file
 * that is loaded already, with the same bytes, is not loaded twice. */
int weir_plugins_load(struct weir_plugins *ps, const char *name,
                      struct weir_plugin_library **ret_library, struct weir_error *err);
/* A host table for a loaded backend, which lives as long as the model that gets it. */
int weir_plugins_host(struct weir_plugins *ps, struct weir_plugin_library *lib,
                      struct weir_plugin_instance **ret_instance, struct weir_error *err);
const weir_host *weir_plugin_instance_host(const struct weir_plugin_instance *inst);
void weir_plugin_instance_destroy(struct weir_plugin_instance *inst); /* NULL ok [main] */
