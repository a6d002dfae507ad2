/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include <time.h>

int weir_mailbox_init(struct weir_mailbox *m)
{
    *m = (struct weir_mailbox){0};
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0) {
        return WEIR_E_NOMEM;
    }
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    int r = pthread_cond_init(&m->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (r != 0) {
        return WEIR_E_NOMEM;
    }
    if (pthread_mutex_init(&m->lock, NULL) != 0) {
        (void)pthread_cond_destroy(&m->changed);
        return WEIR_E_NOMEM;
    }
    return 0;
}

void weir_mailbox_finish(struct weir_mailbox *m)
{
    (void)pthread_mutex_destroy(&m->lock);
    (void)pthread_cond_destroy(&m->changed);
}

static void add_event(struct weir_mailbox *m, struct weir_job *job, uint32_t event)
{
    if (job->events == 0) {
        job->event_next = NULL;
        if (m->events_last) {
            m->events_last->event_next = job;
        } else {
            m->events_first = job;
        }
        m->events_last = job;
    }
    job->events |= event;
    (void)pthread_cond_signal(&m->changed);
}

int weir_mailbox_submit(struct weir_mailbox *m, struct weir_job *job, uint32_t max_sequences)
{
    int r = WEIR_E_BUSY;
    (void)pthread_mutex_lock(&m->lock);
    if (m->accepting && !m->closing && m->n_sequences < max_sequences) {
        job->prev = NULL;
        job->next = m->jobs;
        if (m->jobs) {
            m->jobs->prev = job;
        }
        m->jobs = job;
        m->n_sequences += job->n_sequences;
        add_event(m, job, WEIR_EVENT_SUBMIT);
        r = 0;
    }
    (void)pthread_mutex_unlock(&m->lock);
    return r;
}

void weir_mailbox_post(struct weir_mailbox *m, weir_ticket ticket, uint32_t event)
{
    (void)pthread_mutex_lock(&m->lock);
    for (struct weir_job *job = m->jobs; job; job = job->next) {
        if (job->ticket == ticket) {
            add_event(m, job, event);
            break;
        }
    }
    (void)pthread_mutex_unlock(&m->lock);
}

void weir_mailbox_accept(struct weir_mailbox *m, bool accepting)
{
    (void)pthread_mutex_lock(&m->lock);
    m->accepting = accepting;
    (void)pthread_mutex_unlock(&m->lock);
}

void weir_mailbox_close(struct weir_mailbox *m)
{
    (void)pthread_mutex_lock(&m->lock);
    m->closing = true;
    (void)pthread_cond_broadcast(&m->changed);
    (void)pthread_mutex_unlock(&m->lock);
}

bool weir_mailbox_is_closing(struct weir_mailbox *m)
{
    (void)pthread_mutex_lock(&m->lock);
    bool closing = m->closing;
    (void)pthread_mutex_unlock(&m->lock);
    return closing;
}

static void wait_for_event(struct weir_mailbox *m, int64_t wait_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int r = 0;
    while (!m->events_first && !m->closing && r == 0) {
        r = wait_ms < 0 ? pthread_cond_wait(&m->changed, &m->lock)
                        : pthread_cond_timedwait(&m->changed, &m->lock, &until);
    }
}

struct weir_job *weir_mailbox_take(struct weir_mailbox *m, int64_t wait_ms)
{
    (void)pthread_mutex_lock(&m->lock);
    if (!m->events_first && wait_ms != 0) {
        wait_for_event(m, wait_ms);
    }
    struct weir_job *taken = m->events_first;
    for (struct weir_job *job = taken; job; job = job->event_next) {
        job->taken_events = job->events;
        job->taken_next = job->event_next;
        job->events = 0;
    }
    m->events_first = m->events_last = NULL;
    (void)pthread_mutex_unlock(&m->lock);
    return taken;
}

static void unlink_event(struct weir_mailbox *m, struct weir_job *job)
{
    struct weir_job *before = NULL;
    for (struct weir_job *at = m->events_first; at != job; at = at->event_next) {
        before = at;
    }
    if (before) {
        before->event_next = job->event_next;
    } else {
        m->events_first = job->event_next;
    }
    if (m->events_last == job) {
        m->events_last = before;
    }
}

bool weir_mailbox_claim(struct weir_mailbox *m, weir_ticket *ret_ticket)
{
    (void)pthread_mutex_lock(&m->lock);
    struct weir_job *job = m->jobs;
    while (job && job->was_reported) {
        job = job->next;
    }
    if (job) {
        job->was_reported = true;
        *ret_ticket = job->ticket;
    }
    (void)pthread_mutex_unlock(&m->lock);
    return job != NULL;
}

bool weir_mailbox_remove(struct weir_mailbox *m, struct weir_job *job)
{
    (void)pthread_mutex_lock(&m->lock);
    if (job->events != 0) {
        unlink_event(m, job);
    }
    if (job->prev) {
        job->prev->next = job->next;
    } else {
        m->jobs = job->next;
    }
    if (job->next) {
        job->next->prev = job->prev;
    }
    m->n_sequences -= job->n_sequences;
    bool is_ours = !job->was_reported;
    job->was_reported = true;
    (void)pthread_mutex_unlock(&m->lock);
    return is_ours;
}
