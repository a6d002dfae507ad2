/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One request while it runs: its open job in the store, marks of what was delivered, its end.
 *
 * Protocol:
 *   open    before the first byte goes out the store holds a job with the request's facts, to be
 *           claimed when BILLING_HEARTBEAT_MS have passed without a further put. Output waits for
 *           the store's answer; running does not.
 *   mark    each BILLING_MARK_TOKENS delivered tokens the job is put again with the number
 *           delivered. Output waits before it runs more than BILLING_MAX_UNMARKED tokens ahead of
 *           the last mark that the store acknowledged. One put is under way at a time, so marks
 *           never overtake each other.
 *   settle  when the request has ended, from what the client's socket took (settlement.h).
 * So for a replica that dies: mark <= delivered <= mark + BILLING_MAX_UNMARKED, and the reaper
 * bills the mark. An answer that is not streamed is delivered by one write of the socket, which
 * on_complete follows in the same turn of the loop: before that nothing was delivered, and the
 * reaper bills nothing.
 * In a store that dies with this process nobody could claim a job, and the ledger dies as well:
 * only settle is done. Threads: hooks on the request's loop; heartbeats on [main]; `lock` guards
 * what both touch. Ownership: reference-counted: the request and the put that is under way hold one
 * each. */
#include <pthread.h>

#include "billing.h"
#include "record.h"

struct bill;

struct bill_extra { /* what an Idempotency-Key adds */
    const char *id; /* chain that a replay belongs to; NULL: a new one */
    const char *month;
    const char *idem; /* name of its record; "" */
    bool replay;
};

/* Makes the bill of a request that is admitted now, or with an Idempotency-Key before, and puts its
 * job. WEIR_E_NOMEM, or what the store said at once. */
int bill_open(struct billing *b, weir_req *r, const struct bill_extra *extra,
              struct bill **ret_bill);
const char *bill_id(const struct bill *bill); /* of its chain */
const char *bill_job(const struct bill *bill);
const char *bill_month(const struct bill *bill);
/* A request whose bill was opened before got its target, or another one after a failure. */
void bill_admitted(struct bill *bill, weir_req *r);
/* The store lost the job, and on_store_loss says to refuse. */
bool bill_must_refuse(struct bill *bill);

int bill_on_chunk(struct bill *bill, weir_req *r, const weir_chunk *c); /* a chunk action */
int bill_on_output_resumed(struct bill *bill, weir_req *r);             /* a verdict */
void bill_on_delivered(struct bill *bill, uint64_t n_tokens);
/* The request has ended. The bill is gone. */
void bill_complete(struct bill *bill, const weir_usage *usage);
/* The request was refused before it was admitted: nothing is written. The bill is gone. */
void bill_cancel(struct bill *bill);

/* [main] Puts the jobs that are due again. */
void bills_renew(struct billing *b);
/* The instance ends. A host that knows no on_complete leaves bills: others settle them. */
void bills_drop(struct billing *b);
