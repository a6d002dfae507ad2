/* SPDX-License-Identifier: Apache-2.0 */
#include "webhook.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <yyjson.h>

#include "billing.h"
#include "circuit_set.h"
#include "sender.h"

enum { LEASE_GRACE_MS = 30 * 1000, MAX_BATCH_BYTES = 4 * 1024 * 1024, EVENT_ID_BYTES = 64 };

static const char retry_head[] = "{\"attempts\":";
static const char retry_event[] = ",\"event\":";

struct event {
    char id[EVENT_ID_BYTES];
    uint32_t n_tried;
    weir_str entry; /* into the batch's storage */
};

struct billing_webhook {
    struct billing *b;
    struct sender *sender;
    struct circuit_set *circuits; /* one: the receiver's */
    uint64_t sent_us;
    bool busy; /* a claim or a batch is under way */
    char *storage;
    size_t n_storage;
    struct event *events; /* [config.webhook_batch] */
    uint32_t n_events;
};

void billing_webhook_sign(const char *secret, uint64_t unix_s, weir_str body,
                          char out[BILLING_SIGNATURE_BYTES])
{
    char time_text[24];
    unsigned char digest[32] = {0};
    int n = snprintf(time_text, sizeof(time_text), "%llu.", (unsigned long long)unix_s);
    unsigned char *signed_text = malloc((size_t)n + body.n);
    unsigned len = 0;
    if (signed_text) {
        memcpy(signed_text, time_text, (size_t)n);
        memcpy(signed_text + n, body.p, body.n);
        (void)HMAC(EVP_sha256(), secret, (int)strlen(secret), signed_text, (size_t)n + body.n,
                   digest, &len);
    }
    free(signed_text);
    int at = snprintf(out, BILLING_SIGNATURE_BYTES, "t=%llu,v1=", (unsigned long long)unix_s);
    for (size_t i = 0; i < sizeof(digest) && at > 0; i++) {
        at += snprintf(out + at, BILLING_SIGNATURE_BYTES - (size_t)at, "%02x", digest[i]);
    }
}

uint64_t billing_webhook_delay_ms(uint32_t n_tried, uint32_t random)
{
    const uint64_t most_ms = 3600 * 1000;
    uint32_t doublings = n_tried > 0 ? n_tried - 1 : 0;
    uint64_t ms = doublings < 12 ? UINT64_C(1000) << doublings : most_ms;
    ms = ms < most_ms ? ms : most_ms;
    return ms / 2 + ms * (random % 1001) / 1000;
}

static uint32_t draw(void)
{
    uint32_t random = 0;
    (void)!getrandom(&random, sizeof(random), 0);
    return random;
}

/* ---- claiming ---- */

/* A job's value is an entry, or one that was tried before. */
static void read_job(weir_str value, struct event *e)
{
    const size_t n_head = sizeof(retry_head) - 1, n_event = sizeof(retry_event) - 1;
    e->n_tried = 0;
    e->entry = value;
    if (value.n < n_head || memcmp(value.p, retry_head, n_head) != 0) {
        return;
    }
    size_t at = n_head;
    for (; at < value.n && value.p[at] >= '0' && value.p[at] <= '9'; at++) {
        e->n_tried = e->n_tried * 10 + (uint32_t)(value.p[at] - '0');
    }
    if (value.n - at > n_event && memcmp(value.p + at, retry_event, n_event) == 0) {
        e->entry = (weir_str){value.p + at + n_event, value.n - at - n_event - 1};
    }
}

/* Copies what was claimed. What does not fit is claimed again when its lease runs out. */
static void copy_events(struct billing_webhook *w, const weir_store_result *result)
{
    size_t at = 0;
    w->n_events = 0;
    for (uint32_t i = 0; i < result->n_items && w->n_events < w->b->config.webhook_batch; i++) {
        const weir_store_item *item = &result->items[i];
        struct event *e = &w->events[w->n_events];
        if (item->value.n > w->n_storage - at || item->key.n >= sizeof(e->id)) {
            continue;
        }
        memcpy(w->storage + at, item->value.p, item->value.n);
        read_job((weir_str){w->storage + at, item->value.n}, e);
        (void)snprintf(e->id, sizeof(e->id), "%.*s", (int)item->key.n, item->key.p);
        at += item->value.n;
        w->n_events++;
    }
}

static char *write_body(const struct billing_webhook *w, size_t *ret_n)
{
    size_t cap = 64;
    for (uint32_t i = 0; i < w->n_events; i++) {
        cap += w->events[i].entry.n + EVENT_ID_BYTES + 32;
    }
    struct billing_text t = {.bytes = malloc(cap), .cap = cap};
    if (!t.bytes) {
        return NULL;
    }
    billing_text_literal(&t, "{\"events\":[");
    for (uint32_t i = 0; i < w->n_events; i++) {
        billing_text_literal(&t, i ? ",{\"id\":" : "{\"id\":");
        billing_text_string(&t, weir_str_from(w->events[i].id), SIZE_MAX);
        billing_text_literal(&t, ",\"data\":");
        billing_text_add(&t, w->events[i].entry);
        billing_text_literal(&t, "}");
    }
    billing_text_literal(&t, "]}");
    *ret_n = t.n;
    return t.bytes;
}

static void on_sent(void *arg);

static void on_claimed(void *arg, const weir_store_result *result)
{
    struct billing_webhook *w = arg;
    w->busy = false;
    if (result->rc < 0 || result->n_items == 0) {
        return;
    }
    copy_events(w, result);
    size_t n = 0;
    char *body = write_body(w, &n);
    w->busy = body != NULL; /* without memory: the claim runs out, then again */
    if (body) {
        w->sent_us = w->b->host->now_us(w->b->host);
        sender_send(w->sender, body, n, on_sent, w);
    }
}

