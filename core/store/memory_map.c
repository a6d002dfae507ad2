/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_map.h"

#include <stdlib.h>
#include <sys/random.h>

#include <xxhash.h>

#include "core/store/memory_handles.h"
#include "core/store/memory_holdings.h"

enum {
    FIRST_SLOTS = 64,
    N_TAG_LISTS = 256,
    SWEEP_SLOTS = 4,
    TICK_BITS = 20, /* microseconds of a slot's look_at */
    LOOK_TICKS = 64 /* an entry's expiry may change; it is looked at so often at least */
};

static size_t name_bytes(const struct weir_store_entry *e)
{
    return e->tenant_len + e->key_len + e->id_len;
}

static void free_list(struct weir_store_shard *s, const struct weir_store_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        weir_store_bytes_destroy(s, list->at[i]);
    }
    free(list->at);
}

static void free_content(struct weir_store_shard *s, struct weir_store_entry *e)
{
    switch (e->kind) {
    case WEIR_STORE_VALUE:
        weir_store_block_put(&s->blocks, e->value.bytes, e->value.len + 1);
        weir_store_block_put(&s->blocks, e->value.tags,
                             weir_store_tags_size(e->value.tags, e->value.n_tags));
        break;
    case WEIR_STORE_QUEUE: free(e->queue.heap.at); break;
    case WEIR_STORE_COLLECTION: free_list(s, &e->list); break;
    case WEIR_STORE_LOG:
        weir_store_ids_finish(s, &e->log.ids);
        free_list(s, &e->log.list);
        break;
    case WEIR_STORE_JOB: weir_store_bytes_destroy(s, e->job.value); break;
    case WEIR_STORE_LIMIT: weir_store_limit_forget(e); break;
    case WEIR_STORE_BUDGET: weir_store_budget_forget(e); break;
    default: break;
    }
}

static void tables_finish(struct weir_store_shard *s)
{
    for (int k = 0; k < WEIR_STORE_TABLES; k++) {
        struct weir_store_table *t = &s->tables[k];
        for (size_t i = 0; t->slots && i < t->n_slots; i++) {
            if (t->slots[i].entry) {
                free_content(s, t->slots[i].entry); /* the entry is its region's */
            }
        }
        free(t->slots);
        t->slots = NULL;
    }
}

static int shard_init(struct weir_store_shard *s, struct weir_store_map *map)
{
    s->map = map;
    s->blocks.regions = &map->regions;
    weir_store_ids_init(&s->reservations.settled);
    bool ok = true;
    for (int k = 0; k < WEIR_STORE_TABLES; k++) {
        struct weir_store_table *t = &s->tables[k];
        t->slots = calloc(FIRST_SLOTS, sizeof(*t->slots));
        t->n_slots = FIRST_SLOTS;
        ok = ok && t->slots;
    }
    if (!ok || pthread_mutex_init(&s->lock, NULL) != 0) {
        tables_finish(s);
        return WEIR_E_NOMEM;
    }
    return 0;
}

static void shard_finish(struct weir_store_shard *s)
{
    if (s->tables[0].slots) {
        tables_finish(s);
        weir_store_reservations_finish(s);
        weir_store_budgets_finish(s);
        pthread_mutex_destroy(&s->lock);
    }
}

int weir_store_map_init(struct weir_store_map *map, size_t max_entries, size_t max_bytes)
{
    *map = (struct weir_store_map){.max_entries = max_entries, .max_bytes = max_bytes};
    int rc = weir_store_regions_init(&map->regions);
    if (rc == 0 && getrandom(&map->secret, sizeof(map->secret), 0) != sizeof(map->secret)) {
        rc = WEIR_E_IO;
    }
    for (int i = 0; i < WEIR_STORE_SHARDS && rc == 0; i++) {
        rc = shard_init(&map->shards[i], map);
    }
    return rc;
}

