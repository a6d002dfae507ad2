/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* All tenants of this process: those of the configuration and those in the store.
 *
 * Why: every request asks for its tenant, so a lookup takes no lock and no reference: readers walk
 * a hash table whose links are atomic, and what was taken out is freed only when every reader has
 * passed its turn (quiescent-state reclamation). Changes are rare and all made on [main].
 * Ownership: the registry owns the tenants; a reader borrows one until its next turn, which is:
 * until the hook or event it is in has ended. Threads: find() on a reader's thread; readers' turn()
 * on their own; everything else [main]. Errors: WEIR_E_NOMEM; WEIR_E_BUSY beyond WEIR_TENANTS_MAX.
 * Invariant: a name is in the table once. */
#include "base/error.h"
#include "core/tenants/tenant.h"

enum { WEIR_TENANTS_MAX = 100000, WEIR_TENANTS_MAX_READERS = 300 };

struct weir_tenants;
struct weir_tenants_reader;

int weir_tenants_create(struct weir_tenants **ret_tenants);
/* No reader is left. NULL ok. */
void weir_tenants_destroy(struct weir_tenants *ts);

/* A thread that will call find(). A process that has none may call it on [main] only. */
int weir_tenants_reader_add(struct weir_tenants *ts, struct weir_tenants_reader **ret_reader);
/* The thread borrows nothing now. To be called again and again: what was taken out waits for it. */
void weir_tenants_reader_turn(struct weir_tenants_reader *reader);

/* Deleting ones are found too. NULL: there is none. */
const struct weir_tenant *weir_tenants_find(const struct weir_tenants *ts, weir_str name);
size_t weir_tenants_count(const struct weir_tenants *ts);
/* fn for each, absent ones too, in no order; it must not change the registry. */
void weir_tenants_each(const struct weir_tenants *ts,
                       void (*fn)(void *arg, const struct weir_tenant *), void *arg);

/* The whole `tenants:` block as JSON, checked before; tenants that it no longer has lose their
 * entry. A failure leaves some of the changes undone. */
int weir_tenants_set_entries(struct weir_tenants *ts, weir_str block_json);
/* What the store has under this name; empty and 0: nothing. A record that is not ours is as none.
 */
int weir_tenants_set_record(struct weir_tenants *ts, weir_str name, weir_str record,
                            uint64_t number);

/* fn(arg, name) after a tenant came, changed or went. The watch is the caller's, and stays put
 * until unwatch(). */
struct weir_tenants_watch {
    void (*fn)(void *arg, weir_str name);
    void *arg;
    struct weir_tenants_watch *prev, *next;
};
void weir_tenants_watch(struct weir_tenants *ts, struct weir_tenants_watch *watch);
void weir_tenants_unwatch(struct weir_tenants *ts, struct weir_tenants_watch *watch);
