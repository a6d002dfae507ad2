/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The part of a generation's life in which a target runs it: from submit to the last chunk.
 *
 * How: the target fills the request's flow; the loop reads it as far as the client takes the bytes,
 * and leaves it alone while the client is slow. The end is read from the flow, too, so a run ends
 * exactly once, with what came before it.
 * Threads: [loop-thread]. Invariant: WEIR_HOLD_TARGET is held from begin() until the end is read.
 */
#include "core/request/request.h"

/* Gives generation and prepared state to r->target. An error of submit(): nothing has begun, and
 * the prepared state is still the request's. */
int weir_run_begin(struct weir_request *r);
/* The part of it that a second attempt needs, too: the flow is held until the caller lets it go. An
 * error: as above, and the flow is finished. */
int weir_run_submit(struct weir_request *r, struct weir_request_flow *f, struct weir_target *target,
                    const weir_prepared *prepared, weir_ticket *ret_ticket);
/* The leading attempt is another one now: reads what it has sent. */
void weir_run_read(struct weir_request *r);
/* Answers with r->replay. */
void weir_run_replay(struct weir_request *r);
/* The client takes bytes again. */
void weir_run_writable(struct weir_request *r);
/* Pauses of plugins have ended: the output goes on, or the run ends with what a plugin denied. */
void weir_run_unpaused(struct weir_request *r, bool denied);
/* The run has ended and no other attempt follows: answers with what r->outcome says. */
void weir_run_answer_failure(struct weir_request *r);
/* Nobody wants the rest: the target is told, what it sent is dropped, and the end comes soon. No-op
 * when nothing runs. */
void weir_run_cancel(struct weir_request *r);
/* Ends what takes longer than the target's timeouts allow. */
void weir_run_tick(struct weir_request *r, uint64_t now_us);
/* The client named a deadline: later, the answer is of no use to it. */
void weir_run_end_late(struct weir_request *r);
