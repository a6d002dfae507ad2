/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What other threads tell the engine: new jobs, cancellations, readers with room.
 *
 * Why: the engine thread must never wait for a loop, nor a loop for a step.
 * How: every unfinished job is in a list; an event is a bit in its job, and jobs with bits form a
 * queue. So nothing can overflow: jobs are bounded by submit(), events by jobs.
 * Ownership: the mailbox links jobs, the engine owns them; remove() before a job is freed.
 * Threads: any; take() and remove() are the engine's only. One lock guards everything here and the
 * job fields marked [mailbox]; it is held for list work only. Errors: submit() gives WEIR_E_BUSY
 * when full or not accepting. */
#include <pthread.h>

#include "engine/scheduler/job.h"

struct weir_mailbox {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct weir_job *jobs; /* unfinished */
    struct weir_job *events_first, *events_last;
    uint32_t n_sequences; /* of unfinished jobs */
    bool accepting, closing;
};

int weir_mailbox_init(struct weir_mailbox *m);
void weir_mailbox_finish(struct weir_mailbox *m);

/* Takes the job when fewer than max_sequences are unfinished; a job of many choices may then go
 * beyond by its own size. */
int weir_mailbox_submit(struct weir_mailbox *m, struct weir_job *job, uint32_t max_sequences);
/* Marks WEIR_EVENT_CANCEL or _WAKE; an unknown ticket is ignored. */
void weir_mailbox_post(struct weir_mailbox *m, weir_ticket ticket, uint32_t event);
void weir_mailbox_accept(struct weir_mailbox *m, bool accepting);
/* Ends waiting and accepting for good. */
void weir_mailbox_close(struct weir_mailbox *m);
bool weir_mailbox_is_closing(struct weir_mailbox *m);

/* Jobs with events, linked by taken_next, in order. Without any it waits up to wait_ms for one or
 * for close(); wait_ms < 0: for ever. */
struct weir_job *weir_mailbox_take(struct weir_mailbox *m, int64_t wait_ms);
/* Nothing of the job is left. True: its end is still to be reported, by the caller. */
WEIR_NODISCARD bool weir_mailbox_remove(struct weir_mailbox *m, struct weir_job *job);
/* Marks one unfinished job as reported, and gives its ticket; false: there is none. For when the
 * engine's own thread does not come back: whoever marks reports, and every end is reported once. */
bool weir_mailbox_claim(struct weir_mailbox *m, weir_ticket *ret_ticket);
