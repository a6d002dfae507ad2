/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct weir_model {
    struct weir_model_config config;
    char *name;
    uint64_t created_s;
    struct weir_queue *queue;
    struct weir_target *targets[WEIR_MODEL_MAX_TARGETS];
    struct weir_model *fallbacks[WEIR_MODEL_MAX_FALLBACKS]; /* borrowed */
    uint32_t n_fallbacks;
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
    int r = m->name ? weir_queue_create(config->queue_limit, config->called, config->arg, &m->queue)
                    : WEIR_E_NOMEM;
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
    weir_queue_destroy(m->queue);
    (void)pthread_mutex_destroy(&m->refresh_lock);
    free(m->name);
    free(m);
}

static bool can_run(const weir_target_status *status)
{
    return status->state == WEIR_TARGET_READY;
}

/* Gives the queue the target's places; returns its state. */
static uint32_t refresh_target(struct weir_model *m, uint32_t index)
{
    static const uint32_t none[WEIR_CLASS_COUNT];
    weir_target_status status;
    weir_target_read_status(m->targets[index], &status);
    bool runs = can_run(&status) && weir_target_weight(m->targets[index]) > 0;
    weir_queue_set_places(m->queue, index, runs ? status.max_sequences : none,
                          runs ? status.max_extra : 0, weir_clock_mono_us());
    return status.state;
}

void weir_model_refresh(struct weir_model *m)
{
    bool any_hope = false;
    (void)pthread_mutex_lock(&m->refresh_lock);
    for (uint32_t i = 0; i < m->n_targets; i++) {
        any_hope |= refresh_target(m, i) != WEIR_TARGET_FAILED;
    }
    weir_queue_set_open(m->queue, any_hope);
    (void)pthread_mutex_unlock(&m->refresh_lock);
}

static void target_changed(void *arg, struct weir_target *target)
{
    (void)target;
    weir_model_refresh(arg);
}

int weir_model_add_target(struct weir_model *m, struct weir_target_config *config,
                          struct weir_error *err)
{
    if (m->n_targets == WEIR_MODEL_MAX_TARGETS) {
        return weir_error_set(err, WEIR_E_TOOBIG, "model %s: more than %d targets", m->name,
                              WEIR_MODEL_MAX_TARGETS);
    }
    config->changed = target_changed;
    config->arg = m;
    int r = weir_target_create(config, &m->targets[m->n_targets], err);
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

uint32_t weir_model_class_rank(const struct weir_model *m)
{
    return m->config.class_rank;
}

uint32_t weir_model_queue_timeout_ms(const struct weir_model *m)
{
    return m->config.queue_timeout_ms;
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

struct weir_target *weir_model_choose(struct weir_model *m, uint32_t *ret_index)
{
    struct weir_target *best = NULL;
    double best_load = 0;
    for (uint32_t i = 0; i < m->n_targets; i++) {
        weir_target_status status;
        weir_target_read_status(m->targets[i], &status);
        uint32_t weight = weir_target_weight(m->targets[i]);
        if (!can_run(&status) || weight == 0) {
            continue;
        }
        double load = (double)(weir_queue_used(m->queue, i) + 1) / weight;
        if (!best || load < best_load) {
            best = m->targets[i];
            best_load = load;
            if (ret_index) {
                *ret_index = i;
            }
        }
    }
    return best;
}

uint32_t weir_model_state(struct weir_model *m)
{
    uint32_t state = WEIR_TARGET_FAILED;
    for (uint32_t i = 0; i < m->n_targets; i++) {
        weir_target_status status;
        weir_target_read_status(m->targets[i], &status);
        if (status.state == WEIR_TARGET_READY) {
            return WEIR_TARGET_READY;
        }
        state = status.state < state ? status.state : state;
    }
    return state;
}

struct weir_model *weir_models_find(const struct weir_models *models, weir_str name)
{
    if (name.n == 0 && models->n == 1) {
        return models->list[0];
    }
    for (uint32_t i = 0; i < models->n; i++) {
        if (weir_str_is(name, models->list[i]->name)) {
            return models->list[i];
        }
    }
    return NULL;
}
