/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* KV pages: who holds which, and which full ones can be found again by their content.
 *
 * Why: sequences grow and end all the time, and many begin alike. A page is free, or held by one or
 * more sequences, or kept: held by nobody but still findable, until its memory is needed.
 * How: published pages sit in a hash index by key; kept ones also in a list, oldest first, from
 * which take() evicts when no page is free. A match compares the tokens and the parent's key, so a
 * collision of keys cannot hand out wrong content.
 * Ownership: the pool owns page numbers, not device memory; holders own references.
 * Threads: the engine's. No allocation after create.
 * Errors: take() is false when every page is held.
 * Invariant: n_free + n_kept + n_held == n_pages; only full pages are published; a published page
 * is never written again. */
#include <stdbool.h>

#include "engine/scheduler/page_key.h"

struct weir_page_pool;

int weir_page_pool_create(uint32_t n_pages, struct weir_page_pool **ret_pool);
void weir_page_pool_destroy(struct weir_page_pool *p); /* NULL ok */
/* Forgets all content: the device's memory is new. Every reference must have been given back. */
void weir_page_pool_reset(struct weir_page_pool *p);

/* A page with one reference: a free one, else the longest unused kept one. */
bool weir_page_pool_take(struct weir_page_pool *p, uint32_t *ret_page);
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
