/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One tenant as it is now; immutable.
 *
 * It comes from two places: the entry of the configuration's `tenants:` block, and the record that
 * the admin API keeps in the store: {"tenant": {…}, "created", "updated"}. Where a name has both,
 * the entry holds and the record can only suspend; such a record has "state_only": true and makes
 * no tenant of its own when the entry is taken out. Ownership: the registry owns it; readers borrow
 * it (tenants.h). Threads: any, once built. Errors: NULL without memory or for a record that is not
 * ours. */
#include <stdatomic.h>
#include <stdbool.h>

#include "core/config/service_class.h"
#include "core/config/tenant_resources.h"
#include "weir/types.h"

enum { WEIR_TENANT_MAX_NAME_BYTES = 64 };

enum weir_tenant_state {
    WEIR_TENANT_ACTIVE,
    WEIR_TENANT_SUSPENDED,
    WEIR_TENANT_DELETING, /* unknown to requests; what it left is being erased */
    WEIR_TENANT_ABSENT,   /* no tenant, only the state that one had: for when it is back */
};

struct weir_tenant {
    _Atomic(struct weir_tenant *) next; /* of its bucket */
    uint64_t hash;
    uint64_t version;       /* another with every change; of this process */
    weir_str name;          /* NUL-ended */
    weir_str json;          /* the entry with its state, without keys */
    weir_str entry;         /* as the configuration has it; empty: not there */
    weir_str record;        /* as the store has it; empty: not there */
    uint64_t record_number; /* the record's version in the store; 0: no record */
    enum weir_tenant_state state;
    bool has_class;
    enum weir_class service_class; /* only if has_class */
    const weir_str *models;        /* [n_models] sorted; 0: all */
    size_t n_models;
    const weir_str *regions; /* [n_regions] that its requests never leave; 0: any */
    size_t n_regions;
    struct weir_tenant_resources resources;
    struct weir_tenant *retired_next; /* waits until no reader can see it */
    uint64_t retired_epoch;
};

/* `entry` and `record` are JSON or empty, not both; all is copied. NULL: out of memory, or both say
 * nothing. */
struct weir_tenant *weir_tenant_create(weir_str name, weir_str entry, weir_str record,
                                       uint64_t record_number);
void weir_tenant_destroy(struct weir_tenant *tenant); /* NULL ok */

bool weir_tenant_may_use(const struct weir_tenant *tenant, weir_str model);
const char *weir_tenant_state_name(enum weir_tenant_state state);
/* 1 to 64 letters, digits, dot, dash and underscore, the first a letter or digit. */
bool weir_tenant_name_is_valid(weir_str name);
