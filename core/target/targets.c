/* SPDX-License-Identifier: Apache-2.0 */
#include "core/target/targets.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/target/model.h"

struct place {
    struct weir_model *model;
    uint32_t index;
};

struct weir_targets {
    pthread_rwlock_t lock; /* places and the list of watches: held to read while an ended() runs */
    pthread_mutex_t say;   /* what watches permit; taken inside `lock` or alone */
    struct weir_targets_watch *watches;
    _Atomic bool is_watched; /* nobody watches: an attempt costs one load */
    struct place places[WEIR_TARGETS_MAX];
    uint32_t n;
};

int weir_targets_create(struct weir_targets **ret_targets)
{
    struct weir_targets *t = calloc(1, sizeof(*t));
    if (!t) {
        return WEIR_E_NOMEM;
    }
    (void)pthread_rwlock_init(&t->lock, NULL);
    (void)pthread_mutex_init(&t->say, NULL);
    *ret_targets = t;
    return 0;
}

void weir_targets_destroy(struct weir_targets *t)
{
    if (t) {
        (void)pthread_mutex_destroy(&t->say);
        (void)pthread_rwlock_destroy(&t->lock);
        free(t);
    }
}

void weir_targets_open(struct weir_targets *t, const struct weir_models *models)
{
    (void)pthread_rwlock_wrlock(&t->lock);
    (void)pthread_mutex_lock(&t->say);
    for (uint32_t i = 0; i < models->n; i++) {
        uint32_t n = weir_model_n_targets(models->list[i]);
        for (uint32_t k = 0; k < n && t->n < WEIR_TARGETS_MAX; k++) {
            t->places[t->n++] = (struct place){models->list[i], k};
        }
    }
    (void)pthread_mutex_unlock(&t->say);
    (void)pthread_rwlock_unlock(&t->lock);
    for (const struct weir_targets_watch *w = t->watches; w; w = w->next) { /* [main] alone adds */
        w->opened(w->arg);
    }
}

void weir_targets_close(struct weir_targets *t)
{
    (void)pthread_rwlock_wrlock(&t->lock);
    (void)pthread_mutex_lock(&t->say); /* the end of a permit() under way */
    t->n = 0;
    (void)pthread_mutex_unlock(&t->say);
    (void)pthread_rwlock_unlock(&t->lock);
}

int weir_targets_watch(struct weir_targets *t, struct weir_targets_watch *w)
{
    w->permits = malloc(WEIR_TARGETS_MAX * sizeof(w->permits[0]));
    if (!w->permits) {
        return WEIR_E_NOMEM;
    }
    for (uint32_t i = 0; i < WEIR_TARGETS_MAX; i++) {
        w->permits[i] = UINT32_MAX;
    }
    (void)pthread_rwlock_wrlock(&t->lock);
    (void)pthread_mutex_lock(&t->say);
    w->next = t->watches;
    t->watches = w;
    (void)pthread_mutex_unlock(&t->say);
    atomic_store_explicit(&t->is_watched, true, memory_order_release);
    (void)pthread_rwlock_unlock(&t->lock);
    if (t->n > 0) {
        w->opened(w->arg);
    }
    return 0;
}

/* Under `say`: the strictest of all holds. */
static void apply(const struct weir_targets *t, uint32_t target)
{
    uint32_t permits = UINT32_MAX;
    for (const struct weir_targets_watch *w = t->watches; w; w = w->next) {
        permits = w->permits[target] < permits ? w->permits[target] : permits;
    }
    const struct place *p = &t->places[target];
    weir_health_set_permits(weir_model_health(p->model), p->index, permits);
    weir_model_refresh(p->model);
}

void weir_targets_unwatch(struct weir_targets *t, struct weir_targets_watch *w)
{
    (void)pthread_rwlock_wrlock(&t->lock);
    (void)pthread_mutex_lock(&t->say);
    struct weir_targets_watch **at = &t->watches;
    while (*at && *at != w) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = w->next;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        if (w->permits[i] != UINT32_MAX) {
            apply(t, i);
        }
    }
    (void)pthread_mutex_unlock(&t->say);
    atomic_store_explicit(&t->is_watched, t->watches != NULL, memory_order_release);
    (void)pthread_rwlock_unlock(&t->lock);
    free(w->permits);
    w->permits = NULL;
}

void weir_targets_tell(struct weir_targets *t, const struct weir_model *model, uint32_t index,
                       weir_attempt *attempt)
{
    if (!atomic_load_explicit(&t->is_watched, memory_order_acquire)) {
        return;
    }
    (void)pthread_rwlock_rdlock(&t->lock);
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->places[i].model == model && t->places[i].index == index) {
            attempt->target = i;
            for (const struct weir_targets_watch *w = t->watches; w; w = w->next) {
                w->ended(w->arg, attempt);
            }
            break;
        }
    }
    (void)pthread_rwlock_unlock(&t->lock);
}

int weir_targets_get(struct weir_targets *t, uint32_t target, weir_target_info *out)
{
    (void)pthread_mutex_lock(&t->say);
    bool is_there = target < t->n;
    if (is_there) {
        const struct place *p = &t->places[target];
        const struct weir_target_terms *terms = weir_model_terms(p->model, p->index);
        *out = (weir_target_info){
            .struct_size = sizeof(*out),
            .flags = terms->is_upstream ? WEIR_TARGET_UPSTREAM : 0u,
            .model = target - p->index,
            .name = weir_str_from(weir_target_name(weir_model_target(p->model, p->index))),
            .endpoint = weir_str_from(terms->endpoint ? terms->endpoint : ""),
            .n_asked = weir_model_n_asked(p->model),
        };
    }
    (void)pthread_mutex_unlock(&t->say);
    return is_there ? 0 : WEIR_E_NOTFOUND;
}

int weir_targets_permit(struct weir_targets *t, struct weir_targets_watch *w, uint32_t target,
                        int64_t n_requests)
{
    if (n_requests < WEIR_PERMIT_ALL || n_requests >= UINT32_MAX) {
        return WEIR_E_ARG;
    }
    uint32_t permits = n_requests == WEIR_PERMIT_ALL ? UINT32_MAX : (uint32_t)n_requests;
    (void)pthread_mutex_lock(&t->say);
    bool is_there = target < t->n;
    if (is_there && w->permits[target] != permits) {
        w->permits[target] = permits;
        apply(t, target);
    }
    (void)pthread_mutex_unlock(&t->say);
    return is_there ? 0 : WEIR_E_NOTFOUND;
}

const struct weir_targets_ops weir_targets_ops = {
    .watch = weir_targets_watch,
    .unwatch = weir_targets_unwatch,
    .get = weir_targets_get,
    .permit = weir_targets_permit,
};
