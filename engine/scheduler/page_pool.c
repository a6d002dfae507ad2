/* SPDX-License-Identifier: Apache-2.0 */
#include "page_pool.h"

#include <assert.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct page {
    uint32_t refs;
    uint32_t older, newer; /* in the list of kept pages; `newer` also links free pages */
    uint32_t next;         /* in its bucket of the index */
    bool published;
    struct weir_page_key key, parent;
    int32_t tokens[WEIR_PAGE_TOKENS];
};

struct weir_page_pool {
    uint32_t n_pages, n_free, n_kept;
    uint32_t free_head;
    uint32_t oldest, newest; /* kept */
    uint32_t bucket_mask;
    uint32_t *buckets; /* [bucket_mask + 1] first page or NONE */
    struct page *pages;
};

int weir_page_pool_create(uint32_t n_pages, struct weir_page_pool **ret_pool)
{
    if (n_pages == 0 || n_pages >= 1u << 30) {
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
    if (!p->buckets || !p->pages) {
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
    p->oldest = p->newest = NONE;
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
    p->pages[page].older = p->newest;
    p->pages[page].newer = NONE;
    if (p->newest != NONE) {
        p->pages[p->newest].newer = page;
    } else {
        p->oldest = page;
    }
    p->newest = page;
    p->n_kept++;
}

static void unkeep(struct weir_page_pool *p, uint32_t page)
{
    const struct page *g = &p->pages[page];
    if (g->older != NONE) {
        p->pages[g->older].newer = g->newer;
    } else {
        p->oldest = g->newer;
    }
    if (g->newer != NONE) {
        p->pages[g->newer].older = g->older;
    } else {
        p->newest = g->older;
    }
    p->n_kept--;
}

bool weir_page_pool_take(struct weir_page_pool *p, uint32_t *ret_page)
{
    uint32_t page = p->free_head;
    if (page != NONE) {
        p->free_head = p->pages[page].newer;
        p->n_free--;
    } else if (p->oldest != NONE) {
        page = p->oldest;
        unkeep(p, page);
        unpublish(p, page);
    } else {
        return false;
    }
    p->pages[page].refs = 1;
    *ret_page = page;
    return true;
}

static void release_one(struct weir_page_pool *p, uint32_t page)
{
    struct page *g = &p->pages[page];
    assert(page < p->n_pages && g->refs > 0);
    if (--g->refs > 0) {
        return;
    }
    if (g->published) {
        keep(p, page);
    } else {
        g->newer = p->free_head;
        p->free_head = page;
        p->n_free++;
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
