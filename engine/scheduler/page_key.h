/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Names of full KV pages: a hash chain over their tokens.
 *
 * Why: two sequences that begin with the same tokens can share the pages of that prefix. The key of
 * page i covers the tokens of pages 0..i and the tenant, so one look-up per page finds the longest
 * shared prefix, and one tenant can neither hit nor time another's pages.
 * How: key(i) = XXH3-128(key(i-1), tokens of page i) under a secret drawn at process start; the
 * chain begins at a key made of the tenant's name. Whoever compares keys compares the tokens too,
 * see page_pool.h.
 * Threads: any; immutable after init. */
#include "weir/backend_step.h"

struct weir_page_key {
    uint64_t low, high;
};

/* Draws and holds the secret; one per engine. */
struct weir_page_secret {
    unsigned char bytes[192]; /* XXH3 asks for at least 136 */
};

int weir_page_secret_init(struct weir_page_secret *secret); /* WEIR_E_IO: no random bytes */

struct weir_page_key weir_page_key_root(const struct weir_page_secret *secret, weir_str tenant);
struct weir_page_key weir_page_key_next(const struct weir_page_secret *secret,
                                        struct weir_page_key parent,
                                        const int32_t tokens[WEIR_PAGE_TOKENS]);

static inline int weir_page_key_eq(struct weir_page_key a, struct weir_page_key b)
{
    return a.low == b.low && a.high == b.high;
}
