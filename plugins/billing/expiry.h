/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Removes idempotency records whose 24 h are over: records of the store never expire by themselves.
 *
 * How: a job in "billing.expired" is put when a record is made, due when its time is over;
 * whichever replica claims it removes the record if its key has not been used anew. Threads: plan
 * on the request's loop; claim on [main]. */
#include "billing.h"

#define BILLING_IDEM_KEEP_US (UINT64_C(24) * 3600 * 1000000)

void billing_expiry_plan(struct billing *b, weir_str tenant, const char *name);
void billing_expiry_claim(struct billing *b);
