/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>

#include "figures.h"

void weir_upstream_figures_define(struct weir_upstream_figures *f, const weir_host *host,
                                  const char *target)
{
    static const char *const labels[] = {"target", "result"};
    static const char *const kinds[] = {"target", "kind"};
    f->host = host;
    f->target = weir_str_from(target);
    f->ext = host->get_ext(host, WEIR_EXT_METRICS);
    if (!f->ext) {
        return;
    }
    const weir_ext_metrics *m = f->ext;
    f->requests = m->define(host, WEIR_METRIC_COUNTER, "requests",
                            "Generations at upstreams that ended.", labels, 2);
    f->errors = m->define(host, WEIR_METRIC_COUNTER, "errors",
                          "Generations that failed at upstreams.", kinds, 2);
    f->connections = m->define(host, WEIR_METRIC_COUNTER, "connections",
                               "Connections to upstreams that were opened.", labels, 1);
    f->open = m->define(host, WEIR_METRIC_GAUGE, "connections_open", "Connections to upstreams.",
                        labels, 1);
    f->connect_seconds = m->define(host, WEIR_METRIC_HISTOGRAM, "connect_seconds",
                                   "Time to connect, with TLS.", labels, 1);
    f->first_token_seconds = m->define(host, WEIR_METRIC_HISTOGRAM, "first_token_seconds",
                                       "Time from the request to the first token.", labels, 1);
}

static void record(struct weir_upstream_figures *f, weir_metric metric, double value,
                   const char *second)
{
    weir_str labels[2] = {f->target, weir_str_from(second)};
    if (f->ext) {
        f->ext->record(f->host, metric, value, labels, second ? 2 : 1);
    }
}

void weir_upstream_count_ends(struct weir_upstream_figures *f, enum weir_upstream_end how,
                              uint32_t n)
{
    static const char *const results[WEIR_UPSTREAM_ENDS] = {"ok", "failed", "cancelled"};
    record(f, f->requests, n, results[how]);
}

void weir_upstream_count_error(struct weir_upstream_figures *f, const char *kind)
{
    record(f, f->errors, 1, kind);
}

void weir_upstream_count_connect(struct weir_upstream_figures *f, uint64_t us)
{
    record(f, f->connections, 1, NULL);
    record(f, f->connect_seconds, (double)us / 1e6, NULL);
}

void weir_upstream_count_first_token(struct weir_upstream_figures *f, uint64_t us)
{
    record(f, f->first_token_seconds, (double)us / 1e6, NULL);
}

void weir_upstream_count_open(struct weir_upstream_figures *f, int32_t change)
{
    int32_t n = atomic_fetch_add_explicit(&f->n_open, change, memory_order_relaxed) + change;
    record(f, f->open, n, NULL);
}
