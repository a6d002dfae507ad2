/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The instance of plugin auth, and the pieces that its files share.
 *
 * auth.c: life, hooks, guard. check.c: from a header to a key. lookup.c: keys in the store.
 * user.c: signed users. key_api.c: the routes. Threads: as weir/policy.h says of hooks. */
#include "cache.h"
#include "keys.h"
#include "weir/policy.h"
#include "weir/store.h"

#define AUTH_COLLECTION "keys"
#define AUTH_CHANNEL "auth.keys"

enum { AUTH_MAX_LOOKUPS = 1024, AUTH_STORE_TIMEOUT_MS = 10000, AUTH_MAX_ROUNDS = 8 };

enum auth_loss { /* what a store that is away means for keys that were read before */
                 AUTH_LOSS_LOCAL, /* they are good for loss_us since they were read */
                 AUTH_LOSS_DENY,
                 AUTH_LOSS_ALLOW, /* … for ever */
};

struct auth {
    const weir_host *host;
    const weir_ext_tenants *tenants;
    const weir_ext_metrics *metrics; /* NULL: none */
    const weir_ext_store *store;     /* NULL: configured keys only */
    const weir_ext_admin *admin;     /* NULL: none */
    weir_metric requests;            /* by result */
    weir_metric lookups;             /* by result */
    struct auth_keys *keys;          /* configured */
    struct auth_cache *cache;
    atomic_uint n_lookups;
    bool required;
    enum auth_loss on_loss;
    uint64_t loss_us;
    char header[65];
    char user_header[65]; /* empty: none */
    char *user_secret;
    size_t user_secret_len;
    uint64_t user_max_age_us;
};

void auth_count(const struct auth *a, weir_metric metric, const char *result);

/* ---- check.c ---- */

enum auth_verdict {
    AUTH_OK,      /* *ret_key is a reference */
    AUTH_WAITS,   /* suspended: call auth_check() again when resumed */
    AUTH_MISSING, /* no credentials */
    AUTH_UNKNOWN, /* malformed, unknown or wrong: nobody is told which */
    AUTH_EXPIRED,
    AUTH_UNAVAILABLE, /* cannot be checked now */
};

/* Reads the header named `header` and finds its key. `round` is 0 at first, then what
 * auth_next_round() makes of the data that the resume brought. */
enum auth_verdict auth_check(struct auth *a, weir_req *r, const char *header, uint32_t round,
                             struct auth_key **ret_key);
uint32_t auth_next_round(weir_str data);
/* Answers what a verdict that is neither OK nor WAITS means; gives what the hook returns. */
int auth_refuse(const struct auth *a, weir_req *r, enum auth_verdict verdict);

/* ---- lookup.c ---- */

enum auth_found { AUTH_FOUND, AUTH_FOUND_NONE, AUTH_FOUND_WAITS, AUTH_FOUND_AWAY };
/* The key of this name, from the cache or the store. WAITS: the request was suspended. */
enum auth_found auth_lookup(struct auth *a, weir_req *r, struct auth_name name, uint32_t round,
                            struct auth_key **ret_key);

/* ---- user.c ---- */

/* The end user whom a signed header names. 0; WEIR_E_NOTFOUND: no such header; WEIR_E_ARG: it is
 * malformed, wrong or too old. */
int auth_user_read(const struct auth *a, weir_req *r, const struct auth_key *key,
                   weir_str *ret_user);

/* ---- key_api.c ---- */

int auth_key_api_define(struct auth *a); /* the routes; in instance_create */
