/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.metrics/1" over the daemon's registry. */
#include <stdio.h>

#include "base/log.h"
#include "core/plugin/plugins_internal.h"

/* weir_<plugin>_<name>, '-' as '_'; counters end in _total whether the plugin wrote it or not. */
static bool full_name(const char *plugin, int kind, const char *name, char *out, size_t cap)
{
    size_t len = strlen(name);
    bool total = len > 6 && strcmp(name + len - 6, "_total") == 0;
    int n = snprintf(out, cap, "weir_%s_%s%s", plugin, name,
                     kind == WEIR_METRIC_COUNTER && !total ? "_total" : "");
    for (char *p = out; *p; p++) {
        *p = *p == '-' ? '_' : *p;
    }
    return n > 0 && (size_t)n < cap;
}

static weir_metric define(const weir_host *h, int kind, const char *name, const char *help,
                          const char *const *labels, uint32_t n_labels)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    char full[128];
    if (!inst->defining || !name || kind < WEIR_METRIC_COUNTER || kind > WEIR_METRIC_HISTOGRAM ||
        n_labels > 4 || (n_labels && !labels) || inst->n_metrics == WEIR_INSTANCE_MAX_METRICS ||
        !full_name(inst->lib->about.name, kind, name, full, sizeof(full))) {
        return 0;
    }
    struct weir_metric_spec spec = {
        .kind = (enum weir_metrics_kind)(kind - WEIR_METRIC_COUNTER),
        .name = full,
        .help = help,
    };
    for (uint32_t i = 0; i < n_labels; i++) {
        spec.labels[i] = labels[i];
    }
    if (kind == WEIR_METRIC_HISTOGRAM) {
        spec.buckets = weir_metrics_seconds;
        spec.n_buckets = sizeof(weir_metrics_seconds) / sizeof(weir_metrics_seconds[0]);
    }
    struct weir_error err = {0};
    struct weir_metric_family *f = weir_metrics_define(inst->plugins->options.metrics, &spec, &err);
    if (!f) {
        weir_log(WEIR_LOG_WARN, inst->component, NULL, "%s", err.message);
        return 0;
    }
    inst->metrics[inst->n_metrics++] = f;
    return inst->n_metrics;
}

static void record(const weir_host *h, weir_metric metric, double value,
                   const weir_str *label_values, uint32_t n_labels)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (metric == 0 || metric > inst->n_metrics) {
        return;
    }
    struct weir_metric_series *s =
        weir_metric_series(inst->metrics[metric - 1], label_values, n_labels);
    weir_metric_record(s, value);
}

const weir_ext_metrics weir_host_metrics = {
    .struct_size = sizeof(weir_ext_metrics),
    .define = define,
    .record = record,
};
