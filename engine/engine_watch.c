/* SPDX-License-Identifier: Apache-2.0 */
/* A step that does not return: its requests end all the same. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "engine_internal.h"

enum { LOOKS = 16, LEAST_PERIOD_MS = 5, MOST_PERIOD_MS = 1000 };

uint64_t weir_engine_stalled_us(const struct weir_engine *e, uint64_t now_us)
{
    return e->work_pending && now_us > e->work_since_us ? now_us - e->work_since_us : 0;
}

/* True once for every stall that is too long: the engine has failed from then on. */
static bool declare_failed(struct weir_engine *e)
{
    uint64_t now_us = weir_engine_now_us(e);
    uint64_t limit_us = (uint64_t)e->config.stall_limit_ms * 1000;
    (void)pthread_mutex_lock(&e->status_lock);
    uint32_t expected = WEIR_STEP_RUNS;
    bool hangs = e->status.state == WEIR_TARGET_READY &&
                 weir_engine_stalled_us(e, now_us) > limit_us &&
                 atomic_compare_exchange_strong(&e->step_state, &expected, WEIR_STEP_GIVEN_UP);
    if (hangs) {
        e->status.state = WEIR_TARGET_FAILED;
        e->status.running = e->status.waiting = 0;
        e->work_pending = false;
        (void)snprintf(e->status.error, sizeof(e->status.error),
                       "the backend has not finished a step for %u ms; waiting for it",
                       e->config.stall_limit_ms);
    }
    (void)pthread_mutex_unlock(&e->status_lock);
    return hangs;
}

/* The jobs stay where they are, since the step may still read them; only their requests end. */
static void end_requests(struct weir_engine *e)
{
    weir_mailbox_accept(&e->mailbox, false);
    const weir_outcome outcome = {
        .struct_size = sizeof(outcome),
        .rc = WEIR_E_TIMEOUT,
        .message = weir_str_from("the device does not answer"),
    };
    weir_ticket ticket;
    while (weir_mailbox_claim(&e->mailbox, &ticket)) {
        e->sink->finish(e->sink, ticket, &outcome);
    }
    e->sink->flush(e->sink);
    e->sink->notify(e->sink);
}

static void look(struct weir_engine *e)
{
    if (declare_failed(e)) {
        end_requests(e);
        weir_engine_interrupt(e);
    }
}

/* False when the watch ends. */
static bool wait_a_period(struct weir_engine *e, uint32_t period_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += period_ms / 1000;
    until.tv_nsec += (long)(period_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int r = 0;
    (void)pthread_mutex_lock(&e->watch_lock);
    while (!e->watch_ends && r == 0) {
        r = pthread_cond_timedwait(&e->watch_wakes, &e->watch_lock, &until);
    }
    bool goes_on = !e->watch_ends;
    (void)pthread_mutex_unlock(&e->watch_lock);
    return goes_on;
}

static void *run(void *engine)
{
    struct weir_engine *e = engine;
    uint32_t period_ms = e->config.stall_limit_ms / LOOKS;
    period_ms = period_ms < LEAST_PERIOD_MS  ? LEAST_PERIOD_MS
                : period_ms > MOST_PERIOD_MS ? MOST_PERIOD_MS
                                             : period_ms;
    while (wait_a_period(e, period_ms)) {
        look(e);
    }
    return NULL;
}

int weir_engine_watch_start(struct weir_engine *e)
{
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0) {
        return ENOMEM;
    }
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    int r = pthread_cond_init(&e->watch_wakes, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (r != 0) {
        return r;
    }
    (void)pthread_mutex_init(&e->watch_lock, NULL);
    r = pthread_create(&e->watch, NULL, run, e);
    if (r != 0) {
        (void)pthread_cond_destroy(&e->watch_wakes);
        (void)pthread_mutex_destroy(&e->watch_lock);
    }
    return r;
}

void weir_engine_watch_stop(struct weir_engine *e)
{
    (void)pthread_mutex_lock(&e->watch_lock);
    e->watch_ends = true;
    (void)pthread_cond_signal(&e->watch_wakes);
    (void)pthread_mutex_unlock(&e->watch_lock);
    (void)pthread_join(e->watch, NULL);
    (void)pthread_cond_destroy(&e->watch_wakes);
    (void)pthread_mutex_destroy(&e->watch_lock);
}
