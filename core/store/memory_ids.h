/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Ids that the memory store remembers so that nothing counts twice: 40 bytes for a hundred of them.
 *
 * Why not entries: each request leaves one or more behind, for a minute or for forty days, and
 * nearly all that is ever asked about one is that it is not there.
 * Who counts its ids, as plugins do, has a hundred that differ in their last two digits alone. They
 * are one group, which is remembered as 96 bits of a hash under the process's secret, with a bit
 * for each member; so the next id finds its line of the cache at hand. An id without digits at its
 * end is a group by itself. Each id has a number, which rises; a group of which the newest is older
 * than `oldest` is forgotten, which costs nothing. Extendible hashing
 * (Fagin, Nievergelt, Pippenger and Strong 1979) over small tables with linear probing, so that
 * growth never stops anybody for longer than one of them takes to copy, some microseconds.
 * Ownership: the tables are the set's; their bytes are accounted to the store. Threads: under the
 * shard's lock. Errors: false, no room. Bounds: 2^31 numbers alive. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/types.h"

struct weir_store_shard;

struct weir_store_id { /* hash and tag: the group's; `tag` may be changed by what it belongs to */
    uint64_t hash;
    uint32_t tag;
    uint32_t member; /* 0 to 99 */
};
struct weir_store_id weir_store_id_of(weir_str text, uint64_t seed);

struct weir_store_id_table;

struct weir_store_ids {
    struct weir_store_id_table **tables; /* [2^bits], by the hash's upper bits; NULL: nothing */
    unsigned bits;
    uint32_t oldest, newest; /* numbers; none is alive when newest + 1 == oldest */
    uint32_t hand;           /* table that is cleaned next */
    size_t n_bytes;          /* of the tables, accounted */
};

void weir_store_ids_init(struct weir_store_ids *ids);
void weir_store_ids_finish(struct weir_store_shard *s, struct weir_store_ids *ids);
/* Is it there? Then *ret_first and *ret_last, unless NULL, say which numbers its group has; its own
 * is one of them. */
bool weir_store_ids_find(const struct weir_store_ids *ids, struct weir_store_id id,
                         uint32_t *ret_first, uint32_t *ret_last);
/* Adds it, whether it is there or not, with the number newest + 1. `may_grow` false: within the
 * tables that there are. */
bool weir_store_ids_add(struct weir_store_shard *s, struct weir_store_ids *ids,
                        struct weir_store_id id, bool may_grow);
/* Groups with numbers below `oldest` alone are forgotten. */
void weir_store_ids_forget(struct weir_store_shard *s, struct weir_store_ids *ids, uint32_t oldest);

static inline uint32_t weir_store_ids_count(const struct weir_store_ids *ids)
{
    return ids->newest + 1 - ids->oldest;
}
