/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <openssl/rand.h>
#include <pthread.h>

enum {
    N_SHARDS = 64,
    WAYS = 8,
    UNKNOWN_SETS = 8,
    NAME_BYTES = AUTH_MAX_TENANT_BYTES + AUTH_ID_BYTES
};

struct slot {             /* of a key */
    struct auth_key *key; /* NULL: free */
    uint64_t read_us, used_us;
    uint64_t retry_us; /* not read again before; 0: whenever it is old */
    bool refreshing;
    bool failed;
    bool doubted; /* as old */
};

struct unknown {
    uint64_t until_us; /* 0: free */
    uint32_t n_tenant, n_id;
    char text[NAME_BYTES];
};

struct shard {
    pthread_mutex_t lock; /* all below */
    uint64_t epoch;
    struct slot *slots; /* [n_sets][WAYS] */
    struct unknown unknown[UNKNOWN_SETS][WAYS];
};

struct auth_cache {
    const weir_host *host;
    struct auth_cache_times times;
    uint64_t seed;
    uint32_t n_sets; /* per shard */
    struct shard shards[N_SHARDS];
};

int auth_cache_create(const weir_host *host, uint32_t n_keys, struct auth_cache_times times,
                      struct auth_cache **ret_cache)
{
    struct auth_cache *c = host->alloc(host, sizeof(*c));
    if (!c) {
        return WEIR_E_NOMEM;
    }
    memset(c, 0, sizeof(*c));
    c->host = host;
    c->times = times;
    c->n_sets = (n_keys + N_SHARDS * WAYS - 1) / (N_SHARDS * WAYS);
    c->n_sets = c->n_sets ? c->n_sets : 1;
    (void)RAND_bytes((unsigned char *)&c->seed, sizeof(c->seed)); /* 0 does as well */
    bool ok = true;
    for (size_t i = 0; i < N_SHARDS; i++) {
        size_t n_bytes = sizeof(struct slot) * c->n_sets * WAYS;
        (void)pthread_mutex_init(&c->shards[i].lock, NULL);
        c->shards[i].slots = host->alloc(host, n_bytes);
        ok = ok && c->shards[i].slots;
        if (c->shards[i].slots) {
            memset(c->shards[i].slots, 0, n_bytes);
        }
    }
    if (!ok) {
        auth_cache_destroy(c);
        return WEIR_E_NOMEM;
    }
    *ret_cache = c;
    return 0;
}

void auth_cache_destroy(struct auth_cache *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < N_SHARDS; i++) {
        struct shard *s = &c->shards[i];
        for (size_t k = 0; s->slots && k < (size_t)c->n_sets * WAYS; k++) {
            auth_key_unref(s->slots[k].key);
        }
        c->host->free(c->host, s->slots);
        (void)pthread_mutex_destroy(&s->lock);
    }
    c->host->free(c->host, c);
}

/* FNV-1a under a secret start: who wants to hit one set cannot know which names do. */
static uint64_t hash_of(const struct auth_cache *c, struct auth_name name)
{
    uint64_t h = 14695981039346656037u ^ c->seed;
    for (size_t i = 0; i < name.tenant.n; i++) {
        h = (h ^ (unsigned char)name.tenant.p[i]) * 1099511628211u;
    }
    h *= 1099511628211u;
    for (size_t i = 0; i < name.id.n; i++) {
        h = (h ^ (unsigned char)name.id.p[i]) * 1099511628211u;
    }
    return h ^ h >> 32;
}

/* Where a name is looked for. */
struct place {
    struct shard *shard;
    struct slot *set;        /* [WAYS] */
    struct unknown *unknown; /* [WAYS] */
};

static struct place place_of(struct auth_cache *c, struct auth_name name)
{
    uint64_t h = hash_of(c, name);
    struct shard *s = &c->shards[h % N_SHARDS];
    uint64_t rest = h / N_SHARDS;
    return (struct place){s, s->slots + (rest % c->n_sets) * WAYS, s->unknown[rest % UNKNOWN_SETS]};
}

static bool is_key(const struct slot *slot, struct auth_name name)
{
    return slot->key && weir_str_eq(slot->key->id, name.id) &&
           weir_str_eq(slot->key->tenant, name.tenant);
}

static bool is_unknown(const struct unknown *u, struct auth_name name)
{
    return u->until_us && weir_str_eq((weir_str){u->text, u->n_tenant}, name.tenant) &&
           weir_str_eq((weir_str){u->text + u->n_tenant, u->n_id}, name.id);
}

static struct slot *find_key(const struct place *at, struct auth_name name)
{
    for (size_t i = 0; i < WAYS; i++) {
        if (is_key(&at->set[i], name)) {
            return &at->set[i];
        }
    }
    return NULL;
}

static struct unknown *find_unknown(const struct place *at, struct auth_name name)
{
    for (size_t i = 0; i < WAYS; i++) {
        if (is_unknown(&at->unknown[i], name)) {
            return &at->unknown[i];
        }
    }
    return NULL;
}

static enum auth_cached look_at(const struct auth_cache *c, struct slot *slot, uint64_t now_us,
                                struct auth_cache_answer *ret)
{
    slot->used_us = now_us;
    ret->age_us = now_us - slot->read_us;
    ret->failed = slot->failed;
    bool old = slot->doubted || ret->age_us > c->times.fresh_us;
    if (old && !slot->refreshing && now_us >= slot->retry_us) {
        slot->refreshing = true;
        return AUTH_CACHED_REFRESH;
    }
    ret->key = auth_key_ref(slot->key);
    return old ? AUTH_CACHED_OLD : AUTH_CACHED_KEY;
}

