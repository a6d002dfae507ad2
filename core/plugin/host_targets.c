/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.targets/1"; without models there are no targets. */
#include "core/plugin/plugins_internal.h"

static int watch(const weir_host *h, void (*opened)(void *arg),
                 void (*ended)(void *arg, const weir_attempt *), void *arg)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    const struct weir_plugins_options *o = &inst->plugins->options;
    if (!inst->defining || !opened || !ended || inst->targets_watch.ended) {
        return WEIR_E_ARG;
    }
    inst->targets_watch = (struct weir_targets_watch){.opened = opened, .ended = ended, .arg = arg};
    int rc = o->targets_ops ? o->targets_ops->watch(o->targets, &inst->targets_watch) : 0;
    if (rc < 0) {
        inst->targets_watch.ended = NULL;
    }
    return rc;
}

static int get(const weir_host *h, uint32_t target, weir_target_info *out)
{
    const struct weir_plugins_options *o = &weir_host_instance(h)->plugins->options;
    return !out             ? WEIR_E_ARG
           : o->targets_ops ? o->targets_ops->get(o->targets, target, out)
                            : WEIR_E_NOTFOUND;
}

static int permit(const weir_host *h, uint32_t target, int64_t n_requests)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    const struct weir_plugins_options *o = &inst->plugins->options;
    return !inst->targets_watch.ended ? WEIR_E_ARG
           : o->targets_ops
               ? o->targets_ops->permit(o->targets, &inst->targets_watch, target, n_requests)
               : WEIR_E_NOTFOUND;
}

const weir_ext_targets weir_host_targets = {
    .struct_size = sizeof(weir_host_targets),
    .watch = watch,
    .get = get,
    .permit = permit,
};

void weir_instance_unwatch_targets(struct weir_plugin_instance *inst)
{
    const struct weir_plugins_options *o = &inst->plugins->options;
    if (inst->targets_watch.ended && o->targets_ops) {
        o->targets_ops->unwatch(o->targets, &inst->targets_watch);
    }
    inst->targets_watch.ended = NULL;
}
