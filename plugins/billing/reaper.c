/* SPDX-License-Identifier: Apache-2.0 */
#include "reaper.h"

#include <stdio.h>

#include "settlement.h"

/* A reaper may die as well, with jobs that it claimed: then the next one has to come in time too. A
 * store slower than the lease lets two settle the same job, whose entry is written once. */
enum { AT_A_TIME = 256, LEASE_MS = 2000 };

static void settle(struct billing *b, weir_str job, const struct billing_open *open)
{
    bool charged = open->delivered_tokens > 0;
    struct settlement_order order = {
        .facts = &open->facts,
        .facts_text = open->facts_text,
        .want = {.requests = charged,
                 .prompt_tokens = charged ? open->prompt_tokens : 0,
                 .cached_tokens = charged ? open->prompt_tokens : 0,
                 .completion_tokens = open->delivered_tokens,
                 .delivered_tokens = open->delivered_tokens},
        .end = {.ended_us = b->host->wall_us(b->host),
                .finish = "error",
                .error = "replica_lost",
                .source = "reaper"},
        .job = job,
        .idem = open->idem,
        .only_up = true,
        .is_claimed = true,
    };
    (void)billing_settle(b, &order); /* without memory or the store: again when its lease ends */
}

static void forgotten(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)result;
}

static void on_claimed(void *arg, const weir_store_result *result)
{
    struct billing *b = arg;
    b->is_claiming = false;
    for (uint32_t i = 0; result->rc >= 0 && i < result->n_items; i++) {
        const weir_store_item *item = &result->items[i];
        struct billing_open open;
        if (billing_open_read(item->value, &open) < 0) {
            billing_count(b, BILLING_LOST);
            billing_log(b, WEIR_LEVEL_ERROR, "the open job %.*s cannot be read: %.*s",
                        (int)item->key.n, item->key.p,
                        (int)(item->value.n < 1000 ? item->value.n : 1000), item->value.p);
            (void)b->store->job_ack(b->host, (weir_str){NULL, 0}, weir_str_from(BILLING_QUEUE_OPEN),
                                    item->key, forgotten, NULL);
            continue;
        }
        settle(b, item->key, &open);
        billing_open_finish(&open);
    }
    if (result->rc >= 0 && result->n_items == AT_A_TIME) {
        b->reap_at_us = 0; /* there are more */
    }
}

void billing_reaper_claim(struct billing *b)
{
    if (b->is_claiming) {
        return;
    }
    b->is_claiming = true;
    int rc = b->store->job_claim(b->host, (weir_str){NULL, 0}, weir_str_from(BILLING_QUEUE_OPEN),
                                 AT_A_TIME, LEASE_MS, on_claimed, b);
    if (rc < 0) {
        b->is_claiming = false;
    }
}
