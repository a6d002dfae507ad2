/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { SHARDS = 16, CHAINS = 1024, TENANTS = 256 };

struct node {
    struct node *next;          /* of its chain */
    struct node *newer, *older; /* in the order of use */
    struct answer *answer;
    uint64_t tenant, model; /* hashes */
};

struct shard {
    pthread_mutex_t lock; /* everything below */
    struct node *chains[CHAINS];
    struct node *newest, *oldest;
    size_t bytes;
    size_t tenant_bytes[TENANTS]; /* by the tenant's hash: those that meet share a bound */
    uint64_t entries, evicted;
};

struct memory {
    size_t max_bytes; /* of a shard */
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

/* A digest's bytes are as good as any hash of them. */
static struct shard *shard_of(struct memory *m, const uint8_t *digest)
{
    return &m->shards[digest[0] % SHARDS];
}

static struct node **chain_of(struct shard *s, const uint8_t *digest)
{
    return &s->chains[((unsigned)digest[1] << 8 | digest[2]) % CHAINS];
}

static size_t cost(const struct answer *a)
{
    return sizeof(struct node) + sizeof(*a) + a->n;
}

int memory_create(size_t max_bytes, struct memory **ret_memory)
{
    struct memory *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    m->max_bytes = max_bytes / SHARDS;
    for (int i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&m->shards[i].lock, NULL);
    }
    *ret_memory = m;
    return 0;
}

static void unlink_use(struct shard *s, struct node *n)
{
    *(n->newer ? &n->newer->older : &s->newest) = n->older;
    *(n->older ? &n->older->newer : &s->oldest) = n->newer;
}

static void link_newest(struct shard *s, struct node *n)
{
    n->newer = NULL;
    n->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = n;
    s->newest = n;
}

/* Under the lock. *at is the node's link in its chain. */
static void remove_node(struct shard *s, struct node **at)
{
    struct node *n = *at;
    assert(n);
    *at = n->next;
    unlink_use(s, n);
    s->bytes -= cost(n->answer);
    s->tenant_bytes[n->tenant % TENANTS] -= cost(n->answer);
    s->entries--;
    answer_unref(n->answer);
    free(n);
}

static struct node **find(struct shard *s, const uint8_t *digest)
{
    struct node **at = chain_of(s, digest);
    while (*at && memcmp((*at)->answer->digest, digest, WEIR_ANSWER_DIGEST_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

struct answer *memory_find(struct memory *m, const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES],
                           uint64_t oldest_us)
{
    struct shard *s = shard_of(m, digest);
    struct answer *found = NULL;
    pthread_mutex_lock(&s->lock);
    struct node **at = find(s, digest);
    if (*at && (*at)->answer->made_us < oldest_us) {
        remove_node(s, at);
    } else if (*at) {
        found = answer_ref((*at)->answer);
        struct node *n = *at;
        unlink_use(s, n);
        link_newest(s, n);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void evict(struct shard *s, const struct node *victim)
{
    remove_node(s, find(s, victim->answer->digest));
    s->evicted++;
}

/* Until the tenant's answers and `more` are within the bound. */
static void evict_of_tenant(struct shard *s, uint64_t tenant, size_t more, size_t max_bytes)
{
    struct node *n = s->oldest;
    while (n && s->tenant_bytes[tenant % TENANTS] + more > max_bytes) {
        struct node *newer = n->newer;
        if (n->tenant % TENANTS == tenant % TENANTS) {
            evict(s, n);
        }
        n = newer;
    }
}

void memory_add(struct memory *m, struct answer *a, weir_str tenant, weir_str model,
                size_t tenant_bytes)
{
    size_t bound = tenant_bytes ? tenant_bytes / SHARDS : m->max_bytes;
    bound = bound < m->max_bytes ? bound : m->max_bytes;
    struct node *n = cost(a) <= bound ? malloc(sizeof(*n)) : NULL;
    if (!n) {
        return;
    }
    *n = (struct node){
        .answer = answer_ref(a), .tenant = hash_text(tenant), .model = hash_text(model)};
    struct shard *s = shard_of(m, a->digest);
    pthread_mutex_lock(&s->lock);
    struct node **at = find(s, a->digest);
    if (*at) {
        remove_node(s, at);
    }
    if (tenant_bytes) {
        evict_of_tenant(s, n->tenant, cost(a), bound);
    }
    while (s->oldest && s->bytes + cost(a) > m->max_bytes) {
        evict(s, s->oldest);
    }
    struct node **chain = chain_of(s, a->digest);
    n->next = *chain;
    *chain = n;
    link_newest(s, n);
    s->bytes += cost(a);
    s->tenant_bytes[n->tenant % TENANTS] += cost(a);
    s->entries++;
    pthread_mutex_unlock(&s->lock);
}

static uint64_t drop_of_shard(struct shard *s, const uint64_t *tenant, const uint64_t *model)
{
    uint64_t dropped = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < CHAINS; i++) {
        struct node **at = &s->chains[i];
        while (*at) {
            bool wanted =
                (!tenant || (*at)->tenant == *tenant) && (!model || (*at)->model == *model);
            if (wanted) {
                remove_node(s, at);
                dropped++;
            } else {
                at = &(*at)->next;
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
    if (!m) {
        return;
    }
    memory_clear(m);
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&m->shards[i].lock);
    }
    free(m);
}
