/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.tenants/1". */
#include <stdlib.h>

#include "core/plugin/plugins_internal.h"
#include "core/tenants/tenants.h"

static weir_str config_json(const weir_host *h)
{
    return weir_str_from(weir_host_instance(h)->tenants_json);
}

static int get(const weir_host *h, weir_str tenant, weir_str *out_json, uint64_t *out_version)
{
    const struct weir_tenant *t =
        weir_tenants_find(weir_host_instance(h)->plugins->options.tenants, tenant);
    if (!t || t->state == WEIR_TENANT_DELETING) {
        const struct weir_plugins_options *o = &weir_host_instance(h)->plugins->options;
        return t || !o->tenants_are_read || o->tenants_are_read(o->tenants_arg) ? WEIR_E_NOTFOUND
                                                                                : WEIR_E_BUSY;
    }
    if (out_json) {
        *out_json = t->json;
    }
    if (out_version) {
        *out_version = t->version;
    }
    return 0;
}

static void on_change(void *arg, weir_str tenant)
{
    const struct weir_instance_watch *w = arg;
    w->fn(w->arg, tenant);
}

static int watch(const weir_host *h, void (*fn)(void *arg, weir_str tenant), void *arg)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!inst->defining || !fn) {
        return WEIR_E_ARG;
    }
    if (inst->n_watches == WEIR_INSTANCE_MAX_WATCHES) {
        return WEIR_E_BUSY;
    }
    struct weir_instance_watch *w = &inst->watches[inst->n_watches++];
    *w = (struct weir_instance_watch){.watch = {.fn = on_change, .arg = w}, .fn = fn, .arg = arg};
    weir_tenants_watch(inst->plugins->options.tenants, &w->watch);
    return 0;
}

void weir_instance_drop_watches(struct weir_plugin_instance *inst)
{
    for (uint32_t i = 0; i < inst->n_watches; i++) {
        weir_tenants_unwatch(inst->plugins->options.tenants, &inst->watches[i].watch);
    }
    inst->n_watches = 0;
}

struct listing {
    weir_str after;
    weir_str *names; /* [n] of the n smallest behind `after`, sorted */
    uint32_t n, max;
};

static int order(weir_str a, weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static void consider(void *arg, const struct weir_tenant *t)
{
    struct listing *l = arg;
    if (t->state == WEIR_TENANT_DELETING || t->state == WEIR_TENANT_ABSENT ||
        order(t->name, l->after) <= 0 ||
        (l->n == l->max && order(t->name, l->names[l->n - 1]) >= 0)) {
        return;
    }
    uint32_t at = l->n < l->max ? l->n++ : l->n - 1;
    for (; at > 0 && order(t->name, l->names[at - 1]) < 0; at--) {
        l->names[at] = l->names[at - 1];
    }
    l->names[at] = t->name;
}

static int list(const weir_host *h, weir_str after, weir_str *out_names, uint32_t n)
{
    struct listing l = {.after = after, .names = out_names, .max = n};
    if (!out_names || n == 0) {
        return WEIR_E_ARG;
    }
    weir_tenants_each(weir_host_instance(h)->plugins->options.tenants, consider, &l);
    return (int)l.n;
}

static int check(const weir_host *h, weir_str tenant, weir_str entry_json, weir_str *out_problem)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    const struct weir_plugins_options *o = &inst->plugins->options;
    inst->problem = (struct weir_error){0};
    int rc = o->check_tenant(o->tenants_arg, tenant, entry_json, &inst->problem);
    if (out_problem) {
        *out_problem = weir_str_from(inst->problem.message);
    }
    return rc;
}

const weir_ext_tenants weir_host_tenants = {
    .struct_size = sizeof(weir_ext_tenants),
    .config_json = config_json,
    .get = get,
    .watch = watch,
    .list = list,
    .check = check,
};
