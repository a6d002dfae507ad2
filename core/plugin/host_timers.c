/* SPDX-License-Identifier: Apache-2.0 */
/* The host table: post() and timers, both on the main loop. */
#include <stdlib.h>

#include "core/plugin/plugins_internal.h"

static struct weir_plugin_loop *main_loop(const struct weir_plugin_instance *inst)
{
    return inst->plugins->options.main_loop;
}

static void unlink_post(struct weir_plugin_instance *inst, struct weir_instance_post *p)
{
    *(p->prev ? &p->prev->next : &inst->posts) = p->next;
    if (p->next) {
        p->next->prev = p->prev;
    }
    inst->n_posts--;
}

static void run_post(struct weir_plugin_task *task)
{
    struct weir_instance_post *p = (struct weir_instance_post *)task;
    void (*fn)(void *arg) = p->fn;
    void *arg = p->arg;
    pthread_mutex_lock(&p->instance->lock);
    unlink_post(p->instance, p);
    pthread_mutex_unlock(&p->instance->lock);
    free(p);
    fn(arg);
}

static int post(const weir_host *h, void (*fn)(void *arg), void *arg)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!fn) {
        return WEIR_E_ARG;
    }
    struct weir_instance_post *p = malloc(sizeof(*p));
    if (!p) {
        return WEIR_E_NOMEM;
    }
    *p = (struct weir_instance_post){.task.fn = run_post, .instance = inst, .fn = fn, .arg = arg};
    pthread_mutex_lock(&inst->lock);
    bool room = inst->n_posts < WEIR_INSTANCE_MAX_POSTS;
    if (room) {
        p->next = inst->posts;
        if (p->next) {
            p->next->prev = p;
        }
        inst->posts = p;
        inst->n_posts++;
        /* Under the lock, so that run_post cannot free it before we are done with it. */
        weir_plugin_loop_post(main_loop(inst), &p->task);
    }
    pthread_mutex_unlock(&inst->lock);
    if (!room) {
        free(p);
        return WEIR_E_BUSY;
    }
    return 0;
}

static void run_timer(struct weir_plugin_timer *timer)
{
    struct weir_instance_timer *t = (struct weir_instance_timer *)timer;
    struct weir_plugin_instance *inst = t->instance;
    pthread_mutex_lock(&inst->lock);
    bool stopped = t->state != INSTANCE_TIMER_ARMED;
    void (*fn)(void *arg) = t->fn;
    void *arg = t->arg;
    if (stopped || t->timer.repeat_us == 0) {
        t->state = INSTANCE_TIMER_FREE;
        inst->n_timers--;
    }
    pthread_mutex_unlock(&inst->lock);
    if (!stopped) {
        fn(arg);
    }
}

static struct weir_instance_timer *take_timer(struct weir_plugin_instance *inst)
{
    for (uint32_t i = 0; i < WEIR_INSTANCE_MAX_TIMERS; i++) {
        uint32_t at = (inst->next_timer + i) % WEIR_INSTANCE_MAX_TIMERS;
        if (inst->timers[at].state == INSTANCE_TIMER_FREE) {
            inst->next_timer = at + 1;
            return &inst->timers[at];
        }
    }
    return NULL;
}

static uint64_t timer_start(const weir_host *h, uint64_t delay_ms, uint64_t repeat_ms,
                            void (*fn)(void *arg), void *arg)
{
    const uint64_t max_ms = UINT64_C(366) * 24 * 3600 * 1000;
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!fn || delay_ms > max_ms || repeat_ms > max_ms) {
        return 0;
    }
    uint64_t id = 0;
    pthread_mutex_lock(&inst->lock);
    struct weir_instance_timer *t = take_timer(inst);
    if (t) {
        t->timer = (struct weir_plugin_timer){.fn = run_timer};
        t->instance = inst;
        t->fn = fn;
        t->arg = arg;
        if (weir_plugin_loop_timer_start(main_loop(inst), &t->timer, delay_ms * 1000,
                                         repeat_ms * 1000) == 0) {
            t->state = INSTANCE_TIMER_ARMED;
            t->generation++;
            inst->n_timers++;
            id = (uint64_t)t->generation << 8 | (uint64_t)(t - inst->timers + 1);
        }
    }
    pthread_mutex_unlock(&inst->lock);
    return id;
}

static int timer_stop(const weir_host *h, uint64_t timer_id)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    uint64_t slot = timer_id & 0xff;
    if (slot == 0 || slot > WEIR_INSTANCE_MAX_TIMERS) {
        return WEIR_E_ARG;
    }
    struct weir_instance_timer *t = &inst->timers[slot - 1];
    pthread_mutex_lock(&inst->lock);
    bool armed = t->state == INSTANCE_TIMER_ARMED && t->generation == timer_id >> 8;
    if (armed && weir_plugin_loop_timer_stop(main_loop(inst), &t->timer)) {
        t->state = INSTANCE_TIMER_FREE;
        inst->n_timers--;
    } else if (armed) {
        t->state = INSTANCE_TIMER_STOPPED; /* the loop has just taken it: run_timer frees it */
    }
    pthread_mutex_unlock(&inst->lock);
    return armed ? 0 : WEIR_E_GONE;
}

void weir_instance_drop_timers(struct weir_plugin_instance *inst, uint32_t *n_timers,
                               uint32_t *n_posts)
{
    pthread_mutex_lock(&inst->lock);
    *n_timers = inst->n_timers;
    *n_posts = inst->n_posts;
    for (uint32_t i = 0; i < WEIR_INSTANCE_MAX_TIMERS; i++) {
        (void)weir_plugin_loop_timer_stop(main_loop(inst), &inst->timers[i].timer);
    }
    while (inst->posts) {
        struct weir_instance_post *p = inst->posts;
        (void)weir_plugin_loop_unpost(main_loop(inst), &p->task);
        unlink_post(inst, p);
        free(p);
    }
    pthread_mutex_unlock(&inst->lock);
}

void weir_host_fill_timers(weir_host *host)
{
    host->post = post;
    host->timer_start = timer_start;
    host->timer_stop = timer_stop;
}
