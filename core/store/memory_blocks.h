/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Memory for the memory store's entries: blocks of some sizes, cut from large regions.
 *
 * Why not malloc: each request leaves some entries behind, from worker threads, and there glibc
 * grows page by page: a system call and a page fault each. Huge pages would do with fewer, but
 * memory that the process never had costs a virtual machine more to give in pieces of that size.
 * A region (2 MiB) is cut into chunks, a chunk holds blocks of one size of one shard; its pages are
 * asked for at once, when it is first used. A chunk
 * without blocks serves any size and shard; regions are kept until the end, so that what the store
 * has is bounded by its most bytes, an eighth for rounding, and a chunk for each size and shard.
 * Larger blocks are malloc's. The caller says a block's size again when it gives it back.
 * Ownership: blocks end with the regions at the latest, malloc's do not. Threads: weir_store_blocks
 * under its shard's lock; the regions lock for themselves. Errors: NULL, no memory. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { WEIR_STORE_BLOCK_CLASSES = 20, WEIR_STORE_MAX_BLOCK = 2048 };

struct weir_store_chunk;

struct weir_store_regions { /* of the whole store */
    pthread_mutex_t lock;
    struct weir_store_chunk *chunks; /* without blocks */
    char *fresh, *end;               /* of the newest region: not cut yet */
    void *newest;                    /* region; each begins with the one before */
};
int weir_store_regions_init(struct weir_store_regions *r);
void weir_store_regions_finish(struct weir_store_regions *r);

struct weir_store_blocks { /* of a shard */
    struct weir_store_regions *regions;
    struct weir_store_chunk *open[WEIR_STORE_BLOCK_CLASSES]; /* with room */
};
void *weir_store_block_get(struct weir_store_blocks *b, size_t n_bytes);
void weir_store_block_put(struct weir_store_blocks *b, void *block, size_t n_bytes); /* NULL ok */
