/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Keys that were read from the store, and names that are no keys, for a while.
 *
 * Why: a request with a known key must not cost a round trip, and goes on while the store is away.
 * What must not happen is that a key which was revoked stays: a change drops the entry everywhere,
 * and a read that was under way meanwhile is not kept (its `epoch` is old).
 * Unknown names have a table of their own, so that guessing does not push good keys out.
 * Bounds: both tables are fixed; in a full set the one that was used longest ago goes.
 * Ownership: the cache has a reference to each key and gives out others.
 * Threads: any; 64 locks, held for a comparison of names. Errors: WEIR_E_NOMEM at create. */
#include <stdbool.h>

#include "key.h"

struct auth_cache;

struct auth_cache_times {
    uint64_t fresh_us;   /* an entry is read again after this */
    uint64_t unknown_us; /* how long a name is known to be none */
    uint64_t retry_us;   /* after a read that failed */
};

struct auth_name { /* of a key */
    weir_str tenant, id;
};

enum auth_cached {
    AUTH_CACHED_NOT,     /* read it */
    AUTH_CACHED_KEY,     /* use it */
    AUTH_CACHED_OLD,     /* use it if nothing better is to be had: `failed` and `age_us` */
    AUTH_CACHED_REFRESH, /* as NOT; others use what is there until put() or failed() */
    AUTH_CACHED_UNKNOWN, /* there is no such key */
};

struct auth_cache_answer {
    struct auth_key *key; /* a reference, with KEY and OLD */
    uint64_t age_us;
    bool failed;    /* the last read of it failed */
    uint64_t epoch; /* for put() */
};

int auth_cache_create(const weir_host *host, uint32_t n_keys, struct auth_cache_times times,
                      struct auth_cache **ret_cache);
void auth_cache_destroy(struct auth_cache *c); /* NULL ok */

enum auth_cached auth_cache_get(struct auth_cache *c, struct auth_name name, uint64_t now_us,
                                struct auth_cache_answer *ret);
/* What was read: a key, whose reference it takes, or NULL: there is none. Not kept when something
 * was dropped since `epoch`. */
void auth_cache_put(struct auth_cache *c, struct auth_name name, struct auth_key *key,
                    uint64_t epoch, uint64_t now_us);
void auth_cache_failed(struct auth_cache *c, struct auth_name name, uint64_t now_us);
void auth_cache_drop(struct auth_cache *c, struct auth_name name);
/* News of this tenant's keys (empty: of anybody's) may have been missed: each is read again at its
 * next use, and stays usable while the store is away. */
void auth_cache_doubt(struct auth_cache *c, weir_str tenant);
