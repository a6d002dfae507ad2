/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Entries of a ledger that ends with this process, as numbers and texts instead of JSON.
 *
 * Why: in the memory store a ledger is written for every request and seldom read, by nobody but
 * this process. Packing costs a tenth of writing JSON and takes half of its bytes; JSON is made
 * when somebody reads. What other replicas may read is JSON always.
 * Layout: the machine's own, no promise to anybody. Ownership: the caller's bytes. Threads: any.
 * Errors: 0 where it does not fit, WEIR_E_FORMAT. */
#include "record.h"

enum { BILLING_PACKED_BYTES = 8 * 1024 };

/* The first entry of a request that has no Idempotency-Key of ours: its month is that of its
 * beginning. Returns the number of bytes, 0 when they are more than BILLING_PACKED_BYTES. */
size_t billing_entry_pack(const struct billing_facts *f, const struct billing_totals *add,
                          const struct billing_end *end, char bytes[BILLING_PACKED_BYTES]);

/* The entry as JSON, packed or not; `room` holds it where it has to be made. An empty text:
 * damaged. */
weir_str billing_entry_text(weir_str entry, char room[BILLING_ENTRY_BYTES]);
