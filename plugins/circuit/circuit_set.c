/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "circuit_set_internal.h"

/* ---- metrics ---- */

static weir_metric define(const struct circuit_set *s, int kind, const char *name, const char *help,
                          uint32_t n_labels)
{
    static const char *const labels[] = {"dependency", "to"};
    char full[64];
    (void)snprintf(full, sizeof(full), "%s%s", s->config.prefix, name);
    return s->metrics->define(s->config.host, kind, full, help, labels, n_labels);
}

static void define_metrics(struct circuit_set *s)
{
    const weir_host *h = s->config.host;
    const weir_ext_metrics *x = h->get_ext(h, WEIR_EXT_METRICS);
    if (!x || !WEIR_HAS_FN(x, record)) {
        return;
    }
    s->metrics = x;
    s->state = define(s, WEIR_METRIC_GAUGE, "state",
                      "0: closed, it is asked; 1: open, it is not; 2: half open, it is tried.", 1);
    s->transitions =
        define(s, WEIR_METRIC_COUNTER, "transitions", "Times that its circuit entered a state.", 2);
    s->trials = define(s, WEIR_METRIC_COUNTER, "trials", "Trials by this replica.", 1);
    s->capped = define(s, WEIR_METRIC_COUNTER, "capped",
                       "Times that it should have opened and too many were open already.", 1);
}

void circuit__count(struct member *m, weir_metric metric, double n)
{
    const struct circuit_set *s = m->set;
    weir_str name = weir_str_from(m->name);
    if (s->metrics) {
        s->metrics->record(s->config.host, metric, n, &name, 1);
    }
}

static void count_entered(struct member *m, enum circuit_state state, double n)
{
    const struct circuit_set *s = m->set;
    weir_str values[] = {weir_str_from(m->name), weir_str_from(circuit_state_name(state))};
    if (s->metrics) {
        s->metrics->record(s->config.host, s->transitions, n, values, 2);
    }
}

/* Also the zeros: a series that appears with its first event hides that event from rate(). */
static void count_nothing(struct member *m)
{
    circuit__count(m, m->set->state, CIRCUIT_CLOSED);
    circuit__count(m, m->set->trials, 0);
    circuit__count(m, m->set->capped, 0);
    for (int to = 0; to < CIRCUIT__STATES; to++) {
        count_entered(m, (enum circuit_state)to, 0);
    }
}

/* ---- changes; `lock` held ---- */

void circuit__permit(struct member *m)
{
    const struct circuit_set_config *c = &m->set->config;
    if (c->permit) {
        c->permit(c->arg, m->index, circuit_permits(&m->circuit, &c->settings));
    }
}

void circuit__entered(struct member *m, const char *why)
{
    char text[CIRCUIT_KEY_BYTES + 100];
    const weir_host *h = m->set->config.host;
    enum circuit_state state = m->circuit.state;
    circuit__count(m, m->set->state, state);
    count_entered(m, state, 1);
    (void)snprintf(text, sizeof(text), "%s: circuit %s (%s)", m->name, circuit_state_name(state),
                   why);
    h->log(h, state == CIRCUIT_OPEN ? WEIR_LEVEL_WARN : WEIR_LEVEL_INFO, NULL, weir_str_from(text));
    circuit__permit(m);
}

bool circuit__cap_allows(struct member *m)
{
    const struct circuit_set *s = m->set;
    uint32_t n = 0, n_open = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct member *other = s->list[i];
        n += other->group == m->group;
        n_open += other->group == m->group && other->circuit.state != CIRCUIT_CLOSED;
    }
    uint64_t most = (uint64_t)n * s->config.max_open_percent / 100;
    bool allows = m->circuit.state != CIRCUIT_CLOSED || n_open < (most ? most : 1);
    if (!allows) {
        circuit__count(m, m->set->capped, 1);
    }
    return allows;
}

static void judge(struct member *m, bool is_good, uint64_t begun_us)
{
    const struct circuit_set_config *config = &m->set->config;
    const struct circuit_settings *s = &config->settings;
    struct circuit *c = &m->circuit;
    uint64_t now_us = weir_host_turn_us(config->host);
    bool was_closed = c->state == CIRCUIT_CLOSED;
    enum circuit_advice advice = circuit_note(c, s, is_good, begun_us, now_us);
    if (advice == CIRCUIT_PASSED) {
        circuit__permit(m);
    } else if (advice == CIRCUIT_SHOULD_OPEN && circuit__cap_allows(m)) {
        circuit_open(c, s, now_us);
        m->is_dirty = true;
        circuit__entered(m, was_closed ? "too many failures" : "the trial failed");
    } else if (advice == CIRCUIT_SHOULD_CLOSE) {
        circuit_close(c, now_us);
        m->is_dirty = true;
        circuit__entered(m, "the trial went well");
    }
}

