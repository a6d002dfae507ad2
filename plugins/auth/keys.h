/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* API keys of all tenants, found by the SHA-256 of the secret.
 *
 * Why by hash: the table never holds a secret, and a lookup compares digests of what the client
 * sent, so its time says nothing about how much of a guess was right; the last comparison is in
 * constant time all the same.
 * Ownership: the table owns everything. Threads: any, once built; nothing changes after that.
 * Errors: a sentence that names tenant and key. */
#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

enum { AUTH_MAX_KEYS = 100000, AUTH_ERROR_BYTES = 256 };

struct auth_key {
    unsigned char digest[32];
    const char *tenant, *name, *user; /* user may be NULL */
    const char **models;              /* [n_models] allowed; 0: all */
    uint32_t n_models;
    uint64_t expires_us; /* wall clock; UINT64_MAX: never */
};

struct auth_keys;

/* From the `tenants:` block as JSON: {"acme": {"keys": [{"name", "sha256" | "secret", "user"?,
 * "models"?, "expires"?}]}}. `expires` is RFC 3339, "2026-12-31" or "2026-12-31T23:59:59Z". */
struct auth_keys *auth_keys_create(weir_str tenants_json, char error[AUTH_ERROR_BYTES]);
void auth_keys_destroy(struct auth_keys *keys);
uint32_t auth_keys_count(const struct auth_keys *keys);

/* The key with this secret, or NULL. */
const struct auth_key *auth_keys_find(const struct auth_keys *keys, weir_str secret);
bool auth_key_allows(const struct auth_key *key, weir_str model);
