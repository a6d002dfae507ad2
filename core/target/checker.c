/* SPDX-License-Identifier: Apache-2.0 */
#include "checker.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

/* One probe and how it went so far. */
struct probe {
    struct weir_check check;
    const char *name;
    bool is_good;
    uint32_t n_in_a_row; /* results that say the contrary */
    uint64_t due_us;
};

struct weir_checker {
    struct weir_model *model;
    uint32_t index;
    struct probe startup, liveness, readiness;
    bool has_started;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards is_ending */
    pthread_cond_t changed;
    bool is_ending;
};

bool weir_checks_are_enabled(const struct weir_checks *checks)
{
    return checks->startup.enabled || checks->liveness.enabled || checks->readiness.enabled;
}

/* True when its word has changed. */
static bool ask(struct weir_checker *c, struct probe *p)
{
    struct weir_target *target = weir_model_target(c->model, c->index);
    uint64_t began_us = weir_clock_mono_us();
    int rc = weir_target_check(target, weir_str_from(p->check.path), p->check.timeout_ms);
    uint64_t now_us = weir_clock_mono_us();
    p->due_us = now_us + (uint64_t)p->check.interval_ms * 1000;
    if (rc == 0) {
        weir_regions_note_rtt(weir_model_balance(c->model), c->index, now_us - began_us);
    }
    if ((rc == 0) == p->is_good) {
        p->n_in_a_row = 0;
        return false;
    }
    if (++p->n_in_a_row < (p->is_good ? p->check.n_failures : p->check.n_successes)) {
        return false;
    }
    p->n_in_a_row = 0;
    p->is_good = rc == 0;
    weir_log(rc == 0 ? WEIR_LOG_INFO : WEIR_LOG_WARN, "target", NULL, "%s: %s check: %s",
             weir_target_name(target), p->name, rc == 0 ? "good" : weir_error_name(rc));
    return true;
}

static bool is_due(const struct probe *p, uint64_t now_us)
{
    return p->check.enabled && now_us >= p->due_us;
}

static void tell(struct weir_checker *c)
{
    bool good = (!c->liveness.check.enabled || c->liveness.is_good) &&
                (!c->readiness.check.enabled || c->readiness.is_good);
    weir_health_set_checked(weir_model_health(c->model), c->index, c->has_started && good);
    weir_model_refresh(c->model);
}

static void turn(struct weir_checker *c)
{
    uint64_t now_us = weir_clock_mono_us();
    bool changed = false;
    if (!c->has_started) {
        if (is_due(&c->startup, now_us)) {
            changed = ask(c, &c->startup);
            c->has_started = c->startup.is_good;
        }
    } else {
        changed = is_due(&c->liveness, now_us) && ask(c, &c->liveness);
        changed = (is_due(&c->readiness, now_us) && ask(c, &c->readiness)) || changed;
    }
    if (changed) {
        tell(c);
    }
}

static uint64_t next_due_us(const struct weir_checker *c)
{
    const struct probe *probes[] = {&c->startup, &c->liveness, &c->readiness};
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < 3; i++) {
        bool counts = probes[i]->check.enabled && (i == 0) != c->has_started;
        next = counts && probes[i]->due_us < next ? probes[i]->due_us : next;
    }
    return next;
}

/* False: it ends. */
static bool sleep_until_due(struct weir_checker *c)
{
    enum { MOST_US = 1000000 };
    uint64_t now_us = weir_clock_mono_us(), due_us = next_due_us(c);
    uint64_t wait_us = due_us <= now_us ? 0 : due_us - now_us < MOST_US ? due_us - now_us : MOST_US;
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    uint64_t ns = (uint64_t)at.tv_nsec + wait_us * 1000;
    at.tv_sec += (time_t)(ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    (void)pthread_mutex_lock(&c->mutex);
    int r = 0;
    while (!c->is_ending && wait_us && r == 0) {
        r = pthread_cond_timedwait(&c->changed, &c->mutex, &at);
    }
    bool goes_on = !c->is_ending;
    (void)pthread_mutex_unlock(&c->mutex);
    return goes_on;
}

static void *run(void *arg)
{
    struct weir_checker *c = arg;
    while (sleep_until_due(c)) {
        turn(c);
    }
    return NULL;
}

int weir_checker_create(struct weir_model *model, uint32_t target, const struct weir_checks *checks,
                        struct weir_checker **ret_checker)
{
    struct weir_checker *c = calloc(1, sizeof(*c));
    if (!c) {
        return WEIR_E_NOMEM;
    }
    c->model = model;
    c->index = target;
    c->startup = (struct probe){.check = checks->startup, .name = "startup"};
    c->liveness = (struct probe){.check = checks->liveness, .name = "liveness"};
    c->readiness = (struct probe){.check = checks->readiness, .name = "readiness"};
    c->has_started = !checks->startup.enabled;
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&c->mutex, NULL);
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        (void)pthread_mutex_destroy(&c->mutex);
        (void)pthread_cond_destroy(&c->changed);
        free(c);
        return WEIR_E_NOMEM;
    }
    (void)pthread_setname_np(c->thread, "weir-check");
    *ret_checker = c;
    return 0;
}

void weir_checker_destroy(struct weir_checker *c)
{
    if (!c) {
        return;
    }
    (void)pthread_mutex_lock(&c->mutex);
    c->is_ending = true;
    (void)pthread_cond_signal(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
    (void)pthread_join(c->thread, NULL);
    (void)pthread_mutex_destroy(&c->mutex);
    (void)pthread_cond_destroy(&c->changed);
    free(c);
}
