/* SPDX-License-Identifier: Apache-2.0 */
/* Why counted first and added up later: a metric's series is found by its labels, which costs more
 * than the decision that it counts. */
#include "ratelimit.h"

enum { REMAINING_TICKS = 5 };

static const char *const results[ADMIT__COUNT] = {
    [ADMIT_REFUSED] = "refused", [ADMIT_NEVER] = "too_large", [ADMIT_LOST] = "store_lost"};
static const char *const resources[RESOURCE__COUNT] = {"requests", "tokens"};
static const char *const classes[ADAPTIVE_CLASSES] = {"critical_api", "interactive_ui", "batch"};

void metrics_define(struct ratelimit *rl)
{
    static const char *const decision[] = {"level", "result"}, *const level[] = {"level"},
                             *const units[] = {"level", "resource"}, *const mode[] = {"mode"},
                             *const left[] = {"level", "name", "limit"},
                             *const cell[] = {"model", "class"};
    struct ratelimit_metrics *m = &rl->metrics;
    const weir_host *h = rl->limiter.host;
    const weir_ext_metrics *x = h->get_ext(h, WEIR_EXT_METRICS);
    if (!x || !WEIR_HAS_FN(x, record)) {
        return;
    }
    m->ext = x;
    m->decisions = x->define(h, WEIR_METRIC_COUNTER, "decisions",
                             "Requests by what became of them, and at which level.", decision, 2);
    m->degraded = x->define(h, WEIR_METRIC_COUNTER, "decisions_without_store",
                            "Requests that passed without the store, by on_store_loss.", mode, 1);
    m->store_lost = x->define(h, WEIR_METRIC_GAUGE, "store_lost",
                              "1 while the store does not answer.", NULL, 0);
    m->store_calls = x->define(h, WEIR_METRIC_COUNTER, "store_calls",
                               "Calls that requests waited for.", NULL, 0);
    m->store_failures = x->define(h, WEIR_METRIC_COUNTER, "store_failures",
                                  "Calls that the store did not answer.", NULL, 0);
    m->leases = x->define(h, WEIR_METRIC_COUNTER, "leases",
                          "Calls that took more than was asked for.", level, 1);
    m->leased_units = x->define(h, WEIR_METRIC_COUNTER, "leased_units",
                                "Units taken in advance; by leases: the mean size.", units, 2);
    m->returned_units =
        x->define(h, WEIR_METRIC_COUNTER, "returned_units", "Units given back unused.", units, 2);
    m->remaining = x->define(h, WEIR_METRIC_GAUGE, "remaining",
                             "Units left of a limit as this replica knows it.", left, 3);
    m->adaptive_limit = x->define(h, WEIR_METRIC_GAUGE, "adaptive_limit",
                                  "Requests that may run at a time.", cell, 2);
    m->adaptive_running =
        x->define(h, WEIR_METRIC_GAUGE, "adaptive_running", "Requests that run.", cell, 2);
    m->adaptive_p95 =
        x->define(h, WEIR_METRIC_GAUGE, "adaptive_ttft_p95_seconds",
                  "P95 of the times to the first token, at the last change.", cell, 2);
    m->adaptive_refused = x->define(h, WEIR_METRIC_GAUGE, "adaptive_refused",
                                    "Requests refused by the adaptive limit so far.", cell, 2);
}

static uint64_t take(atomic_uint_least64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed)
               ? atomic_exchange_explicit(counter, 0, memory_order_relaxed)
               : 0;
}

static void add(const struct ratelimit *rl, weir_metric metric, uint64_t n, const char *a,
                const char *b)
{
    const weir_str labels[2] = {weir_str_from(a), weir_str_from(b)};
    if (n) {
        rl->metrics.ext->record(rl->limiter.host, metric, (double)n, labels, a ? (b ? 2 : 1) : 0);
    }
}

