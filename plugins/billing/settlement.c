/* SPDX-License-Identifier: Apache-2.0 */
#include "settlement.h"

#include "billing.h"
#include "idempotency.h"
#include "packed.h"
#include "webhook.h"

enum { MAX_CHAIN = 64, ENTRY_ID_BYTES = BILLING_ID_BYTES + 12 };

enum step { APPEND, READ_BACK, WEBHOOK, IDEMPOTENCY, FORGET, DONE };

struct settlement {
    struct settlement *next; /* in the backlog */
    struct billing *b;
    struct billing_facts facts; /* its texts: tenant only, behind the struct */
    weir_str facts_text, job;   /* behind the struct */
    char idem[BILLING_IDEM_BYTES];
    struct billing_totals want, sum; /* sum: of the entries read so far */
    struct billing_totals there;     /* of the entry that is being read */
    struct billing_end end;
    bool only_up, is_claimed;
    bool is_retry;
    enum step step;
    uint32_t seq;   /* of the entry to append, or that was last seen */
    uint64_t place; /* of the entry to read back */
    bool wrote;     /* an entry of ours is in the ledger */
    char bytes[];
};

struct settlement **settlement_next(struct settlement *s)
{
    return &s->next;
}

void settlement_destroy(struct settlement *s)
{
    if (s) {
        s->b->host->free(s->b->host, s);
    }
}

static weir_str keep(char **at, weir_str text)
{
    weir_str copy = {*at, text.n};
    if (text.n) {
        memcpy(*at, text.p, text.n);
        *at += text.n;
    }
    return copy;
}

static void run(struct settlement *s);

/* The store did not take a step: later, or never. */
static void give_up(struct settlement *s, int rc)
{
    struct billing *b = s->b;
    if (s->is_claimed) { /* the backlog has room for what only this replica knows */
        settlement_destroy(s);
        return;
    }
    bool returns = s->is_retry;
    s->is_retry = false;
    if (billing_backlog_push(&b->backlog, s, returns)) {
        return;
    }
    billing_count(b, BILLING_LOST);
    billing_log(b, WEIR_LEVEL_ERROR,
                "the usage of %s (tenant %.*s, %lld tokens) is lost: the store fails (%d) and the "
                "backlog is full",
                s->facts.id, (int)s->facts.tenant.n, s->facts.tenant.p ? s->facts.tenant.p : "",
                (long long)s->want.delivered_tokens, rc);
    settlement_destroy(s);
}

static void finish(struct settlement *s)
{
    if (s->is_retry) {
        billing_backlog_settled(&s->b->backlog);
    }
    settlement_destroy(s);
}

/* Something that no retry mends. */
static void abandon(struct settlement *s, const char *why)
{
    billing_count(s->b, BILLING_LOST);
    billing_log(s->b, WEIR_LEVEL_ERROR, "the usage of %s cannot be settled: %s", s->facts.id, why);
    finish(s);
}

/* What the next entry has to add; false: nothing, the chain is right. */
static bool find_rest(const struct settlement *s, struct billing_totals *ret_add)
{
    struct billing_totals want = s->want;
    billing_totals_price(&want, &s->facts);
    if (s->only_up && s->seq > 0 && want.delivered_tokens <= s->sum.delivered_tokens) {
        return false;
    }
    if (s->seq > 0 && billing_totals_equal(&want, &s->sum)) {
        return false;
    }
    *ret_add = (struct billing_totals){
        .requests = want.requests - s->sum.requests,
        .prompt_tokens = want.prompt_tokens - s->sum.prompt_tokens,
        .cached_tokens = want.cached_tokens - s->sum.cached_tokens,
        .completion_tokens = want.completion_tokens - s->sum.completion_tokens,
        .delivered_tokens = want.delivered_tokens - s->sum.delivered_tokens,
        .gpu_us = want.gpu_us - s->sum.gpu_us,
        .amount = want.amount - s->sum.amount,
    };
    return true;
}

