/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Keeps the registry in step with the tenants' records in the store, which all replicas share.
 *
 * A record lies under the tenant "" in the collection "tenants". Who changes one publishes its
 * name; everybody who hears it reads that record anew. Messages can be missed, so the whole list is
 * read at the start, after a lost connection, and every 30 s. Why every change ends in a read:
 * whatever happens between two replicas, the registry takes what the store says last; the reads of
 * one name never overtake each other. Ownership: neither registry nor store. Threads: [main].
 * Errors: `done` gets 0, WEIR_E_BUSY (the version is another), WEIR_E_IO, WEIR_E_TIMEOUT (it may
 * have happened), WEIR_E_NOMEM, and the version that the record has now (0: none, or not known). It
 * is called exactly once, before or after the function returns; the registry shows the change then.
 * Bounds: WEIR_TENANT_RECORDS_MAX_READS reads at a time; what is beyond waits for the next list. */
#include "base/error.h"
#include "core/store/store.h"
#include "core/tenants/tenants.h"

enum { WEIR_TENANT_RECORDS_MAX_READS = 256 };

struct weir_tenant_records;
typedef void (*weir_tenant_records_done)(void *arg, int rc, uint64_t number);

/* Begins to read. */
int weir_tenant_records_create(struct weir_tenants *tenants, struct weir_store *store,
                               struct weir_tenant_records **ret_records);
/* Reads the list when its time has come; to be called a few times a second. */
void weir_tenant_records_tick(struct weir_tenant_records *records, uint64_t now_us);
/* Nothing is under way in the store any more. NULL ok. */
void weir_tenant_records_destroy(struct weir_tenant_records *records);

/* Was the list read once? Until then a tenant that is not found may exist. [any-thread] */
bool weir_tenant_records_are_read(const struct weir_tenant_records *records);
/* … or tried once. [any-thread] */
bool weir_tenant_records_were_tried(const struct weir_tenant_records *records);

/* Writes the record when its version is `number` (0: when there is none). */
void weir_tenant_records_put(struct weir_tenant_records *records, weir_str name, weir_str record,
                             uint64_t number, weir_tenant_records_done done, void *arg);
/* Removes everything under the tenant but its logs, then its record. */
void weir_tenant_records_erase(struct weir_tenant_records *records, weir_str name,
                               weir_tenant_records_done done, void *arg);
/* Reads one record anew. */
void weir_tenant_records_read(struct weir_tenant_records *records, weir_str name,
                              weir_tenant_records_done done, void *arg);
