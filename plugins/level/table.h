/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a plugin remembers of tenants, users, keys and models: entries by level, tenant and name.
 *
 * Entries of one tenant lie in one shard, so that one lock covers what one store call covers. An
 * entry embeds struct level_entry as its first member. Ownership: the table; a pinned entry stays,
 * others go when room is needed and `is_idle` agrees. Threads: the shard's lock, unless said
 * otherwise. Bounds: LEVEL_SHARD_MAX entries in each of LEVEL_SHARDS shards. */
#include <pthread.h>

#include "rules.h"

enum { LEVEL_SHARDS = 64, LEVEL_SHARD_MAX = 2048, LEVEL_CHAINS = 1024 };

struct level_shard;

struct level_entry {
    struct level_entry *next; /* in its chain */
    struct level_shard *shard;
    uint64_t hash;
    uint64_t version;    /* of the tenant's record that the entry was made from; UINT64_MAX: none */
    struct rules *rules; /* LEVEL_TENANT: the tenant's own */
    uint32_t pins, tenant_len, name_len;
    uint8_t level; /* enum level */
    char *text;    /* tenant, name; one allocation with the entry */
};

struct level_entry_type {
    size_t n_bytes;                               /* of the whole entry; the rest is zeroed */
    bool (*is_idle)(const struct level_entry *e); /* of an unpinned one: nothing is lost with it */
    void (*finish)(struct level_entry *e);        /* the rest's own memory */
};

struct level_shard {
    pthread_mutex_t lock;
    struct level_entry *chains[LEVEL_CHAINS];
    uint32_t n, hand; /* where to look for idle ones next */
};

struct level_table {
    const struct level_entry_type *type;
    struct level_shard *shards; /* [LEVEL_SHARDS] */
};

int level_table_init(struct level_table *t, const struct level_entry_type *type);    /* [main] */
void level_table_finish(struct level_table *t);                                      /* [main] */
struct level_shard *level_table_shard(const struct level_table *t, weir_str tenant); /* [any] */

/* Finds or makes; NULL: no memory, or full of entries in use. */
struct level_entry *level_entry_get(const struct level_table *t, struct level_shard *sh,
                                    enum level level, weir_str tenant, weir_str name);
/* Locks the tenant's shard, whatever it returns. The tenant's entry with `member` of its record as
 * it is now; its version is older (or UINT64_MAX) when the entry must be made anew from the rules.
 * *ret_version is the record's. NULL as above. [unlocked] */
struct level_entry *level_table_lock_tenant(const struct level_table *t, const weir_host *h,
                                            const weir_ext_tenants *tenants, const char *member,
                                            weir_str tenant, uint64_t *ret_version);

/* Whose record a subject's rules are made from: the tenant's, and for a key its own. */
struct level_source {
    const char *member; /* "limits" */
    const struct rules *config;
    const struct rules *tenant; /* NULL: none */
    uint64_t version;           /* of the tenant's record */
    const struct level_ids *ids;
};
/* Must the entry be made anew? Then the objects that speak for it, and a block to finish when they
 * were read; a positive number or 0. 0 and *ret_version == e->version: it is as it should be. */
int level_entry_find_rules(const struct level_entry *e, const struct level_source *from,
                           struct rules *ret_key, uint64_t *ret_version,
                           yyjson_val *ret_found[RULES_MAX]);

static inline weir_str level_entry_tenant(const struct level_entry *e)
{
    return (weir_str){e->text, e->tenant_len};
}

static inline weir_str level_entry_name(const struct level_entry *e)
{
    return (weir_str){e->text + e->tenant_len, e->name_len};
}
