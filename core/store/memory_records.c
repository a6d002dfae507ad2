/* SPDX-License-Identifier: Apache-2.0 */
/* Records and logs. */
#include <stdlib.h>

#include "core/store/memory_ops.h"

void weir_store_answer_items(struct weir_store_answer *a, struct weir_store_bytes *const *blocks,
                             size_t n)
{
    size_t n_bytes = 0, n_given = 0;
    for (; n_given < n; n_given++) {
        size_t more = blocks[n_given]->name_len + blocks[n_given]->value_len;
        if (n_given && n_bytes + more > WEIR_STORE_MAX_REPLY_BYTES) {
            break;
        }
        n_bytes += more;
    }
    if (n_given == 0) {
        return;
    }
    a->block = malloc(n_given * sizeof(weir_store_item) + n_bytes);
    if (!a->block) {
        a->result.rc = WEIR_E_NOMEM;
        return;
    }
    weir_store_item *items = a->block;
    char *at = (char *)(items + n_given);
    for (size_t i = 0; i < n_given; i++) {
        const struct weir_store_bytes *b = blocks[i];
        memcpy(at, b->bytes, b->name_len + b->value_len);
        items[i] = (weir_store_item){.key = {at, b->name_len},
                                     .value = {at + b->name_len, b->value_len},
                                     .number = b->number};
        at += b->name_len + b->value_len;
    }
    a->result.items = items;
    a->result.n_items = (uint32_t)n_given;
}

static size_t at_most(size_t n, uint32_t wanted)
{
    size_t max = wanted < WEIR_STORE_MAX_ITEMS ? wanted : WEIR_STORE_MAX_ITEMS;
    return n < max ? n : max;
}

static struct weir_store_name name_of(enum weir_store_kind kind, const struct weir_store_call *c)
{
    return weir_store_name_of(kind, c->tenant, c->key, (weir_str){NULL, 0});
}

static struct weir_store_entry *find(struct weir_store_place *p, enum weir_store_kind kind,
                                     const struct weir_store_call *c)
{
    struct weir_store_name name = name_of(kind, c);
    return weir_store_find(p->shard, &name, p->now_us);
}

/* The collection or log, made when new; NULL: no room. */
static struct weir_store_entry *open_list(struct weir_store_place *p, enum weir_store_kind kind,
                                          const struct weir_store_call *c)
{
    struct weir_store_name name = name_of(kind, c);
    struct weir_store_entry *e = weir_store_find(p->shard, &name, p->now_us);
    return e ? e : weir_store_insert(p->shard, &name, UINT64_MAX, p->now_us);
}

static void drop_record(struct weir_store_place *p, struct weir_store_entry *e, size_t at)
{
    weir_store_list_remove(p->shard, e, at);
    if (e->list.n == 0) {
        weir_store_remove(p->shard, e);
    }
}

static void write_record(struct weir_store_place *p, const struct weir_store_call *c,
                         struct weir_store_answer *a)
{
    uint64_t version = atomic_fetch_add_explicit(p->versions, 1, memory_order_relaxed) + 1;
    struct weir_store_entry *e = open_list(p, WEIR_STORE_COLLECTION, c);
    struct weir_store_bytes *b =
        e ? weir_store_bytes_create(p->shard, c->id, c->value, version) : NULL;
    size_t at = 0;
    bool there = e && weir_store_list_find(&e->list, c->id, &at);
    bool ok = b && weir_store_list_insert(p->shard, e, at, b);
    if (ok) {
        a->result.number = (int64_t)version;
        if (there) {
            weir_store_list_remove(p->shard, e, at + 1); /* the old one, behind the new */
        }
        return;
    }
    weir_store_bytes_destroy(p->shard, b);
    a->result.rc = WEIR_E_NOMEM;
    if (e && e->list.n == 0) {
        weir_store_remove(p->shard, e);
    }
}

void weir_store_memory_put(struct weir_store_place *p, const struct weir_store_call *c,
                           struct weir_store_answer *a)
{
    struct weir_store_entry *e = find(p, WEIR_STORE_COLLECTION, c);
    size_t at = 0;
    bool there = e && weir_store_list_find(&e->list, c->id, &at);
    uint64_t version = there ? e->list.at[at]->number : 0;
    if (c->number != WEIR_STORE_ANY_VERSION && c->number != version) {
        a->result.rc = WEIR_E_BUSY;
        a->result.number = (int64_t)version;
    } else if (c->value.n) {
        write_record(p, c, a);
    } else if (there) {
        drop_record(p, e, at);
    }
}

