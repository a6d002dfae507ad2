/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "tests/support/cmocka.h"

enum { MOST_BYTES = 300 };

/* OpenSSL's, with the same rounds. */
static void reference(const uint8_t secret[WEIR_SIPHASH_BYTES], const uint8_t *text, size_t n,
                      uint8_t hash[WEIR_SIPHASH_BYTES])
{
    unsigned c_rounds = 1, d_rounds = 3;
    size_t size = WEIR_SIPHASH_BYTES, n_out = 0;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
        OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c_rounds),
        OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d_rounds),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    assert_non_null(mac);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    assert_int_equal(EVP_MAC_init(ctx, secret, WEIR_SIPHASH_BYTES, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, text, n), 1);
    assert_int_equal(EVP_MAC_final(ctx, hash, &n_out, WEIR_SIPHASH_BYTES), 1);
    assert_int_equal(n_out, WEIR_SIPHASH_BYTES);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static void it_is_what_openssl_says_for_every_length(void **state)
{
    (void)state;
    uint8_t secret[WEIR_SIPHASH_BYTES], text[MOST_BYTES], hash[WEIR_SIPHASH_BYTES],
        wanted[WEIR_SIPHASH_BYTES];
    for (unsigned i = 0; i < sizeof(secret); i++) {
        secret[i] = (uint8_t)(i * 37 + 200);
    }
    for (unsigned i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * i + 255 - i);
    }
    for (size_t n = 0; n <= sizeof(text); n++) {
        reference(secret, text, n, wanted);
        weir_siphash(secret, text, n, hash);
        assert_memory_equal(hash, wanted, sizeof(hash));
        secret[n % sizeof(secret)] ^= (uint8_t)n;
    }
    weir_siphash(secret, NULL, 0, hash);
    reference(secret, text, 0, wanted);
    assert_memory_equal(hash, wanted, sizeof(hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_openssl_says_for_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
