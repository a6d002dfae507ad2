/* SPDX-License-Identifier: Apache-2.0 */
#include "keyed_hash.h"

#include <string.h>

enum {
    PAIR_BYTES = 16,
    NH_WORDS = 4,
    SHORT_BYTES = 32 /* as they are: NH makes as many of them */
};

/* SipHash of 0, 1, 2, ...: what uses the secret hashes nothing else with it. */
void weir_keyed_hash_make_key(struct weir_keyed_hash_key *key,
                              const uint8_t secret[WEIR_SIPHASH_BYTES])
{
    uint64_t words[2 + WEIR_KEYED_HASH_WORDS];
    for (uint64_t i = 0; i < sizeof(words) / WEIR_SIPHASH_BYTES; i++) {
        uint8_t pair[WEIR_SIPHASH_BYTES];
        weir_siphash(secret, &i, sizeof(i), pair);
        memcpy(words + 2 * i, pair, sizeof(pair));
    }
    memcpy(key->siphash, words, sizeof(key->siphash));
    memcpy(key->nh, words + 2, sizeof(key->nh));
}

struct nh {
    unsigned __int128 first, second; /* under the key, and under the key shifted by a pair */
};

static inline void add_pair(struct nh *sum, const uint64_t *key, const char *pair)
{
    uint64_t a, b;
    memcpy(&a, pair, sizeof(a));
    memcpy(&b, pair + sizeof(a), sizeof(b));
    sum->first += (unsigned __int128)(a + key[0]) * (b + key[1]);
    sum->second += (unsigned __int128)(a + key[2]) * (b + key[3]);
}

/* A last pair that is not whole ends in zeros. */
static void shorten(const uint64_t *key, const char *block, size_t n, uint64_t ret_words[NH_WORDS])
{
    struct nh sum = {0, 0};
    for (; n >= PAIR_BYTES; n -= PAIR_BYTES, block += PAIR_BYTES, key += 2) {
        add_pair(&sum, key, block);
    }
    if (n) {
        char rest[PAIR_BYTES] = {0};
        memcpy(rest, block, n);
        add_pair(&sum, key, rest);
    }
    ret_words[0] = (uint64_t)sum.first;
    ret_words[1] = (uint64_t)(sum.first >> 64);
    ret_words[2] = (uint64_t)sum.second;
    ret_words[3] = (uint64_t)(sum.second >> 64);
}

void weir_keyed_hash_begin(struct weir_keyed_hash *h, const struct weir_keyed_hash_key *key)
{
    h->key = key;
    weir_siphash_begin(&h->siphash, key->siphash);
}

void weir_keyed_hash_add(struct weir_keyed_hash *h, const void *text, size_t n)
{
    uint64_t words[1 + NH_WORDS] = {n};
    if (n <= SHORT_BYTES) {
        if (n) {
            memcpy(words + 1, text, n);
        }
        weir_siphash_add(&h->siphash, words, 1 + (n + 7) / 8);
        return;
    }
    const char *p = text;
    for (size_t i = 0; i < n; i += WEIR_KEYED_HASH_BLOCK_BYTES) {
        size_t left = n - i;
        size_t n_block = left < WEIR_KEYED_HASH_BLOCK_BYTES ? left : WEIR_KEYED_HASH_BLOCK_BYTES;
        size_t first = i > 0; /* the length stands before the first block only */
        shorten(h->key->nh, p + i, n_block, words + 1);
        weir_siphash_add(&h->siphash, words + first, 1 + NH_WORDS - first);
    }
}

void weir_keyed_hash_end(struct weir_keyed_hash *h, uint8_t ret_hash[WEIR_SIPHASH_BYTES])
{
    weir_siphash_end(&h->siphash, ret_hash);
}
