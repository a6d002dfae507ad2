/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whoever a limit is for: a tenant, user, key or model, with all of its limits.
 *
 * Ownership: the limiter's table; a pinned one stays. Threads: the shard's lock. Limits stay at
 * their index for the life of a subject, so that requests can remember what they hold by bits. */
#include "bucket.h"
#include "table.h"

enum {
    SUBJECT_SLOT = LIMIT_MAX_RATES, /* index of the concurrency limit beside the rates */
    SUBJECT_ITEMS = LIMIT_MAX_RATES + 1,
};

struct fetch;
struct limiter;

/* Requests at a time. The replica holds one reservation for each subject, of `reserved` places, and
 * hands them out itself. */
struct slots {
    uint32_t limit; /* 0: none */
    uint32_t running, reserved, wanted, local;
    uint64_t expires_us; /* of the reservation */
    int64_t left;        /* free places in the store at left_at_us */
    uint64_t left_at_us;
};

struct subject {
    struct level_entry e;       /* first */
    struct subject *next_dirty; /* see sweep.c */
    bool is_dirty;
    uint8_t own_levels; /* LEVEL_TENANT: bits of the levels that its record may limit */
    uint16_t active;    /* bits of the limits in force */
    uint16_t made;      /* bits of the buckets that there are */
    char *prefix;       /* of its keys in the store; does not change */
    uint32_t prefix_len;
    struct limiter *limiter;                 /* where its limits are at hand; NULL: nowhere */
    struct bucket *buckets[LIMIT_MAX_RATES]; /* by resource and period; NULL: never limited */
    struct slots slots;
    struct fetch *fetching[SUBJECT_ITEMS]; /* the call under way */
};

extern const struct level_entry_type subject_type;

/* Brings the limits up to what the rules say now. leased: the store is shared. */
int subject_update(struct subject *s, const struct level_source *from, bool leased,
                   uint64_t now_us);

/* Under which the store keeps a rate, or with NULL the places. */
void subject_key(const struct subject *s, const struct rate *rate, struct text *to);
/* The only one of its level never goes, and needs no pin. */
static inline bool subject_stays(const struct subject *s)
{
    return s->e.level == LEVEL_GLOBAL;
}
/* Units of a request at limit `item`. */
static inline uint64_t subject_need(unsigned item, uint64_t tokens)
{
    return item < SUBJECT_SLOT && item / PERIOD__COUNT == RESOURCE_TOKENS ? tokens : 1;
}
