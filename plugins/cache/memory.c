/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    SHARDS = 16,
    TENANTS = 256,
    FIRST_PLACES = 16,
    LINE_BYTES = 64,
    ENTRIES = 5, /* of a bucket */
    FULL_ENTRIES = 4,
    USUAL_ANSWER_BYTES = 2048,
    LEAST_BUCKETS = 64,
    MOST_BUCKETS = 1 << 20,
};

/* Places are named by where they stand in their shard's array; 0 is none. */
struct place {
    _Alignas(LINE_BYTES) uint64_t where; /* memory_place() */
    uint64_t made_us;                    /* its answer's own */
    uint64_t tenant;                     /* hashes */
    uint64_t model;
    struct answer *answer; /* NULL: the place is free */
    uint32_t next;         /* of those that are free */
    uint32_t n_bytes;      /* that it counts for */
    bool is_used;          /* since the hand came by */
    bool is_seen;          /* somebody else has, or had, a reference to the answer */
};
_Static_assert(sizeof(struct place) == MEMORY_PLACE_BYTES, "a line of the cache");

/* Enough of each of its places to say that what is looked for is not there. */
struct bucket {
    struct {
        uint32_t where, tag; /* parts of the place's name and of the answer's digest */
        uint32_t place;      /* 0: free */
    } entries[ENTRIES];
    uint32_t more; /* in the shard's extra buckets; 0: none */
};
_Static_assert(sizeof(struct bucket) == LINE_BYTES, "a line of the cache");

struct shard {
    pthread_mutex_t lock;   /* everything below */
    struct bucket *buckets; /* [memory.n_buckets] */
    struct bucket *extra;   /* [n_extra]; for full ones, whose they stay; the first is nobody's */
    struct place *places;   /* [n_places]; the first is nobody's */
    uint32_t n_extra, n_used_extra;
    uint32_t n_places, free;
    uint32_t hand; /* the place that went last */
    struct spare {
        struct answer *answer;
        size_t cap;
    } spares[MEMORY_SPARES];
    uint32_t n_spares;
    size_t bytes;
    size_t tenant_bytes[TENANTS]; /* by the tenant's hash: those that meet share a bound */
    uint32_t tenant_hands[TENANTS];
    uint64_t entries, evicted;
};

struct memory {
    size_t max_bytes;   /* of a shard */
    uint32_t n_buckets; /* of a shard; a power of two */
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

/* Of an answer with room for so many bytes. */
static size_t cost_of(size_t cap)
{
    return MEMORY_PLACE_BYTES + sizeof(struct answer) + cap;
}

static uint32_t tag_of(const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES])
{
    uint32_t tag;
    memcpy(&tag, digest, sizeof(tag));
    return tag;
}

/* So many that most are not full when all bytes are taken. */
static uint32_t count_buckets(size_t max_bytes)
{
    size_t wanted = max_bytes / (USUAL_ANSWER_BYTES * FULL_ENTRIES);
    uint32_t n = LEAST_BUCKETS;
    while (n < wanted && n < MOST_BUCKETS) {
        n *= 2;
    }
    return n;
}

static void free_all(struct memory *m)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &m->shards[i];
        while (s->n_spares) {
            answer_unref(s->spares[--s->n_spares].answer);
        }
        free(s->buckets);
        free(s->extra);
        free(s->places);
        pthread_mutex_destroy(&s->lock);
    }
    free(m);
}

static void *make_lines(size_t n)
{
    void *lines = aligned_alloc(LINE_BYTES, n * LINE_BYTES);
    if (lines) {
        memset(lines, 0, n * LINE_BYTES);
    }
    return lines;
}

