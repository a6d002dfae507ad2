/* SPDX-License-Identifier: Apache-2.0 */
#include "sender.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "webhook.h"

struct sender {
    const weir_host *host;
    const struct billing_config *config;
    CURL *curl;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* down to `arg` */
    pthread_cond_t woken;
    char *body; /* NULL: nothing to send */
    size_t n_body;
    bool ok;
    void (*done)(void *arg);
    void *arg;
    atomic_bool stopping; /* read by libcurl's callback without the lock */
};

static size_t drop(char *bytes, size_t size, size_t n, void *user)
{
    (void)bytes;
    (void)user;
    return size * n;
}

static int keep_going(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct sender *s = user;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load_explicit(&s->stopping, memory_order_relaxed); /* a flag, nothing behind it */
}

static bool configure(struct sender *s)
{
    CURL *c = s->curl;
    return curl_easy_setopt(c, CURLOPT_URL, s->config->webhook_url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)s->config->webhook_timeout_ms) ==
               CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "weir") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, keep_going) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFODATA, s) == CURLE_OK;
}

static bool post_body(struct sender *s, const char *body, size_t n)
{
    char signature[BILLING_SIGNATURE_BYTES], header[BILLING_SIGNATURE_BYTES + 32];
    billing_webhook_sign(s->config->webhook_secret, (uint64_t)time(NULL), (weir_str){body, n},
                         signature);
    (void)snprintf(header, sizeof(header), "Weir-Signature: %s", signature);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *both = curl_slist_append(headers, header);
    long status = 0;
    if (both) {
        (void)curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, both);
        (void)curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, body);
        (void)curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
        if (curl_easy_perform(s->curl) == CURLE_OK) {
            (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
        }
    }
    curl_slist_free_all(headers); /* `both` is the same list */
    return status >= 200 && status <= 299;
}

/* [main] unless it is being destroyed */
static void report(void *arg)
{
    struct sender *s = arg;
    s->done(s->arg);
}

static void *run(void *arg)
{
    struct sender *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
        if (!s->body) {
            (void)pthread_cond_wait(&s->woken, &s->lock);
            continue;
        }
        char *body = s->body;
        size_t n = s->n_body;
        s->body = NULL;
        pthread_mutex_unlock(&s->lock);
        bool ok = post_body(s, body, n);
        free(body);
        pthread_mutex_lock(&s->lock);
        s->ok = ok;
        pthread_mutex_unlock(&s->lock);
        while (!atomic_load_explicit(&s->stopping, memory_order_relaxed) &&
               s->host->post(s->host, report, s) < 0) {
            (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        }
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

struct sender *sender_create(const weir_host *host, const struct billing_config *config)
{
    struct sender *s = host->alloc(host, sizeof(*s));
    if (!s) {
        return NULL;
    }
    *s = (struct sender){.host = host, .config = config};
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->woken, NULL);
    s->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    s->has_thread = s->curl && configure(s) && pthread_create(&s->thread, NULL, run, s) == 0;
    if (!s->has_thread) {
        sender_destroy(s);
        return NULL;
    }
    (void)pthread_setname_np(s->thread, "weir-webhook");
    return s;
}

void sender_destroy(struct sender *s)
{
    if (!s) {
        return;
    }
    if (s->has_thread) {
        pthread_mutex_lock(&s->lock);
        atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
        pthread_cond_signal(&s->woken);
        pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
    }
    free(s->body);
    curl_easy_cleanup(s->curl);
    curl_global_cleanup();
    (void)pthread_cond_destroy(&s->woken);
    (void)pthread_mutex_destroy(&s->lock);
    s->host->free(s->host, s);
}

void sender_send(struct sender *s, char *body, size_t n_bytes, void (*done)(void *arg), void *arg)
{
    pthread_mutex_lock(&s->lock);
    s->body = body;
    s->n_body = n_bytes;
    s->done = done;
    s->arg = arg;
    pthread_cond_signal(&s->woken);
    pthread_mutex_unlock(&s->lock);
}

bool sender_take_result(struct sender *s)
{
    pthread_mutex_lock(&s->lock);
    bool ok = s->ok;
    pthread_mutex_unlock(&s->lock);
    return ok;
}
