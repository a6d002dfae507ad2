/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One API key as it is checked; immutable and counted.
 *
 * It comes from the `keys:` of a tenant in the configuration, or from a record that the admin API
 * keeps in the store: the same JSON, plus "previous": {"sha256", "until"}, the secret before the
 * last rotation and how long it is good. Ownership: counted references, by whoever looks at it: the
 * table, the cache, a request. Threads: any. Errors: a sentence for who wrote it. */
#include <stdatomic.h>
#include <yyjson.h>

#include "secret.h"
#include "weir/host.h"

enum { AUTH_ERROR_BYTES = 256, AUTH_MAX_MODELS = 1000, AUTH_MAX_MODELS_BYTES = 65536 };

struct auth_key {
    atomic_uint refs;
    const weir_host *host; /* whose memory it is */
    unsigned char digest[AUTH_DIGEST_BYTES];
    unsigned char previous[AUTH_DIGEST_BYTES];
    uint64_t previous_until_us;      /* wall clock; 0: there is none */
    uint64_t expires_us;             /* wall clock; UINT64_MAX: never */
    uint32_t scopes;                 /* enum weir_scope */
    weir_str tenant, id, name, user; /* user: empty when any; id: of configured keys the name */
    weir_str limits;                 /* {"limits": …, "quota": …} or empty */
    weir_str models;                 /* one a line; empty: all */
    yyjson_doc *doc;                 /* as it was given */
};

/* From the JSON of a key. NULL with a sentence. */
struct auth_key *auth_key_create(const weir_host *host, weir_str tenant, weir_str id, weir_str json,
                                 char error[AUTH_ERROR_BYTES]);
struct auth_key *auth_key_ref(struct auth_key *key);
void auth_key_unref(struct auth_key *key); /* NULL ok */

/* Is this the digest of its secret, or of the one before while that is good? The same work whatever
 * the answer; `key` NULL: the work for nothing. */
bool auth_key_proves(const struct auth_key *key, const unsigned char digest[AUTH_DIGEST_BYTES],
                     uint64_t wall_us);

/* A text of JSON; empty when it is none: yyjson gives arrays and objects a length too. */
weir_str auth_text(yyjson_val *v);

/* "2026-12-31" (the end of that day, UTC) or "2026-12-31T23:59:59Z". */
bool auth_time_read(const char *text, uint64_t *ret_us);
void auth_time_write(uint64_t us, char ret_text[32]);
/* A list of scopes' names; 0: one is unknown, or it is no list. */
uint32_t auth_scopes_read(yyjson_val *list);
