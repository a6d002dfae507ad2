/* SPDX-License-Identifier: Apache-2.0 */
#include "put.h"

static size_t count_digits(uint64_t v)
{
    /* The least number with more than n digits; nothing is below the first. */
    static const uint64_t limits[] = {0,
                                      10,
                                      100,
                                      1000,
                                      10000,
                                      100000,
                                      1000000,
                                      10000000,
                                      100000000,
                                      1000000000,
                                      10000000000,
                                      100000000000,
                                      1000000000000,
                                      10000000000000,
                                      100000000000000,
                                      1000000000000000,
                                      10000000000000000,
                                      100000000000000000,
                                      1000000000000000000,
                                      UINT64_C(10000000000000000000)};
    size_t n_bits = 64 - (size_t)__builtin_clzll(v | 1);
    size_t n = n_bits * 1233 >> 12; /* of the least number with as many bits; 1233/4096: log10(2) */
    return n + (v >= limits[n]);
}

char *weir_put_u64(char *to, uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    if (v < 10) { /* most are small */
        *to = (char)('0' + v);
        return to + 1;
    }
    char *end = v < 100 ? to + 2 : to + count_digits(v), *at = end;
    for (; v >= 100; v /= 100) {
        at -= 2;
        memcpy(at, pairs + 2 * (v % 100), 2);
    }
    if (v >= 10) {
        memcpy(to, pairs + 2 * v, 2);
    } else {
        *to = (char)('0' + v);
    }
    return end;
}
