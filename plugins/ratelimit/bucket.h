/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One limit of one subject as this replica knows it: units that were debited in the store and not
 * yet spent, and what the store said last.
 *
 * Exactness. The store runs the algorithm; what is spent here was debited there before, at most
 * `life` ago. Debits conform to (rate, depth), so in any window w at most depth + rate * (w + life)
 * is spent. For a limit that is leased, depth is burst - rate * life: the bound is burst + rate *
 * w, as if every unit had been taken from the store when it was spent. Units that are older than
 * their lease go back to the store and are never spent; a call that takes more renews them, since
 * giving them back and taking them again would be the same. Threads: the owner's lock. No
 * allocation. */
#include <stdbool.h>
#include <stdint.h>

#include "limit.h"
#include "weir/store.h"

struct bucket {
    struct rate rate;
    uint64_t depth;   /* burst that is asked of the store */
    uint64_t life_us; /* of a lease; 0: each unit is taken exactly */

    int64_t balance;         /* debited and not spent; negative: owed to the store */
    uint64_t lease_until_us; /* of the balance */
    uint64_t wanted;         /* units that waiting requests need */

    int64_t left;        /* in the store, without our balance, at left_at_us */
    uint64_t left_at_us; /* 0: the store was not asked yet */

    uint64_t seen_us, seen_units; /* demand: of the running interval, */
    uint64_t per_s;               /* and of those before */

    weir_store_limit_state *at_hand; /* NULL: not opened; see direct.c */
    uint64_t opened_us;              /* changed_us then */

    struct limit_text text; /* of `rate`; the subject's */

    uint64_t changed_us;     /* when the limit began */
    uint64_t local_until_us; /* theoretical arrival time while the store is lost */
};

/* leased: the store is shared, so that leases are worth it. */
void bucket_init(struct bucket *b, const struct rate *rate, bool leased);
/* The limit changed: it begins anew, in the store too. What was debited of the old one is let go;
 * what is owed stays. */
void bucket_change(struct bucket *b, const struct rate *rate, bool leased, uint64_t now_us);
bool bucket_is_of(const struct bucket *b, const struct rate *rate);

/* Takes units from the balance. `fresh`: they have just come from the store. */
bool bucket_spend(struct bucket *b, uint64_t units, uint64_t now_us, bool fresh);
/* Notes demand, for the size of leases. */
void bucket_note(struct bucket *b, uint64_t units, uint64_t now_us);
/* Units debited in the store by a call sent at sent_us. */
void bucket_credit(struct bucket *b, uint64_t units, uint64_t sent_us);
/* Units that a request reserved at taken_us and did not use: they may be spent again, or go back to
 * the store. Nothing when the limit has refilled since, for then they were forgiven already. */
void bucket_refund(struct bucket *b, uint64_t units, uint64_t taken_us, uint64_t now_us);
/* More was used than reserved: owed, and paid with the next call. */
void bucket_owe(struct bucket *b, uint64_t units);

/* What the store said. */
void bucket_saw(struct bucket *b, int64_t left, uint64_t now_us);
/* Units that the store would give now, as far as is known; depth when it was not asked yet. */
uint64_t bucket_left(const struct bucket *b, uint64_t now_us);
/* Can it be known without asking that `units` are not to be had? */
bool bucket_is_short(const struct bucket *b, uint64_t units, uint64_t now_us);
/* What to ask of the store: what is wanted, what is owed, and a lease for what will come. At least
 * `need` more than the balance. */
uint64_t bucket_ask(const struct bucket *b, uint64_t need, uint64_t now_us);
/* Units to give back now, which leave the balance; 0: none. */
uint64_t bucket_expire(struct bucket *b, uint64_t now_us, bool all);

/* For headers: units to be had, and the time until the limit is whole. */
uint64_t bucket_remaining(const struct bucket *b, uint64_t now_us);
uint64_t bucket_reset_us(const struct bucket *b, uint64_t now_us);
/* Until `units` could pass. */
uint64_t bucket_retry_us(const struct bucket *b, uint64_t units, uint64_t now_us);

/* While the store is lost: a share of the limit, 1/replicas, counted here. */
bool bucket_spend_local(struct bucket *b, uint64_t units, uint64_t now_us, uint32_t replicas);
