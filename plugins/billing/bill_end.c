/* SPDX-License-Identifier: Apache-2.0 */
#include "bill_internal.h"
#include "packed.h"
#include "settlement.h"

static const char *finish_word(uint32_t finish)
{
    static const char *const words[] = {
        "", "stop", "length", "tool_calls", "content_filter", "cancelled", "error"};
    return finish < sizeof(words) / sizeof(words[0]) ? words[finish] : "";
}

/* What is charged: everything of an answer that came whole or in part, nothing else. */
static struct billing_totals totals_of(const weir_usage *u)
{
    bool whole = u->http_status == 200 && u->error_code.n == 0 && u->finish != WEIR_FINISH_ERROR;
    uint64_t delivered = WEIR_HAS(u, delivered_tokens) ? u->delivered_tokens : u->completion_tokens;
    bool charged = delivered > 0 || whole;
    return (struct billing_totals){
        .requests = charged,
        .prompt_tokens = charged ? (int64_t)u->prompt_tokens : 0,
        .cached_tokens = charged ? (int64_t)u->cached_tokens : 0,
        .completion_tokens = (int64_t)u->completion_tokens,
        .delivered_tokens = (int64_t)delivered,
        .gpu_us = charged && WEIR_HAS(u, device_us) ? (int64_t)u->device_us : 0,
    };
}

/* The settlement's steps: with jobs, keys or a webhook, and where the store did not take the entry.
 */
static void settle_by_steps(const struct bill *bill)
{
    struct billing *b = bill->b;
    char bytes[BILLING_FACTS_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    struct settlement_order order = {
        .facts = &bill->facts,
        .facts_text = bill->facts_text,
        .want = bill->want,
        .end = bill->end,
        .job = weir_str_from(bill->job),
        .idem = bill->idem,
        .only_up = bill->idem[0] != '\0',
    };
    if (!bill->facts_text.n) {
        billing_facts_write(&bill->facts, &t);
        order.facts_text = billing_text_view(&t);
    }
    if (billing_settle(b, &order) < 0) {
        billing_log(b, WEIR_LEVEL_ERROR, "no memory to settle %s: others will, from its last mark",
                    bill->facts.id);
    }
}

static void on_entry(void *arg, const weir_store_result *result)
{
    struct bill *bill = arg;
    struct billing *b = bill->b;
    if (result->rc == 0) {
        billing_count(b, BILLING_USAGE_ENTRIES);
        atomic_fetch_add_explicit(&b->amount, bill->want.amount, memory_order_relaxed);
    } else { /* it may be there all the same, or go into the backlog */
        settle_by_steps(bill);
    }
    bill_unref(bill);
}

/* In a ledger that ends with this process an entry is all that there is to do; the caller's
 * reference goes with it. False: it is not so simple, and the reference is still the caller's. */
static bool settle_at_once(struct bill *bill)
{
    struct billing *b = bill->b;
    char bytes[BILLING_PACKED_BYTES], id[BILLING_ID_BYTES + 2], log[BILLING_LOG_BYTES];
    if (b->has_jobs || b->webhook || bill->idem[0]) {
        return false;
    }
    billing_totals_price(&bill->want, &bill->facts);
    size_t n = billing_entry_pack(&bill->facts, &bill->want, &bill->end, bytes);
    if (n == 0) {
        return false;
    }
    struct billing_text t = {.bytes = id, .cap = sizeof(id)};
    billing_text_literal(&t, bill->facts.id);
    billing_text_literal(&t, "/0");
    billing_log_name(bill->facts.month, log);
    int rc = b->store->append(b->host, bill->facts.tenant, weir_str_from(log),
                              billing_text_view(&t), (weir_str){bytes, n}, on_entry, bill);
    if (rc < 0) {
        on_entry(bill, &(weir_store_result){.struct_size = sizeof(weir_store_result), .rc = rc});
    }
    return true;
}

/* With the reference. */
static void settle(struct bill *bill, const weir_usage *u)
{
    struct billing *b = bill->b;
    if (!bill->facts.has_price) {
        billing_count(b, BILLING_UNPRICED);
    }
    bill->want = totals_of(u);
    bill->end = (struct billing_end){.ended_us = weir_host_turn_wall_us(b->host),
                                     .status = u->http_status,
                                     .finish = finish_word(u->finish),
                                     .source = "replica"};
    billing_copy(bill->end.error, sizeof(bill->end.error), u->error_code);
    if (!settle_at_once(bill)) {
        settle_by_steps(bill);
        bill_unref(bill);
    }
}

/* From here on no put begins, and nobody else changes the facts. */
static void end(struct bill *bill)
{
    bill_unlink(bill);
    if (!bill->b->has_jobs) {
        return; /* nobody puts anything */
    }
    pthread_mutex_lock(&bill->lock);
    bill->ended = true;
    bill_set_ticket(bill, 0);
    pthread_mutex_unlock(&bill->lock);
}

void bills_drop(struct billing *b)
{
    while (b->bills) {
        struct bill *bill = b->bills;
        end(bill);
        bill_unref(bill);
    }
}

void bill_complete(struct bill *bill, const weir_usage *usage)
{
    end(bill);
    settle(bill, usage);
}

void bill_cancel(struct bill *bill)
{
    end(bill);
    const struct settlement_order order = {
        .facts = &bill->facts,
        .end = {.source = "replica"},
        .job = weir_str_from(bill->job),
        .idem = bill->idem,
        .no_entry = true,
    };
    (void)billing_settle(bill->b, &order); /* without memory a reaper settles it, at nothing */
    bill_unref(bill);
}
