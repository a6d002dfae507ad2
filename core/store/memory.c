/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory.h"

#include <stdlib.h>

#include "base/clock.h"
#include "core/store/memory_map.h"

enum { MAX_RESERVATIONS = 4096 }; /* of one budget */
/* A budget that nobody touched for so long is over: its key names a period of a month at most. */
#define BUDGET_IDLE_US (UINT64_C(40) * 24 * 3600 * 1000000)

struct memory_store {
    struct weir_store base; /* first: callers hold this */
    struct weir_store_memory_options options;
    struct weir_store_shard shards[WEIR_STORE_SHARDS];
};

/* A locked shard and the time at which an operation happens. */
struct place {
    struct weir_store_shard *shard;
    uint64_t hash;
    uint64_t now_us;
};

static struct memory_store *from(struct weir_store *s)
{
    return (struct memory_store *)s;
}

static uint64_t now_us(const struct memory_store *m)
{
    return m->options.now_us ? m->options.now_us(m->options.now_arg) : weir_clock_mono_us();
}

static bool is_key(weir_str tenant, weir_str key)
{
    return key.n > 0 && key.n <= WEIR_STORE_MAX_KEY_BYTES && tenant.n <= WEIR_STORE_MAX_KEY_BYTES;
}

static struct place enter(struct memory_store *m, enum weir_store_kind kind, weir_str tenant,
                          weir_str key)
{
    struct place p = {.hash = weir_store_hash(kind, tenant, key), .now_us = now_us(m)};
    p.shard = &m->shards[p.hash >> 60]; /* the low bits choose the bucket */
    pthread_mutex_lock(&p.shard->lock);
    return p;
}

static struct weir_store_entry *find_or_insert(struct place *p, enum weir_store_kind kind,
                                               weir_str tenant, weir_str key)
{
    struct weir_store_entry *e = weir_store_find(p->shard, kind, p->hash, tenant, key, p->now_us);
    return e ? e : weir_store_insert(p->shard, kind, p->hash, tenant, key, p->now_us);
}

/* Unlocks, then tells: `done` may call the store again. */
static int leave(struct place *p, weir_store_done done, void *arg, weir_store_result *result)
{
    pthread_mutex_unlock(&p->shard->lock);
    result->struct_size = sizeof(*result);
    done(arg, result);
    return 0;
}

static uint64_t saturated_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t expiry(uint64_t now, uint64_t ttl_ms)
{
    return ttl_ms == 0 || ttl_ms > UINT64_MAX / 1000 ? UINT64_MAX
                                                     : saturated_add(now, ttl_ms * 1000);
}

/* units * period / limit in nanoseconds, rounded up, saturated at about 292 years. */
static uint64_t span_ns(uint64_t units, uint64_t period_us, uint64_t limit)
{
    unsigned __int128 ns = (unsigned __int128)units * period_us * 1000;
    ns = (ns + limit - 1) / limit;
    return ns > INT64_MAX ? (uint64_t)INT64_MAX : (uint64_t)ns;
}

static int gcra_take(struct weir_store *s, weir_str tenant, weir_str key, uint64_t units,
                     uint64_t limit, uint64_t period_us, uint64_t burst, weir_store_done done,
                     void *arg)
{
    if (!is_key(tenant, key) || limit == 0 || period_us == 0 || period_us > UINT64_C(1) << 50 ||
        !done) {
        return WEIR_E_ARG;
    }
    weir_store_result result = {0};
    struct place p = enter(from(s), WEIR_STORE_LIMIT, tenant, key);
    uint64_t now_ns = p.now_us * 1000;
    struct weir_store_entry *e =
        weir_store_find(p.shard, WEIR_STORE_LIMIT, p.hash, tenant, key, p.now_us);
    uint64_t until = e && e->limit_until_ns > now_ns ? e->limit_until_ns : now_ns;
    uint64_t depth = span_ns(burst, period_us, limit);
    uint64_t after = saturated_add(until, span_ns(units, period_us, limit));
    if (units > burst) {
        result.rc = WEIR_E_TOOBIG; /* no wait would help */
    } else if (after - now_ns > depth) {
        result.rc = WEIR_E_BUSY;
        result.retry_after_us = (after - now_ns - depth + 999) / 1000;
    } else if (units > 0) {
        if (!e) {
            e = weir_store_insert(p.shard, WEIR_STORE_LIMIT, p.hash, tenant, key, p.now_us);
        }
        if (e) {
            e->limit_until_ns = until = after;
            e->expires_us = after / 1000 + 1;
        } else {
            result.rc = WEIR_E_NOMEM;
        }
    }
    uint64_t taken = until - now_ns;
    unsigned __int128 left = taken < depth ? (unsigned __int128)(depth - taken) * limit : 0;
    result.number = (int64_t)(left / ((unsigned __int128)period_us * 1000));
    result.reset_us = (taken + 999) / 1000;
    return leave(&p, done, arg, &result);
}