void weir_store_memory_find(struct weir_store_place *p, const struct weir_store_call *c,
                            struct weir_store_answer *a)
{
    const struct weir_store_entry *e = find(p, WEIR_STORE_COLLECTION, c);
    size_t at = 0;
    if (!e || !weir_store_list_find(&e->list, c->id, &at)) {
        a->result.rc = WEIR_E_NOTFOUND;
        return;
    }
    weir_store_answer_items(a, &e->list.at[at], 1);
    if (a->result.rc == 0) {
        a->result.value = a->result.items[0].value;
        a->result.number = (int64_t)a->result.items[0].number;
    }
}

/* Items from `at` on. */
static void give_range(const struct weir_store_entry *e, size_t at, uint32_t wanted,
                       struct weir_store_answer *a)
{
    weir_store_answer_items(a, &e->list.at[at], at_most(e->list.n - at, wanted));
    a->result.more = at + a->result.n_items < e->list.n;
}

void weir_store_memory_list(struct weir_store_place *p, const struct weir_store_call *c,
                            struct weir_store_answer *a)
{
    const struct weir_store_entry *e = find(p, WEIR_STORE_COLLECTION, c);
    if (e) {
        size_t at = 0;
        at += weir_store_list_find(&e->list, c->id, &at) ? 1 : 0;
        give_range(e, at, c->n, a);
    }
}

/* Hours since the machine started, modulo 2^16. */
static uint16_t hour_of(uint64_t us)
{
    return (uint16_t)(us / (UINT64_C(3600) * 1000000));
}

/* Ids that are older than forty days may come again. */
static void forget_ids(const struct weir_store_place *p, struct weir_store_entry *log)
{
    enum { HOURS = WEIR_STORE_LOG_ID_MS / (3600 * 1000) + 1 };
    struct weir_store_ids *ids = &log->log.ids;
    uint32_t oldest = ids->oldest;
    while (oldest <= ids->newest &&
           (uint16_t)(hour_of(p->now_us) - log->list.at[oldest - 1]->made_h) > HOURS) {
        oldest++;
    }
    if (oldest != ids->oldest) {
        weir_store_ids_forget(p->shard, ids, oldest);
    }
}

/* Appends to the log, whose room is made here; false: no room. Nothing ever leaves a log, so that
 * an id's number is its place. */
static bool add_entry(struct weir_store_place *p, const struct weir_store_call *c,
                      struct weir_store_entry *log, struct weir_store_id id)
{
    size_t place = log->list.n + 1;
    struct weir_store_bytes *b =
        place < UINT32_MAX / 2 ? weir_store_bytes_create(p->shard, c->id, c->value, place) : NULL;
    if (!b || !weir_store_list_insert(p->shard, log, log->list.n, b)) {
        weir_store_bytes_destroy(p->shard, b);
        return false;
    }
    b->made_h = hour_of(p->now_us);
    if (!weir_store_ids_add(p->shard, &log->log.ids, id, true)) {
        weir_store_list_remove(p->shard, log, log->list.n - 1);
        return false;
    }
    return true;
}

/* Where an id stands that is remembered; 0: it is not. */
static uint32_t place_of(const struct weir_store_entry *log, struct weir_store_id id, weir_str text)
{
    uint32_t first, last;
    if (!weir_store_ids_find(&log->log.ids, id, &first, &last)) {
        return 0;
    }
    for (uint32_t place = first; place <= last; place++) {
        const struct weir_store_bytes *b = log->list.at[place - 1];
        if (weir_str_eq((weir_str){b->bytes, b->name_len}, text)) {
            return place;
        }
    }
    return 0;
}

void weir_store_memory_append(struct weir_store_place *p, const struct weir_store_call *c,
                              struct weir_store_answer *a)
{
    struct weir_store_entry *e = open_list(p, WEIR_STORE_LOG, c);
    if (!e) {
        a->result.rc = WEIR_E_NOMEM;
        return;
    }
    struct weir_store_id id =
        weir_store_id_of(c->id, p->tenant_hash ^ e->hash ^ p->shard->map->secret);
    forget_ids(p, e);
    uint32_t known = place_of(e, id, c->id);
    if (known) {
        a->result.rc = WEIR_E_BUSY;
        a->result.number = known;
    } else if (add_entry(p, c, e, id)) {
        a->result.number = (int64_t)e->list.n;
    } else {
        a->result.rc = WEIR_E_NOMEM;
        if (e->list.n == 0) {
            weir_store_remove(p->shard, e);
        }
    }
}

void weir_store_memory_read(struct weir_store_place *p, const struct weir_store_call *c,
                            struct weir_store_answer *a)
{
    const struct weir_store_entry *e = find(p, WEIR_STORE_LOG, c);
    if (e && c->number < e->list.n) {
        give_range(e, (size_t)c->number, c->n, a);
    }
}
