/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { SHARDS = 16, CHAINS = 1024, TENANTS = 256 };

struct shard {
    pthread_mutex_t lock; /* everything below */
    struct answer *chains[CHAINS];
    struct answer *newest, *oldest;
    struct answer *spares; /* by links.next */
    uint32_t n_spares;
    size_t bytes;
    size_t tenant_bytes[TENANTS]; /* by the tenant's hash: those that meet share a bound */
    uint64_t entries, evicted;
};

struct memory {
    size_t max_bytes; /* of a shard */
    atomic_uint_least64_t epoch;
    uint32_t n_users; /* under the lock of `ours` */
    struct shard shards[SHARDS];
};

/* FNV-1a: only for dropping, where a collision costs a miss. */
static uint64_t hash_text(weir_str s)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
    }
    return h;
}

uint64_t memory_place(weir_str tenant, uint64_t number)
{
    uint64_t h = hash_text(tenant) ^ number * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static struct shard *shard_of(struct memory *m, uint64_t place)
{
    return &m->shards[place % SHARDS];
}

static struct answer **chain_of(struct shard *s, uint64_t place)
{
    return &s->chains[place / SHARDS % CHAINS];
}

static size_t cost(const struct answer *a)
{
    return sizeof(*a) + a->cap;
}

int memory_create(size_t max_bytes, struct memory **ret_memory)
{
    struct memory *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    m->max_bytes = max_bytes / SHARDS;
    m->n_users = 1;
    for (int i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&m->shards[i].lock, NULL);
    }
    *ret_memory = m;
    return 0;
}

/* Of the process, since instances do not know each other. */
static struct {
    pthread_mutex_t lock;
    struct memory *memory; /* not owned: those who use it do */
} ours = {.lock = PTHREAD_MUTEX_INITIALIZER};

int memory_share(size_t max_bytes, struct memory **ret_memory)
{
    int rc = 0;
    pthread_mutex_lock(&ours.lock);
    if (ours.memory && ours.memory->max_bytes == max_bytes / SHARDS) {
        ours.memory->n_users++;
        *ret_memory = ours.memory;
    } else {
        rc = memory_create(max_bytes, ret_memory);
        ours.memory = rc == 0 ? *ret_memory : ours.memory;
    }
    pthread_mutex_unlock(&ours.lock);
    return rc;
}

static bool is_last_user(struct memory *m)
{
    pthread_mutex_lock(&ours.lock);
    bool is_last = --m->n_users == 0;
    if (is_last && ours.memory == m) {
        ours.memory = NULL;
    }
    pthread_mutex_unlock(&ours.lock);
    return is_last;
}

static void unlink_use(struct shard *s, const struct answer *a)
{
    const struct answer_links *l = &a->links;
    *(l->newer ? &l->newer->links.older : &s->newest) = l->older;
    *(l->older ? &l->older->links.newer : &s->oldest) = l->newer;
}

static void link_newest(struct shard *s, struct answer *a)
{
    a->links.newer = NULL;
    a->links.older = s->newest;
    *(s->newest ? &s->newest->links.newer : &s->oldest) = a;
    s->newest = a;
}

/* Under the lock, under which alone references are made: the last one is ours. */
static void let_go(struct shard *s, struct answer *a)
{
    bool is_last = atomic_load_explicit(&a->refs, memory_order_acquire) == 1;
    if (is_last && s->n_spares < MEMORY_SPARES && a->cap <= MEMORY_SPARE_BYTES) {
        a->links.next = s->spares;
        s->spares = a;
        s->n_spares++;
    } else {
        answer_unref(a);
    }
}

/* Under the lock. *at is the answer's link in its chain. */
static void remove_answer(struct shard *s, struct answer **at)
{
    struct answer *a = *at;
    assert(a);
    *at = a->links.next;
    unlink_use(s, a);
    s->bytes -= cost(a);
    s->tenant_bytes[a->links.tenant % TENANTS] -= cost(a);
    s->entries--;
    let_go(s, a);
}

static struct answer **find(struct shard *s, uint64_t place)
{
    struct answer **at = chain_of(s, place);
    while (*at && (*at)->links.where != place) {
        at = &(*at)->links.next;
    }
    return at;
}

static struct answer *take_spare(struct shard *s)
{
    struct answer *a = s->spares;
    if (a) {
        s->spares = a->links.next;
        s->n_spares--;
    }
    return a;
}

