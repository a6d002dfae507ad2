/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

struct weir_model {
    struct weir_model_config config;
    char *name;
    size_t n_name;
    uint64_t created_s;
    struct weir_queue *queue;
    struct weir_target *targets[WEIR_MODEL_MAX_TARGETS];
    struct weir_target_terms terms[WEIR_MODEL_MAX_TARGETS];
    struct weir_balance *balance;
    struct weir_health *health;
    struct weir_retry_budget retry_budget;
    struct weir_model *fallbacks[WEIR_MODEL_MAX_FALLBACKS]; /* borrowed */
    uint32_t n_fallbacks;
    _Atomic uint64_t n_asked;
    bool is_watched; /* everything has come up once: changes are news; under refresh_lock */
    _Atomic uint32_t n_targets; /* raised after the target is complete: targets call back */
    /* Held while states are read and given to the queue: two who do so at a time could otherwise
     * leave the older one's view in it. */
    pthread_mutex_t refresh_lock;
};

int weir_model_create(const struct weir_model_config *config, struct weir_model **ret_model)
{
    struct weir_model *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    m->config = *config;
    (void)pthread_mutex_init(&m->refresh_lock, NULL);
    m->created_s = weir_clock_wall_us() / 1000000u;
    m->name = strdup(config->name);
    m->n_name = strlen(config->name);
    weir_retry_budget_init(&m->retry_budget, config->retry_budget_percent);
    int r = m->name ? weir_queue_create(config->queue_limit, config->called, config->arg, &m->queue)
                    : WEIR_E_NOMEM;
    r = r < 0 ? r : weir_balance_create(&config->balance, weir_queue_loads(m->queue), &m->balance);
    r = r < 0 ? r : weir_health_create(&config->health, &m->health);
    if (r < 0) {
        weir_model_destroy(m);
        return r;
    }
    *ret_model = m;
    return 0;
}

void weir_model_destroy(struct weir_model *m)
{
    if (!m) {
        return;
    }
    while (m->n_targets > 0) {
        (void)pthread_mutex_lock(&m->refresh_lock); /* the others still call refresh() */
        struct weir_target *last = m->targets[--m->n_targets];
        (void)pthread_mutex_unlock(&m->refresh_lock);
        weir_target_destroy(last);
    }
    for (uint32_t i = 0; i < WEIR_MODEL_MAX_TARGETS; i++) {
        free((char *)(uintptr_t)m->terms[i].endpoint);
    }
    weir_health_destroy(m->health);
    weir_balance_destroy(m->balance);
    weir_queue_destroy(m->queue);
    (void)pthread_mutex_destroy(&m->refresh_lock);
    free(m->name);
    free(m);
}

static void log_health(struct weir_model *m, uint32_t index, enum weir_health_state before,
                       enum weir_health_state now)
{
    if (before != now && m->is_watched) {
        bool good = now == WEIR_HEALTH_READY || now == WEIR_HEALTH_SLOW_START;
        weir_log(good ? WEIR_LOG_INFO : WEIR_LOG_WARN, "target", NULL, "%s: %s, was %s",
                 weir_target_name(m->targets[index]), weir_health_state_name(now),
                 weir_health_state_name(before));
    }
}

/* Its places now: some of them while it starts slowly, a few while a breaker tries it. */
static void give_places(struct weir_model *m, uint32_t index, const weir_target_status *status,
                        const struct weir_health_view *view, uint64_t now_us)
{
    uint32_t places[WEIR_CLASS_COUNT] = {0};
    bool is_whole = view->share_ppm == WEIR_BALANCE_FULL_SHARE && view->permits == UINT32_MAX;
    for (uint32_t c = 0; c < WEIR_CLASS_COUNT && view->share_ppm > 0; c++) {
        uint64_t n = (uint64_t)status->max_sequences[c] * view->share_ppm / WEIR_BALANCE_FULL_SHARE;
        n = n == 0 && status->max_sequences[c] > 0 ? 1 : n;
        places[c] = n < view->permits ? (uint32_t)n : view->permits;
    }
    weir_queue_set_places(m->queue, index, places, is_whole ? status->max_extra : 0, now_us);
}