enum auth_cached auth_cache_get(struct auth_cache *c, struct auth_name name, uint64_t now_us,
                                struct auth_cache_answer *ret)
{
    struct place at = place_of(c, name);
    enum auth_cached result = AUTH_CACHED_NOT;
    *ret = (struct auth_cache_answer){0};
    (void)pthread_mutex_lock(&at.shard->lock);
    ret->epoch = at.shard->epoch;
    struct slot *slot = find_key(&at, name);
    if (slot) {
        result = look_at(c, slot, now_us, ret);
    } else {
        const struct unknown *u = find_unknown(&at, name);
        result = u && now_us < u->until_us ? AUTH_CACHED_UNKNOWN : AUTH_CACHED_NOT;
    }
    (void)pthread_mutex_unlock(&at.shard->lock);
    return result;
}

/* Its own slot, a free one, or the one that was used longest ago. */
static struct slot *choose_slot(const struct place *at, struct auth_name name)
{
    struct slot *best = find_key(at, name);
    for (size_t i = 0; !best && i < WAYS; i++) {
        best = at->set[i].key ? NULL : &at->set[i];
    }
    if (!best) {
        best = &at->set[0];
        for (size_t i = 1; i < WAYS; i++) {
            best = at->set[i].used_us < best->used_us ? &at->set[i] : best;
        }
    }
    return best;
}

static void note_unknown(const struct place *at, struct auth_name name, uint64_t until_us)
{
    struct unknown *best = find_unknown(at, name);
    for (size_t i = 0; !best && i < WAYS; i++) {
        const struct unknown *u = &at->unknown[i];
        best = u->until_us == 0 ? &at->unknown[i] : NULL;
    }
    if (!best) {
        best = &at->unknown[0];
        for (size_t i = 1; i < WAYS; i++) {
            best = at->unknown[i].until_us < best->until_us ? &at->unknown[i] : best;
        }
    }
    best->until_us = until_us;
    best->n_tenant = (uint32_t)name.tenant.n;
    best->n_id = (uint32_t)name.id.n;
    memcpy(best->text, name.tenant.p, name.tenant.n);
    memcpy(best->text + name.tenant.n, name.id.p, name.id.n);
}

void auth_cache_put(struct auth_cache *c, struct auth_name name, struct auth_key *key,
                    uint64_t epoch, uint64_t now_us)
{
    struct place at = place_of(c, name);
    struct auth_key *out = key; /* what is not kept, or was there */
    if (name.tenant.n > AUTH_MAX_TENANT_BYTES || name.id.n > AUTH_ID_BYTES) {
        auth_key_unref(key);
        return;
    }
    (void)pthread_mutex_lock(&at.shard->lock);
    struct slot *own = find_key(&at, name);
    if (own) {
        own->refreshing = false;
    }
    if (at.shard->epoch == epoch && key) {
        struct slot *slot = choose_slot(&at, name);
        struct unknown *u = find_unknown(&at, name);
        out = slot->key;
        *slot = (struct slot){.key = key, .read_us = now_us, .used_us = now_us};
        if (u) {
            u->until_us = 0;
        }
    } else if (at.shard->epoch == epoch) {
        if (own) {
            out = own->key;
            *own = (struct slot){0};
        }
        note_unknown(&at, name, now_us + c->times.unknown_us);
    }
    (void)pthread_mutex_unlock(&at.shard->lock);
    auth_key_unref(out);
}

void auth_cache_failed(struct auth_cache *c, struct auth_name name, uint64_t now_us)
{
    struct place at = place_of(c, name);
    (void)pthread_mutex_lock(&at.shard->lock);
    struct slot *slot = find_key(&at, name);
    if (slot) {
        slot->refreshing = false;
        slot->failed = true;
        slot->retry_us = now_us + c->times.retry_us;
    }
    (void)pthread_mutex_unlock(&at.shard->lock);
}

void auth_cache_drop(struct auth_cache *c, struct auth_name name)
{
    struct place at = place_of(c, name);
    struct auth_key *out = NULL;
    (void)pthread_mutex_lock(&at.shard->lock);
    at.shard->epoch++;
    struct slot *slot = find_key(&at, name);
    struct unknown *u = find_unknown(&at, name);
    if (slot) {
        out = slot->key;
        *slot = (struct slot){0};
    }
    if (u) {
        u->until_us = 0;
    }
    (void)pthread_mutex_unlock(&at.shard->lock);
    auth_key_unref(out);
}

void auth_cache_doubt(struct auth_cache *c, weir_str tenant)
{
    for (size_t i = 0; i < N_SHARDS; i++) {
        struct shard *s = &c->shards[i];
        (void)pthread_mutex_lock(&s->lock);
        s->epoch++;
        for (size_t k = 0; k < (size_t)c->n_sets * WAYS; k++) {
            const struct auth_key *key = s->slots[k].key;
            if (key && (tenant.n == 0 || weir_str_eq(key->tenant, tenant))) {
                s->slots[k].doubted = true;
                s->slots[k].retry_us = 0;
            }
        }
        memset(s->unknown, 0, sizeof(s->unknown));
        (void)pthread_mutex_unlock(&s->lock);
    }
}
