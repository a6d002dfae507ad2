/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The memory store's table: entries by kind, tenant, key and id, with expiry, order and eviction.
 *
 * Why its own file: finding, ageing and bounding entries is one thing, what a limit or a budget
 * means is another (memory_*.c).
 * A tenant lies in one shard, so that an operation on many of its keys takes one lock. Jobs are
 * also in the heap of their queue. Reservations are no entries (memory_reservations.h), nor are the
 * ids of logs (memory_ids.h). Bounds: entries and bytes of the whole map. Room is made by evicting
 * values, least recently used first, of the same shard and then of others whose lock is free;
 * nothing else is evicted for that. Ownership: the map owns entries and what hangs on them; a
 * pointer is valid while its shard is locked. Threads: lock the shard first. Invariant: n_bytes is
 * the sum of all entries' bytes. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/store/memory_blocks.h"
#include "core/store/memory_reservations.h"
#include "core/store/store.h"

enum { WEIR_STORE_SHARDS = 16, WEIR_STORE_MARKS = 256 };

enum weir_store_kind {
    WEIR_STORE_VALUE, /* the only kind that may be evicted */
    WEIR_STORE_LIMIT,
    WEIR_STORE_BUDGET,
    WEIR_STORE_COUNTER,
    WEIR_STORE_COLLECTION,
    WEIR_STORE_LOG,
    WEIR_STORE_QUEUE,
    WEIR_STORE_JOB, /* parent: its queue */
};

struct weir_store_entry;

struct weir_store_tag { /* an entry's place in the list of a tag */
    struct weir_store_tag *prev, *next;
    struct weir_store_entry *entry;
    uint64_t hash; /* of tenant and tag */
    weir_str name;
};

struct weir_store_heap { /* earliest first */
    struct weir_store_entry **at;
    uint32_t n, cap;
};

struct weir_store_bytes { /* one block of bytes with a name and a number */
    uint64_t number;
    uint32_t value_len;
    uint16_t name_len;
    uint16_t made_h; /* of a log: when, in hours that begin anew after seven years */
    char bytes[];    /* name, value */
};

struct weir_store_list { /* of a collection, by name; of a log, by number */
    struct weir_store_bytes **at;
    size_t n, cap;
};

struct weir_store_entry {
    struct weir_store_entry *newer, *older; /* values: by last use */
    uint64_t hash;
    uint64_t expires_us; /* UINT64_MAX: never */
    enum weir_store_kind kind;
    size_t n_bytes; /* accounted */
    struct {        /* jobs: their place in the parent's heap */
        struct weir_store_entry *parent;
        uint64_t due_us;
        uint64_t order; /* among the same due_us */
        uint32_t at;    /* 1-based; 0: in none */
    } wait;
    union {
        struct {
            uint64_t until_ns;                      /* when it is whole again */
            struct weir_store_limit_state *handles; /* memory_handles.h */
        } limit;
        int64_t counter;
        struct {
            uint64_t used, held;
            uint32_t n_seats;                       /* reservations' */
            uint32_t serial;                        /* no other budget of the shard has it */
            struct weir_store_budget_state *states; /* memory_holdings.h */
        } budget;
        struct {
            char *bytes;
            size_t len;
            uint64_t version;
            struct weir_store_tag *tags;
            uint32_t n_tags;
        } value;
        struct weir_store_list list; /* COLLECTION */
        struct {
            struct weir_store_list list; /* first: also of a LOG */
            struct weir_store_ids ids;   /* numbers: places */
        } log;
        struct {
            struct weir_store_heap heap;
            uint64_t n_ever;
        } queue;
        struct {
            struct weir_store_bytes *value;
            uint64_t n_claims;
        } job;
    };
    size_t tenant_len, key_len, id_len;
    char name[]; /* tenant, key, id */
};

struct weir_store_map;

/* Open addressing with linear probing (Knuth, volume 3, 6.4, algorithms L and R): most look-ups are
 * of ids that are not there, and cost one line of the cache. */
struct weir_store_slot {
    struct weir_store_entry *entry; /* NULL: free */
    uint32_t hash;                  /* its lower half */
    uint32_t look_at; /* about a second each: before it the entry has not expired, or it is fine to
                       * find out later */
};

struct weir_store_ring { /* by newer and older */
    struct weir_store_entry *newest, *oldest;
};

struct weir_store_table {
    struct weir_store_slot *slots;
    size_t n_slots, n_entries; /* n_slots: a power of two, 2^32 at most; at most half are taken, or
                                * 7 of 8 when there was no memory for more */
    size_t sweep;              /* slot to look for an expired entry in next */
};

/* Names with an id have a table of their own: they are many, and would push the few limits, budgets
 * and values that each request needs out of the cache. */
enum { WEIR_STORE_THINGS, WEIR_STORE_IDS, WEIR_STORE_TABLES };

struct weir_store_shard {
    pthread_mutex_t lock;
    struct weir_store_map *map;
    struct weir_store_blocks blocks; /* entries and small bytes */
    struct weir_store_table tables[WEIR_STORE_TABLES];
    struct weir_store_ring values;
    struct weir_store_reservations reservations;
    struct weir_store_budget_state *loose; /* at hand, of no entry; memory_holdings.h */
    struct weir_store_tag *tags[256];
    uint64_t marks[WEIR_STORE_MARKS]; /* how often tags were invalidated, by their hash */
    uint64_t last_us;                 /* the newest time that an operation was given */
};

