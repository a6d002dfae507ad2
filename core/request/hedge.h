/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A second attempt beside the first, on another target, when the first token is late.
 *
 * How: the model's hedge_after after the target was given the request, while nothing of the answer
 * has come, another target that has a place free at once is given it, too; an engine of this
 * process only where the first is an upstream. While there is none, it is looked for again after
 * the same time. The one whose first chunk comes leads from then on, the other is cancelled at
 * once. When the leading one fails before that, the other leads. So the request has one answer, one
 * outcome and one bill: the leader's. How many: one for each request, and each takes one out of the
 * model's retry budget. Not for an answer that an upstream sends as a whole, whose first token says
 * nothing. Ownership: lies in the request's arena. Threads: [loop-thread]. Invariant:
 * WEIR_HOLD_HEDGE is held from the begin until the end of the attempt that does not lead was read.
 */
#include "core/request/request.h"

/* The run has begun: sets the clock. */
void weir_hedge_expect(struct weir_request *r);
/* A chunk comes from `flow`: may it be read? Then that one leads, and is the only one. */
bool weir_hedge_choose(struct weir_request *r, struct weir_request_flow *flow);
/* Something came of the attempt that does not lead. */
void weir_hedge_read(struct weir_request *r);
/* The leading attempt has failed (r->outcome says how): true when the other leads now. `ended`: the
 * end was read; else it is told to end. */
bool weir_hedge_takes_over(struct weir_request *r, bool ended);
/* Nobody wants the rest. */
void weir_hedge_cancel(struct weir_request *r);
void weir_hedge_finish(struct weir_request *r);
