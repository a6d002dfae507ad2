/* SPDX-License-Identifier: Apache-2.0 */
#include "quota.h"

static const char *const results[RESERVE__COUNT] = {[RESERVE_EXHAUSTED] = "exhausted",
                                                    [RESERVE_LOST] = "store_lost",
                                                    [RESERVE_UNPRICED] = "no_price",
                                                    [RESERVE_CURRENCY] = "wrong_currency",
                                                    [RESERVE_BROKEN] = "failed"};

void quota_define_metrics(struct quota *q)
{
    static const char *const decision[] = {"level", "result"}, *const mode[] = {"mode"},
                             *const level[] = {"level"};
    struct quota_metrics *m = &q->metrics;
    const weir_host *h = q->ledger.host;
    const weir_ext_metrics *x = h->get_ext(h, WEIR_EXT_METRICS);
    if (!x || !WEIR_HAS_FN(x, record)) {
        return;
    }
    m->ext = x;
    m->requests = x->define(h, WEIR_METRIC_COUNTER, "decisions",
                            "Requests with a budget by what became of them, and at which level.",
                            decision, 2);
    m->degraded = x->define(h, WEIR_METRIC_COUNTER, "decisions_without_store",
                            "Requests that passed without the store, by on_store_loss.", mode, 1);
    m->store_lost = x->define(h, WEIR_METRIC_GAUGE, "store_lost",
                              "1 while the store does not answer.", NULL, 0);
    m->store_failures = x->define(h, WEIR_METRIC_COUNTER, "store_failures",
                                  "Calls that the store did not answer.", NULL, 0);
    m->pending = x->define(h, WEIR_METRIC_GAUGE, "settlements_pending",
                           "Settlements that the store has not taken yet.", NULL, 0);
    m->dropped = x->define(h, WEIR_METRIC_COUNTER, "settlements_dropped",
                           "Settlements given up; their reservations stay in force.", NULL, 0);
    m->warnings = x->define(h, WEIR_METRIC_COUNTER, "warnings",
                            "Budgets that passed a threshold of warn_at.", level, 1);
}

static uint64_t take(atomic_uint_least64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed)
               ? atomic_exchange_explicit(counter, 0, memory_order_relaxed)
               : 0;
}

static void add(const struct quota *q, weir_metric metric, uint64_t n, const char *a, const char *b)
{
    const weir_str labels[2] = {weir_str_from(a), weir_str_from(b)};
    if (n) {
        q->metrics.ext->record(q->ledger.host, metric, (double)n, labels, a ? (b ? 2 : 1) : 0);
    }
}

void quota_publish(struct quota *q)
{
    struct ledger_counters *c = &q->ledger.counters;
    const struct quota_metrics *m = &q->metrics;
    if (!m->ext) {
        return;
    }
    add(q, m->requests, take(&c->reserved), "all", "allowed");
    add(q, m->degraded, take(&c->local), "local", NULL);
    add(q, m->degraded, take(&c->unlimited), "allow", NULL);
    add(q, m->store_failures, take(&c->failures), NULL, NULL);
    add(q, m->dropped, take(&c->dropped), NULL, NULL);
    for (int i = 0; i < LEVEL__COUNT; i++) {
        for (int k = 0; k < RESERVE__COUNT; k++) {
            if (results[k]) {
                add(q, m->requests, take(&c->results[i][k]), level_name((enum level)i), results[k]);
            }
        }
        add(q, m->warnings, take(&c->warnings[i]), level_name((enum level)i), NULL);
    }
    pthread_mutex_lock(&q->ledger.lock);
    double n_pending = q->ledger.n_pending;
    pthread_mutex_unlock(&q->ledger.lock);
    double lost = atomic_load_explicit(&q->ledger.lost_until_us, memory_order_relaxed) != 0;
    m->ext->record(q->ledger.host, m->pending, n_pending, NULL, 0);
    m->ext->record(q->ledger.host, m->store_lost, lost, NULL, 0);
}
