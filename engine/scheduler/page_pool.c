/* SPDX-License-Identifier: Apache-2.0 */
#include "page_pool.h"

#include <assert.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct page {
    uint32_t refs;
    uint32_t owner;        /* unless free */
    uint32_t older, newer; /* among its owner's kept pages; `newer` also links free pages */
    uint32_t next;         /* in its bucket of the index */
    bool published;
    struct weir_page_key key, parent;
    int32_t tokens[WEIR_PAGE_TOKENS];
};

struct owner {
    uint32_t weight, bound; /* bound 0: none */
    uint32_t n_held, n_kept;
    uint32_t oldest, newest; /* kept */
};

struct weir_page_pool {
    uint32_t n_pages, n_free, n_kept;
    uint32_t free_head;
    struct owner *owners; /* [n_owners] */
    uint32_t n_owners;
    uint32_t bucket_mask;
    uint32_t *buckets; /* [bucket_mask + 1] first page or NONE */
    struct page *pages;
};

int weir_page_pool_create(uint32_t n_pages, uint32_t n_owners, struct weir_page_pool **ret_pool)
{
    if (n_owners == 0 || n_pages == 0 || n_pages >= 1u << 30) {
        return WEIR_E_ARG;
    }
    uint32_t n_buckets = 16;
    while (n_buckets < n_pages) {
        n_buckets *= 2;
    }
    struct weir_page_pool *p = calloc(1, sizeof(*p));
    if (!p) {
        return WEIR_E_NOMEM;
    }
    p->n_pages = n_pages;
    p->bucket_mask = n_buckets - 1;
    p->buckets = calloc(n_buckets, sizeof(*p->buckets));
    p->pages = calloc(n_pages, sizeof(*p->pages));
    p->owners = calloc(n_owners, sizeof(*p->owners));
    p->n_owners = n_owners;
    if (!p->buckets || !p->pages || !p->owners) {
        weir_page_pool_destroy(p);
        return WEIR_E_NOMEM;
    }
    weir_page_pool_reset(p);
    *ret_pool = p;
    return 0;
}

void weir_page_pool_destroy(struct weir_page_pool *p)
{
    if (!p) {
        return;
    }
    free(p->buckets);
    free(p->pages);
    free(p->owners);
    free(p);
}

void weir_page_pool_reset(struct weir_page_pool *p)
{
    for (uint32_t b = 0; b <= p->bucket_mask; b++) {
        p->buckets[b] = NONE;
    }
    for (uint32_t i = 0; i < p->n_pages; i++) {
        assert(p->pages[i].refs == 0);
        p->pages[i] = (struct page){.newer = i + 1 < p->n_pages ? i + 1 : NONE};
    }
    p->free_head = 0;
    for (uint32_t i = 0; i < p->n_owners; i++) {
        p->owners[i] = (struct owner){.weight = 1, .oldest = NONE, .newest = NONE};
    }
    p->n_free = p->n_pages;
    p->n_kept = 0;
}

static uint32_t *bucket_of(struct weir_page_pool *p, struct weir_page_key key)
{
    return &p->buckets[(uint32_t)key.low & p->bucket_mask];
}

static uint32_t find(struct weir_page_pool *p, struct weir_page_key key)
{
    uint32_t i = *bucket_of(p, key);
    while (i != NONE && !weir_page_key_eq(p->pages[i].key, key)) {
        i = p->pages[i].next;
    }
    return i;
}

static void unpublish(struct weir_page_pool *p, uint32_t page)
{
    uint32_t *at = bucket_of(p, p->pages[page].key);
    while (*at != page) {
        at = &p->pages[*at].next;
    }
    *at = p->pages[page].next;
    p->pages[page].published = false;
}

static void keep(struct weir_page_pool *p, uint32_t page)
{
    struct owner *o = &p->owners[p->pages[page].owner];
    p->pages[page].older = o->newest;
    p->pages[page].newer = NONE;
    if (o->newest != NONE) {
        p->pages[o->newest].newer = page;
    } else {
        o->oldest = page;
    }
    o->newest = page;
    o->n_kept++;
    p->n_kept++;
}

static void unkeep(struct weir_page_pool *p, uint32_t page)
{
    const struct page *g = &p->pages[page];
    struct owner *o = &p->owners[g->owner];
    if (g->older != NONE) {
        p->pages[g->older].newer = g->newer;
    } else {
        o->oldest = g->newer;
    }
    if (g->newer != NONE) {
        p->pages[g->newer].older = g->older;
    } else {
        o->newest = g->older;
    }
    o->n_kept--;
    p->n_kept--;
}

static void put_free(struct weir_page_pool *p, uint32_t page)
{
    p->pages[page].newer = p->free_head;
    p->free_head = page;
    p->n_free++;
}

static uint32_t owned(const struct owner *o)
{
    return o->n_held + o->n_kept;
}

static uint32_t evict_from(struct weir_page_pool *p, const struct owner *o)
{
    uint32_t page = o->oldest;
    unkeep(p, page);
    unpublish(p, page);
    return page;
}

