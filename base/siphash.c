/* SPDX-License-Identifier: Apache-2.0 */
#include "siphash.h"

#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotated(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void mix(struct state *s)
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

static inline void add_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

static uint64_t result(struct state *s)
{
    mix(s);
    mix(s);
    mix(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Words are little-endian, as every machine that weir runs on. */
void weir_siphash(const uint8_t secret[WEIR_SIPHASH_BYTES], const void *text, size_t n,
                  uint8_t ret_hash[WEIR_SIPHASH_BYTES])
{
    uint64_t k[2], word, last = (uint64_t)n << 56;
    memcpy(k, secret, sizeof(k));
    struct state s = {.v0 = k[0] ^ UINT64_C(0x736f6d6570736575),
                      .v1 = k[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
                      .v2 = k[0] ^ UINT64_C(0x6c7967656e657261),
                      .v3 = k[1] ^ UINT64_C(0x7465646279746573)};
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
    add_word(&s, last);
    s.v2 ^= 0xee;
    uint64_t low = result(&s);
    s.v1 ^= 0xdd;
    uint64_t high = result(&s);
    memcpy(ret_hash, &low, sizeof(low));
    memcpy(ret_hash + sizeof(low), &high, sizeof(high));
}
