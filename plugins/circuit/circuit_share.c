/* SPDX-License-Identifier: Apache-2.0 */
/* What replicas know of each other's circuits. The store has "UNTIL TIMES" under a circuit's key
 * while it is not closed: until when it is open (wall clock, microseconds), and how often it opened
 * in a row. One operation of a circuit is under way at a time, so that an older state never
 * overwrites, or is taken for, a newer one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "circuit_set_internal.h"

static const weir_str nobody = {NULL, 0}; /* the tenant */
static const char channel[] = "circuits";

enum { ASK_AGAIN_US = 1000000 };

/* ---- writing ---- */

static void ignore(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)result;
}

static void on_written(void *arg, const weir_store_result *result)
{
    struct member *m = arg;
    const struct circuit_set_config *c = &m->set->config;
    bool ok = result->rc >= 0 || result->rc == WEIR_E_NOTFOUND; /* nothing was there to remove */
    pthread_mutex_lock(&m->set->lock);
    m->is_busy = false;
    m->is_dirty |= !ok;
    pthread_mutex_unlock(&m->set->lock);
    if (ok) {
        (void)c->store->publish(c->host, weir_str_from(channel), weir_str_from(m->key), ignore,
                                NULL);
    }
}

static int write_state(struct member *m, const struct circuit *c)
{
    char value[64];
    const struct circuit_set_config *config = &m->set->config;
    const weir_host *h = config->host;
    if (c->state == CIRCUIT_CLOSED) {
        return config->store->remove(h, nobody, weir_str_from(m->key), on_written, m);
    }
    uint64_t now_us = h->now_us(h);
    uint64_t rest_us = c->state == CIRCUIT_OPEN && c->until_us > now_us ? c->until_us - now_us : 0;
    (void)snprintf(value, sizeof(value), "%" PRIu64 " %u", h->wall_us(h) + rest_us, c->n_times);
    /* Half open for so long that nobody uses it: what it did is forgotten. */
    uint64_t ttl_ms = (rest_us + 10 * config->settings.max_open_us) / 1000 + 1;
    return config->store->set(h, nobody, weir_str_from(m->key), weir_str_from(value), ttl_ms, NULL,
                              0, on_written, m);
}

/* ---- reading ---- */

/* `lock` held */
static void obey(struct member *m, uint64_t until_wall_us, uint32_t n_times)
{
    const struct circuit_set_config *config = &m->set->config;
    const weir_host *h = config->host;
    struct circuit *c = &m->circuit;
    uint64_t wall_us = h->wall_us(h), now_us = h->now_us(h);
    uint64_t most_us = config->settings.max_open_us;
    uint64_t rest_us = until_wall_us > wall_us ? until_wall_us - wall_us : 0;
    bool is_news = c->state == CIRCUIT_CLOSED || n_times > c->n_times;
    if (is_news && circuit__cap_allows(m)) {
        circuit_open_until(c, n_times, now_us + (rest_us < most_us ? rest_us : most_us), now_us);
        circuit__entered(m, "another replica's word");
    }
}

/* "UNTIL TIMES"; false: nothing like that. */
static bool read_value(weir_str value, uint64_t *ret_until_us, uint32_t *ret_times)
{
    char text[64], *rest = NULL, *end = NULL;
    size_t n = value.n < sizeof(text) ? value.n : 0;
    (void)snprintf(text, sizeof(text), "%.*s", (int)n, value.p ? value.p : "");
    *ret_until_us = strtoull(text, &rest, 10);
    unsigned long times = strtoul(rest, &end, 10);
    *ret_times = times < UINT32_MAX ? (uint32_t)times : UINT32_MAX;
    return end != rest;
}

