/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Requests whose answers will be kept, so that equal ones can wait for the first of them.
 *
 * Ownership: flights and waiters are embedded in what the plugin keeps of a request, which leaves
 * the table before it goes. Threads: any; shard locks, under which nothing is called. */
#include <pthread.h>
#include <stdbool.h>

#include "weir/answer.h"

enum { FLIGHT_SHARDS = 16, FLIGHT_CHAINS = 256 };

struct flight_waiter {
    struct flight_waiter *next, *prev;
    struct flight *flight; /* NULL: waits for nothing */
    weir_ticket ticket;
};

struct flight {
    struct flight *next;
    const uint8_t *digest;
    struct flight_waiter *waiters;
    bool is_in; /* the table */
};

struct flight_shard {
    pthread_mutex_t lock;
    struct flight *chains[FLIGHT_CHAINS];
};

struct flights {
    const weir_host *host;
    struct flight_shard shards[FLIGHT_SHARDS];
};

void flights_init(struct flights *f, const weir_host *host);
/* drop() gets those that are still in the table: a host that knows no on_complete leaves them. */
void flights_finish(struct flights *f, void (*drop)(struct flight *left));

/* Puts `own` into the table, if it is not there. True: no equal one was there before it. */
bool flights_begin(struct flights *f, const uint8_t *digest, struct flight *own);
/* `ticket` is resumed when the first of the equal ones has ended. False: `own` is the first now. */
bool flights_wait(struct flights *f, const struct flight *own, struct flight_waiter *w,
                  weir_ticket ticket);
/* Takes it out: those that wait for it are resumed. No-op when it is not in. */
void flights_end(struct flights *f, struct flight *own);
/* Waits no longer. */
void flights_leave(struct flights *f, const uint8_t *digest, struct flight_waiter *w);
