/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the ledger says of a request: facts, totals, and their JSON.
 *
 * Facts are known when a request is admitted and never change: who, what, when, at which price.
 * Totals grow. A request's entries in the ledger are a chain: "usage" with number 0, then
 * "adjustment"s 1, 2, … that correct it; what was used is the sum of the chain. Entries are never
 * changed.
 * Money: micro-units of the price book's currency. The amount of a chain is that of its summed
 * totals, rounded up once (price_book.h), so an adjustment carries the difference of two amounts.
 * Layout: facts are kept as JSON members, ready to be put into an entry or a job:
 *   job:   {FACTS,"open":{"prompt_tokens":12,"delivered_tokens":64,"replay":0}}
 *   entry: {FACTS,"type":"usage","seq":0,"requests":1,"prompt_tokens":12,…}
 * Ownership: texts are borrowed unless said otherwise. Bounds: BILLING_FACTS_BYTES. */
#include <stdbool.h>
#include <stdint.h>

#include "price_book.h"
#include "text.h"
#include "weir/types.h"

enum {
    BILLING_FACTS_BYTES = 18 * 1024,
    BILLING_TAGS_BYTES = 2048, /* of all tags, as JSON; those that do not fit are left out */
    BILLING_ENTRY_BYTES = BILLING_FACTS_BYTES + 1024,
    BILLING_ID_BYTES = 40,   /* "9f3c…-17", with NUL */
    BILLING_MONTH_BYTES = 8, /* "2026-01", with NUL */
    BILLING_IDEM_BYTES = 65, /* SHA-256 in hex, with NUL */
    BILLING_WORD_BYTES = 48,
    BILLING_LOG_BYTES = 16, /* "usage/2026-01", with NUL */
};

struct billing_totals {
    int64_t requests, prompt_tokens, cached_tokens, completion_tokens, delivered_tokens, gpu_us;
    int64_t amount; /* micro-units */
};

struct billing_facts {
    char id[BILLING_ID_BYTES];
    char month[BILLING_MONTH_BYTES]; /* UTC, of started_us: which log its entries are in */
    weir_str request_id, tenant, key, user, model, target, service_class, idempotency_key;
    weir_str tags; /* what policies said of it: a JSON object of texts */
    bool stream;
    uint64_t started_us; /* wall clock */
    uint32_t attempts;   /* targets that were tried before */
    char currency[4];
    bool has_price;
    struct price price;
};

/* How a request ended, for its first entry and for adjustments. */
struct billing_end {
    uint64_t ended_us;
    uint32_t status;
    const char *finish;
    char error[BILLING_WORD_BYTES];
    const char *source; /* "replica", or "reaper" when its replica died */
};

void billing_month_of(uint64_t wall_us, char ret_month[BILLING_MONTH_BYTES]);

/* The ledger's name of a month. */
void billing_log_name(const char month[BILLING_MONTH_BYTES], char ret_log[BILLING_LOG_BYTES]);

/* Writes the facts' members; `t` has BILLING_FACTS_BYTES. */
void billing_facts_write(const struct billing_facts *f, struct billing_text *t);
/* Reads what the settlement of a job needs from its value: id, month, tenant, price, and the text
 * of the facts. Texts point into `*storage`, which the caller frees with billing_open_finish(). */
struct billing_open {
    struct billing_facts facts; /* only id, month, tenant, currency, price, started_us */
    weir_str facts_text;        /* into the value */
    int64_t prompt_tokens, delivered_tokens;
    bool replay;                   /* a further run under an Idempotency-Key */
    char idem[BILLING_IDEM_BYTES]; /* name of its idempotency record, or "" */
    void *storage;
};
int billing_open_read(weir_str value, struct billing_open *ret_open);
void billing_open_finish(struct billing_open *open);

void billing_totals_price(struct billing_totals *totals, const struct billing_facts *f);
void billing_totals_add(struct billing_totals *to, const struct billing_totals *more);
bool billing_totals_equal(const struct billing_totals *a, const struct billing_totals *b);

/* Writes one entry of a chain; `add` is what it adds. */
void billing_entry_write(struct billing_text *t, weir_str facts_text, uint32_t seq,
                         const struct billing_totals *add, const struct billing_end *end);
/* The totals of an entry. WEIR_E_FORMAT. */
int billing_entry_read(weir_str entry, struct billing_totals *ret_add);
