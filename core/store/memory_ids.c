/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_ids.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/store/memory_map.h"

enum {
    NEAR_IDS = 64, /* slots of a neighbourhood */
    NEAR_STEP = 6, /* between ids that differ in their last digit */
    FIRST_SLOTS = 16,
    MAX_SLOTS = 2048,  /* 32 KiB */
    MAX_BITS = 20,     /* of the directory */
    CLEAN_EVERY = 4096 /* ids: then one table is cleaned, so that no number comes round again */
};

struct slot {
    uint64_t hash;
    uint32_t tag, number; /* 0: free */
};

struct weir_store_id_table {
    uint32_t n_slots, n_taken; /* taken: also by what is forgotten */
    unsigned bits;             /* of the hash that all ids here share */
    struct slot slots[];
};

/* Of "run-1234" and "run-1234/0" the 4 is where in its neighbourhood the id stands. */
struct weir_store_id weir_store_id_of(weir_str text, uint64_t seed)
{
    bool is_part = text.n > 2 && text.p[text.n - 2] == '/';
    size_t n = is_part ? text.n - 2 : text.n;
    unsigned last = (unsigned char)text.p[n - 1];
    if (last < '0' || last > '9') {
        XXH128_hash_t h = XXH3_128bits_withSeed(text.p, text.n, seed);
        return (struct weir_store_id){.hash = h.low64, .tag = (uint32_t)h.high64};
    }
    /* Another seed for each ending: no two texts have their beginning in common then. */
    uint64_t ending = is_part ? 256 + (unsigned char)text.p[text.n - 1] : 1;
    XXH128_hash_t h = XXH3_128bits_withSeed(text.p, n - 1, seed + ending);
    return (struct weir_store_id){.hash = (h.low64 & ~(uint64_t)(NEAR_IDS - 1)) |
                                          (last - '0') * NEAR_STEP,
                                  .tag = (uint32_t)h.high64};
}

void weir_store_ids_init(struct weir_store_ids *ids)
{
    *ids = (struct weir_store_ids){.oldest = 1};
}

/* ---- tables ---- */

static size_t table_bytes(uint32_t n_slots)
{
    return sizeof(struct weir_store_id_table) + n_slots * sizeof(struct slot);
}

/* In the place of one that has n_less slots and goes in a moment: so much need not be free. */
static struct weir_store_id_table *create(struct weir_store_shard *s, struct weir_store_ids *ids,
                                          uint32_t n_slots, uint32_t n_less, unsigned bits)
{
    size_t n = table_bytes(n_slots), n_more = n_slots > n_less ? n : 0;
    struct weir_store_id_table *t =
        weir_store_has_room(s, 0, n_more) ? weir_store_block_get(&s->blocks, n) : NULL;
    if (t) {
        memset(t, 0, n);
        t->n_slots = n_slots;
        t->bits = bits;
        ids->n_bytes += n;
        weir_store_count_entries(s, 0, n);
    }
    return t;
}

static void destroy(struct weir_store_shard *s, struct weir_store_ids *ids,
                    struct weir_store_id_table *t)
{
    size_t n = table_bytes(t->n_slots);
    weir_store_count_entries(s, 0, 0 - n);
    ids->n_bytes -= n;
    weir_store_block_put(&s->blocks, t, n);
}

static bool is_alive(const struct weir_store_ids *ids, const struct slot *at)
{
    return at->number - ids->oldest < weir_store_ids_count(ids);
}

/* There is a free slot. One whose id is forgotten may be taken: others' ways over it stay. */
static void put(const struct weir_store_ids *ids, struct weir_store_id_table *t, struct slot slot)
{
    uint32_t mask = t->n_slots - 1, i = (uint32_t)slot.hash & mask;
    while (t->slots[i].number && is_alive(ids, &t->slots[i])) {
        i = (i + 1) & mask;
    }
    t->n_taken += t->slots[i].number == 0;
    t->slots[i] = slot;
}

static uint32_t count_alive(const struct weir_store_ids *ids, const struct weir_store_id_table *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_slots; i++) {
        n += t->slots[i].number && is_alive(ids, &t->slots[i]);
    }
    return n;
}

static size_t place_of(const struct weir_store_ids *ids, uint64_t hash)
{
    return ids->bits ? (size_t)(hash >> (64 - ids->bits)) : 0;
}

/* The directory's places of a table stand beside each other. */
static void link_table(struct weir_store_ids *ids, size_t any, struct weir_store_id_table *t)
{
    size_t n = (size_t)1 << (ids->bits - t->bits), first = any / n * n;
    for (size_t i = 0; i < n; i++) {
        ids->tables[first + i] = t;
    }
}

/* ---- growth ---- */

static bool widen_directory(struct weir_store_ids *ids)
{
    size_t n = (size_t)1 << ids->bits;
    struct weir_store_id_table **tables =
        ids->bits < MAX_BITS ? malloc(2 * n * sizeof(struct weir_store_id_table *)) : NULL;
    if (!tables) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        tables[2 * i] = tables[2 * i + 1] = ids->tables[i];
    }
    free(ids->tables);
    ids->tables = tables;
    ids->bits++;
    return true;
}

