/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_map.h"

#include <stdlib.h>

#include <xxhash.h>

enum { FIRST_SLOTS = 64, N_TAG_LISTS = 256, SWEEP_SLOTS = 4 };

static void free_content(struct weir_store_entry *e)
{
    switch (e->kind) {
    case WEIR_STORE_VALUE:
        free(e->value.bytes);
        free(e->value.tags);
        break;
    case WEIR_STORE_BUDGET:
    case WEIR_STORE_QUEUE: free(weir_store_heap_of(e)->at); break;
    case WEIR_STORE_COLLECTION:
    case WEIR_STORE_LOG:
        for (size_t i = 0; i < e->list.n; i++) {
            free(e->list.at[i]);
        }
        free(e->list.at);
        break;
    case WEIR_STORE_JOB: free(e->job.value); break;
    default: break;
    }
}

static int shard_init(struct weir_store_shard *s, struct weir_store_map *map)
{
    s->map = map;
    s->slots = calloc(FIRST_SLOTS, sizeof(*s->slots));
    s->n_slots = FIRST_SLOTS;
    if (!s->slots) {
        return WEIR_E_NOMEM;
    }
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s->slots);
        s->slots = NULL;
        return WEIR_E_NOMEM;
    }
    return 0;
}

static void shard_finish(struct weir_store_shard *s)
{
    if (!s->slots) {
        return;
    }
    for (size_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].entry) {
            free_content(s->slots[i].entry);
            free(s->slots[i].entry);
        }
    }
    free(s->slots);
    pthread_mutex_destroy(&s->lock);
}

int weir_store_map_init(struct weir_store_map *map, size_t max_entries, size_t max_bytes)
{
    *map = (struct weir_store_map){.max_entries = max_entries, .max_bytes = max_bytes};
    int rc = 0;
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
}

