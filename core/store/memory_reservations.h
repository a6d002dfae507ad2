/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reservations of the memory store's budgets: those that are open, those whose time is over and
 * that are kept, and the ids of those that are settled.
 *
 * One record for all budgets of a call: found by the id alone, it leads to the budgets, so that
 * settling looks for nothing else. An id that was reserved by several calls has a record for each;
 * no two of them have a seat in the same budget. Settled ids are remembered as hashes
 * (memory_ids.h) together with the budget's number, so that they end with their budget. Ownership:
 * the shard's; a budget that goes takes its seats along. Threads: under the shard's lock. Bounds:
 * those of the map; what is kept and what is settled take half of its bytes at most, beyond that
 * the oldest are forgotten early. */
#include "core/store/memory_ids.h"

struct weir_store_entry;
struct weir_store_shard;

struct weir_store_seat {
    struct weir_store_entry *budget;
    uint64_t units;
};

struct weir_store_reservation {
    struct weir_store_id id; /* of tenant and id */
    uint32_t at;             /* 1-based place in its heap */
    uint64_t due_us;         /* when its time is over, or when a kept one is forgotten */
    uint8_t n, n_made;       /* seats; for how many it has room */
    bool keep;               /* what becomes of it when its time is over */
    bool is_kept;            /* it is over: the units count as used */
    struct weir_store_seat seats[];
};

struct weir_store_due { /* a binary heap, the earliest first */
    struct weir_store_reservation **at;
    uint32_t n, cap;
};

enum { WEIR_STORE_SETTLED_STEPS = 64 };

struct weir_store_reservations {
    struct weir_store_reservation **slots; /* open addressing, linear probing; NULL: free */
    uint32_t n_slots, n;                   /* n_slots: a power of two, half are free at least */
    struct weir_store_due open, kept;
    struct weir_store_ids settled;
    struct { /* ids were added in steps of a second: when, and the first one's number */
        uint64_t at_us;
        uint32_t first;
    } steps[WEIR_STORE_SETTLED_STEPS];
    uint32_t first_step, n_steps;
    uint32_t last_serial;       /* of a budget */
    size_t kept_bytes, counted; /* counted: of what is over, in the map's sum */
};

void weir_store_reservations_finish(struct weir_store_shard *s);
/* Ends those whose time is over, and forgets what was settled a minute ago. */
void weir_store_reservations_age(struct weir_store_shard *s, uint64_t now_us);

/* The first reservation under an id, or the next behind `after`; NULL: none. */
struct weir_store_reservation *
weir_store_reservation_find(const struct weir_store_shard *s, struct weir_store_id id,
                            const struct weir_store_reservation *after);
/* With n empty seats, open; NULL: no room. */
struct weir_store_reservation *weir_store_reservation_create(struct weir_store_shard *s,
                                                             struct weir_store_id id, uint32_t n,
                                                             uint64_t due_us);
/* Its budgets are told that the seats are gone; their sums are the caller's. */
void weir_store_reservation_destroy(struct weir_store_shard *s, struct weir_store_reservation *r);
void weir_store_reservation_move(struct weir_store_shard *s, struct weir_store_reservation *r,
                                 uint64_t due_us);
/* One seat less; without any the reservation is gone. */
void weir_store_reservation_leave(struct weir_store_shard *s, struct weir_store_reservation *r,
                                  uint32_t seat);
/* A budget goes. */
void weir_store_reservations_forget(struct weir_store_shard *s,
                                    const struct weir_store_entry *budget);

bool weir_store_is_settled(const struct weir_store_shard *s, struct weir_store_id id,
                           const struct weir_store_entry *budget);
/* Without room it is not remembered. */
void weir_store_remember_settled(struct weir_store_shard *s, struct weir_store_id id,
                                 const struct weir_store_entry *budget, uint64_t now_us);
