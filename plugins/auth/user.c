/* SPDX-License-Identifier: Apache-2.0 */
/* The end user in a header that somebody whom the operator trusts has signed:
 *
 *   x-weir-user: v1.SECONDS.USER.SIGNATURE
 *
 * SECONDS since 1970; USER in base64url without padding; SIGNATURE is 64 hexadecimal digits,
 * HMAC-SHA256 with the configured secret over "v1.SECONDS.USER" and a line feed and the key's
 * TENANT "/" ID, so that it can be used with this key only. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth.h"

enum { MAX_USER_BYTES = 128, MAX_VALUE_BYTES = 512, MAX_SIGNED_BYTES = 1024, AHEAD_US = 60000000 };

struct parts {
    weir_str text; /* what is signed, without the key */
    uint64_t seconds;
    weir_str user, signature;
};

static bool split(weir_str value, struct parts *ret)
{
    const char *end = value.p + value.n;
    if (value.n < 4 || value.n > MAX_VALUE_BYTES || memcmp(value.p, "v1.", 3) != 0) {
        return false;
    }
    const char *seconds = value.p + 3;
    const char *dot = memchr(seconds, '.', (size_t)(end - seconds));
    const char *user = dot ? dot + 1 : NULL;
    const char *last = user ? memchr(user, '.', (size_t)(end - user)) : NULL;
    if (!last || dot == seconds || dot - seconds > 12) {
        return false;
    }
    for (const char *p = seconds; p < dot; p++) {
        if (*p < '0' || *p > '9') {
            return false;
        }
        ret->seconds = ret->seconds * 10 + (uint64_t)(*p - '0');
    }
    ret->text = (weir_str){value.p, (size_t)(last - value.p)};
    ret->user = (weir_str){user, (size_t)(last - user)};
    ret->signature = (weir_str){last + 1, (size_t)(end - last - 1)};
    return ret->signature.n == 2 * AUTH_DIGEST_BYTES;
}

static bool is_signed(const struct auth *a, const struct auth_key *key, const struct parts *p)
{
    char text[MAX_SIGNED_BYTES], hex[2 * AUTH_DIGEST_BYTES + 1];
    unsigned char given[AUTH_DIGEST_BYTES], right[AUTH_DIGEST_BYTES];
    unsigned n_right = 0;
    int n = snprintf(text, sizeof(text), "%.*s\n%.*s/%.*s", (int)p->text.n, p->text.p,
                     (int)key->tenant.n, key->tenant.p, (int)key->id.n, key->id.p);
    memcpy(hex, p->signature.p, 2 * AUTH_DIGEST_BYTES);
    hex[2 * AUTH_DIGEST_BYTES] = '\0';
    return n > 0 && (size_t)n < sizeof(text) && auth_digest_read(hex, given) &&
           HMAC(EVP_sha256(), a->user_secret, (int)a->user_secret_len, (unsigned char *)text,
                (size_t)n, right, &n_right) &&
           n_right == AUTH_DIGEST_BYTES && auth_digest_equal(given, right);
}

static int value_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
}

/* Printable characters only: the name goes into logs and records. */
static size_t decode(weir_str s, char out[MAX_USER_BYTES])
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int v = value_of(s.p[i]);
        if (v < 0) {
            return 0;
        }
        bits = bits << 6 | (uint32_t)v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            unsigned char c = (unsigned char)(bits >> n_bits & 255);
            if (n == MAX_USER_BYTES || c < 0x20 || c == 0x7f) {
                return 0;
            }
            out[n++] = (char)c;
        }
    }
    return n;
}

int auth_user_read(const struct auth *a, weir_req *r, const struct auth_key *key,
                   weir_str *ret_user)
{
    static _Thread_local char user[MAX_USER_BYTES]; /* until the caller has handed it on */
    weir_str value;
    struct parts p = {.seconds = 0};
    if (a->host->req_header(a->host, r, weir_str_from(a->user_header), &value) < 0) {
        return WEIR_E_NOTFOUND;
    }
    if (!split(value, &p) || !is_signed(a, key, &p)) {
        return WEIR_E_ARG;
    }
    uint64_t signed_us = p.seconds * 1000000, now_us = a->host->wall_us(a->host);
    if (signed_us > now_us + AHEAD_US || now_us > signed_us + a->user_max_age_us) {
        return WEIR_E_ARG;
    }
    *ret_user = (weir_str){user, decode(p.user, user)};
    return ret_user->n ? 0 : WEIR_E_ARG;
}
