/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

void metrics_define(struct lua_plugin *p)
{
    static const char *const result[] = {"tenant", "result"}, *const reason[] = {"tenant",
                                                                                 "reason"};
    static const char *const which[] = {"tenant", "role"};
    const weir_ext_metrics *m = p->host->get_ext(p->host, WEIR_EXT_METRICS);
    if (!m || !WEIR_HAS_FN(m, record)) {
        return;
    }
    const weir_host *h = p->host;
    p->metrics = m;
    p->calls = m->define(h, WEIR_METRIC_COUNTER, "calls", "Decisions of policies.", result, 2);
    p->aborts = m->define(h, WEIR_METRIC_COUNTER, "aborts", "Policies that failed.", reason, 2);
    p->shadows = m->define(h, WEIR_METRIC_COUNTER, "shadow",
                           "Decisions of shadows beside those that counted.", result, 2);
    p->paused = m->define(h, WEIR_METRIC_COUNTER, "pauses",
                          "Versions paused since they ran out of budget repeatedly.", reason, 1);
    p->versions = m->define(h, WEIR_METRIC_GAUGE, "version",
                            "Version that runs here, 0: the file or none.", which, 2);
    p->syncs = m->define(h, WEIR_METRIC_COUNTER, "syncs",
                         "Reads of a tenant's versions from the store.", result, 2);
}

void metrics_count(const struct lua_plugin *p, weir_metric metric, weir_str tenant,
                   const char *what)
{
    const weir_str values[] = {tenant, weir_str_from(what)};
    if (p->metrics) {
        p->metrics->record(p->host, metric, 1, values, what ? 2 : 1);
    }
}
