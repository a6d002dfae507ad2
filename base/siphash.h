/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SipHash-1-3 with 128 bits (Aumasson and Bernstein 2012): a hash under a secret.
 *
 * For texts that strangers choose, where equal hashes are taken for equal texts: who does not know
 * the secret cannot make two that meet, and by chance 2^40 texts hold two that do in one of 10^14
 * cases. Long texts are hashed by base/keyed_hash.h, which stands on it. Threads: any; no errors.
 */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_SIPHASH_BYTES = 16 }; /* of the secret and of the hash */

void weir_siphash(const uint8_t secret[WEIR_SIPHASH_BYTES], const void *text, size_t n,
                  uint8_t ret_hash[WEIR_SIPHASH_BYTES]);

/* The same in parts, of words of eight bytes. */
struct weir_siphash {
    uint64_t v0, v1, v2, v3;
    uint64_t n_words;
};

void weir_siphash_begin(struct weir_siphash *s, const uint64_t secret[2]);
void weir_siphash_add(struct weir_siphash *s, const uint64_t *words, size_t n);
void weir_siphash_end(struct weir_siphash *s, uint8_t ret_hash[WEIR_SIPHASH_BYTES]);
