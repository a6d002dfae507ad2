/* SPDX-License-Identifier: Apache-2.0 */
#include "bill.h"

#include "facts.h"
#include "packed.h"
#include "settlement.h"

enum { MAX_RENEWED = 4096, OUTPUT_PAUSE_MS = 1000, OPEN_BYTES = 256 };

struct bill {
    struct bill *next, *prev; /* under billing.bills_lock */
    struct billing *b;
    atomic_uint refs;
    struct billing_facts facts; /* [loop] its texts lie in `later`, or behind the struct */
    char *later;                /* allocated */
    char job[BILLING_ID_BYTES];
    char idem[BILLING_IDEM_BYTES];
    bool replay;
    bool stream;              /* [loop] */
    bool has_marks;           /* a stream whose job is in the store */
    bool admitted;            /* [loop] ADMIT has been seen */
    _Atomic uint64_t n_given; /* tokens of the chunks seen, the present one included */
    /* Read without it where nearly every chunk passes: a value that is a
     * little old only leads to the lock. */
    _Atomic uint64_t n_delivered, n_marked; /* marked: acknowledged by the store */
    atomic_bool is_open;                    /* the store has acknowledged the job */
    atomic_bool is_held;                    /* `ticket` is open */
    int64_t prompt_tokens;

    pthread_mutex_t lock; /* everything below */
    weir_str facts_text;  /* allocated */
    uint64_t n_out;       /* tokens that had gone out before the present chunk */
    uint64_t n_asked;     /* of the put under way */
    bool in_flight;       /* a put is under way */
    bool again;           /* put once more when it has ended */
    bool ended;
    uint64_t put_us;     /* of the last put */
    uint64_t failing_us; /* since when puts fail; 0: they do not */
    weir_ticket ticket;  /* of the pause; 0: output goes on */

    struct billing_totals want; /* [loop] at the end */
    struct billing_end end;     /* the same */
    char texts[];
};

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

static void unref(struct bill *bill)
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

static void unlink_bill(struct bill *bill)
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

/* ---- puts ---- */

static void put(struct bill *bill);

static bool may_run_ahead(const struct bill *bill)
{
    return bill->failing_us && bill->b->config.on_store_loss != BILLING_LOSS_DENY;
}

/* Under the lock. May the present chunk go out? When all before it is marked it may, however many
 * tokens it carries: nobody could mark more, and a plugin behind us may wait for it. */
static bool may_go_out(const struct bill *bill)
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

/* Under the lock. */
static void set_ticket(struct bill *bill, weir_ticket ticket)
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
    weir_ticket ticket = bill->ticket && may_go_out(bill) ? bill->ticket : 0;
    if (ticket) {
        set_ticket(bill, 0);
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
    unref(bill);
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

/* Puts when a mark is due or `now` asks for it; else the put under way is followed by another. */
static void tell_store(struct bill *bill, bool now)
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

/* ---- facts ---- */

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
        unref(bill);
        return rc;
    }
    link_bill(bill);
    tell_store(bill, true);
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
        tell_store(bill, true);
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

/* ---- output ---- */

enum hold { GOES, HELD, CANNOT_HOLD };

static enum hold hold_output(struct bill *bill, weir_req *r)
{
    struct billing *b = bill->b;
    enum hold hold = GOES;
    pthread_mutex_lock(&bill->lock);
    if (!may_go_out(bill)) {
        set_ticket(bill, b->host->pause(b->host, r, OUTPUT_PAUSE_MS));
        hold = bill->ticket ? HELD : CANNOT_HOLD;
    }
    pthread_mutex_unlock(&bill->lock);
    if (hold == HELD) {
        tell_store(bill, false);
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
    set_ticket(bill, 0);
    bool free_to_go = may_go_out(bill);
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
        tell_store(bill, false);
    }
}

/* ---- the end ---- */

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
    unref(bill);
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
        unref(bill);
    }
}

/* From here on no put begins, and nobody else changes the facts. */
static void end(struct bill *bill)
{
    unlink_bill(bill);
    if (!bill->b->has_jobs) {
        return; /* nobody puts anything */
    }
    pthread_mutex_lock(&bill->lock);
    bill->ended = true;
    set_ticket(bill, 0);
    pthread_mutex_unlock(&bill->lock);
}

void bills_drop(struct billing *b)
{
    while (b->bills) {
        struct bill *bill = b->bills;
        end(bill);
        unref(bill);
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
    unref(bill);
}
