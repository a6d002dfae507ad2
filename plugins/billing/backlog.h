/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Settlements that the store did not take, kept in memory until it does.
 *
 * Bound: `max`, those being tried again included. Policy when full: the settlement is lost, counted
 * and logged; requests are refused before it comes to that, but with on_store_loss: allow.
 * Threads: push [any]; drain [main]. Ownership: the backlog owns what is in it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct billing;
struct settlement;

struct billing_backlog {
    pthread_mutex_t lock; /* everything below */
    struct settlement *first, *last;
    uint32_t n;             /* in the list */
    uint32_t n_retrying;    /* taken out by drain() and under way */
    _Atomic uint32_t n_all; /* of both: read without the lock */
    uint32_t max;
    bool last_ok; /* the latest retry went through: more at a time */
};

void billing_backlog_init(struct billing_backlog *l, uint32_t max);
/* Frees what is left and says how many that were. */
uint32_t billing_backlog_finish(struct billing_backlog *l);
/* `returns`: drain() had taken it and it failed again. False: the backlog is full, the settlement
 * stays with the caller; never for one that returns. */
bool billing_backlog_push(struct billing_backlog *l, struct settlement *s, bool returns);
/* A settlement that drain() had taken is through. */
void billing_backlog_settled(struct billing_backlog *l);
bool billing_backlog_is_full(struct billing_backlog *l);
uint32_t billing_backlog_count(struct billing_backlog *l);
/* Tries again: one while the store fails, many once it works. */
void billing_backlog_drain(struct billing_backlog *l);
