/* SPDX-License-Identifier: Apache-2.0 */
#include "admin.h"

#include "base/log.h"
#include "core/plugin/plugins_internal.h"
#include "core/plugin/run_internal.h"
#include "weir/policy.h"

void weir_plugin_admin_init(struct weir_plugin_admin *a, struct weir_plugin_chain *chain,
                            weir_req *req, struct weir_plugin_loop *loop, struct weir_arena *arena,
                            weir_plugin_admin_resumed resumed)
{
    *a = (struct weir_plugin_admin){.chain = weir_plugin_chain_ref(chain),
                                    .req = req,
                                    .loop = loop,
                                    .arena = arena,
                                    .resumed = resumed};
}

static const struct weir_plugin_instance *guard_of(const struct weir_plugin_chain *chain)
{
    for (uint32_t i = 0; i < chain->n; i++) {
        if (chain->links[i].instance->guards.fn) {
            return chain->links[i].instance;
        }
    }
    return NULL;
}

bool weir_plugin_chain_has_guard(const struct weir_plugin_chain *chain)
{
    return guard_of(chain) != NULL;
}

static void drop_ticket(struct weir_plugin_admin *a)
{
    weir_tickets_cancel(a->chain->plugins->tickets, a->ticket);
    a->ticket = 0;
}

/* What a function's return value means, with the mistakes that a plugin can make. */
static enum weir_plugin_admin_outcome judge(const struct weir_plugin_admin *a, int result)
{
    if (result == WEIR_SUSPEND) {
        return a->ticket ? WEIR_PLUGIN_ADMIN_SUSPENDED : WEIR_PLUGIN_ADMIN_FAILED;
    }
    if (a->answered) {
        return result >= 0 ? WEIR_PLUGIN_ADMIN_ANSWERED : WEIR_PLUGIN_ADMIN_FAILED;
    }
    bool passes = !a->route && result == WEIR_CONTINUE && a->identified;
    return passes ? WEIR_PLUGIN_ADMIN_DONE : WEIR_PLUGIN_ADMIN_FAILED;
}

static enum weir_plugin_admin_outcome run_function(struct weir_plugin_admin *a, const int *rc,
                                                   weir_str data)
{
    const struct weir_instance_guard *g = &a->instance->guards;
    int (*fn)(void *, weir_req *) = a->route ? a->route->fn : g->fn;
    int (*on_resume)(void *, weir_req *, int, weir_str) =
        a->route ? a->route->on_resume : g->on_resume;
    void *arg = a->route ? a->route->arg : g->arg;
    a->in_hook = true;
    a->answered = false;
    int result = !rc ? fn(arg, a->req) : on_resume ? on_resume(arg, a->req, *rc, data) : WEIR_FAIL;
    a->in_hook = false;
    enum weir_plugin_admin_outcome outcome = judge(a, result);
    if (outcome != WEIR_PLUGIN_ADMIN_SUSPENDED && a->ticket) {
        drop_ticket(a);
    }
    return outcome;
}

enum weir_plugin_admin_outcome weir_plugin_admin_guard(struct weir_plugin_admin *a)
{
    a->instance = guard_of(a->chain);
    a->route = NULL;
    return a->instance ? run_function(a, NULL, (weir_str){NULL, 0}) : WEIR_PLUGIN_ADMIN_DONE;
}

int weir_plugin_admin_find(struct weir_plugin_admin *a, weir_str method, weir_str path,
                           uint32_t *ret_scopes)
{
    int rc = WEIR_E_NOTFOUND;
    for (uint32_t i = 0; i < a->chain->n; i++) {
        const struct weir_plugin_instance *inst = a->chain->links[i].instance;
        for (uint32_t k = 0; k < inst->n_routes; k++) {
            const struct weir_instance_route *route = &inst->routes[k];
            struct weir_admin_params params;
            int matched = weir_admin_path_match(route->path, path, a->arena, &params);
            if (matched == 0 && weir_str_is(method, route->method)) {
                a->instance = inst;
                a->route = route;
                a->params = params;
                *ret_scopes = route->scopes;
                return 0;
            }
            rc = matched == 0 ? WEIR_E_UNSUPPORTED : matched != WEIR_E_NOTFOUND ? matched : rc;
        }
    }
    return rc;
}

enum weir_plugin_admin_outcome weir_plugin_admin_call(struct weir_plugin_admin *a)
{
    return run_function(a, NULL, (weir_str){NULL, 0});
}

void weir_plugin_admin_ticket_ended(void *arg, int rc, weir_str data)
{
    struct weir_plugin_admin *a = arg;
    a->ticket = 0;
    enum weir_plugin_admin_outcome outcome = run_function(a, &rc, data);
    if (outcome != WEIR_PLUGIN_ADMIN_SUSPENDED) {
        a->resumed(a, outcome);
    }
}

void weir_plugin_admin_abandon(struct weir_plugin_admin *a)
{
    if (a->ticket) {
        drop_ticket(a);
    }
}

void weir_plugin_admin_finish(struct weir_plugin_admin *a)
{
    if (a->chain) {
        weir_plugin_admin_abandon(a);
        weir_plugin_chain_unref(a->chain);
        a->chain = NULL;
    }
}

const char *weir_plugin_chain_export(const struct weir_plugin_chain *chain, size_t i,
                                     char *const **ret_hidden)
{
    for (uint32_t k = 0; k < chain->n; k++) {
        const struct weir_plugin_instance *inst = chain->links[k].instance;
        if (i < inst->n_exports) {
            *ret_hidden = inst->exports[i].hidden;
            return inst->exports[i].collection;
        }
        i -= inst->n_exports;
    }
    return NULL;
}

void weir_plugin_chain_each_route(const struct weir_plugin_chain *chain,
                                  void (*fn)(void *arg, const struct weir_plugin_route_view *view),
                                  void *arg)
{
    for (uint32_t i = 0; i < chain->n; i++) {
        const struct weir_plugin_instance *inst = chain->links[i].instance;
        for (uint32_t k = 0; k < inst->n_routes; k++) {
            const struct weir_instance_route *r = &inst->routes[k];
            const struct weir_plugin_route_view view = {
                inst->lib->about.name, r->method, r->path, r->summary, r->openapi, r->scopes};
            fn(arg, &view);
        }
    }
}
