/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/instance.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/plugin/host_store.h"
#include "core/plugin/plugins_internal.h"

static void free_instance(struct weir_plugin_instance *inst)
{
    for (uint32_t i = 0; i < inst->n_metrics; i++) {
        weir_metrics_release(inst->plugins->options.metrics, inst->metrics[i]);
    }
    for (uint32_t i = 0; i < inst->n_routes; i++) {
        weir_instance_route_finish(&inst->routes[i]);
    }
    for (uint32_t i = 0; i < inst->n_exports; i++) {
        weir_instance_export_finish(&inst->exports[i]);
    }
    weir_plugin_guard_finish(&inst->guard);
    pthread_mutex_destroy(&inst->lock);
    weir_plugin_library_unref(inst->lib);
    free(inst->tenants_json);
    free(inst);
}

int weir_plugin_instance_create(struct weir_plugins *ps, struct weir_plugin_library *lib,
                                weir_str tenants_json, struct weir_plugin_instance **ret_instance)
{
    struct weir_plugin_instance *inst = calloc(1, sizeof(*inst));
    if (!inst) {
        return WEIR_E_NOMEM;
    }
    inst->plugins = ps;
    inst->tenants_json =
        strndup(tenants_json.n ? tenants_json.p : "{}", tenants_json.n ? tenants_json.n : 2);
    if (!inst->tenants_json || pthread_mutex_init(&inst->lock, NULL) != 0) {
        free(inst->tenants_json);
        free(inst);
        return WEIR_E_NOMEM;
    }
    if (weir_instance_store_start(inst) < 0 ||
        weir_plugin_guard_init(&inst->guard, ps->options.limits) < 0) {
        weir_instance_store_end(inst);
        pthread_mutex_destroy(&inst->lock);
        free(inst->tenants_json);
        free(inst);
        return WEIR_E_NOMEM;
    }
    inst->lib = weir_plugin_library_ref(lib);
    (void)snprintf(inst->component, sizeof(inst->component), "plugin.%s", lib->about.name);
    weir_host_fill(&inst->host, inst);
    *ret_instance = inst;
    return 0;
}

int weir_plugin_instance_start(struct weir_plugin_instance *inst, weir_str config_json,
                               struct weir_error *err)
{
    const weir_policy *policy = &inst->lib->policy;
    const char *name = inst->lib->about.name;
    if (!policy->instance_create) {
        return weir_error_set(err, WEIR_E_FORMAT, "plugin %s has no instance_create", name);
    }
    weir_str why = {NULL, 0};
    inst->defining = true;
    inst->self = policy->instance_create(&inst->host, config_json, &why);
    inst->defining = false;
    if (!inst->self && why.n == 0) {
        return weir_error_set(err, WEIR_E_ARG, "plugin %s: it refused, unexplained", name);
    }
    if (!inst->self) {
        return weir_error_set(err, WEIR_E_ARG, "plugin %s: %.*s", name,
                              (int)(why.n < 400 ? why.n : 400), why.p);
    }
    return 0;
}

void weir_plugin_instance_end(struct weir_plugin_instance *inst,
                              struct weir_plugin_leaks *ret_leaks)
{
    struct weir_plugin_leaks leaks = {0};
    weir_instance_store_unsubscribe(inst);
    weir_instance_drop_watches(inst);
    weir_instance_unwatch_targets(inst);
    if (inst->self && inst->lib->policy.instance_destroy) {
        inst->lib->policy.instance_destroy(inst->self);
    }
    weir_instance_store_end(inst);
    weir_instance_drop_timers(inst, &leaks.timers, &leaks.posts);
    leaks.allocs =
        atomic_load_explicit(&inst->alive, memory_order_relaxed) / WEIR_INSTANCE_ONE_ALLOC;
    leaks.alloc_bytes = weir_instance_alloc_bytes(inst);
    free_instance(inst);
    if (ret_leaks) {
        *ret_leaks = leaks;
    }
}

void weir_plugin_instance_destroy(struct weir_plugin_instance *inst)
{
    if (inst) {
        weir_plugin_instance_end(inst, NULL);
    }
}

const weir_host *weir_plugin_instance_host(const struct weir_plugin_instance *inst)
{
    return &inst->host;
}
