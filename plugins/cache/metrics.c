/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

void cache_define_metrics(struct cache *c)
{
    static const char *const result[] = {"result"};
    static const char *const names[COUNT__END][2] = {
        [COUNT_COALESCED] = {"coalesced", "Hits that had waited for an equal request."},
        [COUNT_KEPT] = {"kept", "Answers that were kept."},
        [COUNT_NOT_KEPT] = {"not_kept",
                            "Answers of misses that were not: errors, answers that were "
                            "cut, too large, or invalidated meanwhile."},
        [COUNT_TOKENS] = {"tokens", "Completion tokens that were not computed again."},
        [COUNT_STORE_FAILURES] = {"store_failures", "Operations that the store did not answer."},
        [COUNT_INVALIDATED] = {"invalidated", "Answers removed from the store on demand."},
    };
    struct cache_metrics *m = &c->metrics;
    const weir_host *h = c->host;
    const weir_ext_metrics *x = h->get_ext(h, WEIR_EXT_METRICS);
    if (!x || !WEIR_HAS_FN(x, record)) {
        return;
    }
    m->ext = x;
    m->requests = x->define(h, WEIR_METRIC_COUNTER, "requests",
                            "Requests by what the cache had for them.", result, 1);
    for (int i = COUNT_REQUESTS__END; i < COUNT__END; i++) {
        m->others[i] = x->define(h, WEIR_METRIC_COUNTER, names[i][0], names[i][1], NULL, 0);
    }
    m->bytes = x->define(h, WEIR_METRIC_GAUGE, "memory_bytes", "Bytes of answers in this process.",
                         NULL, 0);
    m->entries =
        x->define(h, WEIR_METRIC_GAUGE, "memory_entries", "Answers in this process.", NULL, 0);
    m->evicted = x->define(h, WEIR_METRIC_COUNTER, "memory_evicted",
                           "Answers that left this process for others.", NULL, 0);
}

void cache_publish(struct cache *c)
{
    static const char *const results[COUNT_REQUESTS__END] = {"hit_memory", "hit_store", "miss",
                                                             "bypass"};
    struct cache_metrics *m = &c->metrics;
    if (!m->ext) {
        return;
    }
    for (int i = 0; i < COUNT__END; i++) {
        uint64_t n = atomic_exchange_explicit(&c->counts[i], 0, memory_order_relaxed);
        if (n == 0) {
            continue;
        }
        bool request = i < COUNT_REQUESTS__END;
        weir_str label = weir_str_from(request ? results[i] : "");
        m->ext->record(c->host, request ? m->requests : m->others[i], (double)n, &label, request);
    }
    if (c->memory) {
        struct memory_counts now = memory_count(c->memory);
        m->ext->record(c->host, m->bytes, (double)now.bytes, NULL, 0);
        m->ext->record(c->host, m->entries, (double)now.entries, NULL, 0);
        m->ext->record(c->host, m->evicted, (double)(now.evicted - m->n_evicted), NULL, 0);
        m->n_evicted = now.evicted;
    }
}
