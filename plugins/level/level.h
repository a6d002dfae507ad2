/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The levels at which a request is limited, and under which names their state lies in the store.
 *
 * A level's state is under the request's tenant, or under "" where all tenants share it: one store
 * call covers one of the two groups. Threads: any; pure functions but for those that read a request
 * [loop]. */
#include <stdbool.h>
#include <stdint.h>

#include "text.h"
#include "weir/host.h"

enum level {
    LEVEL_TENANT,
    LEVEL_USER,         /* of a tenant */
    LEVEL_KEY,          /* of a tenant */
    LEVEL_TENANT_MODEL, /* a model as one tenant uses it */
    LEVEL_GLOBAL,       /* from here on shared by all tenants */
    LEVEL_MODEL,
    LEVEL__COUNT
};

enum level_group { LEVEL_GROUP_TENANT, LEVEL_GROUP_SHARED, LEVEL_GROUP__COUNT };

static inline enum level_group level_group(enum level level)
{
    return level < LEVEL_GLOBAL ? LEVEL_GROUP_TENANT : LEVEL_GROUP_SHARED;
}

const char *level_name(enum level level); /* "tenant", for people and metrics */

const char *level_whose(enum level level); /* "this tenant", for clients */

/* Who asks; {NULL, 0} where unknown. What most levels need not is read where one does. Borrowed
 * until the hook returns. */
struct level_ids {
    const weir_host *host;
    weir_req *req;
    weir_str tenant;
    weir_str key_json; /* the key's own {"limits", "quota"} */
};
void level_ids_read(const weir_host *h, weir_req *r, struct level_ids *ret_ids);
weir_str level_ids_model(const struct level_ids *ids);
/* The most tokens that the request can use: its prompt, and max_tokens for each of its choices, or
 * `assumed` where nothing bounds an answer. [loop] */
void level_tokens_read(const weir_host *h, weir_req *r, uint64_t assumed, uint64_t *ret_prompt,
                       uint64_t *ret_answer);

/* The subject at a level: the user's name and so on; "" for tenant and global. False: the request
 * has none at this level (no user given). [loop] */
bool level_subject(const struct level_ids *ids, enum level level, weir_str *ret_name);
/* "ratelimit/user/alice/": a subject's part of its keys. Names above 256 bytes are cut, with a hash
 * of the whole behind, so that keys stay in bounds and apart. */
enum { LEVEL_KEY_BYTES = 320 };
void level_key_add(struct text *to, const char *plugin, enum level level, weir_str name);

/* 64 bits of a name (FNV-1a, then mixed). */
uint64_t level_hash(uint64_t seed, weir_str name);