struct weir_store_shard *weir_store_map_shard(struct weir_store_map *map, weir_str tenant)
{
    return &map->shards[XXH3_64bits(tenant.p, tenant.n) % WEIR_STORE_SHARDS];
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

/* NULL: its kind is in none. */
static struct weir_store_ring *ring_of(struct weir_store_shard *s, const struct weir_store_entry *e)
{
    return e->kind == WEIR_STORE_VALUE     ? &s->values
           : e->kind == WEIR_STORE_SETTLED ? &s->settled
                                           : NULL;
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

/* Algorithm R: those behind a freed slot that could not have it before move up. */
static void unlink_slot(struct weir_store_shard *s, const struct weir_store_entry *e)
{
    size_t mask = s->n_slots - 1, hole = e->hash & mask;
    while (s->slots[hole].entry != e) {
        hole = (hole + 1) & mask;
    }
    for (size_t i = (hole + 1) & mask; s->slots[i].entry; i = (i + 1) & mask) {
        size_t home = s->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            s->slots[hole] = s->slots[i];
            hole = i;
        }
    }
    s->slots[hole].entry = NULL;
}

static void link_slot(struct weir_store_slot *slots, size_t n_slots, struct weir_store_entry *e,
                      uint64_t hash)
{
    size_t i = hash & (n_slots - 1);
    while (slots[i].entry) {
        i = (i + 1) & (n_slots - 1);
    }
    slots[i] = (struct weir_store_slot){e, hash};
}

/* Relaxed: the bounds are no more exact than make_room() says. */
static void count_settled(struct weir_store_map *map, const struct weir_store_entry *e, bool more)
{
    if (e->kind == WEIR_STORE_SETTLED) {
        size_t n = more ? 1 : SIZE_MAX, n_bytes = more ? e->n_bytes : 0 - e->n_bytes;
        atomic_fetch_add_explicit(&map->n_settled, n, memory_order_relaxed);
        atomic_fetch_add_explicit(&map->n_settled_bytes, n_bytes, memory_order_relaxed);
    }
}

static void forget(struct weir_store_shard *s, struct weir_store_entry *e)
{
    count_settled(s->map, e, false);
    s->n_entries--;
    atomic_fetch_sub_explicit(&s->map->n_entries, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&s->map->n_bytes, e->n_bytes, memory_order_relaxed);
    free_content(e);
    free(e);
}

/* One entry alone. */
static void drop(struct weir_store_shard *s, struct weir_store_entry *e)
{
    struct weir_store_ring *ring = ring_of(s, e);
    unlink_slot(s, e);
    if (ring) {
        unlink_ring(ring, e);
    }
    if (e->kind == WEIR_STORE_VALUE) {
        unlink_tags(s, e);
    }
    weir_store_unwait(e);
    forget(s, e);
}

void weir_store_remove(struct weir_store_shard *s, struct weir_store_entry *e)
{
    if (e->kind == WEIR_STORE_BUDGET || e->kind == WEIR_STORE_QUEUE) {
        const struct weir_store_heap *h = weir_store_heap_of(e);
        while (h->n) {
            drop(s, h->at[h->n - 1]);
        }
    }
    drop(s, e);
}

/* Once over the slots. Removal moves entries, also to where it has been. */
static void remove_tenant_once(struct weir_store_shard *s, weir_str tenant)
{
    size_t i = 0;
    while (i < s->n_slots) {
        struct weir_store_entry *e = s->slots[i].entry;
        bool goes = e && e->kind != WEIR_STORE_LOG && e->kind != WEIR_STORE_LOG_ID &&
                    weir_str_eq(tenant_of(e), tenant);
        if (goes) {
            weir_store_remove(s, e);
        } else {
            i++;
        }
    }
}

size_t weir_store_remove_tenant(struct weir_store_shard *s, weir_str tenant)
{
    size_t before = s->n_entries, last;
    do {
        last = s->n_entries;
        remove_tenant_once(s, tenant);
    } while (s->n_entries < last);
    return before - s->n_entries;
}

struct weir_store_entry *weir_store_find(struct weir_store_shard *s,
                                         const struct weir_store_name *name, uint64_t now_us)
{
    const struct weir_store_slot *at = &s->slots[name->hash & (s->n_slots - 1)];
    while (at->entry && !(at->hash == name->hash && is_named(at->entry, name))) {
        at = at + 1 < s->slots + s->n_slots ? at + 1 : s->slots;
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
static void sweep_expired(struct weir_store_shard *s, uint64_t now_us)
{
    for (int i = 0; i < SWEEP_SLOTS; i++) {
        struct weir_store_entry *e = s->slots[s->sweep & (s->n_slots - 1)].entry;
        if (e && e->expires_us <= now_us) { /* another one may stand here then */
            weir_store_remove(s, e);
            atomic_fetch_add_explicit(&s->map->expired, 1, memory_order_relaxed);
        } else {
            s->sweep++;
        }
    }
    /* For the next insertion: by then they are in the cache. */
    for (size_t i = 0; i < SWEEP_SLOTS; i++) {
        __builtin_prefetch(s->slots[(s->sweep + i) & (s->n_slots - 1)].entry);
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

static bool too_many_settled(const struct weir_store_map *map)
{
    size_t n = atomic_load_explicit(&map->n_settled, memory_order_relaxed);
    size_t n_bytes = atomic_load_explicit(&map->n_settled_bytes, memory_order_relaxed);
    return n >= map->max_entries / 2 || n_bytes >= map->max_bytes / 2;
}

/* A shard that has none may add one: the bound is exceeded by one for each shard at most. */
static void forget_settled(struct weir_store_shard *s)
{
    while (s->settled.oldest && too_many_settled(s->map)) {
        weir_store_remove(s, s->settled.oldest);
        atomic_fetch_add_explicit(&s->map->forgotten, 1, memory_order_relaxed);
    }
}

/* Room for one more: half of the slots stay free. */
static bool widen(struct weir_store_shard *s)
{
    size_t n = s->n_slots * 2;
    struct weir_store_slot *slots = calloc(n, sizeof(*slots));
    if (!slots) {
        return s->n_entries < s->n_slots / 8 * 7; /* longer ways are slower, not wrong */
    }
    for (size_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].entry) {
            link_slot(slots, n, s->slots[i].entry, s->slots[i].hash);
        }
    }
    free(s->slots);
    s->slots = slots;
    s->n_slots = n;
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
                                           const struct weir_store_name *name, uint64_t now_us)
{
    sweep_expired(s, now_us);
    if (name->kind == WEIR_STORE_SETTLED) {
        forget_settled(s);
    }
    size_t n_bytes = sizeof(struct weir_store_entry) + name->tenant.n + name->key.n + name->id.n;
    if (!make_room(s, NULL, 1, n_bytes)) {
        return NULL;
    }
    if (s->n_entries >= s->n_slots / 2 && !widen(s)) {
        return NULL;
    }
    struct weir_store_entry *e = malloc(n_bytes); /* quicker than calloc for small ones */
    if (!e) {
        return NULL;
    }
    *e = (struct weir_store_entry){
        .hash = name->hash,
        .kind = name->kind,
        .n_bytes = n_bytes,
        .expires_us = UINT64_MAX,
    };
    copy_name(e, name);
    link_slot(s->slots, s->n_slots, e, e->hash);
    if (ring_of(s, e)) {
        link_newest(ring_of(s, e), e);
    }
    count_settled(s->map, e, true);
    s->n_entries++;
    atomic_fetch_add_explicit(&s->map->n_entries, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->map->n_bytes, n_bytes, memory_order_relaxed);
    return e;
}

void weir_store_become_settled(struct weir_store_shard *s, struct weir_store_entry *hold)
{
    weir_store_unwait(hold);
    forget_settled(s);
    hold->kind = WEIR_STORE_SETTLED;
    memset(&hold->settled, 0, sizeof(hold->settled));
    link_newest(&s->settled, hold);
    count_settled(s->map, hold, true);
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
