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
#include "core/target/targets.h"
#include "core/tenants/tenants.h"

enum {
    WEIR_INSTANCE_MAX_TIMERS = 64,
    WEIR_INSTANCE_MAX_POSTS = 1024,
    WEIR_INSTANCE_MAX_METRICS = 64,
    WEIR_INSTANCE_MAX_ROUTES = 32,
    WEIR_INSTANCE_MAX_SUBSCRIPTIONS = 32,
    WEIR_INSTANCE_MAX_WATCHES = 4,
    WEIR_INSTANCE_MAX_EXPORTS = 8,
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
    uint32_t scopes;
    char *method, *path, *summary, *openapi; /* openapi may be NULL */
    int (*fn)(void *arg, weir_req *r);
    int (*on_resume)(void *arg, weir_req *r, int rc, weir_str data);
    void *arg;
};
void weir_instance_route_finish(struct weir_instance_route *r); /* host_admin.c */

struct weir_instance_guard { /* who says who calls the admin API; fn NULL: not this instance */
    int (*fn)(void *arg, weir_req *r);
    int (*on_resume)(void *arg, weir_req *r, int rc, weir_str data);
    void *arg;
};

enum { WEIR_INSTANCE_MAX_HIDDEN = 8 };
struct weir_instance_export { /* a collection that belongs to a tenant's export */
    char *collection;
    char *hidden[WEIR_INSTANCE_MAX_HIDDEN + 1]; /* NULL-ended */
};
void weir_instance_export_finish(struct weir_instance_export *e); /* host_admin.c */

struct weir_instance_watch { /* of tenants */
    struct weir_tenants_watch watch;
    void (*fn)(void *arg, weir_str tenant);
    void *arg;
};

#define WEIR_INSTANCE_ONE_ALLOC (UINT64_C(1) << 40) /* 1 TiB, and 16 million allocations */

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
    _Atomic uint64_t alive; /* allocations in units of ONE_ALLOC, and below that their bytes */
    struct weir_metric_family *metrics[WEIR_INSTANCE_MAX_METRICS];
    uint32_t n_metrics;
    struct weir_instance_route routes[WEIR_INSTANCE_MAX_ROUTES];
    uint32_t n_routes;
    struct weir_store_owner *store_owner; /* NULL: there is no store */
    struct weir_store_subscription *subscriptions[WEIR_INSTANCE_MAX_SUBSCRIPTIONS];
    uint32_t n_subscriptions;
    struct weir_instance_guard guards;
    struct weir_instance_export exports[WEIR_INSTANCE_MAX_EXPORTS];
    uint32_t n_exports;
    struct weir_instance_watch watches[WEIR_INSTANCE_MAX_WATCHES];
    uint32_t n_watches;
    struct weir_targets_watch targets_watch; /* ended NULL: none */
    struct weir_error problem;               /* of the last tenants->check() */

    pthread_mutex_t lock; /* timers and posts */
    struct weir_instance_timer timers[WEIR_INSTANCE_MAX_TIMERS];
    uint32_t next_timer; /* where to look for a free one, so that slots are reused late */
    uint32_t n_timers;
    struct weir_instance_post *posts;
    uint32_t n_posts;
};

static inline uint64_t weir_instance_alloc_bytes(const struct weir_plugin_instance *inst)
{
    return atomic_load_explicit(&inst->alive, memory_order_relaxed) % WEIR_INSTANCE_ONE_ALLOC;
}

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
                               uint32_t *n_posts);                     /* host_timers.c */
extern const weir_ext_metrics weir_host_metrics;                       /* host_metrics.c */
extern const weir_ext_answer weir_host_answer;                         /* host_answer.c */
extern const weir_ext_admin weir_host_admin;                           /* host_admin.c */
extern const weir_ext_tenants weir_host_tenants;                       /* host_tenants.c */
extern const weir_ext_slas weir_host_slas;                             /* host_slas.c */
void weir_instance_drop_watches(struct weir_plugin_instance *inst);    /* host_tenants.c */
extern const weir_ext_targets weir_host_targets;                       /* host_targets.c */
void weir_instance_unwatch_targets(struct weir_plugin_instance *inst); /* host_targets.c */

static inline struct weir_plugin_instance *weir_host_instance(const weir_host *h)
{
    return (struct weir_plugin_instance *)h->impl;
}