static void drop_reservation(struct weir_store_budget *b, uint32_t i)
{
    free(b->list[i].id);
    b->list[i] = b->list[--b->n];
}

/* Forgets what has expired: open reservations give their units back, settled ones stay used. */
static void age_budget(struct weir_store_budget *b, uint64_t now)
{
    for (uint32_t i = b->n; i-- > 0;) {
        if (b->list[i].expires_us <= now) {
            b->used = saturated_add(b->used, b->list[i].settled ? b->list[i].units : 0);
            drop_reservation(b, i);
        }
    }
}

static uint64_t budget_taken(const struct weir_store_budget *b)
{
    uint64_t sum = b->used;
    for (uint32_t i = 0; i < b->n; i++) {
        sum = saturated_add(sum, b->list[i].units);
    }
    return sum;
}

static struct weir_store_reservation *find_reservation(struct weir_store_budget *b, weir_str id)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (weir_str_eq((weir_str){b->list[i].id, b->list[i].id_len}, id)) {
            return &b->list[i];
        }
    }
    return NULL;
}

static struct weir_store_reservation *add_reservation(struct place *p, struct weir_store_entry *e,
                                                      weir_str id)
{
    struct weir_store_budget *b = &e->budget;
    if (b->n == MAX_RESERVATIONS) {
        return NULL;
    }
    if (b->n == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 8;
        if (!weir_store_grow(p->shard, e, (cap - b->cap) * (sizeof(*b->list) + 64))) {
            return NULL;
        }
        struct weir_store_reservation *list = realloc(b->list, cap * sizeof(*list));
        if (!list) {
            return NULL;
        }
        b->list = list;
        b->cap = cap;
    }
    char *copy = malloc(id.n);
    if (!copy) {
        return NULL;
    }
    memcpy(copy, id.p, id.n);
    b->list[b->n] = (struct weir_store_reservation){.id = copy, .id_len = id.n};
    return &b->list[b->n++];
}

static int reserve(struct weir_store *s, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                   uint64_t limit, uint64_t ttl_ms, weir_store_done done, void *arg)
{
    if (!is_key(tenant, key) || id.n == 0 || id.n > WEIR_STORE_MAX_KEY_BYTES || !done) {
        return WEIR_E_ARG;
    }
    weir_store_result result = {0};
    struct place p = enter(from(s), WEIR_STORE_BUDGET, tenant, key);
    struct weir_store_entry *e = find_or_insert(&p, WEIR_STORE_BUDGET, tenant, key);
    if (!e) {
        result.rc = WEIR_E_NOMEM;
        return leave(&p, done, arg, &result);
    }
    e->expires_us = saturated_add(p.now_us, BUDGET_IDLE_US);
    age_budget(&e->budget, p.now_us);
    struct weir_store_reservation *r = find_reservation(&e->budget, id);
    uint64_t taken = budget_taken(&e->budget) - (r ? r->units : 0); /* the same id replaces */
    if (units > limit || taken > limit - units) {
        result.rc = WEIR_E_BUSY;
    } else {
        r = r ? r : add_reservation(&p, e, id);
        if (r) {
            r->units = units;
            r->settled = false;
            r->expires_us = expiry(p.now_us, ttl_ms);
            taken = saturated_add(taken, units);
        } else {
            result.rc = WEIR_E_NOMEM;
        }
    }
    uint64_t left = taken < limit ? limit - taken : 0;
    result.number = left > INT64_MAX ? INT64_MAX : (int64_t)left;
    return leave(&p, done, arg, &result);
}

