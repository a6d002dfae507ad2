/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

struct weir_plugin_loop {
    uint32_t number;
    struct weir_plugin_clock clock;
    void (*wake)(void *arg);
    void *wake_arg;
    uint64_t turn_us, turn_wall_us; /* 0: not read in this turn */
    uint64_t random;                /* of the last draw */
    uint32_t n_drawn;               /* of the first requests */
    uint32_t n_until_next;          /* that is timed */
    struct weir_pieces pieces;
    pthread_mutex_t lock; /* all below */
    struct weir_plugin_task *first, **last;
    struct weir_plugin_timers timers;
};

static uint64_t system_mono_ns(void *arg)
{
    (void)arg;
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t system_wall_us(void *arg)
{
    (void)arg;
    return weir_clock_wall_us();
}

const struct weir_plugin_clock weir_plugin_clock_system = {system_mono_ns, system_wall_us, NULL};

uint64_t weir_plugin_clock_tick_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Thread_local struct weir_plugin_loop *own_loop;

static uint64_t now_us(const struct weir_plugin_loop *loop)
{
    return loop->clock.mono_ns(loop->clock.arg) / 1000;
}

int weir_plugin_loop_create(struct weir_plugin_clock clock, void (*wake)(void *arg), void *arg,
                            struct weir_plugin_loop **ret_loop)
{
    struct weir_plugin_loop *loop = calloc(1, sizeof(*loop));
    if (!loop) {
        return WEIR_E_NOMEM;
    }
    if (pthread_mutex_init(&loop->lock, NULL) != 0) {
        free(loop);
        return WEIR_E_NOMEM;
    }
    /* Of the process: a loop's number is its own whoever made it. Relaxed: only different. */
    static _Atomic uint32_t n_ever;
    loop->number = atomic_fetch_add_explicit(&n_ever, 1, memory_order_relaxed);
    loop->random = loop->number;
    loop->clock = clock;
    loop->wake = wake;
    loop->wake_arg = arg;
    loop->last = &loop->first;
    *ret_loop = loop;
    return 0;
}

void weir_plugin_loop_destroy(struct weir_plugin_loop *loop)
{
    if (!loop) {
        return;
    }
    own_loop = own_loop == loop ? NULL : own_loop;
    weir_plugin_timers_finish(&loop->timers);
    weir_pieces_finish(&loop->pieces);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

const struct weir_plugin_clock *weir_plugin_loop_clock(const struct weir_plugin_loop *loop)
{
    return &loop->clock;
}

void weir_plugin_loop_adopt(struct weir_plugin_loop *loop)
{
    own_loop = loop;
}

struct weir_plugin_loop *weir_plugin_loop_own(void)
{
    return own_loop;
}

struct weir_pieces *weir_plugin_loop_pieces(struct weir_plugin_loop *loop)
{
    return &loop->pieces;
}

void weir_plugin_loop_turned(struct weir_plugin_loop *loop)
{
    loop->turn_us = loop->turn_wall_us = 0;
}

uint64_t weir_plugin_loop_turn_us(struct weir_plugin_loop *loop)
{
    if (loop->turn_us == 0) {
        loop->turn_us = now_us(loop);
    }
    return loop->turn_us;
}

uint64_t weir_plugin_loop_turn_wall_us(struct weir_plugin_loop *loop)
{
    if (loop->turn_wall_us == 0) {
        loop->turn_wall_us = loop->clock.wall_us(loop->clock.arg);
    }
    return loop->turn_wall_us;
}

uint32_t weir_plugin_loop_draw(struct weir_plugin_loop *loop)
{
    enum { N_FIRST = 256, ONE_OF = 16 };
    if (loop->clock.mono_ns != system_mono_ns || loop->n_drawn < N_FIRST) {
        loop->n_drawn++;
        return 1;
    }
    if (loop->n_until_next > 0) {
        loop->n_until_next--;
        return 0;
    }
    loop->random = loop->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    loop->n_until_next = (uint32_t)(loop->random >> 33) % (2 * ONE_OF - 1);
    return ONE_OF;
}

uint32_t weir_plugin_loop_number(const struct weir_plugin_loop *loop)
{
    return loop->number;
}

static struct weir_plugin_task *take_task(struct weir_plugin_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct weir_plugin_task *task = loop->first;
    if (task) {
        loop->first = task->next;
        if (!loop->first) {
            loop->last = &loop->first;
        }
        task->next = NULL;
        task->queued = false;
    }
    pthread_mutex_unlock(&loop->lock);
    return task;
}

static struct weir_plugin_timer *take_due(struct weir_plugin_loop *loop, uint64_t now)
{
    pthread_mutex_lock(&loop->lock);
    struct weir_plugin_timer *t = weir_plugin_timers_first(&loop->timers);
    if (t && t->due_us <= now) {
        (void)weir_plugin_timers_remove(&loop->timers, t);
        if (t->repeat_us) {
            /* Missed periods are skipped, not made up for. Adding cannot fail: a place came free.
             */
            t->due_us = now + t->repeat_us;
            (void)weir_plugin_timers_add(&loop->timers, t);
        }
    } else {
        t = NULL;
    }
    pthread_mutex_unlock(&loop->lock);
    return t;
}

static size_t count_tasks(struct weir_plugin_loop *loop)
{
    size_t n = 0;
    pthread_mutex_lock(&loop->lock);
    for (struct weir_plugin_task *t = loop->first; t; t = t->next) {
        n++;
    }
    pthread_mutex_unlock(&loop->lock);
    return n;
}

void weir_plugin_loop_turn(struct weir_plugin_loop *loop)
{
    /* Only what was there at the start, so that tasks that post tasks cannot starve the driver. */
    for (size_t n = count_tasks(loop); n > 0; n--) {
        struct weir_plugin_task *task = take_task(loop);
        if (!task) {
            break;
        }
        task->fn(task);
    }
    uint64_t now = now_us(loop);
    struct weir_plugin_timer *t;
    while ((t = take_due(loop, now)) != NULL) {
        t->fn(t);
    }
    if (count_tasks(loop) > 0) {
        loop->wake(loop->wake_arg);
    }
}

uint64_t weir_plugin_loop_next_us(struct weir_plugin_loop *loop)
{
    uint64_t now = now_us(loop);
    pthread_mutex_lock(&loop->lock);
    const struct weir_plugin_timer *t = weir_plugin_timers_first(&loop->timers);
    uint64_t next = !t ? UINT64_MAX : t->due_us > now ? t->due_us - now : 0;
    pthread_mutex_unlock(&loop->lock);
    return next;
}

void weir_plugin_loop_post(struct weir_plugin_loop *loop, struct weir_plugin_task *task)
{
    pthread_mutex_lock(&loop->lock);
    bool added = !task->queued;
    if (added) {
        task->queued = true;
        task->next = NULL;
        *loop->last = task;
        loop->last = &task->next;
    }
    pthread_mutex_unlock(&loop->lock);
    if (added) {
        loop->wake(loop->wake_arg);
    }
}

bool weir_plugin_loop_unpost(struct weir_plugin_loop *loop, struct weir_plugin_task *task)
{
    pthread_mutex_lock(&loop->lock);
    bool queued = task->queued;
    if (queued) {
        struct weir_plugin_task **at = &loop->first;
        while (*at != task) {
            at = &(*at)->next;
        }
        *at = task->next;
        if (loop->last == &task->next) {
            loop->last = at;
        }
        task->queued = false;
        task->next = NULL;
    }
    pthread_mutex_unlock(&loop->lock);
    return queued;
}

int weir_plugin_loop_timer_start(struct weir_plugin_loop *loop, struct weir_plugin_timer *t,
                                 uint64_t delay_us, uint64_t repeat_us)
{
    uint64_t now = now_us(loop);
    pthread_mutex_lock(&loop->lock);
    t->due_us = delay_us > UINT64_MAX - now ? UINT64_MAX : now + delay_us;
    t->repeat_us = repeat_us;
    int rc = weir_plugin_timers_add(&loop->timers, t);
    bool earliest = rc == 0 && weir_plugin_timers_first(&loop->timers) == t;
    pthread_mutex_unlock(&loop->lock);
    if (earliest) {
        loop->wake(loop->wake_arg);
    }
    return rc;
}

bool weir_plugin_loop_timer_stop(struct weir_plugin_loop *loop, struct weir_plugin_timer *t)
{
    pthread_mutex_lock(&loop->lock);
    bool armed = weir_plugin_timers_remove(&loop->timers, t);
    pthread_mutex_unlock(&loop->lock);
    return armed;
}
