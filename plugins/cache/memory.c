/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SHARDS = 16, CHAINS = 1024, TENANTS = 256, FIRST_PLACES = 16, LINE_BYTES = 64 };

/* Places are named by where they stand in their shard's array; 0 is none. */
struct place {
    uint64_t where;   /* memory_place() */
    uint64_t tag;     /* of the answer's digest */
    uint64_t made_us; /* its own */
    uint64_t tenant;  /* hashes */
    uint64_t model;
    struct answer *answer;
    uint32_t next;         /* of its chain, or of those that are free */
    uint32_t newer, older; /* in the order of use */
    uint32_t n_bytes : 31; /* that it counts for */
    uint32_t is_seen : 1;  /* somebody else has, or had, a reference to the answer */
};
_Static_assert(sizeof(struct place) == MEMORY_PLACE_BYTES, "a line of the cache");

struct shard {
    pthread_mutex_t lock; /* everything below */
    struct place *places; /* [n_places]; the first is nobody's */
    uint32_t n_places, free;
    uint32_t newest, oldest;
    uint32_t chains[CHAINS];
    struct answer *spares[MEMORY_SPARES];
    uint32_t n_spares;
    size_t bytes;
    size_t tenant_bytes[TENANTS]; /* by the tenant's hash: those that meet share a bound */
    uint64_t entries, evicted;
};

struct memory {
    size_t max_bytes; /* of a shard */
    uint8_t secret[WEIR_ANSWER_SECRET_BYTES];
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

static uint32_t *chain_of(struct shard *s, uint64_t place)
{
    return &s->chains[place / SHARDS % CHAINS];
}

/* Of an answer with room for so many bytes. */
static size_t cost_of(size_t cap)
{
    return MEMORY_PLACE_BYTES + sizeof(struct answer) + cap;
}

static uint64_t tag_of(const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES])
{
    uint64_t tag;
    memcpy(&tag, digest, sizeof(tag));
    return tag;
}

