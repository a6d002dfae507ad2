/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Brings a request's chain in the ledger to what was used, whoever else tries the same.
 *
 * How: entry N of a chain is appended under the id "CHAIN/N"; an id is taken once in 40 days. Found
 * taken, the entry there is read and added up, and the next number carries the rest. So two
 * replicas that settle one request, in any order, at any time, again and again, leave one sum.
 * Steps: append (and read back), webhook job, idempotency record, forget the open job. Each is safe
 * to repeat; a step that the store does not take sends the settlement to the backlog, which starts
 * it again from there, or ends it when its job is claimed again.
 * Ownership: start() copies everything. Threads: started on a loop or [main]; its steps run there.
 * Errors: WEIR_E_NOMEM; what fails later is logged and counted. */
#include "record.h"
#include "weir/store.h"

struct billing;
struct settlement;

struct settlement_order {
    const struct billing_facts *facts; /* id, month, tenant, currency, price */
    weir_str facts_text;
    struct billing_totals want; /* without the amount */
    struct billing_end end;
    weir_str job;     /* id of the open job; "": none was put */
    const char *idem; /* name of its idempotency record; "" */
    /* Only ever adds: `want` is known to be used, but more may have been. Otherwise it is exact. */
    bool only_up;
    bool no_entry;   /* only gives back the idempotency record and the job */
    bool is_claimed; /* the job, by the reaper: what fails is settled with the next claim */
};

int billing_settle(struct billing *b, const struct settlement_order *order);

/* For the backlog. */
void settlement_retry(struct settlement *s);
void settlement_destroy(struct settlement *s);
struct settlement **settlement_next(struct settlement *s);
