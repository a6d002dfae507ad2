/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "billing": what each request used, in a ledger, exactly, also when replicas die.
 *
 * ADMIT opens a request's bill, chunks and deliveries keep its marks within BILLING_MAX_UNMARKED
 * tokens, on_complete settles it. BODY looks at an Idempotency-Key. A timer renews what runs,
 * settles what others left, and drains what the store did not take. */
#include "billing.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "bill.h"
#include "expiry.h"
#include "idempotency.h"
#include "metrics.h"
#include "reaper.h"
#include "usage.h"
#include "webhook.h"
#include "weir/plugin.h"

enum { REAP_EVERY_US = 1000 * 1000, LOG_BYTES = 2048 };

struct state { /* per request */
    struct bill *bill;
    struct idempotency *idempotency;
};

void billing_log(const struct billing *b, int level, const char *fmt, ...)
{
    char text[LOG_BYTES];
    va_list ap;
    va_start(ap, fmt);
    /* The analyzer does not see va_start. */
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    b->host->log(b->host, level, NULL, weir_str_from(text));
}

void billing_make_id(struct billing *b, char ret_id[BILLING_ID_BYTES])
{
    /* Relaxed: only the number has to be new. */
    uint64_t n = atomic_fetch_add_explicit(&b->next_id, 1, memory_order_relaxed);
    struct billing_text t = {.bytes = ret_id, .cap = BILLING_ID_BYTES - 1};
    billing_text_add(&t, (weir_str){b->nonce, sizeof(b->nonce) - 1});
    billing_text_literal(&t, "-");
    billing_text_number(&t, (int64_t)n);
    ret_id[t.n] = '\0';
}

static void tick(void *arg)
{
    struct billing *b = arg;
    uint64_t now_us = b->host->now_us(b->host);
    bills_renew(b);
    billing_backlog_drain(&b->backlog);
    if (now_us >= b->reap_at_us) {
        b->reap_at_us = now_us + REAP_EVERY_US;
        billing_reaper_claim(b);
        billing_expiry_claim(b);
    }
    if (b->webhook) {
        billing_webhook_claim(b->webhook);
    }
    billing_metrics_flush(b);
}

/* ---- life ---- */

static void instance_destroy(void *instance)
{
    struct billing *b = instance;
    if (b->timer) {
        (void)b->host->timer_stop(b->host, b->timer);
    }
    bills_drop(b);
    billing_webhook_destroy(b->webhook);
    uint32_t n_lost = billing_backlog_finish(&b->backlog);
    if (n_lost) {
        billing_log(b, WEIR_LEVEL_ERROR,
                    "the usage of %u requests was still waiting for the store and is not settled "
                    "by this replica",
                    n_lost);
    }
    billing_metrics_destroy(b->metrics, b);
    price_book_destroy(b->book);
    (void)pthread_mutex_destroy(&b->bills_lock);
    b->host->free(b->host, b);
}

static bool make_nonce(struct billing *b)
{
    uint64_t random = 0;
    bool ok = getrandom(&random, sizeof(random), 0) == (ssize_t)sizeof(random);
    (void)snprintf(b->nonce, sizeof(b->nonce), "%016llx", (unsigned long long)random);
    return ok;
}

/* What may fail, with the sentence for it. */
static bool start(struct billing *b, weir_str *err)
{
    static char error[PRICE_BOOK_ERROR_BYTES]; /* [main] only; outlives a failed instance */
    if (b->config.price_book[0] && price_book_read(b->config.price_book, &b->book, error) < 0) {
        *err = weir_str_from(error);
        return false;
    }
    if (b->config.webhook_url[0]) {
        b->webhook = billing_webhook_create(b);
        if (!b->webhook) {
            *err = weir_str_from("the webhook's sender cannot be started");
            return false;
        }
    }
    if (billing_usage_routes(b) < 0) {
        *err = weir_str_from("the route for the ledger is taken");
        return false;
    }
    b->timer = b->host->timer_start(b->host, BILLING_TICK_MS, BILLING_TICK_MS, tick, b);
    *err = weir_str_from("no timer is left");
    return b->timer != 0;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    struct billing *b = host->alloc(host, sizeof(*b));
    *err = weir_str_from("out of memory");
    if (!b) {
        return NULL;
    }
    memset(b, 0, sizeof(*b));
    b->host = host;
    b->store = host->get_ext(host, WEIR_EXT_STORE);
    b->admin = host->get_ext(host, WEIR_EXT_ADMIN);
    b->has_jobs = b->store && (b->store->flags & WEIR_STORE_DURABLE);
    if (!make_nonce(b) || billing_config_read(config_json, &b->config) < 0) {
        *err = weir_str_from("its configuration, or a random number, cannot be read");
        host->free(host, b);
        return NULL;
    }
    (void)pthread_mutex_init(&b->bills_lock, NULL);
    billing_backlog_init(&b->backlog, b->config.backlog);
    b->metrics = billing_metrics_create(b);
    if (!start(b, err)) {
        instance_destroy(b);
        return NULL;
    }
    return b;
}

