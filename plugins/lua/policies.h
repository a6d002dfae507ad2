/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which policy runs for a tenant: the table that requests look into.
 *
 * A tenant's policy is the active version of its records, else the file of the configuration, else
 * the file for everybody. Beside it there may be a canary, for a share of its users, and a shadow,
 * which runs and decides nothing.
 * Ownership: the table owns entries and holds a reference of each version; who chooses gets
 * references of his own. Threads: choose [any]; the rest [main]. Bounds: LUA_MAX_TENANTS. */
#include "version.h"

enum { LUA_MAX_TENANTS = 100000, LUA_MAX_TENANT_BYTES = 128 };

struct lua_settings {
    struct lua_limits limits;
    bool fail_open;
};

struct lua_policies;

struct lua_policies *lua_policies_create(const struct lua_settings *defaults);
void lua_policies_destroy(struct lua_policies *p); /* NULL ok */

struct lua_choice {
    struct lua_version *version, *shadow; /* references; NULL: none */
    bool is_canary, fail_open;
    bool unknown; /* the records have not been read yet: there may be one */
};

/* Sticky: the same user, else key, of a tenant is always on the same side of a canary. */
void lua_policies_choose(struct lua_policies *p, weir_str tenant, weir_str sticky,
                         struct lua_choice *ret_choice);

/* What the configuration says of a tenant; file NULL: none. Takes the reference. */
int lua_policies_set_file(struct lua_policies *p, weir_str tenant, struct lua_version *file);
void lua_policies_set_fallback(struct lua_policies *p, struct lua_version *file);
int lua_policies_set_settings(struct lua_policies *p, weir_str tenant,
                              const struct lua_settings *settings);
struct lua_settings lua_policies_settings(struct lua_policies *p, weir_str tenant);

/* The tenant has gone, and what was known of it goes too. */
void lua_policies_remove(struct lua_policies *p, weir_str tenant);

struct lua_active { /* what the records say */
    struct lua_version *active, *canary, *shadow;
    double percent;
    uint64_t version; /* of the record that says so; 0: there is none */
};
/* The versions that are there now, borrowed until the next change. */
void lua_policies_peek(struct lua_policies *p, weir_str tenant, struct lua_active *ret_active);
/* Takes the references. */
int lua_policies_set_active(struct lua_policies *p, weir_str tenant, struct lua_active *active);
/* Calls fn for each tenant that has records; fn must not change the table. */
void lua_policies_each(struct lua_policies *p, void (*fn)(void *arg, weir_str tenant), void *arg);
/* Until then choices are `unknown`. */
void lua_policies_set_known(struct lua_policies *p);
bool lua_policies_are_known(struct lua_policies *p);
