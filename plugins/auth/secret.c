/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* each EVP digest makes and frees a context */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>

enum { SECRET_BYTES = 32, SECRET_CHARS = 52, ID_BYTES = 10 };
static const char prefix[] = "weir_";
static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, small letters */

/* `out` gets (n * 8 + 4) / 5 characters and an end. */
static void encode(const unsigned char *bytes, size_t n, char *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | bytes[i];
        for (n_bits += 8; n_bits >= 5; n_bits -= 5) {
            *out++ = alphabet[bits >> (n_bits - 5) & 31];
        }
    }
    if (n_bits) {
        *out++ = alphabet[bits << (5 - n_bits) & 31];
    }
    *out = '\0';
}

static bool is_base32(weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!s.p[i] || !strchr(alphabet, s.p[i])) {
            return false;
        }
    }
    return true;
}

static bool is_tenant(weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (i == 0 || (c != '.' && c != '-' && c != '_'))) {
            return false;
        }
    }
    return s.n > 0 && s.n <= AUTH_MAX_TENANT_BYTES;
}

bool auth_key_parse(weir_str text, struct auth_key_parts *ret_parts)
{
    const size_t n_prefix = sizeof(prefix) - 1;
    const size_t n_tail = 1 + AUTH_ID_BYTES + 1 + SECRET_CHARS; /* "_ID_SECRET" */
    if (text.n <= n_prefix + n_tail || memcmp(text.p, prefix, n_prefix) != 0) {
        return false;
    }
    const char *tail = text.p + text.n - n_tail;
    ret_parts->tenant = (weir_str){text.p + n_prefix, text.n - n_prefix - n_tail};
    ret_parts->id = (weir_str){tail + 1, AUTH_ID_BYTES};
    weir_str secret = {tail + AUTH_ID_BYTES + 2, SECRET_CHARS};
    return tail[0] == '_' && tail[AUTH_ID_BYTES + 1] == '_' && is_tenant(ret_parts->tenant) &&
           is_base32(ret_parts->id) && is_base32(secret);
}

int auth_key_make_id(char ret_id[AUTH_ID_BYTES + 1])
{
    unsigned char bytes[ID_BYTES];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return WEIR_E_IO;
    }
    encode(bytes, sizeof(bytes), ret_id);
    return 0;
}

int auth_key_make(weir_str tenant, const char *id, char ret_text[AUTH_KEY_TEXT_BYTES])
{
    unsigned char bytes[SECRET_BYTES];
    char secret[SECRET_CHARS + 1];
    if (tenant.n > AUTH_MAX_TENANT_BYTES || RAND_priv_bytes(bytes, sizeof(bytes)) != 1) {
        return WEIR_E_IO;
    }
    encode(bytes, sizeof(bytes), secret);
    (void)snprintf(ret_text, AUTH_KEY_TEXT_BYTES, "%s%.*s_%s_%s", prefix, (int)tenant.n, tenant.p,
                   id, secret);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(secret, sizeof(secret));
    return 0;
}

void auth_digest(weir_str text, unsigned char ret_digest[AUTH_DIGEST_BYTES])
{
    SHA256_CTX sha;
    (void)SHA256_Init(&sha);
    (void)SHA256_Update(&sha, text.p, text.n);
    (void)SHA256_Final(ret_digest, &sha); /* wipes the text's rest */
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool auth_digest_read(const char *hex, unsigned char ret_digest[AUTH_DIGEST_BYTES])
{
    if (!hex || strlen(hex) != 2 * AUTH_DIGEST_BYTES) {
        return false;
    }
    for (int i = 0; i < AUTH_DIGEST_BYTES; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_digest[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

void auth_digest_write(const unsigned char digest[AUTH_DIGEST_BYTES], char ret_hex[65])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < AUTH_DIGEST_BYTES; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[64] = '\0';
}

bool auth_digest_equal(const unsigned char a[AUTH_DIGEST_BYTES],
                       const unsigned char b[AUTH_DIGEST_BYTES])
{
    uint64_t x[AUTH_DIGEST_BYTES / 8], y[AUTH_DIGEST_BYTES / 8], differs = 0;
    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    for (size_t i = 0; i < AUTH_DIGEST_BYTES / 8; i++) {
        differs |= x[i] ^ y[i];
    }
    __asm__("" : "+r"(differs)); /* the compiler knows nothing of it: no way out half way */
    return differs == 0;
}
