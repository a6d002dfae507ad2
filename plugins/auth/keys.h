/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The keys that stand in the configuration, found by the SHA-256 of the secret.
 *
 * Why by hash: the table never holds a secret, and a lookup compares digests of what the client
 * sent, so its time says nothing about how much of a guess was right; the last comparison is in
 * constant time all the same.
 * Ownership: the table owns its keys. Threads: any, once built; nothing changes after that.
 * Errors: a sentence that names tenant and key. */
#include "key.h"

enum { AUTH_MAX_KEYS = 100000 };

struct auth_keys;

/* From the `tenants:` block as JSON: {"acme": {"keys": [{"name", "sha256" | "secret", "user"?,
 * "models"?, "scopes"?, "expires"?, "limits"?, "quota"?}]}}. */
struct auth_keys *auth_keys_create(const weir_host *host, weir_str tenants_json,
                                   char error[AUTH_ERROR_BYTES]);
void auth_keys_destroy(struct auth_keys *keys);
uint32_t auth_keys_count(const struct auth_keys *keys);
struct auth_key *auth_keys_at(const struct auth_keys *keys, uint32_t i);

/* The key with this digest, borrowed; NULL: there is none. */
struct auth_key *auth_keys_find(const struct auth_keys *keys,
                                const unsigned char digest[AUTH_DIGEST_BYTES]);
