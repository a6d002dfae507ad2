/* SPDX-License-Identifier: Apache-2.0 */
#include "siphash.h"

#include <string.h>

static inline uint64_t rotated(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void mix(struct weir_siphash *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotated(s->v1, 13) ^ s->v0;
    s->v3 = rotated(s->v3, 16) ^ s->v2;
    s->v0 = rotated(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotated(s->v1, 17) ^ s->v2;
    s->v3 = rotated(s->v3, 21) ^ s->v0;
    s->v2 = rotated(s->v2, 32);
}

static inline void add_word(struct weir_siphash *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

static uint64_t result(struct weir_siphash *s)
{
    mix(s);
    mix(s);
    mix(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

void weir_siphash_begin(struct weir_siphash *s, const uint64_t secret[2])
{
    *s = (struct weir_siphash){.v0 = secret[0] ^ UINT64_C(0x736f6d6570736575),
                               .v1 = secret[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
                               .v2 = secret[0] ^ UINT64_C(0x6c7967656e657261),
                               .v3 = secret[1] ^ UINT64_C(0x7465646279746573)};
}

/* Once in the program: a request comes by several times. */
__attribute__((noinline)) void weir_siphash_add(struct weir_siphash *s, const uint64_t *words,
                                                size_t n)
{
    struct weir_siphash in_registers = *s;
    for (size_t i = 0; i < n; i++) {
        add_word(&in_registers, words[i]);
    }
    in_registers.n_words += n;
    *s = in_registers;
}

/* Its last word: the text's length, and what is left of it. */
static void end(struct weir_siphash *s, uint64_t last, uint8_t ret_hash[WEIR_SIPHASH_BYTES])
{
    add_word(s, last);
    s->v2 ^= 0xee;
    uint64_t low = result(s);
    s->v1 ^= 0xdd;
    uint64_t high = result(s);
    memcpy(ret_hash, &low, sizeof(low));
    memcpy(ret_hash + sizeof(low), &high, sizeof(high));
}

void weir_siphash_end(struct weir_siphash *s, uint8_t ret_hash[WEIR_SIPHASH_BYTES])
{
    end(s, s->n_words * sizeof(uint64_t) << 56, ret_hash);
}

/* Words are little-endian, as every machine that weir runs on. */
void weir_siphash(const uint8_t secret[WEIR_SIPHASH_BYTES], const void *text, size_t n,
                  uint8_t ret_hash[WEIR_SIPHASH_BYTES])
{
    uint64_t key[2], word, last = (uint64_t)n << 56;
    struct weir_siphash s;
    memcpy(key, secret, sizeof(key));
    weir_siphash_begin(&s, key);
    const char *p = text;
    for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        add_word(&s, word);
    }
    if (n) {
        word = 0;
        memcpy(&word, p, n);
        last |= word;
    }
    end(&s, last, ret_hash);
}