void weir_store_map_finish(struct weir_store_map *map)
{
    for (int i = 0; i < WEIR_STORE_SHARDS; i++) {
        shard_finish(&map->shards[i]);
    }
    weir_store_regions_finish(&map->regions);
}

uint64_t weir_store_tenant_hash(weir_str tenant)
{
    return XXH3_64bits(tenant.p, tenant.n);
}

struct weir_store_shard *weir_store_map_shard(struct weir_store_map *map, weir_str tenant)
{
    return weir_store_map_shard_at(map, weir_store_tenant_hash(tenant));
}

struct weir_store_name weir_store_name_in(enum weir_store_kind kind, weir_str tenant,
                                          uint64_t tenant_hash, weir_str key)
{
    return (struct weir_store_name){
        .kind = kind,
        .tenant = tenant,
        .key = key,
        .hash = XXH3_64bits_withSeed(key.p, key.n, tenant_hash),
    };
}

struct weir_store_name weir_store_name_of(enum weir_store_kind kind, weir_str tenant, weir_str key,
                                          weir_str id)
{
    uint64_t hash = XXH3_64bits_withSeed(key.p, key.n, XXH3_64bits(tenant.p, tenant.n));
    return (struct weir_store_name){
        .kind = kind,
        .tenant = tenant,
        .key = key,
        .id = id,
        .hash = id.n ? XXH3_64bits_withSeed(id.p, id.n, hash) : hash,
    };
}

size_t weir_store_tags_size(const struct weir_store_tag *tags, uint32_t n)
{
    size_t n_bytes = n * sizeof(*tags);
    for (uint32_t i = 0; i < n; i++) {
        n_bytes += tags[i].name.n;
    }
    return n_bytes;
}

uint64_t weir_store_tag_hash(weir_str tenant, weir_str tag)
{
    return XXH3_64bits_withSeed(tag.p, tag.n, XXH3_64bits(tenant.p, tenant.n));
}

static weir_str tenant_of(const struct weir_store_entry *e)
{
    return (weir_str){e->name, e->tenant_len};
}

static bool is_named(const struct weir_store_entry *e, const struct weir_store_name *name)
{
    const char *key = e->name + e->tenant_len;
    return e->kind == name->kind && weir_str_eq(tenant_of(e), name->tenant) &&
           weir_str_eq((weir_str){key, e->key_len}, name->key) &&
           weir_str_eq((weir_str){key + e->key_len, e->id_len}, name->id);
}

