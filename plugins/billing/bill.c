/* SPDX-License-Identifier: Apache-2.0 */
#include "bill_internal.h"

enum { OUTPUT_PAUSE_MS = 1000 };

const char *bill_id(const struct bill *bill)
{
    return bill->facts.id;
}

const char *bill_job(const struct bill *bill)
{
    return bill->job;
}

const char *bill_month(const struct bill *bill)
{
    return bill->facts.month;
}

void bill_unref(struct bill *bill)
{
    /* Release: our writes come before; acquire in the last: all others' do. Whoever has the only
     * reference need not count: nobody else can take one. */
    if (atomic_load_explicit(&bill->refs, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&bill->refs, 1, memory_order_acq_rel) == 1) {
        const weir_host *h = bill->b->host;
        (void)pthread_mutex_destroy(&bill->lock);
        h->free(h, (void *)bill->facts_text.p);
        h->free(h, bill->later);
        h->free(h, bill);
    }
}

/* Under bills_lock; read without it. */
static void count_bills(struct billing *b, int more)
{
    uint32_t n = atomic_load_explicit(&b->n_bills, memory_order_relaxed);
    atomic_store_explicit(&b->n_bills, n + (uint32_t)more, memory_order_relaxed);
}

static void link_bill(struct bill *bill)
{
    struct billing *b = bill->b;
    pthread_mutex_lock(&b->bills_lock);
    bill->next = b->bills;
    if (bill->next) {
        bill->next->prev = bill;
    }
    b->bills = bill;
    count_bills(b, 1);
    pthread_mutex_unlock(&b->bills_lock);
}

void bill_unlink(struct bill *bill)
{
    struct billing *b = bill->b;
    pthread_mutex_lock(&b->bills_lock);
    *(bill->prev ? &bill->prev->next : &b->bills) = bill->next;
    if (bill->next) {
        bill->next->prev = bill->prev;
    }
    count_bills(b, -1);
    pthread_mutex_unlock(&b->bills_lock);
}

static int64_t number(const struct billing *b, weir_req *r, int which)
{
    int64_t v = 0;
    return b->host->req_get_num(b->host, r, which, &v) < 0 || v < 0 ? 0 : v;
}