static void publish_counters(struct ratelimit *rl)
{
    struct limiter_counters *c = &rl->limiter.counters;
    const struct ratelimit_metrics *m = &rl->metrics;
    add(rl, m->decisions, take(&c->allowed), "all", "allowed");
    add(rl, m->degraded, take(&c->local), "local", NULL);
    add(rl, m->degraded, take(&c->unlimited), "allow", NULL);
    add(rl, m->store_calls, take(&c->calls), NULL, NULL);
    add(rl, m->store_failures, take(&c->call_failures), NULL, NULL);
    for (int i = 0; i < LEVEL__COUNT; i++) {
        const char *level = level_name((enum level)i);
        for (int k = 0; k < ADMIT__COUNT; k++) {
            if (results[k]) {
                add(rl, m->decisions, take(&c->decisions[i][k]), level, results[k]);
            }
        }
        add(rl, m->leases, take(&c->leases[i]), level, NULL);
        for (int k = 0; k < RESOURCE__COUNT; k++) {
            add(rl, m->leased_units, take(&c->leased[i][k]), level, resources[k]);
            add(rl, m->returned_units, take(&c->returned[i][k]), level, resources[k]);
        }
    }
    double lost = atomic_load_explicit(&rl->limiter.lost_until_us, memory_order_relaxed) != 0;
    m->ext->record(rl->limiter.host, m->store_lost, lost, NULL, 0);
}

/* Users and keys are too many to be series. */
static void publish_subject(const struct ratelimit *rl, const struct subject *s, uint64_t now_us)
{
    if (s->e.level == LEVEL_USER || s->e.level == LEVEL_KEY || s->e.level == LEVEL_TENANT_MODEL) {
        return;
    }
    for (unsigned bits = s->active & ((1u << SUBJECT_SLOT) - 1); bits; bits &= bits - 1) {
        const struct bucket *b = s->buckets[__builtin_ctz(bits)];
        const weir_str labels[3] = {weir_str_from(level_name((enum level)s->e.level)),
                                    s->e.level == LEVEL_TENANT ? level_entry_tenant(&s->e)
                                                               : level_entry_name(&s->e),
                                    weir_str_from(limit_suffix(&b->rate))};
        rl->metrics.ext->record(rl->limiter.host, rl->metrics.remaining,
                                (double)bucket_remaining(b, now_us), labels, 3);
    }
}

static void publish_remaining(struct ratelimit *rl)
{
    uint64_t now_us = limiter_now(&rl->limiter);
    for (unsigned i = 0; i < LEVEL_SHARDS; i++) {
        struct level_shard *sh = &rl->limiter.table.shards[i];
        pthread_mutex_lock(&sh->lock);
        for (unsigned k = 0; sh->n && k < LEVEL_CHAINS; k++) {
            for (const struct level_entry *e = sh->chains[k]; e; e = e->next) {
                publish_subject(rl, (const struct subject *)e, now_us);
            }
        }
        pthread_mutex_unlock(&sh->lock);
    }
}

static void publish_adaptive(struct ratelimit *rl)
{
    const struct ratelimit_metrics *m = &rl->metrics;
    const weir_host *h = rl->limiter.host;
    pthread_mutex_lock(&rl->adaptive.lock);
    for (uint32_t i = 0; i < rl->adaptive.n; i++) {
        const struct adaptive_cell *c = rl->adaptive.cells[i];
        const weir_str labels[2] = {weir_str_from(c->model),
                                    weir_str_from(classes[c->class_index])};
        m->ext->record(h, m->adaptive_limit, c->limit, labels, 2);
        m->ext->record(h, m->adaptive_running, c->running, labels, 2);
        m->ext->record(h, m->adaptive_p95, (double)c->p95_us / 1e6, labels, 2);
        m->ext->record(h, m->adaptive_refused, (double)c->refused, labels, 2);
    }
    pthread_mutex_unlock(&rl->adaptive.lock);
}

void metrics_publish(void *ratelimit)
{
    struct ratelimit *rl = ratelimit;
    publish_counters(rl);
    publish_adaptive(rl);
    if (rl->metrics.ticks++ % REMAINING_TICKS == 0) {
        publish_remaining(rl);
    }
}