/* Gives queue and balance what the target can do now. False: there is no hope in it. */
static bool refresh_target(struct weir_model *m, uint32_t index, uint64_t now_us)
{
    weir_target_status status;
    weir_target_read_status(m->targets[index], &status);
    bool runs = status.state == WEIR_TARGET_READY && weir_target_weight(m->targets[index]) > 0;
    enum weir_health_state before = weir_health_state(m->health, index);
    struct weir_health_view view;
    weir_health_refresh(m->health, index, runs, now_us, &view);
    log_health(m, index, before, view.state);
    weir_balance_set_share(m->balance, index, view.share_ppm);
    give_places(m, index, &status, &view, now_us);
    return status.state != WEIR_TARGET_FAILED && view.state != WEIR_HEALTH_UNHEALTHY &&
           view.state != WEIR_HEALTH_OPEN;
}

static void watch_regions(struct weir_model *m, uint64_t now_us)
{
    uint32_t region = 0;
    if (m->is_watched && weir_regions_tick(m->balance, &m->config.regions, now_us, &region)) {
        const struct weir_balance_region *r = &m->balance->regions[region];
        weir_log(WEIR_LOG_WARN, "region", NULL, "model %s: region '%s' is %s", m->name, r->name,
                 r->is_out ? "left" : "taken back");
    }
}

void weir_model_refresh(struct weir_model *m)
{
    bool any_hope = false;
    (void)pthread_mutex_lock(&m->refresh_lock);
    uint64_t now_us = weir_clock_mono_us();
    for (uint32_t i = 0; i < m->n_targets; i++) {
        any_hope |= refresh_target(m, i, now_us);
    }
    watch_regions(m, now_us);
    weir_retry_budget_tick(&m->retry_budget, now_us);
    weir_queue_set_open(m->queue, any_hope);
    (void)pthread_mutex_unlock(&m->refresh_lock);
}

void weir_model_watch(struct weir_model *m)
{
    (void)pthread_mutex_lock(&m->refresh_lock);
    m->is_watched = true;
    (void)pthread_mutex_unlock(&m->refresh_lock);
}

static void target_changed(void *arg, struct weir_target *target)
{
    (void)target;
    weir_model_refresh(arg);
}

/* The balance and the health know it before it can call back. */
static int keep_terms(struct weir_model *m, const struct weir_target_config *config,
                      const struct weir_target_terms *terms, struct weir_error *err)
{
    struct weir_target_terms *own = &m->terms[m->n_targets];
    *own = *terms;
    own->region = NULL; /* the balance has it */
    own->endpoint = terms->endpoint ? strdup(terms->endpoint) : NULL;
    if (terms->endpoint && !own->endpoint) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    if (weir_balance_add(m->balance, config->name, config->weight, terms->region) < 0) {
        return weir_error_set(err, WEIR_E_TOOBIG, "model %s: more than %d regions", m->name,
                              WEIR_BALANCE_MAX_REGIONS);
    }
    weir_health_add(m->health, terms->is_checked);
    return 0;
}

int weir_model_add_target(struct weir_model *m, struct weir_target_config *config,
                          const struct weir_target_terms *terms, struct weir_error *err)
{
    if (m->n_targets == WEIR_MODEL_MAX_TARGETS) {
        return weir_error_set(err, WEIR_E_TOOBIG, "model %s: more than %d targets", m->name,
                              WEIR_MODEL_MAX_TARGETS);
    }
    config->changed = target_changed;
    config->arg = m;
    int r = keep_terms(m, config, terms, err);
    r = r < 0 ? r : weir_target_create(config, &m->targets[m->n_targets], err);
    if (r < 0) {
        return r;
    }
    m->n_targets++;
    weir_model_refresh(m);
    return 0;
}

int weir_model_set_fallbacks(struct weir_model *m, struct weir_model *const *models, uint32_t n)
{
    if (n > WEIR_MODEL_MAX_FALLBACKS) {
        return WEIR_E_TOOBIG;
    }
    memcpy(m->fallbacks, models, n * sizeof(models[0]));
    m->n_fallbacks = n;
    return 0;
}

uint32_t weir_model_n_fallbacks(const struct weir_model *m)
{
    return m->n_fallbacks;
}

struct weir_model *weir_model_fallback(const struct weir_model *m, uint32_t index)
{
    return m->fallbacks[index];
}

const char *weir_model_name(const struct weir_model *m)
{
    return m->name;
}

weir_str weir_model_name_str(const struct weir_model *m)
{
    return (weir_str){m->name, m->n_name};
}

uint32_t weir_model_class_rank(const struct weir_model *m)
{
    return m->config.class_rank;
}