static int write_entry(const struct settlement *s, const struct billing_totals *add,
                       struct billing_text *t)
{
    billing_entry_write(t, s->facts_text, s->seq, add, &s->end);
    return t->failed ? WEIR_E_TOOBIG : 0;
}

/* Goes on after the store took a step, or not. */
static void advance(struct settlement *s, int rc, enum step next)
{
    if (rc < 0) {
        give_up(s, rc);
        return;
    }
    s->step = next;
    run(s);
}

static void entry_id(const struct settlement *s, char out[ENTRY_ID_BYTES])
{
    struct billing_text t = {.bytes = out, .cap = ENTRY_ID_BYTES - 1};
    billing_text_literal(&t, s->facts.id);
    billing_text_literal(&t, "/");
    billing_text_number(&t, s->seq);
    out[t.n] = '\0';
}

static int tell_webhook(struct settlement *s, weir_str entry, weir_store_done done)
{
    char id[ENTRY_ID_BYTES];
    entry_id(s, id);
    return s->b->store->job_put(s->b->host, (weir_str){NULL, 0},
                                weir_str_from(BILLING_QUEUE_WEBHOOK), weir_str_from(id), entry, 0,
                                done, s);
}

static void pass_entry(void *arg, const weir_store_result *result)
{
    struct settlement *s = arg;
    if (result->rc < 0) {
        give_up(s, result->rc);
        return;
    }
    billing_totals_add(&s->sum, &s->there);
    s->seq++;
    advance(s, 0, APPEND);
}

static void on_read_back(void *arg, const weir_store_result *result)
{
    struct settlement *s = arg;
    char room[BILLING_ENTRY_BYTES];
    if (result->rc < 0) {
        give_up(s, result->rc);
        return;
    }
    bool is_it = result->n_items == 1 && result->items[0].number == s->place;
    weir_str entry = is_it ? billing_entry_text(result->items[0].value, room) : (weir_str){NULL, 0};
    if (billing_entry_read(entry, &s->there) < 0) {
        abandon(s, "its entry in the ledger cannot be read");
        return;
    }
    if (!s->b->webhook) {
        pass_entry(s, &(weir_store_result){.struct_size = sizeof(weir_store_result)});
        return;
    }
    /* Who appended it may have died before it told the webhook. */
    int rc = tell_webhook(s, entry, pass_entry);
    if (rc < 0) {
        give_up(s, rc);
    }
}

static int read_back(struct settlement *s)
{
    char log[BILLING_LOG_BYTES];
    billing_log_name(s->facts.month, log);
    return s->b->store->read(s->b->host, s->facts.tenant, weir_str_from(log), s->place - 1, 1,
                             on_read_back, s);
}

static void on_appended(void *arg, const weir_store_result *result)
{
    struct settlement *s = arg;
    if (result->rc == WEIR_E_BUSY) {
        s->place = (uint64_t)result->number;
        advance(s, 0, READ_BACK);
        return;
    }
    if (result->rc == 0) {
        s->wrote = true;
        billing_count(s->b, s->seq == 0 ? BILLING_USAGE_ENTRIES : BILLING_ADJUSTMENT_ENTRIES);
        if (strcmp(s->end.source, "reaper") == 0) {
            billing_count(s->b, BILLING_REAPED);
        }
        struct billing_totals add;
        if (find_rest(s, &add)) {
            atomic_fetch_add_explicit(&s->b->amount, add.amount, memory_order_relaxed);
        }
    }
    advance(s, result->rc, WEBHOOK);
}

