/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The part of a generation's life between prepared and running: queue, ADMIT, the target.
 *
 * How: the queue grants places of a target. That target may be another than the one for which the
 * prompt was prepared, or may have loaded its model anew since; then it is prepared again. A target
 * that would not take the request after all (it failed in this moment) gets it put back where it
 * was: whoever was granted a place is never turned away because of a race.
 * Threads: [loop-thread], but for called().
 * Invariant: `has_place` from the grant until the place is given back, which happens once. */
#include "core/request/request.h"

/* Into the model's queue, with everything that decides its turn. */
void weir_admission_enqueue(struct weir_request *r);
/* The callback of every model's queue. [any-thread] */
void weir_admission_called(void *arg, struct weir_queue_entry *entry);
/* The target says that it cannot take the request now: it waits on. */
void weir_admission_put_back(struct weir_request *r);
/* Gives the place back; no-op without one. */
void weir_admission_leave(struct weir_request *r);
/* The client left, or an answer was sent: out of the queue, or out of the place that was granted.
 */
void weir_admission_abandon(struct weir_request *r);
/* Ends a wait that took too long. */
void weir_admission_tick(struct weir_request *r, uint64_t now_us);