/* The living go into two tables, by the next bit of their hashes. */
static bool split(struct weir_store_shard *s, struct weir_store_ids *ids, size_t place)
{
    struct weir_store_id_table *t = ids->tables[place];
    if (t->bits == ids->bits) {
        if (!widen_directory(ids)) {
            return false;
        }
        place *= 2;
    }
    struct weir_store_id_table *low = create(s, ids, t->n_slots, 0, t->bits + 1);
    struct weir_store_id_table *high = low ? create(s, ids, t->n_slots, 0, t->bits + 1) : NULL;
    if (!high) {
        if (low) {
            destroy(s, ids, low);
        }
        return false;
    }
    for (uint32_t i = 0; i < t->n_slots; i++) {
        if (t->slots[i].number && is_alive(ids, &t->slots[i])) {
            put(ids, t->slots[i].hash >> (63 - t->bits) & 1 ? high : low, t->slots[i]);
        }
    }
    size_t n = (size_t)1 << (ids->bits - t->bits), first = place / n * n;
    link_table(ids, first, low);
    link_table(ids, first + n / 2, high);
    destroy(s, ids, t);
    return true;
}

static bool resize(struct weir_store_shard *s, struct weir_store_ids *ids, size_t place,
                   uint32_t n_slots)
{
    struct weir_store_id_table *t = ids->tables[place],
                               *to = create(s, ids, n_slots, t->n_slots, t->bits);
    if (!to) {
        return false;
    }
    for (uint32_t i = 0; i < t->n_slots; i++) {
        if (t->slots[i].number && is_alive(ids, &t->slots[i])) {
            put(ids, to, t->slots[i]);
        }
    }
    link_table(ids, place, to);
    destroy(s, ids, t);
    return true;
}

/* Leaves the living alone, in tables that they fill to three eighths at most, or, where none may
 * grow, to five. */
static bool clean(struct weir_store_shard *s, struct weir_store_ids *ids, size_t place,
                  bool may_grow)
{
    const struct weir_store_id_table *t = ids->tables[place];
    uint32_t n = count_alive(ids, t), n_slots = FIRST_SLOTS;
    while (n_slots < MAX_SLOTS && n > n_slots / 8 * 3) {
        n_slots *= 2;
    }
    if (n_slots > t->n_slots && !may_grow) {
        n_slots = t->n_slots;
    }
    if (n <= n_slots / 8 * (may_grow ? 3 : 5)) {
        return resize(s, ids, place, n_slots);
    }
    return may_grow && split(s, ids, place);
}

static bool has_room(const struct weir_store_id_table *t)
{
    return t->n_taken < t->n_slots / 4 * 3;
}

static void clean_next(struct weir_store_shard *s, struct weir_store_ids *ids)
{
    size_t place = ids->hand++ & (((size_t)1 << ids->bits) - 1);
    const struct weir_store_id_table *t = ids->tables[place];
    if (count_alive(ids, t) < t->n_taken) {
        (void)clean(s, ids, place, false); /* without memory another time will do */
    }
}

static bool begin(struct weir_store_shard *s, struct weir_store_ids *ids)
{
    ids->tables = malloc(sizeof(struct weir_store_id_table *));
    struct weir_store_id_table *t = ids->tables ? create(s, ids, FIRST_SLOTS, 0, 0) : NULL;
    if (!t) {
        free(ids->tables);
        ids->tables = NULL;
        return false;
    }
    ids->tables[0] = t;
    return true;
}

/* ---- the set ---- */

void weir_store_ids_finish(struct weir_store_shard *s, struct weir_store_ids *ids)
{
    size_t n = ids->tables ? (size_t)1 << ids->bits : 0, i = 0;
    while (i < n) {
        struct weir_store_id_table *t = ids->tables[i];
        i += (size_t)1 << (ids->bits - t->bits);
        destroy(s, ids, t);
    }
    free(ids->tables);
    ids->tables = NULL;
    ids->bits = 0;
}

uint32_t weir_store_ids_find(const struct weir_store_ids *ids, struct weir_store_id id)
{
    if (!ids->tables) {
        return 0;
    }
    const struct weir_store_id_table *t = ids->tables[place_of(ids, id.hash)];
    uint32_t mask = t->n_slots - 1, i = (uint32_t)id.hash & mask;
    /* Who counts its ids comes with the next one soon: both lines that it and its neighbours are
     * in. They are in the same page, so that nothing waits for this. */
    __builtin_prefetch(&t->slots[(i + NEAR_STEP) & mask], 1);
    __builtin_prefetch(&t->slots[(i + 2 * NEAR_STEP - 1) & mask], 1);
    for (; t->slots[i].number; i = (i + 1) & mask) {
        const struct slot *at = &t->slots[i];
        if (at->hash == id.hash && at->tag == id.tag && is_alive(ids, at)) {
            return at->number;
        }
    }
    return 0;
}

bool weir_store_ids_add(struct weir_store_shard *s, struct weir_store_ids *ids,
                        struct weir_store_id id, bool may_grow)
{
    if (!ids->tables && !begin(s, ids)) {
        return false;
    }
    size_t place = place_of(ids, id.hash);
    while (!has_room(ids->tables[place])) {
        if (!clean(s, ids, place, may_grow)) {
            return false;
        }
        place = place_of(ids, id.hash); /* a table that was split has another */
    }
    ids->newest++;
    if (ids->newest == 0) { /* 0 is no number */
        ids->newest++;
    }
    put(ids, ids->tables[place], (struct slot){id.hash, id.tag, ids->newest});
    if (ids->newest % CLEAN_EVERY == 0) {
        clean_next(s, ids);
    }
    return true;
}

void weir_store_ids_forget(struct weir_store_shard *s, struct weir_store_ids *ids, uint32_t oldest)
{
    ids->oldest = oldest;
    if (weir_store_ids_count(ids) == 0) {
        weir_store_ids_finish(s, ids);
    }
}