/* 1: nothing has to be appended. */
static int append(struct settlement *s)
{
    char bytes[BILLING_ENTRY_BYTES], id[ENTRY_ID_BYTES], log[BILLING_LOG_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    struct billing_totals add;
    if (!find_rest(s, &add)) {
        return 1;
    }
    if (s->seq >= MAX_CHAIN || write_entry(s, &add, &t) < 0) {
        return WEIR_E_TOOBIG;
    }
    entry_id(s, id);
    billing_log_name(s->facts.month, log);
    return s->b->store->append(s->b->host, s->facts.tenant, weir_str_from(log), weir_str_from(id),
                               billing_text_view(&t), on_appended, s);
}

static void on_webhook_put(void *arg, const weir_store_result *result)
{
    advance(arg, result->rc, IDEMPOTENCY);
}

/* 1: no webhook, or nothing to tell. */
static int put_webhook(struct settlement *s)
{
    char bytes[BILLING_ENTRY_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    struct billing_totals add;
    if (!s->b->webhook || !s->wrote || !find_rest(s, &add)) {
        return 1;
    }
    int rc = write_entry(s, &add, &t);
    return rc < 0 ? rc : tell_webhook(s, billing_text_view(&t), on_webhook_put);
}

static void on_idempotency_put(void *arg, const weir_store_result *result)
{
    /* A record that another request has taken over meanwhile is not ours to change. */
    advance(arg, result->rc == WEIR_E_BUSY ? 0 : result->rc, FORGET);
}

static int put_idempotency(struct settlement *s)
{
    return s->idem[0] ? billing_idempotency_settled(s->b, s->facts.tenant, s->idem, s->job,
                                                    on_idempotency_put, s)
                      : 1;
}

static void on_forgotten(void *arg, const weir_store_result *result)
{
    advance(arg, result->rc, DONE);
}

static int forget(struct settlement *s)
{
    return s->job.n && s->b->has_jobs
               ? s->b->store->job_ack(s->b->host, (weir_str){NULL, 0},
                                      weir_str_from(BILLING_QUEUE_OPEN), s->job, on_forgotten, s)
               : 1;
}

/* Starts steps until one has to be waited for. A step's `done` may come before its call returns,
 * and s may be gone then, so nothing of s is touched after a step was started. */
static void run(struct settlement *s)
{
    for (;;) {
        enum step step = s->step;
        int rc = 0;
        switch (step) {
        case APPEND: rc = append(s); break;
        case READ_BACK: rc = read_back(s); break;
        case WEBHOOK: rc = put_webhook(s); break;
        case IDEMPOTENCY: rc = put_idempotency(s); break;
        case FORGET: rc = forget(s); break;
        case DONE: finish(s); return;
        }
        if (rc == WEIR_E_TOOBIG || rc == WEIR_E_ARG) {
            abandon(s, "its entry is too large, or its chain too long");
            return;
        }
        if (rc < 0) {
            give_up(s, rc);
            return;
        }
        if (rc == 0) {
            return;
        }
        s->step = step + 1 == READ_BACK ? WEBHOOK : step + 1;
    }
}

int billing_settle(struct billing *b, const struct settlement_order *o)
{
    size_t n = o->facts->tenant.n + o->facts_text.n + o->job.n;
    struct settlement *s = b->host->alloc(b->host, sizeof(*s) + n);
    if (!s) {
        if (!o->is_claimed) {
            billing_count(b, BILLING_LOST);
        }
        return WEIR_E_NOMEM;
    }
    *s = (struct settlement){
        .b = b,
        .facts = *o->facts,
        .want = o->want,
        .end = o->end,
        .only_up = o->only_up,
        .is_claimed = o->is_claimed,
        .step = o->no_entry ? IDEMPOTENCY : APPEND,
    };
    char *at = s->bytes;
    s->facts.tenant = keep(&at, o->facts->tenant);
    s->facts_text = keep(&at, o->facts_text);
    s->job = keep(&at, o->job);
    billing_copy(s->idem, sizeof(s->idem), weir_str_from(o->idem));
    run(s);
    return 0;
}

void settlement_retry(struct settlement *s)
{
    s->is_retry = true;
    run(s);
}