static int settle(struct weir_store *s, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                  weir_store_done done, void *arg)
{
    if (!is_key(tenant, key) || id.n == 0 || id.n > WEIR_STORE_MAX_KEY_BYTES || !done) {
        return WEIR_E_ARG;
    }
    weir_store_result result = {0};
    struct place p = enter(from(s), WEIR_STORE_BUDGET, tenant, key);
    struct weir_store_entry *e = find_or_insert(&p, WEIR_STORE_BUDGET, tenant, key);
    if (!e) {
        result.rc = WEIR_E_NOMEM;
        return leave(&p, done, arg, &result);
    }
    e->expires_us = saturated_add(p.now_us, BUDGET_IDLE_US);
    struct weir_store_reservation *r = find_reservation(&e->budget, id);
    if (r) {
        r->units = units;
        r->settled = true;
    } else {
        /* The reservation has expired, but the use happened: it counts. */
        e->budget.used = saturated_add(e->budget.used, units);
    }
    uint64_t taken = budget_taken(&e->budget);
    result.number = taken > INT64_MAX ? INT64_MAX : (int64_t)taken;
    return leave(&p, done, arg, &result);
}

static int get(struct weir_store *s, weir_str tenant, weir_str key, weir_store_done done, void *arg)
{
    if (!is_key(tenant, key) || !done) {
        return WEIR_E_ARG;
    }
    weir_store_result result = {.rc = WEIR_E_NOTFOUND};
    struct place p = enter(from(s), WEIR_STORE_VALUE, tenant, key);
    const struct weir_store_entry *e =
        weir_store_find(p.shard, WEIR_STORE_VALUE, p.hash, tenant, key, p.now_us);
    char *copy = NULL;
    if (e) {
        /* A copy, because `done` runs without the lock. */
        copy = malloc(e->value.len + 1);
        result.rc = copy ? 0 : WEIR_E_NOMEM;
        if (copy && e->value.len) {
            memcpy(copy, e->value.bytes, e->value.len);
        }
        result.value = (weir_str){copy, copy ? e->value.len : 0};
    }
    int rc = leave(&p, done, arg, &result);
    free(copy);
    return rc;
}

/* One block: the records, then the names that they point to. */
static struct weir_store_tag *copy_tags(struct weir_store_entry *e, weir_str tenant,
                                        const weir_str *tags, uint32_t n, size_t *ret_bytes)
{
    size_t n_bytes = n * sizeof(struct weir_store_tag);
    for (uint32_t i = 0; i < n; i++) {
        n_bytes += tags[i].n;
    }
    struct weir_store_tag *copy = malloc(n_bytes);
    if (!copy) {
        return NULL;
    }
    char *at = (char *)(copy + n);
    for (uint32_t i = 0; i < n; i++) {
        if (tags[i].n) {
            memcpy(at, tags[i].p, tags[i].n);
        }
        copy[i] = (struct weir_store_tag){
            .entry = e, .hash = weir_store_tag_hash(tenant, tags[i]), .name = {at, tags[i].n}};
        at += tags[i].n;
    }
    *ret_bytes = n_bytes;
    return copy;
}

static bool fill_value(struct place *p, struct weir_store_entry *e, weir_str tenant, weir_str value,
                       const weir_str *tags, uint32_t n_tags)
{
    size_t tag_bytes = 0;
    struct weir_store_tag *copied = n_tags ? copy_tags(e, tenant, tags, n_tags, &tag_bytes) : NULL;
    char *bytes = malloc(value.n + 1);
    if (!bytes || (n_tags && !copied) || !weir_store_grow(p->shard, e, value.n + 1 + tag_bytes)) {
        free(bytes);
        free(copied);
        return false;
    }
    if (value.n) {
        memcpy(bytes, value.p, value.n);
    }
    e->value.bytes = bytes;
    e->value.len = value.n;
    e->value.tags = copied;
    e->value.n_tags = n_tags;
    weir_store_link_tags(p->shard, e);
    return true;
}

static int set(struct weir_store *s, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
               const weir_str *tags, uint32_t n_tags, weir_store_done done, void *arg)
{
    if (!is_key(tenant, key) || n_tags > WEIR_STORE_MAX_TAGS || (n_tags && !tags) || !done) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < n_tags; i++) {
        if (tags[i].n == 0 || tags[i].n > WEIR_STORE_MAX_KEY_BYTES) {
            return WEIR_E_ARG;
        }
    }
    if (value.n > WEIR_STORE_MAX_VALUE_BYTES) {
        return WEIR_E_TOOBIG;
    }
    weir_store_result result = {0};
    struct place p = enter(from(s), WEIR_STORE_VALUE, tenant, key);
    struct weir_store_entry *e =
        weir_store_find(p.shard, WEIR_STORE_VALUE, p.hash, tenant, key, p.now_us);
    if (e) {
        weir_store_remove(p.shard, e);
    }
    e = weir_store_insert(p.shard, WEIR_STORE_VALUE, p.hash, tenant, key, p.now_us);
    if (e && fill_value(&p, e, tenant, value, tags, n_tags)) {
        e->expires_us = expiry(p.now_us, ttl_ms);
    } else {
        result.rc = WEIR_E_NOMEM;
        if (e) {
            weir_store_remove(p.shard, e);
        }
    }
    return leave(&p, done, arg, &result);
}

