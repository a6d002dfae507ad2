/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_map.h"

#include <stdlib.h>

#include <xxhash.h>

enum { FIRST_BUCKETS = 64, N_TAG_LISTS = 256, SWEEP_BUCKETS = 2 };

int weir_store_shard_init(struct weir_store_shard *s, size_t max_entries, size_t max_bytes)
{
    *s = (struct weir_store_shard){.max_entries = max_entries, .max_bytes = max_bytes};
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

static void free_entry(struct weir_store_entry *e)
{
    if (e->kind == WEIR_STORE_VALUE) {
        free(e->value.bytes);
        free(e->value.tags);
    } else if (e->kind == WEIR_STORE_BUDGET) {
        for (uint32_t i = 0; i < e->budget.n; i++) {
            free(e->budget.list[i].id);
        }
        free(e->budget.list);
    }
    free(e);
}

void weir_store_shard_finish(struct weir_store_shard *s)
{
    if (!s->buckets) {
        return;
    }
    for (size_t i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i]) {
            struct weir_store_entry *next = s->buckets[i]->next;
            free_entry(s->buckets[i]);
            s->buckets[i] = next;
        }
    }
    free(s->buckets);
    pthread_mutex_destroy(&s->lock);
}

uint64_t weir_store_hash(enum weir_store_kind kind, weir_str tenant, weir_str key)
{
    uint64_t seed = XXH3_64bits_withSeed(tenant.p, tenant.n, (uint64_t)kind + 1);
    return XXH3_64bits_withSeed(key.p, key.n, seed);
}

uint64_t weir_store_tag_hash(weir_str tenant, weir_str tag)
{
    return XXH3_64bits_withSeed(tag.p, tag.n, XXH3_64bits(tenant.p, tenant.n));
}

static weir_str tenant_of(const struct weir_store_entry *e)
{
    return (weir_str){e->name, e->tenant_len};
}

static void unlink_use(struct weir_store_shard *s, struct weir_store_entry *e)
{
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void link_newest(struct weir_store_shard *s, struct weir_store_entry *e)
{
    e->older = s->newest;
    *(e->older ? &e->older->newer : &s->oldest) = e;
    s->newest = e;
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

size_t weir_store_remove_tagged(struct weir_store_shard *s, weir_str tenant, weir_str tag)
{
    uint64_t hash = weir_store_tag_hash(tenant, tag);
    size_t n = 0;
    struct weir_store_tag *t = s->tags[hash % N_TAG_LISTS];
    while (t) {
        if (t->hash == hash && weir_str_eq(t->name, tag) &&
            weir_str_eq(tenant_of(t->entry), tenant)) {
            weir_store_remove(s, t->entry); /* may take neighbours of the same entry along */
            n++;
            t = s->tags[hash % N_TAG_LISTS];
        } else {
            t = t->next;
        }
    }
    return n;
}

void weir_store_remove(struct weir_store_shard *s, struct weir_store_entry *e)
{
    struct weir_store_entry **at = &s->buckets[e->hash % s->n_buckets];
    while (*at != e) {
        at = &(*at)->next;
    }
    *at = e->next;
    if (e->kind == WEIR_STORE_VALUE) {
        unlink_use(s, e);
        unlink_tags(s, e);
    }
    s->n_entries--;
    s->n_bytes -= e->n_bytes;
    free_entry(e);
}

struct weir_store_entry *weir_store_find(struct weir_store_shard *s, enum weir_store_kind kind,
                                         uint64_t hash, weir_str tenant, weir_str key,
                                         uint64_t now_us)
{
    struct weir_store_entry *e = s->buckets[hash % s->n_buckets];
    for (; e; e = e->next) {
        if (e->hash == hash && e->kind == kind && weir_str_eq(tenant_of(e), tenant) &&
            weir_str_eq((weir_str){e->name + e->tenant_len, e->key_len}, key)) {
            break;
        }
    }
    if (e && e->expires_us <= now_us) {
        weir_store_remove(s, e);
        s->expired++;
        return NULL;
    }
    if (e && kind == WEIR_STORE_VALUE) {
        unlink_use(s, e);
        link_newest(s, e);
    }
    return e;
}

/* Looks at a few buckets on every insertion, so that entries nobody asks for any more go too. */
static void sweep_expired(struct weir_store_shard *s, uint64_t now_us)
{
    for (int i = 0; i < SWEEP_BUCKETS; i++) {
        struct weir_store_entry *e = s->buckets[s->sweep % s->n_buckets];
        while (e) {
            struct weir_store_entry *next = e->next;
            if (e->expires_us <= now_us) {
                weir_store_remove(s, e);
                s->expired++;
            }
            e = next;
        }
        s->sweep++;
    }
}

static bool make_room(struct weir_store_shard *s, const struct weir_store_entry *keep,
                      size_t n_entries, size_t n_bytes)
{
    while (s->n_entries + n_entries > s->max_entries || n_bytes > s->max_bytes - s->n_bytes) {
        struct weir_store_entry *victim = s->oldest;
        if (victim && victim == keep) {
            victim = victim->newer;
        }
        if (!victim || n_bytes > s->max_bytes) {
            s->refused++;
            return false;
        }
        /* The analyser does not know that only values are in the list of use, and that each goes
         * from it when it is removed. */
        weir_store_remove(s, victim); // NOLINT(clang-analyzer-unix.Malloc)
        s->evicted++;
    }
    return true;
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
            e->next = buckets[e->hash % n];
            buckets[e->hash % n] = e;
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
}

struct weir_store_entry *weir_store_insert(struct weir_store_shard *s, enum weir_store_kind kind,
                                           uint64_t hash, weir_str tenant, weir_str key,
                                           uint64_t now_us)
{
    sweep_expired(s, now_us);
    size_t n_bytes = sizeof(struct weir_store_entry) + tenant.n + key.n;
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
    e->hash = hash;
    e->kind = kind;
    e->n_bytes = n_bytes;
    e->expires_us = UINT64_MAX;
    e->tenant_len = tenant.n;
    e->key_len = key.n;
    if (tenant.n) {
        memcpy(e->name, tenant.p, tenant.n);
    }
    if (key.n) {
        memcpy(e->name + tenant.n, key.p, key.n);
    }
    e->next = s->buckets[hash % s->n_buckets];
    s->buckets[hash % s->n_buckets] = e;
    if (kind == WEIR_STORE_VALUE) {
        link_newest(s, e);
    }
    s->n_entries++;
    s->n_bytes += n_bytes;
    return e;
}

bool weir_store_grow(struct weir_store_shard *s, struct weir_store_entry *e, size_t n_more)
{
    if (!make_room(s, e, 0, n_more)) {
        return false;
    }
    s->n_bytes += n_more;
    e->n_bytes += n_more;
    return true;
}