static void sync_soon(void *arg)
{
    circuit__sync(arg);
}

void circuit_set_note(struct circuit_set *s, uint32_t index, bool is_good, uint64_t begun_us)
{
    struct member *m = NULL;
    pthread_mutex_lock(&s->lock);
    if (index < s->n) {
        m = s->list[index];
        judge(m, is_good, begun_us);
    }
    bool tells = m && m->is_dirty;
    pthread_mutex_unlock(&s->lock);
    if (tells) {
        (void)s->config.host->post(s->config.host, sync_soon, m); /* else the next tick does it */
    }
}

int64_t circuit_set_permits(struct circuit_set *s, uint32_t index)
{
    pthread_mutex_lock(&s->lock);
    int64_t n = index < s->n ? circuit_permits(&s->list[index]->circuit, &s->config.settings) : -1;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- time ---- */

/* True: it is half open, and nobody has asked for a trial of it lately. */
static bool lacks_trial(struct member *m, uint64_t now_us)
{
    pthread_mutex_lock(&m->set->lock);
    bool was_open = m->circuit.state == CIRCUIT_OPEN;
    if (circuit_tick(&m->circuit, now_us)) {
        if (was_open) {
            circuit__entered(m, "its time is over");
        } else {
            circuit__permit(m);
        }
    }
    bool lacks = m->circuit.state == CIRCUIT_HALF_OPEN && m->circuit.trial_until_us == 0 &&
                 !m->is_asking && now_us >= m->ask_from_us;
    pthread_mutex_unlock(&m->set->lock);
    return lacks;
}

static void on_tick(void *arg)
{
    struct circuit_set *s = arg;
    const struct circuit_set_config *c = &s->config;
    uint64_t now_us = c->host->now_us(c->host);
    for (uint32_t i = 0; i < s->n; i++) {
        struct member *m = s->list[i];
        if (lacks_trial(m, now_us)) {
            /* A replica whose clients do not ask for it would hold the trial for nothing. */
            m->is_wanted = m->is_wanted || !c->is_wanted || c->is_wanted(c->arg, i);
            if (m->is_wanted) {
                circuit__ask_trial(m);
            }
        }
        circuit__sync(m);
    }
}

/* ---- life ---- */

int circuit_set_create(const struct circuit_set_config *config, struct circuit_set **ret_set)
{
    const weir_host *h = config->host;
    struct circuit_set *s = h->alloc(h, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    *s = (struct circuit_set){.config = *config};
    (void)pthread_mutex_init(&s->lock, NULL);
    define_metrics(s);
    int rc = circuit__listen(s);
    if (rc >= 0) {
        s->timer = h->timer_start(h, CIRCUIT_TICK_MS, CIRCUIT_TICK_MS, on_tick, s);
        rc = s->timer ? 0 : WEIR_E_BUSY;
    }
    if (rc < 0) {
        circuit_set_destroy(s);
        return rc;
    }
    *ret_set = s;
    return 0;
}

void circuit_set_destroy(struct circuit_set *s)
{
    if (!s) {
        return;
    }
    const weir_host *h = s->config.host;
    if (s->timer) {
        (void)h->timer_stop(h, s->timer);
    }
    for (uint32_t i = 0; i < s->n; i++) {
        h->free(h, s->list[i]);
    }
    (void)pthread_mutex_destroy(&s->lock);
    h->free(h, s);
}

int circuit_set_add(struct circuit_set *s, uint32_t group, const char *name, const char *key,
                    bool is_shared)
{
    const weir_host *h = s->config.host;
    if (s->n == CIRCUIT_SET_MAX || strlen(name) >= CIRCUIT_KEY_BYTES ||
        strlen(key) >= CIRCUIT_KEY_BYTES) {
        return WEIR_E_TOOBIG;
    }
    struct member *m = h->alloc(h, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    *m = (struct member){
        .set = s, .index = s->n, .group = group, .is_shared = is_shared, .must_read = is_shared};
    (void)snprintf(m->name, sizeof(m->name), "%s", name);
    (void)snprintf(m->key, sizeof(m->key), "circuit/%s", key);
    count_nothing(m);
    pthread_mutex_lock(&s->lock);
    s->list[s->n++] = m;
    pthread_mutex_unlock(&s->lock);
    circuit__sync(m);
    return 0;
}
