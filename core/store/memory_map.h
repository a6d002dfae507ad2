/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The memory store's table: entries by kind, tenant and key, in shards, with expiry and eviction.
 *
 * Why its own file: finding, ageing and bounding entries is one thing, what a limit or a budget
 * means is another (memory.c).
 * Ownership: the map owns entries; a pointer is valid while its shard is locked.
 * Threads: lock() first; everything else needs the shard's lock.
 * Invariant: a shard's n_bytes is the sum of its entries' bytes, and at most its bound. */
#include <pthread.h>
#include <stdbool.h>

#include "core/store/store.h"

enum { WEIR_STORE_SHARDS = 16 };

enum weir_store_kind {
    WEIR_STORE_VALUE, /* the only kind that may be evicted */
    WEIR_STORE_LIMIT,
    WEIR_STORE_BUDGET,
    WEIR_STORE_COUNTER,
};

struct weir_store_entry;

struct weir_store_tag { /* an entry's place in the list of a tag */
    struct weir_store_tag *prev, *next;
    struct weir_store_entry *entry;
    uint64_t hash; /* of tenant and tag */
    weir_str name;
};

struct weir_store_reservation {
    char *id;
    size_t id_len;
    uint64_t units;
    uint64_t expires_us;
    bool settled; /* units were used; kept so that settling twice counts once */
};

struct weir_store_budget {
    uint64_t used; /* settled, and no longer in `list` */
    struct weir_store_reservation *list;
    uint32_t n, cap;
};

struct weir_store_entry {
    struct weir_store_entry *next;          /* in its bucket */
    struct weir_store_entry *newer, *older; /* values only: by last use */
    uint64_t hash;
    uint64_t expires_us; /* UINT64_MAX: never */
    enum weir_store_kind kind;
    size_t n_bytes; /* accounted */
    union {
        uint64_t limit_until_ns; /* LIMIT: the algorithm's theoretical arrival time */
        int64_t counter;
        struct weir_store_budget budget;
        struct {
            char *bytes;
            size_t len;
            struct weir_store_tag *tags;
            uint32_t n_tags;
        } value;
    };
    size_t tenant_len, key_len;
    char name[]; /* tenant, key */
};

struct weir_store_shard {
    pthread_mutex_t lock;
    struct weir_store_entry **buckets;
    size_t n_buckets, n_entries, n_bytes, max_entries, max_bytes;
    struct weir_store_entry *newest, *oldest; /* values */
    struct weir_store_tag *tags[256];
    size_t sweep; /* bucket to look for expired entries in next */
    uint64_t evicted, expired, refused;
};

int weir_store_shard_init(struct weir_store_shard *s, size_t max_entries, size_t max_bytes);
void weir_store_shard_finish(struct weir_store_shard *s);

uint64_t weir_store_hash(enum weir_store_kind kind, weir_str tenant, weir_str key);
/* The live entry, now the most recently used; NULL when there is none or it has expired. */
struct weir_store_entry *weir_store_find(struct weir_store_shard *s, enum weir_store_kind kind,
                                         uint64_t hash, weir_str tenant, weir_str key,
                                         uint64_t now_us);
/* A new entry, zeroed, without value; NULL when the bounds are reached. */
struct weir_store_entry *weir_store_insert(struct weir_store_shard *s, enum weir_store_kind kind,
                                           uint64_t hash, weir_str tenant, weir_str key,
                                           uint64_t now_us);
/* Accounts n_more bytes to an entry, making room where needed; false: no room. `e` stays. */
bool weir_store_grow(struct weir_store_shard *s, struct weir_store_entry *e, size_t n_more);
void weir_store_remove(struct weir_store_shard *s, struct weir_store_entry *e);

/* Gives a value its tags; the array is the entry's own. */
void weir_store_link_tags(struct weir_store_shard *s, struct weir_store_entry *e);
uint64_t weir_store_tag_hash(weir_str tenant, weir_str tag);
/* Removes every value of that tag; returns how many. */
size_t weir_store_remove_tagged(struct weir_store_shard *s, weir_str tenant, weir_str tag);