struct weir_store_map {
    struct weir_store_regions regions;
    struct weir_store_shard shards[WEIR_STORE_SHARDS];
    size_t max_entries, max_bytes;
    uint64_t secret; /* of ids' hashes */
    _Atomic size_t n_entries, n_bytes;
    _Atomic size_t n_over_bytes; /* among them: of reservations that are settled or kept */
    _Atomic uint64_t evicted, forgotten, expired, refused;
};

/* What an entry is called. One name serves several kinds: set `kind` between the calls. */
struct weir_store_name {
    enum weir_store_kind kind;
    weir_str tenant, key, id;
    uint64_t hash; /* of all but the kind */
};
struct weir_store_name weir_store_name_of(enum weir_store_kind kind, weir_str tenant, weir_str key,
                                          weir_str id);

/* Without an id, and with what the shard was found by. */
struct weir_store_name weir_store_name_in(enum weir_store_kind kind, weir_str tenant,
                                          uint64_t tenant_hash, weir_str key);

int weir_store_map_init(struct weir_store_map *map, size_t max_entries, size_t max_bytes);
void weir_store_map_finish(struct weir_store_map *map);
struct weir_store_shard *weir_store_map_shard(struct weir_store_map *map, weir_str tenant);
static inline struct weir_store_shard *weir_store_map_shard_at(struct weir_store_map *map,
                                                               uint64_t tenant_hash)
{
    return &map->shards[tenant_hash % WEIR_STORE_SHARDS];
}
uint64_t weir_store_tenant_hash(weir_str tenant);

size_t weir_store_shard_count(const struct weir_store_shard *s); /* entries */

/* The live entry, now the most recently used; NULL when there is none or it has expired. */
struct weir_store_entry *weir_store_find(struct weir_store_shard *s,
                                         const struct weir_store_name *name, uint64_t now_us);
/* A new entry, zeroed but for expires_us; NULL when the bounds are reached. Expired entries may go
 * meanwhile: look up anew what was found before. */
struct weir_store_entry *weir_store_insert(struct weir_store_shard *s,
                                           const struct weir_store_name *name, uint64_t expires_us,
                                           uint64_t now_us);
/* Removes it with all that hangs on it, its waiting children included. */
void weir_store_remove(struct weir_store_shard *s, struct weir_store_entry *e);
/* Removes what belongs to a tenant but its logs; returns how many. */
size_t weir_store_remove_tenant(struct weir_store_shard *s, weir_str tenant);

/* Accounts n_more bytes to an entry, making room where needed; false: no room. `e` stays. */
bool weir_store_grow(struct weir_store_shard *s, struct weir_store_entry *e, size_t n_more);
void weir_store_shrink(struct weir_store_shard *s, struct weir_store_entry *e, size_t n_less);
/* For what is no entry: makes room where needed, and accounts to the whole (numbers may be
 * negative, modulo 2^64). */
bool weir_store_has_room(struct weir_store_shard *s, size_t n_entries, size_t n_bytes);
void weir_store_count_entries(struct weir_store_shard *s, size_t n_entries, size_t n_bytes);

/* Gives a value its tags: one block, weir_store_tags_size() large. */
void weir_store_link_tags(struct weir_store_shard *s, struct weir_store_entry *e);
size_t weir_store_tags_size(const struct weir_store_tag *tags, uint32_t n);
uint64_t weir_store_tag_hash(weir_str tenant, weir_str tag);
/* Removes every live value of that tag; returns how many. */
size_t weir_store_remove_tagged(struct weir_store_shard *s, weir_str tenant, weir_str tag,
                                uint64_t now_us);

/* ---- memory_heap.c ---- */

/* Puts `e` under `parent` with its wait.due_us, or moves it there; false: no memory. */
bool weir_store_wait(struct weir_store_shard *s, struct weir_store_entry *parent,
                     struct weir_store_entry *e);
void weir_store_unwait(struct weir_store_entry *e);
/* The earliest that is due by now_us, or NULL. */
struct weir_store_entry *weir_store_first_due(struct weir_store_entry *parent, uint64_t now_us);

/* ---- memory_list.c ---- */

/* Sets *ret_at to where `name` is or would be; true: it is there. */
bool weir_store_list_find(const struct weir_store_list *list, weir_str name, size_t *ret_at);
/* A block, not in any list yet, accounted to nobody. */
struct weir_store_bytes *weir_store_bytes_create(struct weir_store_shard *s, weir_str name,
                                                 weir_str value, uint64_t number);
void weir_store_bytes_destroy(struct weir_store_shard *s, struct weir_store_bytes *b); /* NULL ok */
size_t weir_store_bytes_size(const struct weir_store_bytes *b);
/* Accounts and inserts; false: no room, and `b` is the caller's still. */
bool weir_store_list_insert(struct weir_store_shard *s, struct weir_store_entry *e, size_t at,
                            struct weir_store_bytes *b);
void weir_store_list_remove(struct weir_store_shard *s, struct weir_store_entry *e, size_t at);
