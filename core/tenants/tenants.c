/* SPDX-License-Identifier: Apache-2.0 */
#include "tenants.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>
#include <yyjson.h>

enum { N_BUCKETS = 16384 };

struct weir_tenants_reader {
    struct weir_tenants *tenants;
    _Atomic uint64_t seen; /* the epoch at its last turn */
};

struct weir_tenants {
    _Atomic(struct weir_tenant *) buckets[N_BUCKETS];
    _Atomic uint64_t epoch; /* grows with every tenant that is taken out; no two registries' meet */
    uint64_t version;       /* of the newest tenant */
    atomic_size_t n;
    struct weir_tenant *retired; /* oldest first */
    struct weir_tenant **retired_end;
    struct weir_tenants_watch *watches;
    struct weir_tenants_reader readers[WEIR_TENANTS_MAX_READERS];
    size_t n_readers;
};

int weir_tenants_create(struct weir_tenants **ret_tenants)
{
    struct weir_tenants *ts = calloc(1, sizeof(*ts));
    if (!ts) {
        return WEIR_E_NOMEM;
    }
    static _Atomic uint64_t n_made;
    ts->epoch = (atomic_fetch_add_explicit(&n_made, 1, memory_order_relaxed) + 1) << 40;
    ts->retired_end = &ts->retired;
    *ret_tenants = ts;
    return 0;
}

static void free_retired(struct weir_tenants *ts, uint64_t seen_by_all)
{
    while (ts->retired && ts->retired->retired_epoch <= seen_by_all) {
        struct weir_tenant *t = ts->retired;
        ts->retired = t->retired_next;
        weir_tenant_destroy(t);
    }
    if (!ts->retired) {
        ts->retired_end = &ts->retired;
    }
}

void weir_tenants_destroy(struct weir_tenants *ts)
{
    if (!ts) {
        return;
    }
    free_retired(ts, UINT64_MAX);
    for (size_t i = 0; i < N_BUCKETS; i++) {
        struct weir_tenant *t = atomic_load_explicit(&ts->buckets[i], memory_order_relaxed);
        while (t) {
            struct weir_tenant *next = atomic_load_explicit(&t->next, memory_order_relaxed);
            weir_tenant_destroy(t);
            t = next;
        }
    }
    free(ts);
}

/* ---- readers ---- */

int weir_tenants_reader_add(struct weir_tenants *ts, struct weir_tenants_reader **ret_reader)
{
    if (ts->n_readers == WEIR_TENANTS_MAX_READERS) {
        return WEIR_E_BUSY;
    }
    struct weir_tenants_reader *r = &ts->readers[ts->n_readers++];
    r->tenants = ts;
    weir_tenants_reader_turn(r);
    *ret_reader = r;
    return 0;
}

void weir_tenants_reader_turn(struct weir_tenants_reader *reader)
{
    /* Acquire: who sees the epoch sees the table without what it took out. Release: our reads of
     * before end before the tenants that they saw are freed. */
    uint64_t now = atomic_load_explicit(&reader->tenants->epoch, memory_order_acquire);
    atomic_store_explicit(&reader->seen, now, memory_order_release);
}

static void reclaim(struct weir_tenants *ts)
{
    uint64_t seen = UINT64_MAX;
    for (size_t i = 0; i < ts->n_readers; i++) {
        uint64_t one = atomic_load_explicit(&ts->readers[i].seen, memory_order_acquire);
        seen = one < seen ? one : seen;
    }
    free_retired(ts, seen);
}

static uint64_t hash_of(weir_str name)
{
    return XXH3_64bits(name.p, name.n);
}

/* Absent ones too. */
static const struct weir_tenant *find_any(const struct weir_tenants *ts, weir_str name)
{
    if (name.n == 0 || name.n > WEIR_TENANT_MAX_NAME_BYTES) {
        return NULL;
    }
    assert(name.p);
    uint64_t hash = hash_of(name);
    /* Acquire: the tenant's fields were written before it was linked. */
    const struct weir_tenant *t =
        atomic_load_explicit(&ts->buckets[hash % N_BUCKETS], memory_order_acquire);
    while (t && !(t->hash == hash && weir_str_eq(t->name, name))) {
        t = atomic_load_explicit(&t->next, memory_order_acquire);
    }
    return t;
}

