/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix_index.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

/* A slot: the hash with its lowest byte replaced by the target + 1; 0: empty. */
struct weir_prefix_index {
    _Atomic uint64_t slots[WEIR_PREFIX_SLOTS];
};

int weir_prefix_index_create(struct weir_prefix_index **ret_index)
{
    *ret_index = calloc(1, sizeof(**ret_index));
    return *ret_index ? 0 : WEIR_E_NOMEM;
}

void weir_prefix_index_destroy(struct weir_prefix_index *x)
{
    free(x);
}

static size_t n_blocks(weir_str prompt)
{
    size_t n = prompt.n / WEIR_PREFIX_BLOCK_BYTES;
    return n < WEIR_PREFIX_MAX_BLOCKS ? n : WEIR_PREFIX_MAX_BLOCKS;
}

static uint64_t next_hash(uint64_t before, weir_str prompt, size_t block)
{
    return XXH3_64bits_withSeed(prompt.p + block * WEIR_PREFIX_BLOCK_BYTES, WEIR_PREFIX_BLOCK_BYTES,
                                before);
}

static size_t slot_of(uint64_t hash)
{
    return (size_t)(hash >> 48) % WEIR_PREFIX_SLOTS;
}

void weir_prefix_index_note(struct weir_prefix_index *x, uint64_t tenant, weir_str prompt,
                            uint32_t target)
{
    uint64_t hash = tenant;
    for (size_t i = 0; i < n_blocks(prompt); i++) {
        hash = next_hash(hash, prompt, i);
        uint64_t word = (hash & ~UINT64_C(0xff)) | (target + 1);
        _Atomic uint64_t *slot = &x->slots[slot_of(hash)];
        if (atomic_load_explicit(slot, memory_order_relaxed) != word) {
            atomic_store_explicit(slot, word, memory_order_relaxed);
        }
    }
}

uint32_t weir_prefix_index_find(const struct weir_prefix_index *x, uint64_t tenant, weir_str prompt,
                                uint64_t candidates)
{
    uint32_t found = UINT32_MAX;
    uint64_t hash = tenant;
    for (size_t i = 0; i < n_blocks(prompt); i++) {
        hash = next_hash(hash, prompt, i);
        uint64_t word = atomic_load_explicit(&x->slots[slot_of(hash)], memory_order_relaxed);
        if (word == 0 || (word ^ hash) >> 8) {
            break;
        }
        uint32_t target = (uint32_t)(word & 0xff) - 1;
        if (target < 64 && (candidates >> target & 1)) {
            found = target;
        }
    }
    return found;
}