int memory_create(size_t max_bytes, struct memory **ret_memory)
{
    struct memory *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    m->max_bytes = max_bytes / SHARDS;
    m->n_buckets = count_buckets(m->max_bytes);
    m->n_users = 1;
    bool ok = true;
    for (int i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&m->shards[i].lock, NULL);
        m->shards[i].buckets = make_lines(m->n_buckets);
        ok = ok && m->shards[i].buckets;
    }
    bool is_random = getrandom(m->secret, sizeof(m->secret), 0) == sizeof(m->secret);
    if (!ok || !is_random) {
        free_all(m);
        return ok ? WEIR_E_IO : WEIR_E_NOMEM;
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

/* One entry of a bucket. */
struct at {
    struct bucket *bucket; /* NULL: there is none */
    int i;
};

static struct bucket *bucket_of(const struct memory *m, const struct shard *s, uint64_t place)
{
    return &s->buckets[place / SHARDS % m->n_buckets];
}

/* What tells places of one bucket apart. */
static uint32_t name_of(const struct memory *m, uint64_t place)
{
    return (uint32_t)(place / SHARDS / m->n_buckets);
}

/* Of a place that is taken. */
static struct at find(const struct memory *m, const struct shard *s, uint64_t place)
{
    uint32_t name = name_of(m, place);
    struct bucket *b = bucket_of(m, s, place);
    for (;; b = &s->extra[b->more]) {
        for (int i = 0; i < ENTRIES; i++) {
            if (b->entries[i].where == name && b->entries[i].place) {
                return (struct at){b, i};
            }
        }
        if (!b->more) {
            return (struct at){NULL, 0};
        }
    }
}

/* Twice as many lines, in place of those; NULL: those stay. */
static void *grow(void *lines, uint32_t *n)
{
    uint32_t more = *n ? *n * 2 : FIRST_PLACES;
    void *grown = more > *n ? make_lines(more) : NULL;
    if (!grown) {
        return NULL;
    }
    if (*n) {
        memcpy(grown, lines, (size_t)*n * LINE_BYTES);
    }
    free(lines);
    *n = more;
    return grown;
}

/* Under the lock. A bucket for one that is full; 0: no memory. */
static uint32_t make_extra(struct shard *s)
{
    if (s->n_used_extra + 1 >= s->n_extra) {
        struct bucket *extra = grow(s->extra, &s->n_extra);
        if (!extra) {
            return 0;
        }
        s->extra = extra;
    }
    return ++s->n_used_extra;
}

/* An entry that is free, for a place that has none. */
static struct at make_entry(const struct memory *m, struct shard *s, uint64_t place)
{
    struct bucket *b = bucket_of(m, s, place);
    uint32_t last = 0; /* of the extra ones; 0: none yet */
    for (;; last = b->more, b = &s->extra[last]) {
        for (int i = 0; i < ENTRIES; i++) {
            if (!b->entries[i].place) {
                return (struct at){b, i};
            }
        }
        if (!b->more) {
            break;
        }
    }
    uint32_t more = make_extra(s);
    if (!more) {
        return (struct at){NULL, 0};
    }
    b = last ? &s->extra[last] : b; /* they may have moved */
    b->more = more;
    return (struct at){&s->extra[more], 0};
}

/* Under the lock, under which alone references are made: the last one is ours. An answer that
 * nobody got is not even looked at, since it is in no cache by now. */
static void let_go(struct shard *s, const struct place *p)
{
    bool is_last = !p->is_seen || atomic_load_explicit(&p->answer->refs, memory_order_acquire) == 1;
    bool is_small = p->n_bytes <= cost_of(MEMORY_SPARE_BYTES);
    if (is_last && is_small && s->n_spares < MEMORY_SPARES) {
        s->spares[s->n_spares++] = (struct spare){p->answer, p->n_bytes - cost_of(0)};
    } else {
        answer_unref(p->answer);
    }
}

/* Under the lock. */
static void empty_place(struct shard *s, struct at at)
{
    uint32_t i = at.bucket->entries[at.i].place;
    struct place *p = &s->places[i];
    assert(i && p->answer);
    at.bucket->entries[at.i].place = 0;
    s->bytes -= p->n_bytes;
    s->tenant_bytes[p->tenant % TENANTS] -= p->n_bytes;
    s->entries--;
    let_go(s, p);
    p->answer = NULL;
    p->next = s->free;
    s->free = i;
}

/* Under the lock: there is a free place then. */
static bool make_place(struct shard *s)
{
    uint32_t before = s->n_places;
    if (s->free) {
        return true;
    }
    struct place *places = grow(s->places, &s->n_places);
    if (!places) {
        return false;
    }
    s->places = places;
    for (uint32_t i = s->n_places - 1; i > 0 && i >= before; i--) {
        s->places[i].next = s->free;
        s->free = i;
    }
    return true;
}

struct answer *memory_find(struct memory *m, uint64_t place,
                           const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], uint64_t oldest_us,
                           struct answer_room *ret_spare)
{
    struct shard *s = shard_of(m, place);
    struct answer *found = NULL;
    *ret_spare = (struct answer_room){0};
    pthread_mutex_lock(&s->lock);
    struct at at = find(m, s, place);
    struct place *p = at.bucket && at.bucket->entries[at.i].tag == tag_of(digest)
                          ? &s->places[at.bucket->entries[at.i].place]
                          : NULL;
    /* All of the place's bits: equal requests of two tenants have equal digests. */
    if (p && p->where == place && p->made_us >= oldest_us &&
        memcmp(p->answer->digest, digest, sizeof(p->answer->digest)) == 0) {
        found = answer_ref(p->answer);
        p->is_seen = true;
        p->is_used = true;
    } else if (s->n_spares) {
        const struct spare *spare = &s->spares[--s->n_spares];
        *ret_spare = (struct answer_room){spare->answer, spare->cap};
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* The next one, of a tenant if that is given, that nobody used since the hand came by; if all were,
 * the first. False: there is none. */
static bool evict(struct memory *m, struct shard *s, uint32_t *hand, const uint64_t *tenant)
{
    for (uint64_t left = (uint64_t)s->n_places * 2; left > 0; left--) {
        *hand = *hand + 1 < s->n_places ? *hand + 1 : 1;
        struct place *p = &s->places[*hand];
        if (!p->answer || (tenant && p->tenant % TENANTS != *tenant % TENANTS)) {
            continue;
        }
        if (!p->is_used) {
            empty_place(s, find(m, s, p->where));
            s->evicted++;
            return true;
        }
        p->is_used = false;
    }
    return false;
}

/* Until there is room for it. */
static void make_room(struct memory *m, struct shard *s, const struct place *p, size_t tenant_bytes)
{
    size_t slot = p->tenant % TENANTS;
    while (tenant_bytes && s->tenant_bytes[slot] + p->n_bytes > tenant_bytes &&
           evict(m, s, &s->tenant_hands[slot], &p->tenant)) {
    }
    while (s->bytes + p->n_bytes > m->max_bytes && evict(m, s, &s->hand, NULL)) {
    }
}

/* Under the lock, with a free place. */
static void fill_place(struct shard *s, const struct place *with)
{
    uint32_t i = s->free;
    struct place *p = &s->places[i];
    s->free = p->next;
    *p = *with;
    s->bytes += p->n_bytes;
    s->tenant_bytes[p->tenant % TENANTS] += p->n_bytes;
    s->entries++;
}

bool memory_add(struct memory *m, struct answer *a, uint64_t epoch, uint64_t place, weir_str tenant,
                weir_str model, size_t tenant_bytes)
{
    size_t bound = tenant_bytes ? tenant_bytes / SHARDS : m->max_bytes;
    bound = bound < m->max_bytes ? bound : m->max_bytes;
    size_t n_bytes = cost_of(a->cap);
    if (n_bytes > bound || n_bytes > UINT32_MAX) {
        answer_unref(a);
        return false;
    }
    struct place p = {.where = place,
                      .made_us = a->made_us,
                      .tenant = hash_text(tenant),
                      .model = hash_text(model),
                      .answer = a,
                      .n_bytes = (uint32_t)n_bytes,
                      .is_seen = atomic_load_explicit(&a->refs, memory_order_relaxed) > 1};
    struct shard *s = shard_of(m, place);
    pthread_mutex_lock(&s->lock);
    if (epoch != memory_epoch(m)) { /* who drops from now on waits for the lock, and finds it */
        pthread_mutex_unlock(&s->lock);
        answer_unref(a);
        return false;
    }
    struct at at = find(m, s, place);
    if (at.bucket) {
        empty_place(s, at);
        p.is_used = true; /* it stands where the old one stood, perhaps before the hand */
    }
    make_room(m, s, &p, tenant_bytes ? bound : 0);
    at = make_place(s) ? make_entry(m, s, place) : (struct at){NULL, 0};
    if (at.bucket) {
        at.bucket->entries[at.i].where = name_of(m, place);
        at.bucket->entries[at.i].tag = tag_of(a->digest);
        at.bucket->entries[at.i].place = s->free;
        fill_place(s, &p);
    }
    pthread_mutex_unlock(&s->lock);
    if (!at.bucket) {
        answer_unref(a);
    }
    return at.bucket != NULL;
}

static uint64_t drop_of_shard(struct memory *m, struct shard *s, const uint64_t *tenant,
                              const uint64_t *model)
{
    uint64_t dropped = 0;
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 1; i < s->n_places; i++) {
        const struct place *p = &s->places[i];
        if (p->answer && (!tenant || p->tenant == *tenant) && (!model || p->model == *model)) {
            empty_place(s, find(m, s, p->where));
            dropped++;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return dropped;
}

uint64_t memory_drop(struct memory *m, weir_str tenant, weir_str model)
{
    uint64_t tenant_hash = hash_text(tenant), model_hash = hash_text(model), dropped = 0;
    (void)atomic_fetch_add_explicit(&m->epoch, 1, memory_order_acq_rel);
    for (int i = 0; i < SHARDS; i++) {
        dropped += drop_of_shard(m, &m->shards[i], &tenant_hash, model.n ? &model_hash : NULL);
    }
    return dropped;
}

void memory_clear(struct memory *m)
{
    (void)atomic_fetch_add_explicit(&m->epoch, 1, memory_order_acq_rel);
    for (int i = 0; i < SHARDS; i++) {
        (void)drop_of_shard(m, &m->shards[i], NULL, NULL);
    }
}

const uint8_t *memory_secret(const struct memory *m)
{
    return m->secret;
}

uint64_t memory_epoch(const struct memory *m)
{
    return atomic_load_explicit(&m->epoch, memory_order_acquire);
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
    free_all(m);
}
