/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an API key looks like: "weir_TENANT_ID_SECRET".
 *
 * ID is public: 80 random bits, 16 characters of base32; SECRET is 256 random bits, 52 characters.
 * The tenant's name is in the key so that its record can be found in one look-up among that
 * tenant's own records, and is erased with them. Only the SHA-256 of the whole text is kept: the
 * secret is random, so a slow hash would protect nothing more. Threads: any. Errors: WEIR_E_IO when
 * the system has no randomness. */
#include <stdbool.h>

#include "weir/types.h"

enum {
    AUTH_DIGEST_BYTES = 32,
    AUTH_ID_BYTES = 16,
    AUTH_MAX_TENANT_BYTES = 64,
    AUTH_KEY_TEXT_BYTES = 160, /* room for the longest key and its end */
    AUTH_MAX_SECRET_BYTES = 512,
};

/* Parts of a key's text; they point into it. */
struct auth_key_parts {
    weir_str tenant, id;
};
/* False: it does not look like one of ours. */
bool auth_key_parse(weir_str text, struct auth_key_parts *ret_parts);

int auth_key_make_id(char ret_id[AUTH_ID_BYTES + 1]);
/* A new secret for tenant and id. */
int auth_key_make(weir_str tenant, const char *id, char ret_text[AUTH_KEY_TEXT_BYTES]);

void auth_digest(weir_str text, unsigned char ret_digest[AUTH_DIGEST_BYTES]); /* SHA-256 */
bool auth_digest_read(const char *hex, unsigned char ret_digest[AUTH_DIGEST_BYTES]);
void auth_digest_write(const unsigned char digest[AUTH_DIGEST_BYTES], char ret_hex[65]);
/* In constant time. */
bool auth_digest_equal(const unsigned char a[AUTH_DIGEST_BYTES],
                       const unsigned char b[AUTH_DIGEST_BYTES]);