void billing_webhook_claim(struct billing_webhook *w)
{
    struct billing *b = w->b;
    if (w->busy || circuit_set_permits(w->circuits, 0) == 0) {
        return;
    }
    w->busy = true;
    int rc = b->store->job_claim(b->host, (weir_str){NULL, 0}, weir_str_from(BILLING_QUEUE_WEBHOOK),
                                 b->config.webhook_batch,
                                 b->config.webhook_timeout_ms + LEASE_GRACE_MS, on_claimed, w);
    if (rc < 0) {
        w->busy = false;
    }
}

/* ---- after a try ---- */

static void ignore(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)result; /* the claim runs out, and the entry is posted again: at least once */
}

static void acknowledge(struct billing *b, const char *id)
{
    (void)b->store->job_ack(b->host, (weir_str){NULL, 0}, weir_str_from(BILLING_QUEUE_WEBHOOK),
                            weir_str_from(id), ignore, NULL);
}

static void try_later(struct billing *b, const struct event *e)
{
    char bytes[BILLING_ENTRY_BYTES + 64];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    billing_text_literal(&t, retry_head);
    billing_text_number(&t, (int64_t)e->n_tried + 1);
    billing_text_literal(&t, retry_event);
    billing_text_add(&t, e->entry);
    billing_text_literal(&t, "}");
    billing_count(b, BILLING_WEBHOOK_RETRIED);
    if (!t.failed) {
        (void)b->store->job_put(b->host, (weir_str){NULL, 0}, weir_str_from(BILLING_QUEUE_WEBHOOK),
                                weir_str_from(e->id), billing_text_view(&t),
                                billing_webhook_delay_ms(e->n_tried + 1, draw()), ignore, NULL);
    }
}

struct burial {
    struct billing *b;
    char id[EVENT_ID_BYTES];
};

static void on_buried(void *arg, const weir_store_result *result)
{
    struct burial *burial = arg;
    if (result->rc >= 0 || result->rc == WEIR_E_BUSY) { /* BUSY: it lies there already */
        acknowledge(burial->b, burial->id);
    }
    burial->b->host->free(burial->b->host, burial);
}

/* Puts an entry aside under its tenant. */
static void bury(struct billing *b, const struct event *e)
{
    yyjson_doc *doc = yyjson_read(e->entry.p, e->entry.n, 0);
    yyjson_val *v = yyjson_obj_get(yyjson_doc_get_root(doc), "tenant");
    const char *text = yyjson_get_str(v);
    weir_str tenant = {text, text ? yyjson_get_len(v) : 0}; /* arrays have a length too */
    struct burial *burial = b->host->alloc(b->host, sizeof(*burial));
    if (burial) {
        burial->b = b;
        memcpy(burial->id, e->id, sizeof(burial->id));
        billing_count(b, BILLING_WEBHOOK_DEAD);
        billing_log(b, WEIR_LEVEL_ERROR, "webhook: %s could not be delivered in %u tries", e->id,
                    b->config.webhook_attempts);
        if (b->store->append(b->host, tenant, weir_str_from(BILLING_LOG_DEAD), weir_str_from(e->id),
                             e->entry, on_buried, burial) < 0) {
            b->host->free(b->host, burial);
        }
    }
    yyjson_doc_free(doc);
}

static void on_sent(void *arg)
{
    struct billing_webhook *w = arg;
    struct billing *b = w->b;
    bool ok = sender_take_result(w->sender);
    circuit_set_note(w->circuits, 0, ok, w->sent_us);
    for (uint32_t i = 0; i < w->n_events; i++) {
        const struct event *e = &w->events[i];
        if (ok) {
            billing_count(b, BILLING_WEBHOOK_OK);
            acknowledge(b, e->id);
        } else if (e->n_tried + 1 >= b->config.webhook_attempts) {
            bury(b, e);
        } else {
            try_later(b, e);
        }
    }
    w->n_events = 0;
    w->busy = false;
    if (ok) {
        billing_webhook_claim(w); /* there may be more */
    }
}

/* Another URL is another receiver; its text may hold a secret, which a store's key must not. */
static bool make_circuit(struct billing_webhook *w)
{
    char key[BILLING_SIGNATURE_BYTES + 16], digest[BILLING_SIGNATURE_BYTES];
    struct billing *b = w->b;
    const struct circuit_set_config config = {.host = b->host,
                                              .store = b->store,
                                              .settings = b->config.webhook_circuit,
                                              .max_open_percent = 100,
                                              .prefix = "breaker_"};
    billing_webhook_sign(b->config.webhook_secret, 0, weir_str_from(b->config.webhook_url), digest);
    (void)snprintf(key, sizeof(key), "webhook@%s", digest);
    return circuit_set_create(&config, &w->circuits) >= 0 &&
           circuit_set_add(w->circuits, 0, "webhook", key, true) >= 0;
}

struct billing_webhook *billing_webhook_create(struct billing *b)
{
    struct billing_webhook *w = b->host->alloc(b->host, sizeof(*w));
    if (!w) {
        return NULL;
    }
    *w = (struct billing_webhook){.b = b, .n_storage = MAX_BATCH_BYTES};
    w->storage = malloc(w->n_storage);
    w->events = calloc(b->config.webhook_batch, sizeof(*w->events));
    w->sender = sender_create(b->host, &b->config);
    if (!w->storage || !w->events || !w->sender || !make_circuit(w)) {
        billing_webhook_destroy(w);
        return NULL;
    }
    return w;
}

void billing_webhook_destroy(struct billing_webhook *w)
{
    if (w) {
        sender_destroy(w->sender);
        circuit_set_destroy(w->circuits);
        free(w->storage);
        free(w->events);
        w->b->host->free(w->b->host, w);
    }
}