int memory_create(size_t max_bytes, struct memory **ret_memory)
{
    struct memory *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    if (getrandom(m->secret, sizeof(m->secret), 0) != sizeof(m->secret)) {
        free(m);
        return WEIR_E_IO;
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

static void unlink_use(struct shard *s, const struct place *p)
{
    *(p->newer ? &s->places[p->newer].older : &s->newest) = p->older;
    *(p->older ? &s->places[p->older].newer : &s->oldest) = p->newer;
}

static void link_newest(struct shard *s, uint32_t i)
{
    s->places[i].newer = 0;
    s->places[i].older = s->newest;
    *(s->newest ? &s->places[s->newest].newer : &s->oldest) = i;
    s->newest = i;
}

/* Under the lock, under which alone references are made: the last one is ours. An answer that
 * nobody got is not even looked at, since it is in no cache by now. */
static void let_go(struct shard *s, const struct place *p)
{
    bool is_last = !p->is_seen || atomic_load_explicit(&p->answer->refs, memory_order_acquire) == 1;
    bool is_small = p->n_bytes <= cost_of(MEMORY_SPARE_BYTES);
    if (is_last && is_small && s->n_spares < MEMORY_SPARES) {
        s->spares[s->n_spares++] = p->answer;
    } else {
        answer_unref(p->answer);
    }
}

/* Under the lock. *at is the place's link in its chain. */
static void empty_place(struct shard *s, uint32_t *at)
{
    uint32_t i = *at;
    struct place *p = &s->places[i];
    assert(i);
    *at = p->next;
    unlink_use(s, p);
    s->bytes -= p->n_bytes;
    s->tenant_bytes[p->tenant % TENANTS] -= p->n_bytes;
    s->entries--;
    p->next = s->free;
    s->free = i;
    let_go(s, p);
}

static uint32_t *find(struct shard *s, uint64_t place)
{
    uint32_t *at = chain_of(s, place);
    while (*at && s->places[*at].where != place) {
        at = &s->places[*at].next;
    }
    return at;
}

/* Under the lock: there is a free place then. */
static bool make_place(struct shard *s)
{
    if (s->free) {
        return true;
    }
    uint32_t n = s->n_places ? s->n_places * 2 : FIRST_PLACES;
    struct place *places = n > s->n_places ? aligned_alloc(LINE_BYTES, n * sizeof(*places)) : NULL;
    if (!places) {
        return false;
    }
    if (s->n_places) {
        memcpy(places, s->places, s->n_places * sizeof(*places));
    }
    for (uint32_t i = n - 1; i > 0 && i >= s->n_places; i--) {
        places[i].next = s->free;
        s->free = i;
    }
    free(s->places);
    s->places = places;
    s->n_places = n;
    return true;
}

static struct answer *take_spare(struct shard *s)
{
    return s->n_spares ? s->spares[--s->n_spares] : NULL;
}

struct answer *memory_find(struct memory *m, uint64_t place,
                           const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], uint64_t oldest_us,
                           struct answer **ret_spare)
{
    struct shard *s = shard_of(m, place);
    struct answer *found = NULL;
    *ret_spare = NULL;
    pthread_mutex_lock(&s->lock);
    uint32_t i = *find(s, place);
    struct place *p = i ? &s->places[i] : NULL;
    if (p && p->tag == tag_of(digest) && p->made_us >= oldest_us &&
        memcmp(p->answer->digest, digest, sizeof(p->answer->digest)) == 0) {
        found = answer_ref(p->answer);
        p->is_seen = true;
        unlink_use(s, p);
        link_newest(s, i);
    } else {
        *ret_spare = take_spare(s);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void evict(struct shard *s, uint32_t victim)
{
    empty_place(s, find(s, s->places[victim].where));
    s->evicted++;
}

/* Until the tenant's answers and `more` are within the bound. */
static void evict_of_tenant(struct shard *s, uint64_t tenant, size_t more, size_t max_bytes)
{
    uint32_t i = s->oldest;
    while (i && s->tenant_bytes[tenant % TENANTS] + more > max_bytes) {
        uint32_t newer = s->places[i].newer;
        if (s->places[i].tenant % TENANTS == tenant % TENANTS) {
            evict(s, i);
        }
        i = newer;
    }
}

/* Under the lock, with a free place. */
static void fill_place(struct shard *s, const struct place *with)
{
    uint32_t i = s->free, *chain = chain_of(s, with->where);
    struct place *p = &s->places[i];
    s->free = p->next;
    *p = *with;
    p->next = *chain;
    *chain = i;
    link_newest(s, i);
    s->bytes += p->n_bytes;
    s->tenant_bytes[p->tenant % TENANTS] += p->n_bytes;
    s->entries++;
}

bool memory_add(struct memory *m, struct answer *a, uint64_t place, weir_str tenant, weir_str model,
                size_t tenant_bytes)
{
    size_t bound = tenant_bytes ? tenant_bytes / SHARDS : m->max_bytes;
    bound = bound < m->max_bytes ? bound : m->max_bytes;
    size_t n_bytes = cost_of(a->cap);
    if (n_bytes > bound || n_bytes > INT32_MAX) {
        answer_unref(a);
        return false;
    }
    struct place p = {.where = place,
                      .tag = tag_of(a->digest),
                      .made_us = a->made_us,
                      .tenant = hash_text(tenant),
                      .model = hash_text(model),
                      .answer = a,
                      .n_bytes = (uint32_t)n_bytes & INT32_MAX,
                      .is_seen = atomic_load_explicit(&a->refs, memory_order_relaxed) > 1};
    struct shard *s = shard_of(m, place);
    pthread_mutex_lock(&s->lock);
    uint32_t *at = find(s, place);
    if (*at) {
        empty_place(s, at);
    }
    if (tenant_bytes) {
        evict_of_tenant(s, p.tenant, p.n_bytes, bound);
    }
    while (s->oldest && s->bytes + p.n_bytes > m->max_bytes) {
        evict(s, s->oldest);
    }
    bool ok = make_place(s);
    if (ok) {
        fill_place(s, &p);
    }
    pthread_mutex_unlock(&s->lock);
    if (!ok) {
        answer_unref(a);
    }
    return ok;
}

static uint64_t drop_of_shard(struct shard *s, const uint64_t *tenant, const uint64_t *model)
{
    uint64_t dropped = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < CHAINS; i++) {
        uint32_t *at = &s->chains[i];
        while (*at) {
            struct place *p = &s->places[*at];
            bool wanted = (!tenant || p->tenant == *tenant) && (!model || p->model == *model);
            if (wanted) {
                empty_place(s, at);
                dropped++;
            } else {
                at = &p->next;
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

const uint8_t *memory_secret(const struct memory *m)
{
    return m->secret;
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
        free(m->shards[i].places);
        pthread_mutex_destroy(&m->shards[i].lock);
    }
    free(m);
}
