/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/store/memory_ops.h"

static struct weir_store_name name_of(enum weir_store_kind kind, const struct weir_store_call *c)
{
    return weir_store_name_of(kind, c->tenant, c->key, (weir_str){NULL, 0});
}

static uint64_t expiry(const struct weir_store_place *p, uint64_t ttl_ms)
{
    return ttl_ms == 0 ? UINT64_MAX : weir_store_in_ms(p, ttl_ms);
}

/* Tags whose cells are the same only share their invalidations. */
static uint64_t *cell_of(const struct weir_store_place *p, weir_str tenant, weir_str tag)
{
    return &p->shard->marks[weir_store_tag_hash(tenant, tag) % WEIR_STORE_MARKS];
}

/* Another one after each invalidation of one of these tags, and when the tenant is erased, whose
 * mark has no name. */
static int64_t mark_of(const struct weir_store_place *p, const struct weir_store_call *c)
{
    uint64_t sum = *cell_of(p, c->tenant, (weir_str){NULL, 0});
    for (uint32_t i = 0; i < c->n; i++) {
        sum += *cell_of(p, c->tenant, c->tags[i]);
    }
    return (int64_t)sum;
}

void weir_store_memory_get(struct weir_store_place *p, const struct weir_store_call *c,
                           struct weir_store_answer *a)
{
    struct weir_store_name name = name_of(WEIR_STORE_VALUE, c);
    const struct weir_store_entry *e = weir_store_find(p->shard, &name, p->now_us);
    a->result.number = c->n ? mark_of(p, c) : e ? (int64_t)e->value.version : 0;
    if (!e) {
        a->result.rc = WEIR_E_NOTFOUND;
        return;
    }
    a->block = malloc(e->value.len + 1);
    if (!a->block) {
        a->result.rc = WEIR_E_NOMEM;
        return;
    }
    memcpy(a->block, e->value.bytes, e->value.len);
    a->result.value = (weir_str){a->block, e->value.len};
}

/* One block: the records, then the names that they point to. */
static struct weir_store_tag *copy_tags(struct weir_store_shard *s, struct weir_store_entry *e,
                                        const struct weir_store_call *c, size_t *ret_bytes)
{
    size_t n_bytes = c->n * sizeof(struct weir_store_tag);
    for (uint32_t i = 0; i < c->n; i++) {
        n_bytes += c->tags[i].n;
    }
    struct weir_store_tag *copy = weir_store_block_get(&s->blocks, n_bytes);
    if (!copy) {
        return NULL;
    }
    char *at = (char *)(copy + c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        memcpy(at, c->tags[i].p, c->tags[i].n);
        copy[i] = (struct weir_store_tag){.entry = e,
                                          .hash = weir_store_tag_hash(c->tenant, c->tags[i]),
                                          .name = {at, c->tags[i].n}};
        at += c->tags[i].n;
    }
    *ret_bytes = n_bytes;
    return copy;
}

static bool fill_value(struct weir_store_place *p, struct weir_store_entry *e,
                       const struct weir_store_call *c)
{
    size_t tag_bytes = 0;
    struct weir_store_tag *tags = c->n ? copy_tags(p->shard, e, c, &tag_bytes) : NULL;
    char *bytes = weir_store_block_get(&p->shard->blocks, c->value.n + 1);
    if (!bytes || (c->n && !tags) || !weir_store_grow(p->shard, e, c->value.n + 1 + tag_bytes)) {
        weir_store_block_put(&p->shard->blocks, bytes, c->value.n + 1);
        weir_store_block_put(&p->shard->blocks, tags, tag_bytes);
        return false;
    }
    if (c->value.n) {
        memcpy(bytes, c->value.p, c->value.n);
    }
    e->value.bytes = bytes;
    e->value.len = c->value.n;
    e->value.version = atomic_fetch_add_explicit(p->versions, 1, memory_order_relaxed) + 1;
    e->value.tags = tags;
    e->value.n_tags = c->n;
    weir_store_link_tags(p->shard, e);
    return true;
}

void weir_store_memory_set(struct weir_store_place *p, const struct weir_store_call *c,
                           struct weir_store_answer *a)
{
    if (c->flags & WEIR_STORE_MARKED && c->delta != mark_of(p, c)) {
        a->result.rc = WEIR_E_BUSY;
        return;
    }
    struct weir_store_name name = name_of(WEIR_STORE_VALUE, c);
    struct weir_store_entry *e = weir_store_find(p->shard, &name, p->now_us);
    if (e) {
        weir_store_remove(p->shard, e);
    }
    e = weir_store_insert(p->shard, &name, expiry(p, c->number), p->now_us);
    if (e && fill_value(p, e, c)) {
        a->result.number = (int64_t)e->value.version;
        return;
    }
    a->result.rc = WEIR_E_NOMEM;
    if (e) {
        weir_store_remove(p->shard, e);
    }
}

void weir_store_memory_invalidate(struct weir_store_place *p, const struct weir_store_call *c,
                                  struct weir_store_answer *a)
{
    a->result.number = (int64_t)weir_store_remove_tagged(p->shard, c->tenant, c->key, p->now_us);
    ++*cell_of(p, c->tenant, c->key);
}

void weir_store_memory_erase(struct weir_store_place *p, const struct weir_store_call *c,
                             struct weir_store_answer *a)
{
    a->result.number = (int64_t)weir_store_remove_tenant(p->shard, c->tenant);
    ++*cell_of(p, c->tenant, (weir_str){NULL, 0});
}

void weir_store_memory_remove(struct weir_store_place *p, const struct weir_store_call *c,
                              struct weir_store_answer *a)
{
    struct weir_store_name name = name_of(WEIR_STORE_VALUE, c);
    struct weir_store_entry *e = weir_store_find(p->shard, &name, p->now_us);
    if (e) {
        weir_store_remove(p->shard, e);
        a->result.number = 1;
    }
}

void weir_store_memory_add(struct weir_store_place *p, const struct weir_store_call *c,
                           struct weir_store_answer *a)
{
    struct weir_store_name name = name_of(WEIR_STORE_COUNTER, c);
    struct weir_store_entry *e = weir_store_find(p->shard, &name, p->now_us);
    if (!e) {
        e = weir_store_insert(p->shard, &name, expiry(p, c->number), p->now_us);
        if (!e) {
            a->result.rc = WEIR_E_NOMEM;
            return;
        }
    }
    if (__builtin_add_overflow(e->counter, c->delta, &e->counter)) {
        e->counter = c->delta > 0 ? INT64_MAX : INT64_MIN;
    }
    a->result.number = e->counter;
}