/* ---- hooks ---- */

static int on_body(struct billing *b, weir_req *r, struct state *s)
{
    weir_str key;
    if (!b->config.idempotency ||
        b->host->req_header(b->host, r, weir_str_from("idempotency-key"), &key) < 0) {
        return WEIR_CONTINUE;
    }
    if (key.n == 0 || key.n > BILLING_MAX_KEY_BYTES) {
        (void)b->host->deny(b->host, r, 400, weir_str_from("invalid_request_error"),
                            weir_str_from("invalid_idempotency_key"),
                            weir_str_from("Idempotency-Key must have 1 to 255 bytes."));
        return WEIR_DENY;
    }
    return billing_idempotency_begin(b, r, key, &s->idempotency, &s->bill);
}

static int on_admit(struct billing *b, weir_req *r, struct state *s)
{
    if (s->bill) {
        bill_admitted(s->bill, r);
    } else if (bill_open(b, r, NULL, &s->bill) < 0) {
        return WEIR_FAIL;
    }
    if (!bill_must_refuse(s->bill)) {
        return WEIR_CONTINUE;
    }
    (void)b->host->set_header(b->host, r, weir_str_from("retry-after"), weir_str_from("1"));
    (void)b->host->deny(b->host, r, 503, weir_str_from("server_error"),
                        weir_str_from("billing_unavailable"),
                        weir_str_from("Usage cannot be recorded now; retry."));
    return WEIR_DENY;
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    struct billing *b = instance;
    struct state *s = b->host->req_state(b->host, r);
    return phase == WEIR_PHASE_BODY ? on_body(b, r, s) : on_admit(b, r, s);
}

static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    struct billing *b = instance;
    struct state *s = b->host->req_state(b->host, r);
    (void)data;
    if (phase == WEIR_PHASE_OUTPUT) {
        return s->bill ? bill_on_output_resumed(s->bill, r) : WEIR_CONTINUE;
    }
    return s->idempotency ? billing_idempotency_resumed(s->idempotency, r, rc, &s->bill)
                          : WEIR_FAIL;
}

static int on_chunk(void *instance, weir_req *r, const weir_chunk *c, weir_str *out)
{
    struct billing *b = instance;
    const struct state *s = b->host->req_state(b->host, r);
    (void)out;
    return s->bill ? bill_on_chunk(s->bill, r, c) : WEIR_CHUNK_PASS;
}

static void on_delivered(void *instance, weir_req *r, uint64_t n_tokens)
{
    struct billing *b = instance;
    const struct state *s = b->host->req_state(b->host, r);
    if (s->bill) {
        bill_on_delivered(s->bill, n_tokens);
    }
}

static void on_complete(void *instance, weir_req *r, const weir_usage *usage)
{
    struct billing *b = instance;
    struct state *s = b->host->req_state(b->host, r);
    billing_idempotency_leave(s->idempotency);
    if (s->bill) {
        bill_complete(s->bill, usage);
    }
    *s = (struct state){0};
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY) | WEIR_PHASE_BIT(WEIR_PHASE_ADMIT) |
              WEIR_PHASE_BIT(WEIR_PHASE_REPLAY),
    .req_state_size = sizeof(struct state),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_chunk = on_chunk,
    .on_complete = on_complete,
    .on_delivered = on_delivered,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_STORE, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, WEIR_EXT_ADMIN, NULL};
/* Behind those that refuse, so that what they refuse is not written down, and behind those that
 * hold back output, so that what it counts is what goes out. */
static const char *const after[] = {"auth", "ratelimit", "quota", "lua", NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD, /* not unloadable: libcurl keeps state of its own */
    .name = "billing",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "A ledger of what each request used and costs.",
    .config_schema = billing_schema,
    .needs = needs,
    .wants = wants,
    .after = after,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
