/* SPDX-License-Identifier: Apache-2.0 */
#include "base/keyed_hash.h"

#include <stdbool.h>
#include <string.h>

#include "tests/support/cmocka.h"

enum { MOST_BYTES = 3000 };

static struct weir_keyed_hash_key key;
static uint8_t text[MOST_BYTES + 8];

struct value {
    uint8_t bytes[WEIR_SIPHASH_BYTES];
};

static struct value hash_of(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b)
{
    struct weir_keyed_hash h;
    struct value v;
    weir_keyed_hash_begin(&h, &key);
    weir_keyed_hash_add(&h, a, n_a);
    if (b) {
        weir_keyed_hash_add(&h, b, n_b);
    }
    weir_keyed_hash_end(&h, v.bytes);
    return v;
}

static bool is_equal(struct value a, struct value b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

/* 0 behind the end */
static uint64_t word_at(const uint8_t *p, size_t n, size_t at)
{
    uint64_t word = 0;
    for (size_t i = 0; i < 8 && at + i < n; i++) {
        word |= (uint64_t)p[at + i] << 8 * i;
    }
    return word;
}

/* As its authors write NH: the sum of (m1 + k1)(m2 + k2), each sum in 64 bits. */
static unsigned __int128 nh(const uint64_t *k, const uint8_t *p, size_t n)
{
    unsigned __int128 sum = 0;
    for (size_t at = 0; at < n; at += 16) {
        uint64_t a = word_at(p, n, at) + k[at / 8], b = word_at(p, n, at + 8) + k[at / 8 + 1];
        sum += (unsigned __int128)a * b;
    }
    return sum;
}

static struct value written_down(const uint8_t *p, size_t n)
{
    uint64_t words[1 + MOST_BYTES / 8] = {n};
    size_t n_words = 1;
    for (size_t at = 0; n <= 32 && at < n; at += 8) {
        words[n_words++] = word_at(p, n, at);
    }
    for (size_t at = 0; n > 32 && at < n; at += 1024) {
        size_t left = n - at < 1024 ? n - at : 1024;
        unsigned __int128 sums[] = {nh(key.nh, p + at, left), nh(key.nh + 2, p + at, left)};
        memcpy(words + n_words, sums, sizeof(sums));
        n_words += 4;
    }
    struct value v;
    weir_siphash((const uint8_t *)key.siphash, words, n_words * 8, v.bytes);
    return v;
}

static void it_is_siphash_of_what_nh_makes_of_each_block(void **state)
{
    (void)state;
    for (size_t n = 0; n <= MOST_BYTES; n += n < 80 || (n > 1000 && n < 1060) ? 1 : 37) {
        struct value wanted = written_down(text, n);
        assert_memory_equal(hash_of(text, n, NULL, 0).bytes, wanted.bytes, sizeof(wanted.bytes));
        uint8_t moved[MOST_BYTES + 8];
        memcpy(moved + n % 8, text, n);
        assert_true(is_equal(hash_of(moved + n % 8, n, NULL, 0), wanted));
    }
}

static void each_bit_and_each_length_counts(void **state)
{
    (void)state;
    for (size_t n = 1; n < 2100; n += n < 40 ? 1 : 211) {
        struct value whole = hash_of(text, n, NULL, 0);
        for (size_t i = 0; i < n; i++) {
            text[i] ^= (uint8_t)(1 << i % 8);
            assert_false(is_equal(hash_of(text, n, NULL, 0), whole));
            text[i] ^= (uint8_t)(1 << i % 8);
        }
    }
    const uint8_t zeros[64] = {0};
    for (size_t n = 0; n < sizeof(zeros); n++) {
        assert_false(is_equal(hash_of(zeros, n, NULL, 0), hash_of(zeros, n + 1, NULL, 0)));
    }
}

static void where_a_text_ends_counts(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 8, 24, 32, 33, 64, 1024, 1500};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        struct value together = hash_of(text, 2 * n, NULL, 0),
                     apart = hash_of(text, n, text + n, n);
        assert_false(is_equal(together, apart));
        assert_false(is_equal(apart, hash_of(text, n + 1, text + n + 1, n - 1)));
        assert_false(is_equal(apart, hash_of(text + n, n, text, n)));
        assert_false(is_equal(hash_of(text, n, NULL, 0), hash_of(text, n, text, 0)));
    }
}

static void another_secret_gives_another_hash(void **state)
{
    (void)state;
    struct value before = hash_of(text, 2000, NULL, 0);
    struct weir_keyed_hash_key kept = key;
    uint8_t secret[WEIR_SIPHASH_BYTES] = {1};
    weir_keyed_hash_make_key(&key, secret);
    assert_false(is_equal(hash_of(text, 2000, NULL, 0), before));
    assert_memory_not_equal(key.nh, kept.nh, sizeof(key.nh));
    weir_keyed_hash_make_key(&kept, secret);
    assert_memory_equal(&key, &kept, sizeof(key));
}

static int set_up(void **state)
{
    (void)state;
    uint8_t secret[WEIR_SIPHASH_BYTES];
    for (size_t i = 0; i < sizeof(secret); i++) {
        secret[i] = (uint8_t)(i * 91 + 17);
    }
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * i * 7 + i / 256 + 1);
    }
    weir_keyed_hash_make_key(&key, secret);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_siphash_of_what_nh_makes_of_each_block),
        cmocka_unit_test(each_bit_and_each_length_counts),
        cmocka_unit_test(where_a_text_ends_counts),
        cmocka_unit_test(another_secret_gives_another_hash),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
