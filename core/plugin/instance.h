/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One configured plugin: its host table and all that the host keeps and takes back for it.
 *
 * Private to core/plugin and the conformance kit.
 * Ownership: a chain (or, for backends, a model) owns the instance; the instance owns the plugin's
 * object, timers, posts, metrics and routes.
 * Threads: create and destroy on [main]; host functions as weir/host.h says.
 * Invariant: when instance_destroy has returned, no timer, post, route, message or completion of it
 * runs any more. */
#include <pthread.h>

#include "core/plugin/plugins.h"

enum {
    WEIR_INSTANCE_MAX_TIMERS = 64,
    WEIR_INSTANCE_MAX_POSTS = 1024,
    WEIR_INSTANCE_MAX_METRICS = 64,
    WEIR_INSTANCE_MAX_ROUTES = 32,
    WEIR_INSTANCE_MAX_SUBSCRIPTIONS = 32,
};

struct weir_store_owner;
struct weir_store_subscription;

struct weir_instance_timer {
    struct weir_plugin_timer timer; /* first: callbacks cast */
    struct weir_plugin_instance *instance;
    void (*fn)(void *arg);
    void *arg;
    uint32_t generation;
    enum { INSTANCE_TIMER_FREE, INSTANCE_TIMER_ARMED, INSTANCE_TIMER_STOPPED } state;
};

struct weir_instance_post {
    struct weir_plugin_task task; /* first: callbacks cast */
    struct weir_plugin_instance *instance;
    struct weir_instance_post *prev, *next;
    void (*fn)(void *arg);
    void *arg;
};

struct weir_instance_route {
    char *method, *path;
    int (*fn)(void *arg, weir_req *r);
    void *arg;
};

struct weir_plugin_instance {
    weir_host host; /* impl points back here */
    struct weir_plugins *plugins;
    struct weir_plugin_library *lib;
    char component[64]; /* of log lines: "plugin.auth" */
    char *tenants_json;
    void *self;     /* what instance_create gave */
    bool fail_open; /* on_error: open */
    bool defining;  /* inside instance_create */
    struct weir_plugin_guard guard;
    _Atomic uint64_t alloc_bytes, n_allocs; /* alive now */
    struct weir_metric_family *metrics[WEIR_INSTANCE_MAX_METRICS];
    uint32_t n_metrics;
    struct weir_instance_route routes[WEIR_INSTANCE_MAX_ROUTES];
    uint32_t n_routes;
    struct weir_store_owner *store_owner; /* NULL: there is no store */
    struct weir_store_subscription *subscriptions[WEIR_INSTANCE_MAX_SUBSCRIPTIONS];
    uint32_t n_subscriptions;

    pthread_mutex_t lock; /* timers and posts */
    struct weir_instance_timer timers[WEIR_INSTANCE_MAX_TIMERS];
    uint32_t next_timer; /* where to look for a free one, so that slots are reused late */
    uint32_t n_timers;
    struct weir_instance_post *posts;
    uint32_t n_posts;
};

/* Without the plugin's own object yet. Takes a reference to lib. */
int weir_plugin_instance_create(struct weir_plugins *ps, struct weir_plugin_library *lib,
                                weir_str tenants_json, struct weir_plugin_instance **ret_instance);
/* Calls the policy's instance_create. */
int weir_plugin_instance_start(struct weir_plugin_instance *inst, weir_str config_json,
                               struct weir_error *err);

/* What the plugin did not give back; filled after its instance_destroy. */
struct weir_plugin_leaks {
    uint32_t timers, posts;
    uint64_t allocs, alloc_bytes;
};
/* As destroy, and says what was left. */
void weir_plugin_instance_end(struct weir_plugin_instance *inst,
                              struct weir_plugin_leaks *ret_leaks);

/* The pieces of the host table, each in its own file. */
void weir_host_fill(weir_host *host, struct weir_plugin_instance *inst); /* host.c */
void weir_host_fill_request(weir_host *host);                            /* host_request.c */
void weir_host_fill_timers(weir_host *host);                             /* host_timers.c */
void weir_instance_drop_timers(struct weir_plugin_instance *inst, uint32_t *n_timers,
                               uint32_t *n_posts); /* host_timers.c */
extern const weir_ext_metrics weir_host_metrics;   /* host_metrics.c */
extern const weir_ext_admin weir_host_admin;       /* host_ext.c */
extern const weir_ext_tenants weir_host_tenants;   /* host_ext.c */

static inline struct weir_plugin_instance *weir_host_instance(const weir_host *h)
{
    return (struct weir_plugin_instance *)h->impl;
}