/* `lock` held */
static void take_answer(struct member *m, const weir_store_result *result)
{
    const weir_host *h = m->set->config.host;
    uint64_t until_us = 0;
    uint32_t n_times = 0;
    if (result->rc >= 0 && read_value(result->value, &until_us, &n_times)) {
        obey(m, until_us, n_times);
    } else if (result->rc == WEIR_E_NOTFOUND && m->circuit.state != CIRCUIT_CLOSED) {
        circuit_close(&m->circuit, h->now_us(h));
        circuit__entered(m, "another replica's word");
    } else if (result->rc < 0 && result->rc != WEIR_E_NOTFOUND) {
        m->must_read = true;
    }
}

static void on_read(void *arg, const weir_store_result *result)
{
    struct member *m = arg;
    pthread_mutex_lock(&m->set->lock);
    m->is_busy = false;
    if (!m->is_dirty) { /* else what happened here meanwhile is newer */
        take_answer(m, result);
    }
    pthread_mutex_unlock(&m->set->lock);
}

void circuit__sync(struct member *m)
{
    const struct circuit_set_config *c = &m->set->config;
    pthread_mutex_lock(&m->set->lock);
    struct circuit copy = m->circuit;
    bool writes = m->is_shared && !m->is_busy && m->is_dirty;
    bool reads = m->is_shared && !m->is_busy && !m->is_dirty && m->must_read;
    m->is_busy |= writes || reads;
    m->is_dirty &= !writes;
    m->must_read &= !reads;
    pthread_mutex_unlock(&m->set->lock);
    int rc = 0;
    if (writes) {
        rc = write_state(m, &copy);
    } else if (reads) {
        rc = c->store->get(c->host, nobody, weir_str_from(m->key), on_read, m);
    }
    if (rc < 0) { /* no memory: the next tick tries again */
        pthread_mutex_lock(&m->set->lock);
        m->is_busy = false;
        m->is_dirty |= writes;
        m->must_read |= reads;
        pthread_mutex_unlock(&m->set->lock);
    }
}

static void on_message(void *arg, weir_str message, int lost)
{
    struct circuit_set *s = arg;
    for (uint32_t i = 0; i < s->n; i++) {
        struct member *m = s->list[i];
        if (lost || weir_str_is(message, m->key)) {
            pthread_mutex_lock(&s->lock);
            m->must_read = true;
            pthread_mutex_unlock(&s->lock);
            circuit__sync(m);
        }
    }
}

int circuit__listen(struct circuit_set *s)
{
    const struct circuit_set_config *c = &s->config;
    return c->store->subscribe(c->host, weir_str_from(channel), on_message, s);
}

/* ---- trials ---- */

static void on_lease(void *arg, const weir_store_result *result)
{
    struct member *m = arg;
    const struct circuit_set_config *c = &m->set->config;
    pthread_mutex_lock(&m->set->lock);
    uint64_t now_us = c->host->now_us(c->host);
    m->is_asking = false;
    if (result->rc == WEIR_E_BUSY) { /* another replica's */
        uint64_t wait_us = result->retry_after_us;
        m->ask_from_us = now_us + (wait_us < ASK_AGAIN_US ? wait_us : ASK_AGAIN_US);
    } else if (m->circuit.state == CIRCUIT_HALF_OPEN) { /* also when the store is lost */
        m->is_wanted = false;
        circuit__count(m, m->set->trials, 1);
        circuit_try(&m->circuit, now_us + c->settings.open_us);
        circuit__permit(m);
    }
    pthread_mutex_unlock(&m->set->lock);
}

void circuit__ask_trial(struct member *m)
{
    const struct circuit_set_config *c = &m->set->config;
    char key[CIRCUIT_KEY_BYTES + 16];
    (void)snprintf(key, sizeof(key), "trial/%s", m->key);
    const weir_store_limit lease = {.key = weir_str_from(key),
                                    .units = 1,
                                    .limit = 1,
                                    .period_us = c->settings.open_us,
                                    .burst = 1};
    m->is_asking = true;
    if (!m->is_shared || c->store->take(c->host, nobody, &lease, 1, on_lease, m) < 0) {
        on_lease(m, &(weir_store_result){.struct_size = sizeof(weir_store_result)});
    }
}