uint32_t weir_model_queue_timeout_ms(const struct weir_model *m)
{
    return m->config.queue_timeout_ms;
}

const weir_sampling *weir_model_sampling(const struct weir_model *m)
{
    return &m->config.sampling;
}

uint32_t weir_model_hedge_after_ms(const struct weir_model *m)
{
    return m->config.hedge_after_ms;
}

uint64_t weir_model_revision(const struct weir_model *m)
{
    return m->config.revision;
}

uint64_t weir_model_created_s(const struct weir_model *m)
{
    return m->created_s;
}

struct weir_queue *weir_model_queue(struct weir_model *m)
{
    return m->queue;
}

uint32_t weir_model_n_targets(const struct weir_model *m)
{
    return m->n_targets;
}

struct weir_target *weir_model_target(struct weir_model *m, uint32_t index)
{
    return m->targets[index];
}

struct weir_target *weir_model_choose(struct weir_model *m, const struct weir_balance_ask *ask,
                                      uint64_t now_us, uint32_t *ret_index)
{
    static const struct weir_balance_ask nothing;
    (void)atomic_fetch_add_explicit(&m->n_asked, 1, memory_order_relaxed);
    uint32_t i = weir_balance_choose(m->balance, ask ? ask : &nothing, now_us);
    if (i == WEIR_BALANCE_NONE) {
        return NULL;
    }
    if (ret_index) {
        *ret_index = i;
    }
    return m->targets[i];
}

uint64_t weir_model_n_asked(const struct weir_model *m)
{
    return atomic_load_explicit(&m->n_asked, memory_order_relaxed);
}

const struct weir_affinity *weir_model_affinity(const struct weir_model *m)
{
    return &m->config.affinity;
}

struct weir_balance *weir_model_balance(struct weir_model *m)
{
    return m->balance;
}

struct weir_health *weir_model_health(struct weir_model *m)
{
    return m->health;
}

struct weir_retry_budget *weir_model_retry_budget(struct weir_model *m)
{
    return &m->retry_budget;
}

const struct weir_target_terms *weir_model_terms(const struct weir_model *m, uint32_t index)
{
    return &m->terms[index];
}

uint32_t weir_model_find_target(const struct weir_model *m, weir_str endpoint)
{
    for (uint32_t i = 0; i < m->n_targets; i++) {
        if ((m->terms[i].endpoint && weir_str_is(endpoint, m->terms[i].endpoint)) ||
            weir_str_is(endpoint, weir_target_name(m->targets[i]))) {
            return i;
        }
    }
    return WEIR_BALANCE_NONE;
}

void weir_model_report(struct weir_model *m, uint32_t index, bool is_good, uint64_t ttft_us,
                       uint64_t now_us)
{
    if (is_good && ttft_us) {
        weir_balance_note_ttft(m->balance, index, ttft_us, now_us);
    }
    if (weir_health_report(m->health, index, is_good, now_us)) {
        weir_model_refresh(m);
    }
}

bool weir_model_is_remote(const struct weir_model *m)
{
    for (uint32_t i = 0; i < m->n_targets; i++) {
        if (!m->terms[i].is_upstream) {
            return false;
        }
    }
    return m->n_targets > 0;
}

/* Without a usable target: what the target itself says, as far as the health agrees. */
static uint32_t state_of(struct weir_model *m, uint32_t index)
{
    weir_target_status status;
    weir_target_read_status(m->targets[index], &status);
    if (status.state != WEIR_TARGET_READY) {
        return status.state;
    }
    return weir_health_state(m->health, index) == WEIR_HEALTH_UNCHECKED ? WEIR_TARGET_LOADING
                                                                        : WEIR_TARGET_STALLED;
}

uint32_t weir_model_state(struct weir_model *m)
{
    if (atomic_load_explicit(&m->balance->usable, memory_order_relaxed)) {
        return WEIR_TARGET_READY;
    }
    uint32_t state = WEIR_TARGET_FAILED;
    for (uint32_t i = 0; i < m->n_targets; i++) {
        uint32_t of_target = state_of(m, i);
        state = of_target < state ? of_target : state;
    }
    return state;
}

struct weir_model *weir_models_find(const struct weir_models *models, weir_str name)
{
    if (name.n == 0 && models->n == 1) {
        return models->list[0];
    }
    for (uint32_t i = 0; i < models->n; i++) {
        if (weir_str_eq(name, weir_model_name_str(models->list[i]))) {
            return models->list[i];
        }
    }
    return NULL;
}
