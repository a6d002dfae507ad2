/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_map.h"

#include <stdlib.h>

#include <xxhash.h>

enum { FIRST_BUCKETS = 64, N_TAG_LISTS = 256, SWEEP_BUCKETS = 2 };

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
    s->buckets = calloc(FIRST_BUCKETS, sizeof(struct weir_store_entry *));
    s->n_buckets = FIRST_BUCKETS;
    if (!s->buckets) {
        return WEIR_E_NOMEM;
    }
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s->buckets);
        s->buckets = NULL;
        return WEIR_E_NOMEM;
    }
    return 0;
}

static void shard_finish(struct weir_store_shard *s)
{
    if (!s->buckets) {
        return;
    }
    for (size_t i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i]) {
            struct weir_store_entry *e = s->buckets[i];
            s->buckets[i] = e->next;
            free_content(e);
            free(e);
        }
    }
    free(s->buckets);
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

static uint64_t hash_of(const struct weir_store_name *name)
{
    uint64_t seed = XXH3_64bits_withSeed(name->tenant.p, name->tenant.n, (uint64_t)name->kind + 1);
    seed = XXH3_64bits_withSeed(name->key.p, name->key.n, seed);
    return name->id.n ? XXH3_64bits_withSeed(name->id.p, name->id.n, seed) : seed;
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

static void unlink_bucket(struct weir_store_shard *s, struct weir_store_entry *e)
{
    struct weir_store_entry **at = &s->buckets[e->hash & (s->n_buckets - 1)];
    while (*at != e) {
        at = &(*at)->next;
    }
    *at = e->next;
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
    unlink_bucket(s, e);
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

size_t weir_store_remove_tenant(struct weir_store_shard *s, weir_str tenant)
{
    size_t before = s->n_entries;
    for (size_t i = 0; i < s->n_buckets; i++) {
        struct weir_store_entry *e = s->buckets[i];
        while (e) {
            bool goes = e->kind != WEIR_STORE_LOG && e->kind != WEIR_STORE_LOG_ID &&
                        weir_str_eq(tenant_of(e), tenant);
            if (goes) {
                weir_store_remove(s, e);
            }
            e = goes ? s->buckets[i] : e->next; /* its children may have been in this bucket */
        }
    }
    return before - s->n_entries;
}

struct weir_store_entry *weir_store_find(struct weir_store_shard *s,
                                         const struct weir_store_name *name, uint64_t now_us)
{
    uint64_t hash = hash_of(name);
    struct weir_store_entry *e = s->buckets[hash & (s->n_buckets - 1)];
    while (e && !(e->hash == hash && is_named(e, name))) {
        e = e->next;
    }
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

/* Looks at a few buckets on every insertion, so that entries nobody asks for any more go too. */
static void sweep_expired(struct weir_store_shard *s, uint64_t now_us)
{
    for (int i = 0; i < SWEEP_BUCKETS; i++) {
        struct weir_store_entry **bucket = &s->buckets[s->sweep & (s->n_buckets - 1)];
        struct weir_store_entry *e = *bucket;
        while (e) {
            bool goes = e->expires_us <= now_us;
            if (goes) {
                weir_store_remove(s, e);
                atomic_fetch_add_explicit(&s->map->expired, 1, memory_order_relaxed);
            }
            e = goes ? *bucket : e->next;
        }
        s->sweep++;
    }
    /* For the next insertion: by then they are in the cache. */
    for (int i = 0; i < SWEEP_BUCKETS; i++) {
        __builtin_prefetch(s->buckets[(s->sweep + (size_t)i) & (s->n_buckets - 1)]);
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

static void widen(struct weir_store_shard *s)
{
    size_t n = s->n_buckets * 2;
    struct weir_store_entry **buckets = calloc(n, sizeof(struct weir_store_entry *));
    if (!buckets) {
        return; /* longer chains are slower, not wrong */
    }
    for (size_t i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i]) {
            struct weir_store_entry *e = s->buckets[i];
            s->buckets[i] = e->next;
            e->next = buckets[e->hash & (n - 1)];
            buckets[e->hash & (n - 1)] = e;
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
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
    struct weir_store_entry *e = calloc(1, n_bytes);
    if (!e) {
        return NULL;
    }
    if (s->n_entries >= s->n_buckets) {
        widen(s);
    }
    copy_name(e, name);
    e->hash = hash_of(name);
    e->kind = name->kind;
    e->n_bytes = n_bytes;
    e->expires_us = UINT64_MAX;
    e->next = s->buckets[e->hash & (s->n_buckets - 1)];
    s->buckets[e->hash & (s->n_buckets - 1)] = e;
    if (ring_of(s, e)) {
        link_newest(ring_of(s, e), e);
    }
    count_settled(s->map, e, true);
    s->n_entries++;
    atomic_fetch_add_explicit(&s->map->n_entries, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->map->n_bytes, n_bytes, memory_order_relaxed);
    return e;
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
