/* SPDX-License-Identifier: Apache-2.0 */
#include "stalls.h"

#include <sched.h>

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void keep(struct stalls *s, struct stall stall)
{
    if (s->found) {
        s->found(s->cpu, stall);
    } else if (s->n < MAX_STALLS) {
        s->kept[s->n++] = stall;
    }
}

static void *watch(void *arg)
{
    struct stalls *s = arg;
    uint64_t due_ns = now_ns(s->clock);
    while (
        !atomic_load_explicit(&s->ends, memory_order_relaxed)) { /* nothing else is handed over */
        due_ns += s->period_ns;
        const struct timespec due = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
        (void)clock_nanosleep(s->clock, TIMER_ABSTIME, &due, NULL);
        uint64_t woke_ns = now_ns(s->clock);
        if (woke_ns > due_ns + s->slack_ns) {
            keep(s, (struct stall){due_ns, woke_ns});
            due_ns = woke_ns;
        }
    }
    return NULL;
}

bool stalls_start(struct stalls *s)
{
    const struct sched_param before_all = {.sched_priority = 50};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)s->cpu, &set);
    s->n = 0;
    atomic_store_explicit(&s->ends, false, memory_order_relaxed); /* the thread begins later */
    if (pthread_create(&s->thread, NULL, watch, s) != 0) {
        return false;
    }
    if (pthread_setaffinity_np(s->thread, sizeof(set), &set) == 0 &&
        pthread_setschedparam(s->thread, SCHED_FIFO, &before_all) == 0) {
        return true;
    }
    stalls_stop(s);
    return false;
}

void stalls_stop(struct stalls *s)
{
    atomic_store_explicit(&s->ends, true, memory_order_relaxed); /* joined below */
    (void)pthread_join(s->thread, NULL);
}