static int invalidate(struct weir_store *s, weir_str tenant, weir_str tag, weir_store_done done,
                      void *arg)
{
    if (tag.n == 0 || tag.n > WEIR_STORE_MAX_KEY_BYTES || tenant.n > WEIR_STORE_MAX_KEY_BYTES ||
        !done) {
        return WEIR_E_ARG;
    }
    struct memory_store *m = from(s);
    weir_store_result result = {.struct_size = sizeof(result)};
    for (int i = 0; i < WEIR_STORE_SHARDS; i++) {
        pthread_mutex_lock(&m->shards[i].lock);
        result.number += (int64_t)weir_store_remove_tagged(&m->shards[i], tenant, tag);
        pthread_mutex_unlock(&m->shards[i].lock);
    }
    done(arg, &result);
    return 0;
}

static int add(struct weir_store *s, weir_str tenant, weir_str key, int64_t delta, uint64_t ttl_ms,
               weir_store_done done, void *arg)
{
    if (!is_key(tenant, key) || !done) {
        return WEIR_E_ARG;
    }
    weir_store_result result = {0};
    struct place p = enter(from(s), WEIR_STORE_COUNTER, tenant, key);
    struct weir_store_entry *e =
        weir_store_find(p.shard, WEIR_STORE_COUNTER, p.hash, tenant, key, p.now_us);
    if (!e) {
        e = weir_store_insert(p.shard, WEIR_STORE_COUNTER, p.hash, tenant, key, p.now_us);
        if (e) {
            e->expires_us = expiry(p.now_us, ttl_ms); /* counted from the first use */
        }
    }
    if (!e) {
        result.rc = WEIR_E_NOMEM;
    } else if (__builtin_add_overflow(e->counter, delta, &e->counter)) {
        e->counter = delta > 0 ? INT64_MAX : INT64_MIN;
    }
    result.number = e ? e->counter : 0;
    return leave(&p, done, arg, &result);
}

static void destroy(struct weir_store *s)
{
    struct memory_store *m = from(s);
    for (int i = 0; i < WEIR_STORE_SHARDS; i++) {
        weir_store_shard_finish(&m->shards[i]);
    }
    free(m);
}

static const struct weir_store_driver driver = {
    .name = "memory",
    .destroy = destroy,
    .gcra_take = gcra_take,
    .reserve = reserve,
    .settle = settle,
    .get = get,
    .set = set,
    .invalidate = invalidate,
    .add = add,
};

int weir_store_memory_create(const struct weir_store_memory_options *options,
                             struct weir_store **ret_store)
{
    struct memory_store *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    m->base.driver = &driver;
    m->options = *options;
    size_t max_entries = options->max_entries ? options->max_entries : 1000000;
    size_t max_bytes = options->max_bytes ? options->max_bytes : 256 * 1024 * 1024;
    for (int i = 0; i < WEIR_STORE_SHARDS; i++) {
        int rc = weir_store_shard_init(&m->shards[i],
                                       (max_entries + WEIR_STORE_SHARDS - 1) / WEIR_STORE_SHARDS,
                                       (max_bytes + WEIR_STORE_SHARDS - 1) / WEIR_STORE_SHARDS);
        if (rc < 0) {
            destroy(&m->base);
            return rc;
        }
    }
    *ret_store = &m->base;
    return 0;
}

void weir_store_memory_get_stats(struct weir_store *store,
                                 struct weir_store_memory_stats *ret_stats)
{
    struct memory_store *m = from(store);
    struct weir_store_memory_stats sum = {0};
    for (int i = 0; i < WEIR_STORE_SHARDS; i++) {
        struct weir_store_shard *s = &m->shards[i];
        pthread_mutex_lock(&s->lock);
        sum.n_entries += s->n_entries;
        sum.n_bytes += s->n_bytes;
        sum.evicted += s->evicted;
        sum.expired += s->expired;
        sum.refused += s->refused;
        pthread_mutex_unlock(&s->lock);
    }
    *ret_stats = sum;
}
