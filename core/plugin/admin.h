/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One admin request's way through the plugins: first the guard, then at most one route. Embedded in
 * the request, as a run is (run.h) in others.
 *
 * Use by core/admin: init(); guard(); when that is DONE, call() with a route of the chain.
 * SUSPENDED: `resumed` will be called with the outcome. A client that leaves: abandon(). Last:
 * finish().
 * Ownership: it owns its reference to the chain. Threads: the admin listener's loop only.
 * Invariant: hooks of an instance run only while its chain is referenced here. */
#include "core/plugin/admin_path.h"
#include "core/plugin/chain.h"
#include "core/plugin/tickets.h"

enum weir_plugin_admin_outcome {
    WEIR_PLUGIN_ADMIN_DONE,      /* of the guard: go on */
    WEIR_PLUGIN_ADMIN_ANSWERED,  /* the answer is in the request */
    WEIR_PLUGIN_ADMIN_SUSPENDED, /* `resumed` will be called */
    WEIR_PLUGIN_ADMIN_FAILED,
};

struct weir_plugin_instance;
struct weir_instance_route;
struct weir_plugin_admin;
typedef void (*weir_plugin_admin_resumed)(struct weir_plugin_admin *a,
                                          enum weir_plugin_admin_outcome outcome);

struct weir_plugin_admin {
    struct weir_plugin_chain *chain;
    weir_req *req;
    struct weir_plugin_loop *loop;
    struct weir_arena *arena; /* the request's */
    weir_plugin_admin_resumed resumed;
    const struct weir_plugin_instance *instance; /* whose function runs or is suspended */
    const struct weir_instance_route *route;     /* NULL: the guard's */
    weir_ticket ticket;
    bool in_hook, answered;
    bool identified; /* the guard said who calls */
    weir_admin_caller caller;
    struct weir_admin_params params;
    weir_str query; /* as sent */
};

/* Takes its own reference to the chain. */
void weir_plugin_admin_init(struct weir_plugin_admin *a, struct weir_plugin_chain *chain,
                            weir_req *req, struct weir_plugin_loop *loop, struct weir_arena *arena,
                            weir_plugin_admin_resumed resumed);
bool weir_plugin_chain_has_guard(const struct weir_plugin_chain *chain);
/* DONE without `identified` when no plugin is a guard. */
enum weir_plugin_admin_outcome weir_plugin_admin_guard(struct weir_plugin_admin *a);

/* The route that plugins have for method and path. WEIR_E_NOTFOUND; WEIR_E_UNSUPPORTED: the path
 * has other methods; WEIR_E_FORMAT; WEIR_E_NOMEM. *ret_scopes: who may call it. */
int weir_plugin_admin_find(struct weir_plugin_admin *a, weir_str method, weir_str path,
                           uint32_t *ret_scopes);
/* Runs the route that find() found. */
enum weir_plugin_admin_outcome weir_plugin_admin_call(struct weir_plugin_admin *a);
/* The client left: a suspension ends, `resumed` is not called. */
void weir_plugin_admin_abandon(struct weir_plugin_admin *a);
void weir_plugin_admin_finish(struct weir_plugin_admin *a); /* what was not begun is fine */

/* The i-th collection of the chain that belongs to a tenant's export, and the members of its
 * records that do not (NULL-ended); NULL: there are no more. */
const char *weir_plugin_chain_export(const struct weir_plugin_chain *chain, size_t i,
                                     char *const **ret_hidden);

/* What the routes of a chain say of themselves, for the description of the API. */
struct weir_plugin_route_view {
    const char *plugin, *method, *path, *summary, *openapi; /* openapi may be NULL */
    uint32_t scopes;
};
void weir_plugin_chain_each_route(const struct weir_plugin_chain *chain,
                                  void (*fn)(void *arg, const struct weir_plugin_route_view *view),
                                  void *arg);
