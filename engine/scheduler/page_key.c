/* SPDX-License-Identifier: Apache-2.0 */
#include "page_key.h"

#include <sys/random.h>

#include <xxhash.h>

int weir_page_secret_init(struct weir_page_secret *secret)
{
    ssize_t n = getrandom(secret->bytes, sizeof(secret->bytes), 0);
    return n == (ssize_t)sizeof(secret->bytes) ? 0 : WEIR_E_IO;
}

static struct weir_page_key hash(const struct weir_page_secret *secret, const void *p, size_t n)
{
    XXH128_hash_t h = XXH3_128bits_withSecret(p, n, secret->bytes, sizeof(secret->bytes));
    return (struct weir_page_key){.low = h.low64, .high = h.high64};
}

struct weir_page_key weir_page_key_root(const struct weir_page_secret *secret, weir_str tenant)
{
    return hash(secret, tenant.p, tenant.n);
}

struct weir_page_key weir_page_key_next(const struct weir_page_secret *secret,
                                        struct weir_page_key parent,
                                        const int32_t tokens[WEIR_PAGE_TOKENS])
{
    struct {
        struct weir_page_key parent;
        int32_t tokens[WEIR_PAGE_TOKENS];
    } link = {.parent = parent};
    _Static_assert(sizeof(link) == 16 + 4 * WEIR_PAGE_TOKENS, "no padding may be hashed");
    memcpy(link.tokens, tokens, sizeof(link.tokens));
    return hash(secret, &link, sizeof(link));
}
