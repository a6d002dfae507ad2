/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_blocks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/fetch.h"
#include "weir/types.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    REGION_BYTES = 2 * 1024 * 1024,
    CHUNK_BYTES = 32 * 1024, /* and its alignment */
    CHUNK_HEAD = 64,         /* blocks begin on a line of the cache */
};

struct block { /* a free one */
    struct block *next;
};

struct weir_store_chunk {
    struct weir_store_chunk *next, *prev; /* among those with room; among those without blocks */
    struct block *free;
    uint32_t fresh;       /* where blocks that were never used begin */
    uint32_t block_bytes; /* of its class */
    uint32_t n_used;
    bool is_open;
};
_Static_assert(sizeof(struct weir_store_chunk) <= CHUNK_HEAD, "a chunk's head has its place");

/* Steps of 32 up to 256, of 64 up to 512, of 128 up to 1024, of 256 up to 2048. */
static unsigned class_of(size_t n_bytes, uint32_t *ret_bytes)
{
    unsigned shift = 5, first = 0;
    for (size_t most = 256; n_bytes > most; most *= 2) {
        first += shift == 5 ? 8 : 4;
        shift++;
    }
    size_t below = shift == 5 ? 0 : (size_t)128 << (shift - 5);
    size_t step = (n_bytes - below + ((size_t)1 << shift) - 1) >> shift;
    step = step ? step : 1;
    *ret_bytes = (uint32_t)(below + (step << shift));
    return first + (unsigned)step - 1;
}

/* ---- regions ---- */

int weir_store_regions_init(struct weir_store_regions *r)
{
    *r = (struct weir_store_regions){.chunks = NULL};
    return pthread_mutex_init(&r->lock, NULL) == 0 ? 0 : WEIR_E_NOMEM;
}

void weir_store_regions_finish(struct weir_store_regions *r)
{
    while (r->newest) {
        void *region = r->newest;
        r->newest = *(void **)region;
        free(region);
    }
    pthread_mutex_destroy(&r->lock);
}

/* Under the lock. Its first chunk's place is the region's head, and aligns the others. */
static void add_region(struct weir_store_regions *r)
{
    char *region = malloc(REGION_BYTES);
    if (!region) {
        return;
    }
    *(void **)(void *)region = r->newest;
    r->newest = region;
    r->fresh = region + (CHUNK_BYTES - (uintptr_t)region % CHUNK_BYTES);
    r->end = region + REGION_BYTES;
}

/* Under the lock. */
static struct weir_store_chunk *fresh_chunk(struct weir_store_regions *r)
{
    if (r->end - r->fresh < CHUNK_BYTES) {
        add_region(r);
    }
    if (r->end - r->fresh < CHUNK_BYTES) {
        return NULL;
    }
    char *p = r->fresh;
    r->fresh += CHUNK_BYTES;
    /* Only a wish: older kernels cannot, and give each page when it is touched. */
    (void)madvise(p, CHUNK_BYTES, MADV_POPULATE_WRITE);
    return (struct weir_store_chunk *)(void *)p;
}

static struct weir_store_chunk *take_chunk(struct weir_store_regions *r)
{
    pthread_mutex_lock(&r->lock);
    struct weir_store_chunk *c = r->chunks;
    if (c) {
        r->chunks = c->next;
    } else {
        c = fresh_chunk(r);
    }
    pthread_mutex_unlock(&r->lock);
    return c;
}

static void give_chunk(struct weir_store_regions *r, struct weir_store_chunk *c)
{
    pthread_mutex_lock(&r->lock);
    c->next = r->chunks;
    r->chunks = c;
    pthread_mutex_unlock(&r->lock);
}

/* ---- chunks and blocks ---- */

static void open_chunk(struct weir_store_chunk **list, struct weir_store_chunk *c)
{
    c->prev = NULL;
    c->next = *list;
    if (c->next) {
        c->next->prev = c;
    }
    *list = c;
    c->is_open = true;
}

static void close_chunk(struct weir_store_chunk **list, struct weir_store_chunk *c)
{
    *(c->prev ? &c->prev->next : list) = c->next;
    if (c->next) {
        c->next->prev = c->prev;
    }
    c->is_open = false;
}

static bool is_full(const struct weir_store_chunk *c)
{
    return !c->free && c->fresh + c->block_bytes > CHUNK_BYTES;
}

/* Who leaves something behind does so again soon: the next block, which nobody has touched since
 * the kernel cleared it, comes meanwhile. Its page is at hand. */
static void fetch_next(const struct weir_store_chunk *c)
{
    if (c->fresh + c->block_bytes <= CHUNK_BYTES) {
        weir_fetch((const char *)c + c->fresh, c->block_bytes);
    }
}

void *weir_store_block_get(struct weir_store_blocks *b, size_t n_bytes)
{
    if (n_bytes > WEIR_STORE_MAX_BLOCK) {
        return malloc(n_bytes);
    }
    uint32_t block_bytes;
    struct weir_store_chunk **list = &b->open[class_of(n_bytes, &block_bytes)], *c = *list;
    if (!c) {
        c = take_chunk(b->regions);
        if (!c) {
            return NULL;
        }
        *c = (struct weir_store_chunk){.fresh = CHUNK_HEAD, .block_bytes = block_bytes};
        open_chunk(list, c);
    }
    struct block *block = c->free;
    if (block) {
        c->free = block->next;
    } else {
        block = (struct block *)(void *)((char *)c + c->fresh);
        c->fresh += block_bytes;
        fetch_next(c);
    }
    c->n_used++;
    if (is_full(c)) {
        close_chunk(list, c);
    }
    return block;
}

void weir_store_block_put(struct weir_store_blocks *b, void *p, size_t n_bytes)
{
    if (!p || n_bytes > WEIR_STORE_MAX_BLOCK) {
        free(p);
        return;
    }
    uint32_t block_bytes;
    struct weir_store_chunk **list = &b->open[class_of(n_bytes, &block_bytes)];
    struct weir_store_chunk *c =
        (struct weir_store_chunk *)(void *)((uintptr_t)p & ~(uintptr_t)(CHUNK_BYTES - 1));
    struct block *block = p;
    block->next = c->free;
    c->free = block;
    c->n_used--;
    if (!c->is_open) {
        open_chunk(list, c);
    }
    /* The last one with room stays: a block that comes and goes must not take a chunk each time. */
    if (c->n_used == 0 && (c->prev || c->next)) {
        close_chunk(list, c);
        give_chunk(b->regions, c);
    }
}
