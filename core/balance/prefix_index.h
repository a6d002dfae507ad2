/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which target has computed the beginning of a prompt last.
 *
 * How: the prompt's bytes are cut into blocks; each block's hash covers all before it, so that it
 * names a beginning. A table of single words maps such hashes to targets. It is a hint, as an
 * upstream's own cache is out of sight: new entries overwrite old ones where they meet, and nothing
 * is ever searched or freed. Threads: find, note [any], without a lock.
 * Bounds: WEIR_PREFIX_SLOTS words (512 KiB); the first WEIR_PREFIX_MAX_BLOCKS blocks of a prompt.
 */
#include "weir/types.h"

enum {
    WEIR_PREFIX_SLOTS = 65536,
    WEIR_PREFIX_BLOCK_BYTES = 256, /* about 4 pages of 16 tokens */
    WEIR_PREFIX_MAX_BLOCKS = 512
};

struct weir_prefix_index;

int weir_prefix_index_create(struct weir_prefix_index **ret_index);
void weir_prefix_index_destroy(struct weir_prefix_index *x); /* NULL ok */
void weir_prefix_index_note(struct weir_prefix_index *x, uint64_t tenant, weir_str prompt,
                            uint32_t target);
/* The target of the longest beginning that one of the candidates (bits) has; UINT32_MAX: none. */
uint32_t weir_prefix_index_find(const struct weir_prefix_index *x, uint64_t tenant, weir_str prompt,
                                uint64_t candidates);
