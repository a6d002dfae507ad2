/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One instance of the billing plugin: what its parts share.
 *
 * Parts: bill (a request while it runs), settlement (its entry in the ledger), backlog (settlements
 * that the store did not take), reaper (requests of dead replicas), idempotency, webhook, usage
 * (export). State lies in the store under the tenant "":
 *   queue "billing.open"     one job per running request, claimed when its heartbeat stops
 *   queue "billing.webhook"  entries that are to be delivered
 *   queue "billing.expired"  idempotency records to remove
 * and under each tenant:
 *   log "usage/YYYY-MM"             the ledger
 *   log "webhook.dead"              entries that could not be delivered
 *   collection "billing.idempotency"
 * Threads: hooks on loops, timers on [main]; `counts` and `next_id` are atomic, each part says how
 * it locks. Ownership: the host owns the instance's life; parts live in it. */
#include <stdatomic.h>

#include "backlog.h"
#include "config.h"
#include "record.h"
#include "weir/policy.h"
#include "weir/store.h"

enum {
    BILLING_TICK_MS = 500,
    BILLING_RENEW_US = 1500 * 1000,          /* a running request's heartbeat */
    BILLING_HEARTBEAT_MS = 5000,             /* without one for so long, others settle it */
    BILLING_MARK_TOKENS = 32,                /* delivered since the last mark: mark again */
    BILLING_MAX_UNMARKED = 64,               /* never delivered beyond an acknowledged mark */
    BILLING_STORE_PATIENCE_US = 5000 * 1000, /* `deny`: how long output waits for the store */
};

#define BILLING_QUEUE_OPEN "billing.open"
#define BILLING_QUEUE_WEBHOOK "billing.webhook"
#define BILLING_QUEUE_EXPIRED "billing.expired"
#define BILLING_COLLECTION_IDEM "billing.idempotency"
#define BILLING_LOG_DEAD "webhook.dead"

enum billing_count {
    BILLING_USAGE_ENTRIES,
    BILLING_ADJUSTMENT_ENTRIES,
    BILLING_MARKS_OK,
    BILLING_MARKS_FAILED,
    BILLING_PAUSES,
    BILLING_REAPED,
    BILLING_LOST,
    BILLING_UNPRICED,
    BILLING_WEBHOOK_OK,
    BILLING_WEBHOOK_RETRIED,
    BILLING_WEBHOOK_DEAD,
    BILLING_IDEM_RUNNING,
    BILLING_IDEM_REPLAYED,
    BILLING_IDEM_MISMATCHED,
    BILLING_COUNTS,
};

struct bill;
struct billing_webhook;

struct billing {
    const weir_host *host;
    const weir_ext_store *store;
    const weir_ext_admin *admin; /* NULL: the host has none */
    bool has_jobs; /* the store outlives this process: jobs of open requests are put */
    struct billing_config config;
    struct price_book *book; /* NULL: nothing has a price */
    char nonce[17];          /* makes ids unique over all replicas and restarts */
    _Atomic uint64_t next_id;
    _Atomic uint64_t counts[BILLING_COUNTS];
    _Atomic int64_t amount; /* billed by this replica, micro-units */

    pthread_mutex_t bills_lock; /* `bills` and its links */
    struct bill *bills;         /* open ones, for heartbeats */
    _Atomic uint32_t n_bills;

    struct billing_backlog backlog;
    struct billing_webhook *webhook; /* NULL: none configured */
    struct billing_metrics *metrics;
    uint64_t timer, reap_at_us; /* [main] */
    bool is_claiming;           /* [main] */
};

static inline void billing_count(struct billing *b, enum billing_count what)
{
    /* Relaxed: counters are read one by one. */
    atomic_fetch_add_explicit(&b->counts[what], 1, memory_order_relaxed);
}

/* A new id, unique for ever: nonce and number. */
void billing_make_id(struct billing *b, char ret_id[BILLING_ID_BYTES]);
__attribute__((format(printf, 3, 4))) void billing_log(const struct billing *b, int level,
                                                       const char *fmt, ...);