/* Whose kept page goes: one beyond its bound, else the one with the most pages for its weight. */
static const struct owner *find_richest(const struct weir_page_pool *p)
{
    const struct owner *best = NULL;
    bool best_is_beyond = false;
    for (uint32_t i = 0; i < p->n_owners; i++) {
        const struct owner *o = &p->owners[i];
        if (o->n_kept == 0) {
            continue;
        }
        bool beyond = o->bound > 0 && owned(o) > o->bound;
        bool richer = best && (uint64_t)owned(o) * best->weight > (uint64_t)owned(best) * o->weight;
        if (!best || beyond > best_is_beyond || (beyond == best_is_beyond && richer)) {
            best = o;
            best_is_beyond = beyond;
        }
    }
    return best;
}

enum weir_page_take weir_page_pool_take(struct weir_page_pool *p, uint32_t owner, bool beyond_bound,
                                        uint32_t *ret_page)
{
    struct owner *o = &p->owners[owner];
    bool at_bound = o->bound > 0 && owned(o) >= o->bound;
    const struct owner *loser = NULL;
    if (at_bound && o->n_kept > 0) {
        loser = o;
    } else if (at_bound && !beyond_bound) {
        return WEIR_PAGE_AT_BOUND;
    } else if (p->free_head == NONE) {
        loser = find_richest(p);
        if (!loser) {
            return WEIR_PAGE_NONE;
        }
    }
    uint32_t page = p->free_head;
    if (loser) {
        page = evict_from(p, loser);
    } else {
        p->free_head = p->pages[page].newer;
        p->n_free--;
    }
    p->pages[page].refs = 1;
    p->pages[page].owner = owner;
    o->n_held++;
    *ret_page = page;
    return WEIR_PAGE_TAKEN;
}

/* A bound that was lowered takes effect as pages are given back. */
static void trim(struct weir_page_pool *p, const struct owner *o)
{
    while (o->bound > 0 && owned(o) > o->bound && o->n_kept > 0) {
        put_free(p, evict_from(p, o));
    }
}

void weir_page_pool_set_owner(struct weir_page_pool *p, uint32_t owner, uint32_t weight,
                              uint32_t bound)
{
    struct owner *o = &p->owners[owner];
    o->weight = weight > 0 ? weight : 1;
    o->bound = bound;
    trim(p, o);
}

void weir_page_pool_forget_owner(struct weir_page_pool *p, uint32_t owner)
{
    struct owner *o = &p->owners[owner];
    assert(o->n_held == 0);
    while (o->n_kept > 0) {
        put_free(p, evict_from(p, o));
    }
}

uint32_t weir_page_pool_n_owned(const struct weir_page_pool *p, uint32_t owner)
{
    return owned(&p->owners[owner]);
}

uint32_t weir_page_pool_n_held(const struct weir_page_pool *p, uint32_t owner)
{
    return p->owners[owner].n_held;
}

static void release_one(struct weir_page_pool *p, uint32_t page)
{
    struct page *g = &p->pages[page];
    assert(page < p->n_pages && g->refs > 0);
    if (--g->refs > 0) {
        return;
    }
    struct owner *o = &p->owners[g->owner];
    o->n_held--;
    if (g->published) {
        keep(p, page);
        trim(p, o);
    } else {
        put_free(p, page);
    }
}

void weir_page_pool_release(struct weir_page_pool *p, const uint32_t *pages, uint32_t n_pages)
{
    for (uint32_t i = n_pages; i-- > 0;) {
        release_one(p, pages[i]);
    }
}

void weir_page_pool_publish(struct weir_page_pool *p, uint32_t page, struct weir_page_key parent,
                            struct weir_page_key key, const int32_t tokens[WEIR_PAGE_TOKENS])
{
    struct page *g = &p->pages[page];
    assert(page < p->n_pages && g->refs > 0);
    if (g->published || find(p, key) != NONE) {
        return;
    }
    g->published = true;
    g->key = key;
    g->parent = parent;
    memcpy(g->tokens, tokens, sizeof(g->tokens));
    uint32_t *bucket = bucket_of(p, key);
    g->next = *bucket;
    *bucket = page;
}

uint32_t weir_page_pool_match(struct weir_page_pool *p, const struct weir_page_secret *secret,
                              const int32_t *tokens, uint32_t max_pages, uint32_t *ret_pages,
                              struct weir_page_key *key)
{
    uint32_t n = 0;
    for (; n < max_pages; n++) {
        const int32_t *want = tokens + (size_t)n * WEIR_PAGE_TOKENS;
        struct weir_page_key next = weir_page_key_next(secret, *key, want);
        uint32_t page = find(p, next);
        if (page == NONE) {
            break;
        }
        struct page *g = &p->pages[page];
        if (!weir_page_key_eq(g->parent, *key) || memcmp(g->tokens, want, sizeof(g->tokens)) != 0) {
            break;
        }
        if (g->refs++ == 0) {
            unkeep(p, page);
            p->owners[g->owner].n_held++;
        }
        ret_pages[n] = page;
        *key = next;
    }
    return n;
}

uint32_t weir_page_pool_n_pages(const struct weir_page_pool *p)
{
    return p->n_pages;
}

uint32_t weir_page_pool_n_kept(const struct weir_page_pool *p)
{
    return p->n_kept;
}

uint32_t weir_page_pool_n_available(const struct weir_page_pool *p)
{
    return p->n_free + p->n_kept;
}