struct answer *memory_find(struct memory *m, uint64_t place,
                           const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], uint64_t oldest_us,
                           struct answer **ret_spare)
{
    struct shard *s = shard_of(m, place);
    struct answer *found = NULL;
    *ret_spare = NULL;
    pthread_mutex_lock(&s->lock);
    struct answer *a = *find(s, place);
    if (a && a->made_us >= oldest_us && memcmp(a->digest, digest, sizeof(a->digest)) == 0) {
        found = answer_ref(a);
        unlink_use(s, a);
        link_newest(s, a);
    } else {
        *ret_spare = take_spare(s);
        if (a) { /* it will be replaced soon: have its neighbours near by then */
            __builtin_prefetch(a->links.newer);
            __builtin_prefetch(a->links.older);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void evict(struct shard *s, const struct answer *victim)
{
    remove_answer(s, find(s, victim->links.where));
    s->evicted++;
}

/* Until the tenant's answers and `more` are within the bound. */
static void evict_of_tenant(struct shard *s, uint64_t tenant, size_t more, size_t max_bytes)
{
    const struct answer *a = s->oldest;
    while (a && s->tenant_bytes[tenant % TENANTS] + more > max_bytes) {
        const struct answer *newer = a->links.newer;
        if (a->links.tenant % TENANTS == tenant % TENANTS) {
            evict(s, a);
        }
        a = newer;
    }
}

bool memory_add(struct memory *m, struct answer *a, uint64_t place, weir_str tenant, weir_str model,
                size_t tenant_bytes)
{
    size_t bound = tenant_bytes ? tenant_bytes / SHARDS : m->max_bytes;
    bound = bound < m->max_bytes ? bound : m->max_bytes;
    if (cost(a) > bound) {
        return false;
    }
    a->links = (struct answer_links){
        .where = place, .tenant = hash_text(tenant), .model = hash_text(model)};
    struct shard *s = shard_of(m, place);
    pthread_mutex_lock(&s->lock);
    struct answer **at = find(s, place);
    if (*at) {
        remove_answer(s, at);
    }
    if (tenant_bytes) {
        evict_of_tenant(s, a->links.tenant, cost(a), bound);
    }
    while (s->oldest && s->bytes + cost(a) > m->max_bytes) {
        evict(s, s->oldest);
    }
    struct answer **chain = chain_of(s, place);
    a->links.next = *chain;
    *chain = answer_ref(a);
    link_newest(s, a);
    s->bytes += cost(a);
    s->tenant_bytes[a->links.tenant % TENANTS] += cost(a);
    s->entries++;
    pthread_mutex_unlock(&s->lock);
    return true;
}

static uint64_t drop_of_shard(struct shard *s, const uint64_t *tenant, const uint64_t *model)
{
    uint64_t dropped = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < CHAINS; i++) {
        struct answer **at = &s->chains[i];
        while (*at) {
            const struct answer_links *l = &(*at)->links;
            bool wanted = (!tenant || l->tenant == *tenant) && (!model || l->model == *model);
            if (wanted) {
                remove_answer(s, at);
                dropped++;
            } else {
                at = &(*at)->links.next;
            }
        }
    }
    pthread_mutex_unlock(&s->lock);
    return dropped;
}

uint64_t memory_drop(struct memory *m, weir_str tenant, weir_str model)
{
    uint64_t tenant_hash = hash_text(tenant), model_hash = hash_text(model), dropped = 0;
    for (int i = 0; i < SHARDS; i++) {
        dropped += drop_of_shard(&m->shards[i], &tenant_hash, model.n ? &model_hash : NULL);
    }
    return dropped;
}

void memory_clear(struct memory *m)
{
    for (int i = 0; i < SHARDS; i++) {
        (void)drop_of_shard(&m->shards[i], NULL, NULL);
    }
}

atomic_uint_least64_t *memory_epoch(struct memory *m)
{
    return &m->epoch;
}

struct memory_counts memory_count(struct memory *m)
{
    struct memory_counts c = {0};
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &m->shards[i];
        pthread_mutex_lock(&s->lock);
        c.bytes += s->bytes;
        c.entries += s->entries;
        c.evicted += s->evicted;
        pthread_mutex_unlock(&s->lock);
    }
    return c;
}

void memory_destroy(struct memory *m)
{
    if (!m || !is_last_user(m)) {
        return;
    }
    memory_clear(m);
    for (int i = 0; i < SHARDS; i++) {
        struct answer *a;
        while ((a = take_spare(&m->shards[i])) != NULL) {
            answer_unref(a);
        }
        pthread_mutex_destroy(&m->shards[i].lock);
    }
    free(m);
}