/* The facts' text for jobs, which other replicas read. */
static int write_facts(struct bill *bill)
{
    struct billing *b = bill->b;
    char bytes[BILLING_FACTS_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    if (!b->has_jobs) {
        return 0;
    }
    billing_facts_write(&bill->facts, &t);
    char *text = t.failed ? NULL : b->host->alloc(b->host, t.n);
    if (!text) {
        return t.failed ? WEIR_E_TOOBIG : WEIR_E_NOMEM;
    }
    memcpy(text, bytes, t.n);
    pthread_mutex_lock(&bill->lock);
    void *old = (void *)bill->facts_text.p;
    bill->facts_text = (weir_str){text, t.n};
    pthread_mutex_unlock(&bill->lock);
    b->host->free(b->host, old);
    return 0;
}

/* Reads the facts again; the old ones stay where there is no memory for new ones. */
static void renew_facts(struct bill *bill, weir_req *r)
{
    struct billing *b = bill->b;
    struct billing_facts f = bill->facts;
    billing_facts_read(b, r, true, &f);
    char *texts = b->host->alloc(b->host, billing_facts_bytes(&f) + 1);
    if (texts) {
        billing_facts_keep(&f, texts);
        bill->facts = f;
        b->host->free(b->host, bill->later);
        bill->later = texts;
    }
}

static void find_price(struct bill *bill)
{
    const struct billing *b = bill->b;
    const struct price *price =
        b->book ? price_book_find(b->book, bill->facts.model, bill->facts.started_us) : NULL;
    bill->facts.has_price = price != NULL;
    if (price) {
        bill->facts.price = *price;
    }
    billing_copy(bill->facts.currency, sizeof(bill->facts.currency),
                 weir_str_from(b->book ? price_book_currency(b->book) : ""));
}

static void take_extra(struct bill *bill, struct billing_facts *f, const struct bill_extra *extra)
{
    if (extra->id) {
        billing_copy(f->id, sizeof(f->id), weir_str_from(extra->id));
    }
    if (extra->month) {
        billing_copy(f->month, sizeof(f->month), weir_str_from(extra->month));
    }
    billing_copy(bill->idem, sizeof(bill->idem), weir_str_from(extra->idem));
    bill->replay = extra->replay;
}

/* Where the plugin looks for keys itself, a request without `extra` has none. */
static struct bill *make_bill(struct billing *b, weir_req *r, const struct bill_extra *extra)
{
    struct billing_facts f;
    billing_facts_read(b, r, extra || !b->config.idempotency, &f);
    struct bill *bill = b->host->alloc(b->host, sizeof(*bill) + billing_facts_bytes(&f));
    if (!bill) {
        return NULL;
    }
    f.stream = number(b, r, WEIR_NUMBER_STREAM) != 0;
    f.started_us = weir_host_turn_wall_us(b->host);
    f.attempts = 0;
    billing_month_of(f.started_us, f.month);
    billing_facts_keep(&f, bill->texts);
    memset(bill, 0, offsetof(struct bill, texts));
    bill->b = b;
    bill->refs = 1;
    (void)pthread_mutex_init(&bill->lock, NULL);
    billing_make_id(b, bill->job);
    memcpy(f.id, bill->job, sizeof(f.id));
    if (extra) {
        take_extra(bill, &f, extra);
    }
    bill->facts = f;
    bill->stream = f.stream;
    bill->has_marks = bill->stream && b->has_jobs;
    bill->is_open = !b->has_jobs;
    bill->prompt_tokens = number(b, r, WEIR_NUMBER_PROMPT_TOKENS);
    bill->admitted = extra == NULL;
    return bill;
}

int bill_open(struct billing *b, weir_req *r, const struct bill_extra *extra,
              struct bill **ret_bill)
{
    struct bill *bill = make_bill(b, r, extra);
    if (!bill) {
        return WEIR_E_NOMEM;
    }
    find_price(bill);
    int rc = write_facts(bill);
    if (rc < 0) {
        bill_unref(bill);
        return rc;
    }
    link_bill(bill);
    bill_tell_store(bill, true);
    *ret_bill = bill;
    return 0;
}

void bill_admitted(struct bill *bill, weir_req *r)
{
    if (bill->admitted) {
        bill->facts.attempts++;
    }
    bill->admitted = true;
    renew_facts(bill, r);
    find_price(bill); /* it may be another model by now */
    /* The old text does when there is no memory for a new one. */
    if (write_facts(bill) == 0) {
        bill_tell_store(bill, true);
    }
}

bool bill_must_refuse(struct bill *bill)
{
    struct billing *b = bill->b;
    bool failing = false;
    if (b->has_jobs) {
        pthread_mutex_lock(&bill->lock);
        failing = bill->failing_us != 0;
        pthread_mutex_unlock(&bill->lock);
    }
    switch (b->config.on_store_loss) {
    case BILLING_LOSS_DENY: return failing || billing_backlog_is_full(&b->backlog);
    case BILLING_LOSS_LOCAL: return billing_backlog_is_full(&b->backlog);
    case BILLING_LOSS_ALLOW: return false;
    }
    return false;
}

enum hold { GOES, HELD, CANNOT_HOLD };

static enum hold hold_output(struct bill *bill, weir_req *r)
{
    struct billing *b = bill->b;
    enum hold hold = GOES;
    pthread_mutex_lock(&bill->lock);
    if (!bill_may_go_out(bill)) {
        bill_set_ticket(bill, b->host->pause(b->host, r, OUTPUT_PAUSE_MS));
        hold = bill->ticket ? HELD : CANNOT_HOLD;
    }
    pthread_mutex_unlock(&bill->lock);
    if (hold == HELD) {
        bill_tell_store(bill, false);
    }
    return hold;
}

int bill_on_chunk(struct bill *bill, weir_req *r, const weir_chunk *c)
{
    uint64_t n_given = atomic_load_explicit(&bill->n_given, memory_order_relaxed) + c->n_tokens;
    atomic_store_explicit(&bill->n_given, n_given, memory_order_relaxed); /* only this loop does */
    bool is_open = atomic_load_explicit(&bill->is_open, memory_order_relaxed);
    if (is_open && !bill->has_marks) {
        return WEIR_CHUNK_REST; /* it had to wait for the job only, if for anything */
    }
    uint64_t n_marked = atomic_load_explicit(&bill->n_marked, memory_order_relaxed);
    if (is_open && n_given <= n_marked + BILLING_MAX_UNMARKED) {
        return WEIR_CHUNK_PASS;
    }
    int64_t n_out = number(bill->b, r, WEIR_NUMBER_OUTPUT_TOKENS);
    pthread_mutex_lock(&bill->lock);
    bill->n_out = (uint64_t)n_out;
    pthread_mutex_unlock(&bill->lock);
    enum hold hold = hold_output(bill, r);
    if (hold != GOES) {
        billing_count(bill->b, BILLING_PAUSES);
    }
    return hold == CANNOT_HOLD ? WEIR_CHUNK_ABORT /* unbilled text must not go out */
                               : WEIR_CHUNK_PASS;
}

int bill_on_output_resumed(struct bill *bill, weir_req *r)
{
    struct billing *b = bill->b;
    pthread_mutex_lock(&bill->lock);
    bill_set_ticket(bill, 0);
    bool free_to_go = bill_may_go_out(bill);
    bool lost =
        bill->failing_us && b->host->now_us(b->host) - bill->failing_us > BILLING_STORE_PATIENCE_US;
    pthread_mutex_unlock(&bill->lock);
    if (free_to_go) {
        return WEIR_CONTINUE;
    }
    if (lost) {
        (void)b->host->deny(b->host, r, 503, weir_str_from("server_error"),
                            weir_str_from("billing_unavailable"),
                            weir_str_from("Usage cannot be recorded now; the answer ends here."));
        return WEIR_DENY;
    }
    enum hold hold = hold_output(bill, r);
    return hold == GOES ? WEIR_CONTINUE : hold == HELD ? WEIR_SUSPEND : WEIR_FAIL;
}

void bill_on_delivered(struct bill *bill, uint64_t n_tokens)
{
    if (!bill->b->has_jobs) {
        return;
    }
    atomic_store_explicit(&bill->n_delivered, n_tokens, memory_order_relaxed);
    if (bill->has_marks &&
        (n_tokens - atomic_load_explicit(&bill->n_marked, memory_order_relaxed) >=
             BILLING_MARK_TOKENS ||
         atomic_load_explicit(&bill->is_held, memory_order_relaxed))) {
        bill_tell_store(bill, false);
    }
}
