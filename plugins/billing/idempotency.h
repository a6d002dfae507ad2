/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A client's Idempotency-Key: one bill for however many tries.
 *
 * How: a record per tenant and key holds the body's hash, the chain that is billed, and whether a
 * request runs now. Records are made and changed by version, so of two requests at the same time
 * one runs. The same key with another body is 422; while the first runs, 409. When it has ended, a
 * further request with the same body runs again and is billed on the same chain: only what it
 * delivers beyond the earlier runs costs something. After `replays` such runs it is 409 too.
 * Lifetime: 24 h from the first request; then the key is free, and a job removes the record.
 * A replica that dies leaves the record running: the request's open job is put before the record
 * is, and the reaper, which settles the job, ends it.
 * Threads: the request's loop. */
#include "bill.h"

struct idempotency; /* a request on its way through the check */

enum { BILLING_MAX_KEY_BYTES = 255 };

/* BODY of a request with the header: a verdict. After SUSPEND, resumed() gives it. *state is the
 * caller's until leave(); the request's bill, once it has one, is *bill. */
int billing_idempotency_begin(struct billing *b, weir_req *r, weir_str key,
                              struct idempotency **state, struct bill **bill);
int billing_idempotency_resumed(struct idempotency *state, weir_req *r, int rc, struct bill **bill);
void billing_idempotency_leave(struct idempotency *state);

/* The job has been settled: it does not run under the key any more. */
int billing_idempotency_settled(struct billing *b, weir_str tenant, const char *name, weir_str job,
                                weir_store_done done, void *arg);
/* When a record's time is over; UINT64_MAX: it is none. */
uint64_t billing_idempotency_expires_us(weir_str record);
