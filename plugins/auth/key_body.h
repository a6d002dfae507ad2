/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Keys as JSON: the record in the store, what the admin API shows of it, what it takes.
 *
 * A record has all that a key of the configuration has, in the same shape, and "sha256",
 * "previous", "created", "created_by", "rotated". Hashes are never shown. Ownership: results are
 * the caller's: free(). Threads: [main]. Errors: NULL: out of memory, or what a sentence says. */
#include "auth.h"

enum { AUTH_PROBLEM_BYTES = 400 };

/* What the API shows of a record; `key_text` (NULL: none) is the secret, shown once. */
char *auth_body_show(struct auth_name name, weir_str record, const char *key_text);
/* … of a configured key. */
char *auth_body_show_configured(const struct auth_key *key);

/* The record of a new key from a request's body. */
char *auth_body_create(const struct auth *a, weir_str tenant, weir_str body, weir_str created_by,
                       const unsigned char digest[AUTH_DIGEST_BYTES],
                       char problem[AUTH_PROBLEM_BYTES]);
/* The record after a merge patch. */
char *auth_body_patch(const struct auth *a, weir_str tenant, weir_str record, weir_str patch,
                      char problem[AUTH_PROBLEM_BYTES]);
/* The record with a new secret; the one before is good until then. */
char *auth_body_rotate(weir_str record, const unsigned char digest[AUTH_DIGEST_BYTES],
                       uint64_t now_us, uint64_t until_us);

/* The scopes of a record or a body; inference when it names none. 0: malformed. */
uint32_t auth_body_scopes(weir_str json);