/* A request asks a dozen times for the same one. As long as nothing was taken out since it was
 * found it is still in the table. */
static _Thread_local struct {
    uint64_t epoch; /* before it was looked for; none is 0 */
    const struct weir_tenant *tenant;
} last __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) static const struct weir_tenant *look(const struct weir_tenants *ts,
                                                                uint64_t epoch, weir_str name)
{
    const struct weir_tenant *t = find_any(ts, name);
    if (!t || t->state == WEIR_TENANT_ABSENT) {
        return NULL;
    }
    last.epoch = epoch;
    last.tenant = t;
    return t;
}

const struct weir_tenant *weir_tenants_find(const struct weir_tenants *ts, weir_str name)
{
    /* Acquire: what comes behind sees the table as it was at this epoch, or newer. */
    uint64_t epoch = atomic_load_explicit(&ts->epoch, memory_order_acquire);
    bool is_last = last.epoch == epoch && weir_str_eq(last.tenant->name, name);
    return is_last ? last.tenant : look(ts, epoch, name);
}

size_t weir_tenants_count(const struct weir_tenants *ts)
{
    return atomic_load_explicit(&ts->n, memory_order_relaxed);
}

void weir_tenants_each(const struct weir_tenants *ts,
                       void (*fn)(void *arg, const struct weir_tenant *), void *arg)
{
    for (size_t i = 0; i < N_BUCKETS; i++) {
        const struct weir_tenant *t = atomic_load_explicit(&ts->buckets[i], memory_order_acquire);
        for (; t; t = atomic_load_explicit(&t->next, memory_order_acquire)) {
            fn(arg, t);
        }
    }
}

/* ---- changes ---- */

/* The link that points to the tenant of this name, or that ends its bucket. */
static _Atomic(struct weir_tenant *) *link_of(struct weir_tenants *ts, uint64_t hash, weir_str name)
{
    _Atomic(struct weir_tenant *) *link = &ts->buckets[hash % N_BUCKETS];
    for (;;) {
        struct weir_tenant *t = atomic_load_explicit(link, memory_order_relaxed);
        if (!t || (t->hash == hash && weir_str_eq(t->name, name))) {
            return link;
        }
        link = &t->next;
    }
}

static void retire(struct weir_tenants *ts, struct weir_tenant *t)
{
    /* Release: the unlinking comes before. The tenant keeps its own next: a reader may stand on it.
     */
    t->retired_epoch = atomic_fetch_add_explicit(&ts->epoch, 1, memory_order_release) + 1;
    t->retired_next = NULL;
    *ts->retired_end = t;
    ts->retired_end = &t->retired_next;
}

static void tell(struct weir_tenants *ts, weir_str name)
{
    for (struct weir_tenants_watch *w = ts->watches, *next; w; w = next) {
        next = w->next;
        w->fn(w->arg, name);
    }
}

/* Puts what entry and record make in the place of the tenant that is there. */
static int replace(struct weir_tenants *ts, weir_str name, weir_str entry, weir_str record,
                   uint64_t number)
{
    assert(name.p && name.n > 0 && name.n <= WEIR_TENANT_MAX_NAME_BYTES);
    uint64_t hash = hash_of(name);
    _Atomic(struct weir_tenant *) *link = link_of(ts, hash, name);
    struct weir_tenant *old = atomic_load_explicit(link, memory_order_relaxed);
    if (!old && entry.n == 0 && record.n == 0) {
        return 0;
    }
    if (!old && weir_tenants_count(ts) >= WEIR_TENANTS_MAX) {
        return WEIR_E_BUSY;
    }
    struct weir_tenant *fresh = weir_tenant_create(name, entry, record, number);
    if (!fresh && entry.n) {
        return WEIR_E_NOMEM;
    }
    struct weir_tenant *rest = old ? atomic_load_explicit(&old->next, memory_order_relaxed) : NULL;
    if (fresh) {
        fresh->hash = hash;
        fresh->version = ++ts->version;
        atomic_store_explicit(&fresh->next, rest, memory_order_relaxed);
    }
    /* Release: readers that find it see all of it. */
    atomic_store_explicit(link, fresh ? fresh : rest, memory_order_release);
    atomic_store_explicit(&ts->n, weir_tenants_count(ts) + (fresh != NULL) - (old != NULL),
                          memory_order_relaxed);
    char text[WEIR_TENANT_MAX_NAME_BYTES];
    memcpy(text, name.p, name.n); /* it may be the old one's */
    if (old) {
        retire(ts, old);
    }
    if (old || fresh) {
        tell(ts, (weir_str){text, name.n});
    }
    reclaim(ts);
    return 0;
}

