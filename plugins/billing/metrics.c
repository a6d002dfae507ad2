/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include "bill.h"

enum family { ENTRIES, MARKS, PAUSES, REAPED, LOST, UNPRICED, WEBHOOK, IDEMPOTENCY, N_COUNTERS };

struct billing_metrics {
    const weir_ext_metrics *ext;
    weir_metric counters[N_COUNTERS], amount, backlog, open;
    uint64_t seen[BILLING_COUNTS]; /* handed on already */
    int64_t amount_seen;
};

static const struct {
    const char *name, *help, *label; /* label NULL: none */
} families[N_COUNTERS] = {
    [ENTRIES] = {"entries", "Entries that this replica appended to ledgers.", "type"},
    [MARKS] = {"marks", "Open jobs and progress marks put into the store.", "result"},
    [PAUSES] = {"pauses", "Times that output waited for a mark.", NULL},
    [REAPED] = {"reaped", "Requests settled for replicas that were gone.", NULL},
    [LOST] = {"lost", "Usage that could not be recorded.", NULL},
    [UNPRICED] = {"unpriced", "Requests of models without a price.", NULL},
    [WEBHOOK] = {"webhook_events", "Webhook events by what became of a try.", "result"},
    [IDEMPOTENCY] = {"idempotency_hits", "Requests whose Idempotency-Key was known.", "result"},
};

static const struct {
    enum family family;
    const char *value;
} of_count[BILLING_COUNTS] = {
    [BILLING_USAGE_ENTRIES] = {ENTRIES, "usage"},
    [BILLING_ADJUSTMENT_ENTRIES] = {ENTRIES, "adjustment"},
    [BILLING_MARKS_OK] = {MARKS, "ok"},
    [BILLING_MARKS_FAILED] = {MARKS, "failed"},
    [BILLING_PAUSES] = {PAUSES, NULL},
    [BILLING_REAPED] = {REAPED, NULL},
    [BILLING_LOST] = {LOST, NULL},
    [BILLING_UNPRICED] = {UNPRICED, NULL},
    [BILLING_WEBHOOK_OK] = {WEBHOOK, "delivered"},
    [BILLING_WEBHOOK_RETRIED] = {WEBHOOK, "retried"},
    [BILLING_WEBHOOK_DEAD] = {WEBHOOK, "dead"},
    [BILLING_IDEM_RUNNING] = {IDEMPOTENCY, "running"},
    [BILLING_IDEM_REPLAYED] = {IDEMPOTENCY, "replayed"},
    [BILLING_IDEM_MISMATCHED] = {IDEMPOTENCY, "mismatched"},
};

struct billing_metrics *billing_metrics_create(struct billing *b)
{
    static const char *const currency[] = {"currency"};
    const weir_host *h = b->host;
    const weir_ext_metrics *ext = h->get_ext(h, WEIR_EXT_METRICS);
    if (!ext || !WEIR_HAS_FN(ext, record)) {
        return NULL;
    }
    struct billing_metrics *m = h->alloc(h, sizeof(*m));
    if (!m) {
        return NULL;
    }
    *m = (struct billing_metrics){.ext = ext};
    for (int i = 0; i < N_COUNTERS; i++) {
        const char *const labels[] = {families[i].label};
        m->counters[i] = ext->define(h, WEIR_METRIC_COUNTER, families[i].name, families[i].help,
                                     labels, families[i].label != NULL);
    }
    m->amount = ext->define(h, WEIR_METRIC_GAUGE, "amount",
                            "Billed by this replica since its start, in units of the currency.",
                            currency, 1);
    m->backlog = ext->define(h, WEIR_METRIC_GAUGE, "backlog",
                             "Finished requests whose usage waits for the store.", NULL, 0);
    m->open =
        ext->define(h, WEIR_METRIC_GAUGE, "open", "Requests that run and are billed.", NULL, 0);
    return m;
}

void billing_metrics_destroy(struct billing_metrics *m, struct billing *b)
{
    b->host->free(b->host, m);
}

static void flush_count(struct billing *b, struct billing_metrics *m, enum billing_count i)
{
    uint64_t now = atomic_load_explicit(&b->counts[i], memory_order_relaxed);
    weir_str value = weir_str_from(of_count[i].value);
    /* Also the zero: a series that appears with its first event hides that event from rate(). */
    m->ext->record(b->host, m->counters[of_count[i].family], (double)(now - m->seen[i]), &value,
                   of_count[i].value != NULL);
    m->seen[i] = now;
}

void billing_metrics_flush(struct billing *b)
{
    struct billing_metrics *m = b->metrics;
    if (!m) {
        return;
    }
    for (int i = 0; i < BILLING_COUNTS; i++) {
        flush_count(b, m, (enum billing_count)i);
    }
    weir_str currency = weir_str_from(b->book ? price_book_currency(b->book) : "");
    int64_t amount = atomic_load_explicit(&b->amount, memory_order_relaxed);
    m->ext->record(b->host, m->amount, (double)amount / 1e6, &currency, 1);
    m->ext->record(b->host, m->backlog, billing_backlog_count(&b->backlog), NULL, 0);
    m->ext->record(b->host, m->open, atomic_load_explicit(&b->n_bills, memory_order_relaxed), NULL,
                   0);
}
