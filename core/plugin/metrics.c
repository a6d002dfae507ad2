/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/metrics.h"

static void collect_hooks(struct weir_plugins *ps, const struct weir_plugin_instance *inst)
{
    const char *name = inst->lib->about.name;
    for (int i = 0; i < WEIR_HOOK__COUNT; i++) {
        uint64_t calls = weir_plugin_guard_calls(&inst->guard, (enum weir_plugin_hook)i);
        if (calls == 0) {
            continue;
        }
        const char *hook = weir_plugin_hook_name((enum weir_plugin_hook)i);
        weir_metric_set_total(WEIR_METRIC_SERIES(ps->hook_calls, name, hook), (double)calls);
        weir_metric_set_total(WEIR_METRIC_SERIES(ps->hook_seconds, name, hook),
                              (double)weir_plugin_guard_ns(&inst->guard, (enum weir_plugin_hook)i) /
                                  1e9);
    }
}

/* Before each scrape: the instances in force. A reload starts their counts at 0, as a restart does;
 * Prometheus takes that for a counter reset. */
static void collect(void *arg)
{
    struct weir_plugins *ps = arg;
    struct weir_plugin_chain *chain = weir_plugins_chain(ps);
    const struct weir_plugin_clock *clock = weir_plugin_loop_clock(ps->options.main_loop);
    uint64_t now_us = clock->mono_ns(clock->arg) / 1000;
    for (uint32_t i = 0; i < chain->n; i++) {
        struct weir_plugin_instance *inst = chain->links[i].instance;
        const char *name = inst->lib->about.name;
        collect_hooks(ps, inst);
        weir_metric_set_total(WEIR_METRIC_SERIES(ps->failures, name, "failure"),
                              (double)atomic_load(&inst->guard.failures));
        weir_metric_set_total(WEIR_METRIC_SERIES(ps->failures, name, "overrun"),
                              (double)atomic_load(&inst->guard.overruns));
        weir_metric_set(WEIR_METRIC_SERIES(ps->quarantined, name),
                        weir_plugin_guard_admits(&inst->guard, now_us) ? 0 : 1);
        weir_metric_set(WEIR_METRIC_SERIES(ps->memory, name),
                        (double)weir_instance_alloc_bytes(inst));
    }
    weir_plugin_chain_unref(chain);
}

int weir_plugin_metrics_define(struct weir_plugins *ps)
{
    struct weir_metrics *m = ps->options.metrics;
    ps->hook_calls =
        weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                                       .name = "weir_plugin_hook_calls_total",
                                                       .help = "Calls of a plugin's hooks.",
                                                       .labels = {"plugin", "hook"}},
                            NULL);
    ps->hook_seconds =
        weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                                       .name = "weir_plugin_hook_seconds_total",
                                                       .help = "Time spent in a plugin's hooks.",
                                                       .labels = {"plugin", "hook"}},
                            NULL);
    ps->failures = weir_metrics_define(
        m,
        &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                   .name = "weir_plugin_errors_total",
                                   .help = "Hooks that failed or overran their time.",
                                   .labels = {"plugin", "kind"}},
        NULL);
    ps->quarantined = weir_metrics_define(
        m,
        &(struct weir_metric_spec){.kind = WEIR_METRICS_GAUGE,
                                   .name = "weir_plugin_quarantined",
                                   .help = "1 while a plugin's hooks are not called.",
                                   .labels = {"plugin"}},
        NULL);
    ps->memory = weir_metrics_define(
        m,
        &(struct weir_metric_spec){.kind = WEIR_METRICS_GAUGE,
                                   .name = "weir_plugin_memory_bytes",
                                   .help = "Memory that a plugin holds through the host.",
                                   .labels = {"plugin"}},
        NULL);
    bool ok = ps->hook_calls && ps->hook_seconds && ps->failures && ps->quarantined && ps->memory;
    return ok ? weir_metrics_add_collector(m, collect, ps) : WEIR_E_NOMEM;
}

void weir_plugin_metrics_release(struct weir_plugins *ps)
{
    struct weir_metrics *m = ps->options.metrics;
    weir_metrics_remove_collector(m, collect, ps);
    weir_metrics_release(m, ps->hook_calls);
    weir_metrics_release(m, ps->hook_seconds);
    weir_metrics_release(m, ps->failures);
    weir_metrics_release(m, ps->quarantined);
    weir_metrics_release(m, ps->memory);
}