int weir_tenants_set_record(struct weir_tenants *ts, weir_str name, weir_str record,
                            uint64_t number)
{
    if (!weir_tenant_name_is_valid(name)) {
        return WEIR_E_ARG;
    }
    const struct weir_tenant *old = find_any(ts, name);
    bool same =
        old ? old->record_number == number && weir_str_eq(old->record, record) : record.n == 0;
    return same ? 0 : replace(ts, name, old ? old->entry : (weir_str){NULL, 0}, record, number);
}

static int set_entry(struct weir_tenants *ts, weir_str name, weir_str entry)
{
    const struct weir_tenant *old = find_any(ts, name);
    if (old && weir_str_eq(old->entry, entry)) {
        return 0;
    }
    return replace(ts, name, entry, old ? old->record : (weir_str){NULL, 0},
                   old ? old->record_number : 0);
}

struct leaving {
    yyjson_val *block;
    weir_str names[64];
    size_t n;
};

static void note_leaving(void *arg, const struct weir_tenant *t)
{
    struct leaving *l = arg;
    if (l->n < 64 && t->entry.n && !yyjson_obj_getn(l->block, t->name.p, t->name.n)) {
        l->names[l->n++] = t->name;
    }
}

/* In rounds, since the walk must not change what it walks over. */
static int drop_entries(struct weir_tenants *ts, yyjson_val *block)
{
    struct leaving l = {.block = block};
    int rc = 0;
    do {
        l.n = 0;
        weir_tenants_each(ts, note_leaving, &l);
        for (size_t i = 0; i < l.n && rc == 0; i++) {
            rc = set_entry(ts, l.names[i], (weir_str){NULL, 0});
        }
    } while (l.n && rc == 0);
    return rc;
}

int weir_tenants_set_entries(struct weir_tenants *ts, weir_str block_json)
{
    yyjson_doc *doc = yyjson_read(block_json.p, block_json.n, 0);
    yyjson_val *block = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(block)) {
        yyjson_doc_free(doc);
        return WEIR_E_FORMAT;
    }
    int rc = drop_entries(ts, block);
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(block, i, max, key, value)
    {
        weir_str name = {yyjson_get_str(key), yyjson_get_len(key)};
        size_t n = 0;
        char *text = rc == 0 ? yyjson_val_write(value, 0, &n) : NULL;
        if (rc == 0) {
            rc = !text                              ? WEIR_E_NOMEM
                 : !weir_tenant_name_is_valid(name) ? WEIR_E_ARG
                                                    : set_entry(ts, name, (weir_str){text, n});
        }
        free(text);
    }
    yyjson_doc_free(doc);
    return rc;
}

void weir_tenants_watch(struct weir_tenants *ts, struct weir_tenants_watch *watch)
{
    watch->prev = NULL;
    watch->next = ts->watches;
    if (watch->next) {
        watch->next->prev = watch;
    }
    ts->watches = watch;
}

void weir_tenants_unwatch(struct weir_tenants *ts, struct weir_tenants_watch *watch)
{
    *(watch->prev ? &watch->prev->next : &ts->watches) = watch->next;
    if (watch->next) {
        watch->next->prev = watch->prev;
    }
}