static void unlink_ring(struct weir_store_ring *ring, struct weir_store_entry *e)
{
    *(e->newer ? &e->newer->older : &ring->newest) = e->older;
    *(e->older ? &e->older->newer : &ring->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void link_newest(struct weir_store_ring *ring, struct weir_store_entry *e)
{
    e->older = ring->newest;
    *(e->older ? &e->older->newer : &ring->oldest) = e;
    ring->newest = e;
}

static void unlink_tags(struct weir_store_shard *s, struct weir_store_entry *e)
{
    for (uint32_t i = 0; i < e->value.n_tags; i++) {
        struct weir_store_tag *t = &e->value.tags[i];
        *(t->prev ? &t->prev->next : &s->tags[t->hash % N_TAG_LISTS]) = t->next;
        if (t->next) {
            t->next->prev = t->prev;
        }
    }
}

void weir_store_link_tags(struct weir_store_shard *s, struct weir_store_entry *e)
{
    for (uint32_t i = 0; i < e->value.n_tags; i++) {
        struct weir_store_tag *t = &e->value.tags[i];
        struct weir_store_tag **list = &s->tags[t->hash % N_TAG_LISTS];
        t->prev = NULL;
        t->next = *list;
        if (t->next) {
            t->next->prev = t;
        }
        *list = t;
    }
}

size_t weir_store_remove_tagged(struct weir_store_shard *s, weir_str tenant, weir_str tag,
                                uint64_t now_us)
{
    uint64_t hash = weir_store_tag_hash(tenant, tag);
    size_t n = 0;
    struct weir_store_tag *t = s->tags[hash % N_TAG_LISTS];
    while (t) {
        if (t->hash == hash && weir_str_eq(t->name, tag) &&
            weir_str_eq(tenant_of(t->entry), tenant)) {
            n += t->entry->expires_us > now_us;
            weir_store_remove(s, t->entry); /* may take neighbours of the same entry along */
            t = s->tags[hash % N_TAG_LISTS];
        } else {
            t = t->next;
        }
    }
    return n;
}

static struct weir_store_table *table_of(struct weir_store_shard *s, bool has_id)
{
    return &s->tables[has_id ? WEIR_STORE_IDS : WEIR_STORE_THINGS];
}

/* Algorithm R: those behind a freed slot that could not have it before move up. */
static void unlink_slot(struct weir_store_table *t, const struct weir_store_entry *e)
{
    size_t mask = t->n_slots - 1, hole = e->hash & mask;
    while (t->slots[hole].entry != e) {
        hole = (hole + 1) & mask;
    }
    for (size_t i = (hole + 1) & mask; t->slots[i].entry; i = (i + 1) & mask) {
        size_t home = t->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole].entry = NULL;
}

static void link_slot(struct weir_store_slot *slots, size_t n_slots, struct weir_store_slot slot)
{
    size_t i = slot.hash & (n_slots - 1);
    while (slots[i].entry) {
        i = (i + 1) & (n_slots - 1);
    }
    slots[i] = slot;
}

static uint32_t look_at(uint64_t expires_us, uint64_t now_us)
{
    uint64_t expires = expires_us >> TICK_BITS, latest = (now_us >> TICK_BITS) + LOOK_TICKS;
    uint64_t tick = expires < latest ? expires : latest;
    return tick < UINT32_MAX ? (uint32_t)tick : UINT32_MAX;
}

static void forget(struct weir_store_shard *s, struct weir_store_entry *e)
{
    table_of(s, e->id_len)->n_entries--;
    atomic_fetch_sub_explicit(&s->map->n_entries, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&s->map->n_bytes, e->n_bytes, memory_order_relaxed);
    free_content(s, e);
    weir_store_block_put(&s->blocks, e, sizeof(*e) + name_bytes(e));
}

/* One entry alone. */
static void drop(struct weir_store_shard *s, struct weir_store_entry *e)
{
    unlink_slot(table_of(s, e->id_len), e);
    if (e->kind == WEIR_STORE_VALUE) {
        unlink_ring(&s->values, e);
        unlink_tags(s, e);
    }
    weir_store_unwait(e);
    forget(s, e);
}

void weir_store_remove(struct weir_store_shard *s, struct weir_store_entry *e)
{
    if (e->kind == WEIR_STORE_BUDGET) {
        weir_store_reservations_forget(s, e);
    }
    while (e->kind == WEIR_STORE_QUEUE && e->queue.heap.n) {
        drop(s, e->queue.heap.at[e->queue.heap.n - 1]);
    }
    drop(s, e);
}

/* Once over the slots. Removal moves entries, also to where it has been. */
static void remove_tenant_once(struct weir_store_shard *s, const struct weir_store_table *t,
                               weir_str tenant)
{
    size_t i = 0;
    while (i < t->n_slots) {
        struct weir_store_entry *e = t->slots[i].entry;
        bool goes = e && e->kind != WEIR_STORE_LOG && weir_str_eq(tenant_of(e), tenant);
        if (goes) {
            weir_store_remove(s, e);
        } else {
            i++;
        }
    }
}

size_t weir_store_shard_count(const struct weir_store_shard *s)
{
    return s->tables[WEIR_STORE_THINGS].n_entries + s->tables[WEIR_STORE_IDS].n_entries +
           s->reservations.n;
}

size_t weir_store_remove_tenant(struct weir_store_shard *s, weir_str tenant)
{
    size_t before = weir_store_shard_count(s), last;
    do {
        last = weir_store_shard_count(s);
        for (int k = 0; k < WEIR_STORE_TABLES; k++) {
            remove_tenant_once(s, &s->tables[k], tenant);
        }
    } while (weir_store_shard_count(s) < last);
    return before - weir_store_shard_count(s);
}

struct weir_store_entry *weir_store_find(struct weir_store_shard *s,
                                         const struct weir_store_name *name, uint64_t now_us)
{
    const struct weir_store_table *t = table_of(s, name->id.n);
    const struct weir_store_slot *at = &t->slots[name->hash & (t->n_slots - 1)];
    while (at->entry && !(at->hash == (uint32_t)name->hash && is_named(at->entry, name))) {
        at = at + 1 < t->slots + t->n_slots ? at + 1 : t->slots;
    }
    struct weir_store_entry *e = at->entry;
    if (e && e->expires_us <= now_us) {
        weir_store_remove(s, e);
        atomic_fetch_add_explicit(&s->map->expired, 1, memory_order_relaxed);
        return NULL;
    }
    if (e && e->kind == WEIR_STORE_VALUE) {
        unlink_ring(&s->values, e);
        link_newest(&s->values, e);
    }
    return e;
}

/* Looks at a few slots on every insertion, so that entries nobody asks for any more go too. */
static void sweep_expired(struct weir_store_shard *s, struct weir_store_table *t, uint64_t now_us)
{
    uint64_t tick = now_us >> TICK_BITS;
    for (int i = 0; i < SWEEP_SLOTS; i++) {
        struct weir_store_slot *slot = &t->slots[t->sweep & (t->n_slots - 1)];
        bool is_due = slot->entry && slot->look_at <= tick;
        if (is_due && slot->entry->expires_us <= now_us) { /* another one may stand here then */
            weir_store_remove(s, slot->entry);
            atomic_fetch_add_explicit(&s->map->expired, 1, memory_order_relaxed);
            continue;
        }
        if (is_due) {
            slot->look_at = look_at(slot->entry->expires_us, now_us);
        }
        t->sweep++;
    }
}

static bool fits(const struct weir_store_map *map, size_t n_entries, size_t n_bytes)
{
    size_t entries = atomic_load_explicit(&map->n_entries, memory_order_relaxed);
    size_t bytes = atomic_load_explicit(&map->n_bytes, memory_order_relaxed);
    return entries + n_entries <= map->max_entries && bytes <= map->max_bytes &&
           n_bytes <= map->max_bytes - bytes;
}

/* Evicts the shard's values, oldest first, until it fits; true: it does. */
static bool evict(struct weir_store_shard *s, const struct weir_store_entry *keep, size_t n_entries,
                  size_t n_bytes)
{
    while (!fits(s->map, n_entries, n_bytes)) {
        struct weir_store_entry *victim = s->values.oldest;
        if (victim && victim == keep) {
            victim = victim->newer;
        }
        if (!victim) {
            return false;
        }
        weir_store_remove(s, victim);
        atomic_fetch_add_explicit(&s->map->evicted, 1, memory_order_relaxed);
    }
    return true;
}

/* Two threads may pass together; the bounds are exceeded by their entries at most. */
static bool make_room(struct weir_store_shard *s, const struct weir_store_entry *keep,
                      size_t n_entries, size_t n_bytes)
{
    bool ok = n_bytes <= s->map->max_bytes && evict(s, keep, n_entries, n_bytes);
    for (int i = 0; i < WEIR_STORE_SHARDS && !ok && n_bytes <= s->map->max_bytes; i++) {
        struct weir_store_shard *other = &s->map->shards[i];
        /* Only when its lock is free: two that wait for each other's would wait for ever. */
        if (other != s && pthread_mutex_trylock(&other->lock) == 0) {
            ok = evict(other, NULL, n_entries, n_bytes);
            pthread_mutex_unlock(&other->lock);
        }
    }
    if (!ok) {
        atomic_fetch_add_explicit(&s->map->refused, 1, memory_order_relaxed);
    }
    return ok;
}

/* Room for one more: half of the slots stay free. */
static bool widen(struct weir_store_table *t)
{
    size_t n = t->n_slots * 2;
    struct weir_store_slot *slots = n <= (size_t)UINT32_MAX + 1 ? calloc(n, sizeof(*slots)) : NULL;
    if (!slots) {
        return t->n_entries < t->n_slots / 8 * 7; /* longer ways are slower, not wrong */
    }
    for (size_t i = 0; i < t->n_slots; i++) {
        if (t->slots[i].entry) {
            link_slot(slots, n, t->slots[i]);
        }
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    return true;
}

static void copy_name(struct weir_store_entry *e, const struct weir_store_name *name)
{
    const weir_str parts[] = {name->tenant, name->key, name->id};
    char *to = e->name;
    for (int i = 0; i < 3; i++) {
        if (parts[i].n) {
            memcpy(to, parts[i].p, parts[i].n);
        }
        to += parts[i].n;
    }
    e->tenant_len = name->tenant.n;
    e->key_len = name->key.n;
    e->id_len = name->id.n;
}

struct weir_store_entry *weir_store_insert(struct weir_store_shard *s,
                                           const struct weir_store_name *name, uint64_t expires_us,
                                           uint64_t now_us)
{
    struct weir_store_table *t = table_of(s, name->id.n);
    for (int i = 0; i < WEIR_STORE_TABLES; i++) {
        sweep_expired(s, &s->tables[i], now_us);
    }
    weir_store_reservations_age(s, now_us);
    size_t n_bytes = sizeof(struct weir_store_entry) + name->tenant.n + name->key.n + name->id.n;
    if (!make_room(s, NULL, 1, n_bytes)) {
        return NULL;
    }
    if (t->n_entries >= t->n_slots / 2 && !widen(t)) {
        return NULL;
    }
    struct weir_store_entry *e = weir_store_block_get(&s->blocks, n_bytes);
    if (!e) {
        return NULL;
    }
    *e = (struct weir_store_entry){
        .hash = name->hash,
        .kind = name->kind,
        .n_bytes = n_bytes,
        .expires_us = expires_us,
    };
    copy_name(e, name);
    link_slot(t->slots, t->n_slots,
              (struct weir_store_slot){e, (uint32_t)e->hash, look_at(expires_us, now_us)});
    if (e->kind == WEIR_STORE_VALUE) {
        link_newest(&s->values, e);
    } else if (e->kind == WEIR_STORE_BUDGET) {
        e->budget.serial = ++s->reservations.last_serial;
    } else if (e->kind == WEIR_STORE_LOG) {
        weir_store_ids_init(&e->log.ids);
    }
    t->n_entries++;
    atomic_fetch_add_explicit(&s->map->n_entries, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->map->n_bytes, n_bytes, memory_order_relaxed);
    return e;
}

bool weir_store_has_room(struct weir_store_shard *s, size_t n_entries, size_t n_bytes)
{
    return make_room(s, NULL, n_entries, n_bytes);
}

void weir_store_count_entries(struct weir_store_shard *s, size_t n_entries, size_t n_bytes)
{
    atomic_fetch_add_explicit(&s->map->n_entries, n_entries, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->map->n_bytes, n_bytes, memory_order_relaxed);
}

bool weir_store_grow(struct weir_store_shard *s, struct weir_store_entry *e, size_t n_more)
{
    if (!make_room(s, e, 0, n_more)) {
        return false;
    }
    atomic_fetch_add_explicit(&s->map->n_bytes, n_more, memory_order_relaxed);
    e->n_bytes += n_more;
    return true;
}

void weir_store_shrink(struct weir_store_shard *s, struct weir_store_entry *e, size_t n_less)
{
    atomic_fetch_sub_explicit(&s->map->n_bytes, n_less, memory_order_relaxed);
    e->n_bytes -= n_less;
}
