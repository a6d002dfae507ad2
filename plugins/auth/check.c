/* SPDX-License-Identifier: Apache-2.0 */
/* From a header to a key: one path, and every way out of it but one is a refusal. */
#include <strings.h>

#include "auth.h"

/* "Bearer SECRET" of RFC 6750, or the bare secret of another header (x-api-key). Empty: malformed.
 */
static weir_str secret_of(const char *header, weir_str value)
{
    static const char scheme[] = "bearer ";
    const size_t n = sizeof(scheme) - 1;
    if (value.n > n && strncasecmp(value.p, scheme, n) == 0) {
        value.p += n;
        value.n -= n;
        while (value.n > 0 && *value.p == ' ') {
            value.p++;
            value.n--;
        }
    } else if (strcasecmp(header, "authorization") == 0) {
        value.n = 0;
    }
    while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t')) {
        value.n--;
    }
    return value.n > AUTH_MAX_SECRET_BYTES ? (weir_str){NULL, 0} : value;
}

/* Which key it claims to be. Configured ones are known by their digest; others by the name in them.
 * NULL: none. */
static enum auth_found claimed(struct auth *a, weir_req *r, weir_str secret,
                               const unsigned char digest[AUTH_DIGEST_BYTES], uint32_t round,
                               struct auth_key **ret_key)
{
    struct auth_key *configured = auth_keys_find(a->keys, digest);
    struct auth_key_parts parts;
    if (configured) {
        *ret_key = auth_key_ref(configured);
        return AUTH_FOUND;
    }
    if (!a->store || !auth_key_parse(secret, &parts)) {
        return AUTH_FOUND_NONE;
    }
    return auth_lookup(a, r, (struct auth_name){parts.tenant, parts.id}, round, ret_key);
}

static enum auth_verdict check_tenant(const struct auth *a, const struct auth_key *key)
{
    int rc = a->tenants->get(a->host, key->tenant, NULL, NULL);
    return rc == 0 ? AUTH_OK : rc == WEIR_E_BUSY ? AUTH_UNAVAILABLE : AUTH_UNKNOWN;
}

enum auth_verdict auth_check(struct auth *a, weir_req *r, const char *header, uint32_t round,
                             struct auth_key **ret_key)
{
    weir_str value;
    unsigned char digest[AUTH_DIGEST_BYTES];
    struct auth_key *key = NULL;
    if (a->host->req_header(a->host, r, weir_str_from(header), &value) < 0) {
        return AUTH_MISSING;
    }
    weir_str secret = secret_of(header, value);
    if (secret.n == 0) {
        return AUTH_UNKNOWN;
    }
    auth_digest(secret, digest);
    enum auth_found found = claimed(a, r, secret, digest, round, &key);
    if (found == AUTH_FOUND_WAITS) {
        return AUTH_WAITS;
    }
    if (found == AUTH_FOUND_AWAY) {
        return AUTH_UNAVAILABLE;
    }
    uint64_t now_us = weir_host_turn_wall_us(a->host);
    enum auth_verdict verdict = AUTH_UNKNOWN;
    bool is_proved = auth_key_proves(key, digest, now_us); /* as long without a key */
    if (key && is_proved) {
        verdict = now_us > key->expires_us ? AUTH_EXPIRED : check_tenant(a, key);
    }
    if (verdict != AUTH_OK) {
        auth_key_unref(key);
        return verdict;
    }
    *ret_key = key;
    return AUTH_OK;
}

uint32_t auth_next_round(weir_str data)
{
    return data.n == 1 ? (uint32_t)(unsigned char)data.p[0] : AUTH_MAX_ROUNDS;
}

int auth_refuse(const struct auth *a, weir_req *r, enum auth_verdict verdict)
{
    const weir_host *h = a->host;
    const char *message = "Incorrect API key provided.";
    const char *result = "unknown";
    if (verdict == AUTH_UNAVAILABLE) {
        auth_count(a, a->requests, "unavailable");
        (void)h->set_header(h, r, weir_str_from("retry-after"), weir_str_from("1"));
        (void)h->set_header(h, r, weir_str_from("retry-after-ms"), weir_str_from("1000"));
        (void)h->deny(h, r, 503, (weir_str){NULL, 0}, weir_str_from("auth_unavailable"),
                      weir_str_from("The API key cannot be checked now; try again."));
        return WEIR_DENY;
    }
    if (verdict == AUTH_MISSING) {
        result = "missing";
        message = "You didn't provide an API key. Send it as \"Authorization: Bearer KEY\".";
    } else if (verdict == AUTH_EXPIRED) {
        result = "expired";
        message = "This API key has expired.";
    }
    auth_count(a, a->requests, result);
    (void)h->set_header(h, r, weir_str_from("www-authenticate"), weir_str_from("Bearer"));
    (void)h->deny(h, r, 401, weir_str_from("invalid_request_error"),
                  weir_str_from("invalid_api_key"), weir_str_from(message));
    return WEIR_DENY;
}
