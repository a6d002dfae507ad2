/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Further attempts of a request whose target failed before the client was sent anything.
 *
 * Safe: nothing of the answer has left this process, nor been shown to a plugin. Where to: a target
 * that has not failed this request, then the models of its fallback list, then the same again. How
 * soon: after a wait drawn between nothing and a bound that doubles, and not before the time that
 * the only target left asked for. How many: gateway.retries.attempts, and the model's budget.
 * Threads: [loop-thread]. */
#include "core/target/model.h"

struct weir_request;

/* How an attempt on a target ended. */
struct weir_attempt_end {
    struct weir_model *model;
    uint32_t target;
    const weir_outcome *outcome;
    bool is_late;               /* it was told to end, being too slow */
    uint64_t begun_us, ttft_us; /* ttft_us 0: no token came */
};
/* Counts it for the target, and tells who watches. */
void weir_retry_count(struct weir_request *r, const struct weir_attempt_end *end);
/* The same of the request's own attempt, which is not to be repeated on its target. */
void weir_retry_note(struct weir_request *r);

/* The run has ended with r->outcome: counts it for the target, and begins another attempt if there
 * may be one. True: the request goes on, nothing is to be answered. */
bool weir_retry_after(struct weir_request *r);
/* The client left: ends the wait. */
void weir_retry_abandon(struct weir_request *r);
