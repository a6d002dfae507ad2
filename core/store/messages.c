/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/messages.h"

#include <stdlib.h>

enum { MAX_BYTES = 4 * 1024 * 1024 };

struct weir_store_waiting {
    struct weir_store_waiting *next;
    size_t channel_len, message_len;
    char bytes[]; /* channel, message */
};

int weir_store_messages_init(struct weir_store_messages *m)
{
    *m = (struct weir_store_messages){0};
    m->last = &m->first;
    return pthread_mutex_init(&m->lock, NULL) == 0 ? 0 : WEIR_E_NOMEM;
}

static void free_waiting(struct weir_store_waiting *w)
{
    while (w) {
        struct weir_store_waiting *next = w->next;
        free(w);
        w = next;
    }
}

void weir_store_messages_finish(struct weir_store_messages *m)
{
    free_waiting(m->first);
    while (m->subscriptions) {
        struct weir_store_subscription *next = m->subscriptions->next;
        free(m->subscriptions);
        m->subscriptions = next;
    }
    pthread_mutex_destroy(&m->lock);
}

static weir_str channel_of(const struct weir_store_subscription *s)
{
    return (weir_str){s->channel, s->channel_len};
}

/* Under the lock. */
static bool is_heard(const struct weir_store_messages *m, weir_str channel)
{
    for (const struct weir_store_subscription *s = m->subscriptions; s; s = s->next) {
        if (s->fn && weir_str_eq(channel_of(s), channel)) {
            return true;
        }
    }
    return false;
}

int weir_store_messages_subscribe(struct weir_store_messages *m, weir_str channel,
                                  weir_store_message fn, void *arg, bool *ret_first,
                                  struct weir_store_subscription **ret_subscription)
{
    struct weir_store_subscription *s = malloc(sizeof(*s) + channel.n);
    if (!s) {
        return WEIR_E_NOMEM;
    }
    *s = (struct weir_store_subscription){.fn = fn, .arg = arg, .channel_len = channel.n};
    memcpy(s->channel, channel.p, channel.n);
    pthread_mutex_lock(&m->lock);
    bool room = m->n_subscriptions < WEIR_STORE_MAX_SUBSCRIPTIONS;
    if (room) {
        *ret_first = !is_heard(m, channel);
        struct weir_store_subscription **at = &m->subscriptions;
        while (*at) {
            at = &(*at)->next;
        }
        *at = s;
        m->n_subscriptions++;
    }
    pthread_mutex_unlock(&m->lock);
    if (!room) {
        free(s);
        return WEIR_E_NOMEM;
    }
    *ret_subscription = s;
    return 0;
}

/* Under the lock, and only while no turn looks at the list. */
static void sweep(struct weir_store_messages *m)
{
    struct weir_store_subscription **at = &m->subscriptions;
    while (*at) {
        struct weir_store_subscription *s = *at;
        if (s->fn) {
            at = &s->next;
        } else {
            *at = s->next;
            m->n_subscriptions--;
            free(s);
        }
    }
}

void weir_store_messages_unsubscribe(struct weir_store_messages *m,
                                     struct weir_store_subscription *subscription, bool *ret_last)
{
    pthread_mutex_lock(&m->lock);
    subscription->fn = NULL;
    *ret_last = !is_heard(m, channel_of(subscription));
    if (m->n_turns == 0) {
        sweep(m);
    }
    pthread_mutex_unlock(&m->lock);
}

static void lose(struct weir_store_messages *m)
{
    m->lost = true;
}

void weir_store_messages_add(struct weir_store_messages *m, weir_str channel, weir_str message)
{
    pthread_mutex_lock(&m->lock);
    bool heard = is_heard(m, channel);
    if (heard) {
        size_t n_bytes = channel.n + message.n;
        bool room = m->n_waiting < WEIR_STORE_MAX_WAITING && n_bytes <= MAX_BYTES - m->n_bytes;
        struct weir_store_waiting *w = room ? malloc(sizeof(*w) + n_bytes) : NULL;
        if (w) {
            *w = (struct weir_store_waiting){.channel_len = channel.n, .message_len = message.n};
            memcpy(w->bytes, channel.p, channel.n);
            if (message.n) {
                memcpy(w->bytes + channel.n, message.p, message.n);
            }
            *m->last = w;
            m->last = &w->next;
            m->n_waiting++;
            m->n_bytes += n_bytes;
        } else {
            lose(m);
        }
    }
    void (*wake)(void *arg) = heard ? m->wake : NULL;
    void *arg = m->wake_arg;
    pthread_mutex_unlock(&m->lock);
    if (wake) {
        wake(arg);
    }
}

void weir_store_messages_lose(struct weir_store_messages *m)
{
    pthread_mutex_lock(&m->lock);
    lose(m);
    void (*wake)(void *arg) = m->wake;
    void *arg = m->wake_arg;
    pthread_mutex_unlock(&m->lock);
    if (wake) {
        wake(arg);
    }
}

/* Without the lock: only [main] changes the list, and n_turns keeps what ends in it alive. A
 * subscriber that comes meanwhile is at the end, and may hear of this message or not. */
static void tell(struct weir_store_messages *m, const struct weir_store_waiting *w)
{
    for (struct weir_store_subscription *s = m->subscriptions; s; s = s->next) {
        if (s->fn && !w) {
            s->fn(s->arg, (weir_str){NULL, 0}, 1);
        } else if (s->fn && weir_str_eq(channel_of(s), (weir_str){w->bytes, w->channel_len})) {
            s->fn(s->arg, (weir_str){w->bytes + w->channel_len, w->message_len}, 0);
        }
    }
}

void weir_store_messages_turn(struct weir_store_messages *m)
{
    pthread_mutex_lock(&m->lock);
    struct weir_store_waiting *first = m->first;
    bool lost = m->lost;
    m->first = NULL;
    m->last = &m->first;
    m->n_waiting = 0;
    m->n_bytes = 0;
    m->lost = false;
    m->n_turns++;
    pthread_mutex_unlock(&m->lock);
    for (const struct weir_store_waiting *w = first; w; w = w->next) {
        tell(m, w);
    }
    if (lost) {
        tell(m, NULL); /* last: what is read again then is newer than any message */
    }
    free_waiting(first);
    pthread_mutex_lock(&m->lock);
    if (--m->n_turns == 0) {
        sweep(m);
    }
    pthread_mutex_unlock(&m->lock);
}
