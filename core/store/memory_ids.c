/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_ids.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/store/memory_map.h"

enum {
    GROUP_DIGITS = 2,
    FIRST_SLOTS = 16,
    MAX_SLOTS = 512,   /* 20 KiB */
    MAX_BITS = 20,     /* of the directory */
    CLEAN_EVERY = 4096 /* ids: then one table is cleaned, so that no number comes round again */
};

struct slot { /* a group */
    uint64_t hash;
    uint64_t members[2]; /* a bit each */
    uint32_t tag;
    uint32_t first, last; /* numbers; last 0: free */
};

struct weir_store_id_table {
    uint32_t n_slots, n_taken; /* taken: also by what is forgotten */
    unsigned bits;             /* of the hash that all ids here share */
    struct slot slots[];
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Of "run-1234" and "run-1234/0" the 34 is the member. */
struct weir_store_id weir_store_id_of(weir_str text, uint64_t seed)
{
    bool is_part = text.n > 2 && text.p[text.n - 2] == '/';
    size_t n = is_part ? text.n - 2 : text.n, n_digits = 0;
    uint32_t member = 0;
    while (n_digits < GROUP_DIGITS && n_digits < n && is_digit(text.p[n - 1 - n_digits])) {
        member += (uint32_t)(text.p[n - 1 - n_digits] - '0') * (n_digits ? 10 : 1);
        n_digits++;
    }
    /* Another seed for each ending: no two texts have their beginning in common then. */
    uint64_t ending = is_part ? 256 + (unsigned char)text.p[text.n - 1] : 1;
    XXH128_hash_t h =
        n_digits ? XXH3_128bits_withSeed(text.p, n - n_digits, seed + ending * 4 + n_digits)
                 : XXH3_128bits_withSeed(text.p, text.n, seed);
    return (struct weir_store_id){.hash = h.low64, .tag = (uint32_t)h.high64, .member = member};
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
    return at->last - ids->oldest < weir_store_ids_count(ids);
}

/* There is a free slot. One whose group is forgotten may be taken: others' ways over it stay. */
static void put(const struct weir_store_ids *ids, struct weir_store_id_table *t, struct slot slot)
{
    uint32_t mask = t->n_slots - 1, i = (uint32_t)slot.hash & mask;
    while (t->slots[i].last && is_alive(ids, &t->slots[i])) {
        i = (i + 1) & mask;
    }
    t->n_taken += t->slots[i].last == 0;
    t->slots[i] = slot;
}

static uint32_t count_alive(const struct weir_store_ids *ids, const struct weir_store_id_table *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_slots; i++) {
        n += t->slots[i].last && is_alive(ids, &t->slots[i]);
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
        if (t->slots[i].last && is_alive(ids, &t->slots[i])) {
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
        if (t->slots[i].last && is_alive(ids, &t->slots[i])) {
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

/* The living group; NULL: none. */
static struct slot *find_group(const struct weir_store_ids *ids, struct weir_store_id id)
{
    if (!ids->tables) {
        return NULL;
    }
    struct weir_store_id_table *t = ids->tables[place_of(ids, id.hash)];
    uint32_t mask = t->n_slots - 1, i = (uint32_t)id.hash & mask;
    for (; t->slots[i].last; i = (i + 1) & mask) {
        struct slot *at = &t->slots[i];
        if (at->hash == id.hash && at->tag == id.tag && is_alive(ids, at)) {
            return at;
        }
    }
    return NULL;
}

bool weir_store_ids_find(const struct weir_store_ids *ids, struct weir_store_id id,
                         uint32_t *ret_first, uint32_t *ret_last)
{
    const struct slot *at = find_group(ids, id);
    if (!at || !(at->members[id.member / 64] >> id.member % 64 & 1)) {
        return false;
    }
    if (ret_first) {
        *ret_first = at->first;
        *ret_last = at->last;
    }
    return true;
}

/* A slot for a group that has none; NULL: no room. */
static struct weir_store_id_table *make_room(struct weir_store_shard *s, struct weir_store_ids *ids,
                                             uint64_t hash, bool may_grow)
{
    if (!ids->tables && !begin(s, ids)) {
        return NULL;
    }
    size_t place = place_of(ids, hash);
    while (!has_room(ids->tables[place])) {
        if (!clean(s, ids, place, may_grow)) {
            return NULL;
        }
        place = place_of(ids, hash); /* a table that was split has another */
    }
    return ids->tables[place];
}

bool weir_store_ids_add(struct weir_store_shard *s, struct weir_store_ids *ids,
                        struct weir_store_id id, bool may_grow)
{
    uint32_t number = ids->newest + 1 ? ids->newest + 1 : 1; /* 0 is no number */
    uint64_t bit = UINT64_C(1) << id.member % 64;
    struct slot *at = find_group(ids, id);
    if (at) {
        at->members[id.member / 64] |= bit;
        at->last = number;
    } else {
        struct weir_store_id_table *t = make_room(s, ids, id.hash, may_grow);
        if (!t) {
            return false;
        }
        struct slot slot = {.hash = id.hash, .tag = id.tag, .first = number, .last = number};
        slot.members[id.member / 64] = bit;
        put(ids, t, slot);
    }
    ids->newest = number;
    if (number % CLEAN_EVERY == 0) {
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
