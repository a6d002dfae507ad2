/* SPDX-License-Identifier: Apache-2.0 */
#include "plain_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool is_plain(char byte)
{
    signed char c = (signed char)byte;
    return c >= 0x20 && c != '"' && c != '\\';
}

#if defined(__x86_64__)
#include <immintrin.h>

enum { NARROW = 16, WIDE = 64 };

/* A bit for each byte that is not plain. As signed numbers, those beyond ASCII are below 0x20. */
static unsigned odd_bits(__m128i v)
{
    __m128i odd = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
                               _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                            _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
    return (unsigned)_mm_movemask_epi8(odd);
}

static __m128i load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

__attribute__((target("avx2"))) static __m256i plain_mask(const char *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i mark = _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')),
                                   _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));
    return _mm256_andnot_si256(mark, _mm256_cmpgt_epi8(v, _mm256_set1_epi8(0x1f)));
}

/* As far as there are 64 plain bytes. */
__attribute__((target("avx2"))) static size_t wide_len(const char *p, size_t n)
{
    size_t i = 0;
    while (n - i >= WIDE) {
        __m256i plain = _mm256_and_si256(plain_mask(p + i), plain_mask(p + i + WIDE / 2));
        if (_mm256_movemask_epi8(plain) != -1) {
            break;
        }
        i += WIDE;
    }
    return i;
}

/* Fewer than 16 bytes, as two halves that may overlap: a bit that is found in the second is none
 * that the first has. */
static size_t short_len(const char *p, size_t n)
{
    if (n < 8) {
        size_t i = 0;
        while (i < n && is_plain(p[i])) {
            i++;
        }
        return i;
    }
    int64_t first, second;
    memcpy(&first, p, sizeof(first));
    memcpy(&second, p + n - 8, sizeof(second));
    unsigned odd = odd_bits(_mm_set_epi64x(second, first));
    size_t at = odd ? (size_t)__builtin_ctz(odd) : NARROW;
    return at < 8 ? at : n - NARROW + at;
}

size_t weir_plain_len(const char *p, size_t n)
{
    if (n < NARROW) {
        return short_len(p, n);
    }
    size_t i = 0;
    bool is_wide = !__builtin_cpu_supports("avx2");
    while (n - i >= NARROW) {
        unsigned odd = odd_bits(load(p + i));
        if (odd) {
            return i + (size_t)__builtin_ctz(odd);
        }
        i += NARROW;
        if (!is_wide) { /* most texts are shorter than a block, or much longer */
            i += wide_len(p + i, n - i);
            is_wide = true;
        }
    }
    /* The last 16 bytes, of which those before `i` are plain. */
    unsigned odd = odd_bits(load(p + n - NARROW));
    return odd ? n - NARROW + (size_t)__builtin_ctz(odd) : n;
}
#else
size_t weir_plain_len(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && is_plain(p[i])) {
        i++;
    }
    return i;
}
#endif
