/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* KV pages: who holds which, and which full ones can be found again by their content.
 *
 * Why: sequences grow and end all the time, and many begin alike. A page is free, or held by one or
 * more sequences, or kept: held by nobody but still findable, until its memory is needed.
 * How: published pages sit in a hash index by key; kept ones also in a list of their owner, oldest
 * first. A match compares the tokens and the parent's key, so a collision of keys cannot hand out
 * wrong content.
 * Owners are tenants. Each may have a bound on its pages, held and kept together, within which it
 * gives up what it keeps before it takes more. When no page is free, the owner with the most pages
 * for its weight gives up its oldest kept one: nobody loses what is cached to a louder neighbour.
 * Ownership: the pool owns page numbers, not device memory; holders own references.
 * Threads: the engine's. No allocation after create.
 * Invariant: n_free + n_kept + n_held == n_pages; only full pages are published; a published page
 * is never written again. */
#include <stdbool.h>

#include "engine/scheduler/page_key.h"

struct weir_page_pool;

enum weir_page_take {
    WEIR_PAGE_TAKEN,
    WEIR_PAGE_NONE,     /* every page is held */
    WEIR_PAGE_AT_BOUND, /* the owner holds as many as it may */
};

int weir_page_pool_create(uint32_t n_pages, uint32_t n_owners, struct weir_page_pool **ret_pool);
void weir_page_pool_destroy(struct weir_page_pool *p); /* NULL ok */
/* Forgets all content: the device's memory is new. Every reference must have been given back. */
void weir_page_pool_reset(struct weir_page_pool *p);

/* bound 0: none. A new owner, or an old one's new figures. */
void weir_page_pool_set_owner(struct weir_page_pool *p, uint32_t owner, uint32_t weight,
                              uint32_t bound);
/* Gives up all that the owner keeps; it holds none. */
void weir_page_pool_forget_owner(struct weir_page_pool *p, uint32_t owner);
uint32_t weir_page_pool_n_owned(const struct weir_page_pool *p, uint32_t owner); /* held and kept */
uint32_t weir_page_pool_n_held(const struct weir_page_pool *p, uint32_t owner);

/* A page with one reference. beyond_bound: the owner's bound does not count. */
enum weir_page_take weir_page_pool_take(struct weir_page_pool *p, uint32_t owner, bool beyond_bound,
                                        uint32_t *ret_page);
/* Gives back n references, last page first: the end of a prefix is evicted before its begin. */
void weir_page_pool_release(struct weir_page_pool *p, const uint32_t *pages, uint32_t n_pages);
/* Makes a held, fully computed page findable. No effect when the key is known already. */
void weir_page_pool_publish(struct weir_page_pool *p, uint32_t page, struct weir_page_key parent,
                            struct weir_page_key key, const int32_t tokens[WEIR_PAGE_TOKENS]);
/* The longest run of published pages that spells tokens[0..16 * max_pages): takes a reference on
 * each, stores their numbers, returns how many; *key goes from the root to the last one's key. */
uint32_t weir_page_pool_match(struct weir_page_pool *p, const struct weir_page_secret *secret,
                              const int32_t *tokens, uint32_t max_pages, uint32_t *ret_pages,
                              struct weir_page_key *key);

uint32_t weir_page_pool_n_pages(const struct weir_page_pool *p);
uint32_t weir_page_pool_n_kept(const struct weir_page_pool *p);
/* Pages that take() can give: free and kept. */
uint32_t weir_page_pool_n_available(const struct weir_page_pool *p);
