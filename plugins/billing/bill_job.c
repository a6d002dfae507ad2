/* SPDX-License-Identifier: Apache-2.0 */
#include "bill_internal.h"

enum { MAX_RENEWED = 4096, OPEN_BYTES = 256 };

static bool may_run_ahead(const struct bill *bill)
{
    return bill->failing_us && bill->b->config.on_store_loss != BILLING_LOSS_DENY;
}

/* When all before the chunk is marked it may, however many tokens it carries: nobody could mark
 * more, and a plugin behind us may wait for it. */
bool bill_may_go_out(const struct bill *bill)
{
    bool marked = !bill->has_marks || bill->n_given <= bill->n_marked + BILLING_MAX_UNMARKED ||
                  bill->n_out <= bill->n_marked;
    return (bill->is_open && marked) || may_run_ahead(bill);
}

/* Under the lock. Is there something to tell the store now? */
static bool wants_mark(const struct bill *bill)
{
    uint64_t n = bill->n_delivered - bill->n_marked;
    return bill->has_marks && (n >= BILLING_MARK_TOKENS || (n > 0 && bill->ticket));
}

void bill_set_ticket(struct bill *bill, weir_ticket ticket)
{
    bill->ticket = ticket;
    atomic_store_explicit(&bill->is_held, ticket != 0, memory_order_relaxed);
}

/* Under the lock: takes the right to put. */
static bool take_turn(struct bill *bill)
{
    if (bill->in_flight || bill->ended) {
        return false;
    }
    bill->in_flight = true;
    bill->again = false;
    atomic_fetch_add_explicit(&bill->refs, 1, memory_order_relaxed);
    return true;
}

static void put(struct bill *bill);

static void on_put(void *arg, const weir_store_result *result)
{
    struct bill *bill = arg;
    struct billing *b = bill->b;
    pthread_mutex_lock(&bill->lock);
    bill->in_flight = false;
    if (result->rc >= 0) {
        bill->is_open = true;
        bill->failing_us = 0;
        bill->n_marked = bill->n_asked;
    } else if (!bill->failing_us) {
        bill->failing_us = b->host->now_us(b->host);
    }
    weir_ticket ticket = bill->ticket && bill_may_go_out(bill) ? bill->ticket : 0;
    if (ticket) {
        bill_set_ticket(bill, 0);
    }
    bool more = result->rc >= 0 && (wants_mark(bill) || bill->again) && take_turn(bill);
    pthread_mutex_unlock(&bill->lock);

    billing_count(b, result->rc < 0 ? BILLING_MARKS_FAILED : BILLING_MARKS_OK);
    if (ticket) {
        (void)b->host->resume(b->host, ticket, 0, (weir_str){NULL, 0});
    }
    if (more) {
        put(bill);
    }
    bill_unref(bill);
}

/* The caller has taken the turn. */
static void put(struct bill *bill)
{
    struct billing *b = bill->b;
    char bytes[BILLING_FACTS_BYTES + OPEN_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    pthread_mutex_lock(&bill->lock);
    bill->n_asked = bill->n_delivered;
    bill->put_us = b->host->now_us(b->host);
    billing_text_literal(&t, "{");
    billing_text_add(&t, bill->facts_text);
    uint64_t n_asked = bill->n_asked;
    pthread_mutex_unlock(&bill->lock);

    billing_text_literal(&t, ",\"open\":{\"prompt_tokens\":");
    billing_text_number(&t, bill->prompt_tokens);
    BILLING_NAME(&t, "delivered_tokens");
    billing_text_number(&t, (int64_t)n_asked);
    BILLING_NAME(&t, "replay");
    billing_text_number(&t, bill->replay);
    BILLING_NAME(&t, "idem");
    billing_text_string(&t, weir_str_from(bill->idem), sizeof(bill->idem));
    billing_text_literal(&t, "}}");
    int rc = t.failed
                 ? WEIR_E_TOOBIG
                 : b->store->job_put(b->host, (weir_str){NULL, 0},
                                     weir_str_from(BILLING_QUEUE_OPEN), weir_str_from(bill->job),
                                     billing_text_view(&t), BILLING_HEARTBEAT_MS, on_put, bill);
    if (rc < 0) {
        on_put(bill, &(weir_store_result){.struct_size = sizeof(weir_store_result), .rc = rc});
    }
}

void bill_tell_store(struct bill *bill, bool now)
{
    if (!bill->b->has_jobs) {
        return;
    }
    pthread_mutex_lock(&bill->lock);
    bool wanted = now || wants_mark(bill);
    bool turn = wanted && take_turn(bill);
    bill->again = bill->again || (now && !turn);
    pthread_mutex_unlock(&bill->lock);
    if (turn) {
        put(bill);
    }
}

void bills_renew(struct billing *b)
{
    static struct bill *due[MAX_RENEWED]; /* [main] only */
    uint32_t n = 0;
    if (!b->has_jobs) {
        return;
    }
    uint64_t now_us = b->host->now_us(b->host);
    pthread_mutex_lock(&b->bills_lock);
    for (struct bill *bill = b->bills; bill && n < MAX_RENEWED; bill = bill->next) {
        pthread_mutex_lock(&bill->lock);
        bool is_due = bill->failing_us || now_us - bill->put_us >= BILLING_RENEW_US;
        if (is_due && take_turn(bill)) {
            due[n++] = bill;
        }
        pthread_mutex_unlock(&bill->lock);
    }
    pthread_mutex_unlock(&b->bills_lock);
    for (uint32_t i = 0; i < n; i++) {
        put(due[i]);
    }
}
