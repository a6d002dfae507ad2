/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/metrics.h"

#include <stdlib.h>

struct weir_store_meters {
    struct weir_metrics *metrics;
    struct weir_metric_family *operations, *seconds;
    struct weir_metric_series *series[WEIR_STORE_N_OPS]; /* of `seconds` */
};

static const double bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                0.01,   0.025,   0.05,   0.1,   0.25,   1};

static const char *outcome_name(int outcome)
{
    static const char *const names[WEIR_STORE_N_OUTCOMES] = {
        [WEIR_STORE_DONE] = "ok",          [WEIR_STORE_REFUSED] = "refused",
        [WEIR_STORE_MISSING] = "notfound", [WEIR_STORE_TIMED_OUT] = "timeout",
        [WEIR_STORE_AWAY] = "unavailable", [WEIR_STORE_FULL] = "full",
        [WEIR_STORE_FAILED] = "error",
    };
    return names[outcome];
}

static void collect(void *arg)
{
    struct weir_store *s = arg;
    for (int op = 0; op < WEIR_STORE_N_OPS; op++) {
        for (int k = 0; k < WEIR_STORE_N_OUTCOMES; k++) {
            uint64_t n = atomic_load_explicit(&s->counts[op][k], memory_order_relaxed);
            if (n) {
                weir_metric_set_total(WEIR_METRIC_SERIES(s->meters->operations, s->driver->name,
                                                         weir_store_op_name((enum weir_store_op)op),
                                                         outcome_name(k)),
                                      (double)n);
            }
        }
    }
    if (s->driver->collect) {
        s->driver->collect(s);
    }
}

int weir_store_metrics_start(struct weir_store *s, struct weir_metrics *metrics)
{
    struct weir_store_meters *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    m->metrics = metrics;
    m->operations = weir_metrics_define(
        metrics,
        &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                   .name = "weir_store_operations_total",
                                   .help = "Operations of the shared store, by their result.",
                                   .labels = {"driver", "op", "result"}},
        NULL);
    if (s->driver->flags & WEIR_STORE_SHARED) {
        m->seconds = weir_metrics_define(
            metrics,
            &(struct weir_metric_spec){.kind = WEIR_METRICS_HISTOGRAM,
                                       .name = "weir_store_operation_seconds",
                                       .help = "Time of the shared store's operations.",
                                       .labels = {"driver", "op"},
                                       WEIR_METRICS_BUCKETS(bounds)},
            NULL);
        for (int op = 0; op < WEIR_STORE_N_OPS && m->seconds; op++) {
            m->series[op] = WEIR_METRIC_SERIES(m->seconds, s->driver->name,
                                               weir_store_op_name((enum weir_store_op)op));
        }
    }
    int rc = s->driver->define_metrics ? s->driver->define_metrics(s, metrics) : 0;
    s->meters = m; /* before the collector reads it, and before any loop calls */
    return rc < 0 ? rc : weir_metrics_add_collector(metrics, collect, s);
}

void weir_store_metrics_stop(struct weir_store *s)
{
    if (s->meters) {
        weir_metrics_remove_collector(s->meters->metrics, collect, s);
        free(s->meters);
        s->meters = NULL;
    }
}

void weir_store_metrics_observe(struct weir_store *s, enum weir_store_op op, uint64_t us)
{
    if (s->meters && s->meters->series[op]) {
        weir_metric_observe(s->meters->series[op], (double)us / 1e6);
    }
}
