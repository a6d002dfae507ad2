/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A hash under a secret for texts of kilobytes, three times as fast as SipHash over all of them.
 *
 * How: of each block of a text NH (Black, Halevi, Krawczyk, Krovetz and Rogaway: UMAC, 1999) makes
 * four words under a long random key, and SipHash (base/siphash.h) hashes these with the lengths.
 * Two texts have the same words of NH with a probability of 2^-128, whoever chose them, as long as
 * the key is not known; and nothing is seen of them but through SipHash. So what siphash.h says of
 * texts that meet holds here. The value depends on the secret, the parts and their order only.
 * Ownership: a hash borrows its key. Threads: a key any, a hash one. No errors. */
#include "siphash.h"

enum {
    WEIR_KEYED_HASH_BLOCK_BYTES = 1024,
    WEIR_KEYED_HASH_WORDS =
        WEIR_KEYED_HASH_BLOCK_BYTES / 8 + 2, /* NH takes the key twice, shifted */
};

struct weir_keyed_hash_key {
    uint64_t siphash[2];
    uint64_t nh[WEIR_KEYED_HASH_WORDS];
};

/* Takes some ten thousand instructions. */
void weir_keyed_hash_make_key(struct weir_keyed_hash_key *key,
                              const uint8_t secret[WEIR_SIPHASH_BYTES]);

struct weir_keyed_hash {
    const struct weir_keyed_hash_key *key;
    struct weir_siphash siphash;
};

void weir_keyed_hash_begin(struct weir_keyed_hash *h, const struct weir_keyed_hash_key *key);
/* Its length belongs to a text: no two lists of texts are the same for it. */
void weir_keyed_hash_add(struct weir_keyed_hash *h, const void *text, size_t n);
void weir_keyed_hash_end(struct weir_keyed_hash *h, uint8_t ret_hash[WEIR_SIPHASH_BYTES]);
