/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Subscriptions of this process, and the messages that wait to be given to them on [main].
 *
 * Ownership: owns copies of channels and messages. Threads: add [any]; the rest [main].
 * Bounds: WEIR_STORE_MAX_WAITING messages and 4 MiB; beyond it a message is dropped, and every
 * subscriber is told that some may be lost. */
#include <pthread.h>
#include <stdbool.h>

#include "weir/store.h"

enum { WEIR_STORE_MAX_WAITING = 1024, WEIR_STORE_MAX_SUBSCRIPTIONS = 1024 };

struct weir_store_subscription {
    struct weir_store_subscription *next;
    weir_store_message fn; /* NULL: ended, to be freed when no turn is under way */
    void *arg;
    size_t channel_len;
    char channel[];
};

struct weir_store_waiting;

struct weir_store_messages {
    pthread_mutex_t lock;
    struct weir_store_subscription *subscriptions; /* oldest first */
    uint32_t n_subscriptions;
    uint32_t n_turns; /* of turn() on the stack */
    struct weir_store_waiting *first, **last;
    uint32_t n_waiting;
    size_t n_bytes;
    bool lost;
    void (*wake)(void *arg);
    void *wake_arg;
};

int weir_store_messages_init(struct weir_store_messages *m);
void weir_store_messages_finish(struct weir_store_messages *m);
/* *ret_first: it is the channel's only one. */
int weir_store_messages_subscribe(struct weir_store_messages *m, weir_str channel,
                                  weir_store_message fn, void *arg, bool *ret_first,
                                  struct weir_store_subscription **ret_subscription);
/* *ret_last: the channel has no other. */
void weir_store_messages_unsubscribe(struct weir_store_messages *m,
                                     struct weir_store_subscription *subscription, bool *ret_last);
/* Queues a copy for every subscriber of the channel. */
void weir_store_messages_add(struct weir_store_messages *m, weir_str channel, weir_str message);
/* Every subscriber is to be told that messages may be lost. */
void weir_store_messages_lose(struct weir_store_messages *m);
void weir_store_messages_turn(struct weir_store_messages *m);
