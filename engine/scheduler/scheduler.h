/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Continuous batching: which sequences take part in the next step, with how many tokens, in which
 * pages, and where the sampled tokens go.
 *
 * Why: the device is fastest when every step carries many rows; readers want steady streams; memory
 * for KV is short. A round of the scheduler settles all three.
 * A round: admit waiting sequences while their predicted KV fits -> one row per decoding sequence,
 * prompt chunks in what is left of the step -> the backend's step -> tokens to text to the sink.
 * Where the backend can, a prompt beside decoding sequences is not in the step: a chunk of it is
 * worked off in pieces behind several rounds' steps (prefill.h).
 * Where the backend has a step in two halves, tokens after which a sequence goes on become text
 * while the next step is on the device. A stop string found then costs a row that is thrown away.
 * Order: class, then the least served tenant by weight, then priority and arrival; it says who is
 * admitted and whose prompt is computed. A waiting sequence takes the slot of a tenant that has
 * more of them by weight than its own would then have. When pages run out, paused sequences and
 * then the last by class, priority and arrival lose theirs and are computed again later; the first
 * of that order therefore always moves on. What loses its place to others does so a few times at
 * most. Ownership: the scheduler holds jobs from add() until it reports their end; then the caller
 * frees them. Backend, model, sink and vocabulary are borrowed. Threads: the engine's alone.
 * Errors: a sequence's own failure ends its job; run() is negative when the device is in doubt, and
 * then only abort() and destroy() make sense.
 * Invariant: no allocation in run() once the scheduler is made. */
#include <stdatomic.h>

#include "engine/scheduler/job.h"

struct weir_scheduler_counters { /* since the engine was created; survive a reload */
    uint64_t steps, step_tokens, prompt_tokens, completion_tokens;
    uint64_t prefix_tokens_asked, prefix_tokens_hit;
    uint64_t preemptions, recomputed_tokens, cancelled;
};

/* Moves from NONE to RUNS and back by the scheduler, from RUNS to GIVEN_UP by whoever ends its jobs
 * in its place. */
enum weir_step_state { WEIR_STEP_NONE, WEIR_STEP_RUNS, WEIR_STEP_GIVEN_UP };

struct weir_scheduler_config {
    const weir_backend_step *backend;
    void *model;
    const weir_model_info *info;
    const struct weir_vocabulary *vocabulary;
    const struct weir_page_secret *secret;
    const weir_sink *sink;
    const weir_host *host;    /* its clock; NULL: the system's */
    uint32_t max_batch;       /* sequences in the batch, at most info->max_sequences */
    uint32_t max_live;        /* sequences held in all */
    uint32_t max_step_tokens; /* at most info->max_step_tokens */
    struct weir_scheduler_counters *counters;
    /* enum weir_step_state; NULL: nobody watches. A step that was given up while it ran is not
     * delivered: run() gives WEIR_E_TIMEOUT. */
    _Atomic uint32_t *step_state;
    /* Called once per job when nothing of it is left; the job is the callee's to free. */
    void (*job_ended)(void *arg, struct weir_job *job, const weir_outcome *outcome);
    void *arg;
};

struct weir_scheduler;

int weir_scheduler_create(const struct weir_scheduler_config *config,
                          struct weir_scheduler **ret_scheduler);
/* Every job must have ended, see abort(). NULL ok. */
void weir_scheduler_destroy(struct weir_scheduler *s);

void weir_scheduler_add(struct weir_scheduler *s, struct weir_job *job);
/* The job ends with WEIR_E_CANCELLED at the end of the round. */
void weir_scheduler_cancel(struct weir_scheduler *s, struct weir_job *job);
/* The reader has room: sends what is pending and lets the sequences go on. */
void weir_scheduler_wake(struct weir_scheduler *s, struct weir_job *job);

/* One round. 1: a step ran, or jobs ended and made room, so go on; 0: nothing can run until
 * something is added or woken, or until idle_us() has passed; WEIR_E_*: the step failed as a whole.
 */
int weir_scheduler_run(struct weir_scheduler *s);
/* After a 0: when a tenant that has used up its time may go on; 0: nobody waits for that. */
uint64_t weir_scheduler_idle_us(const struct weir_scheduler *s);
/* Ends every job with rc; message is static. */
void weir_scheduler_abort(struct weir_scheduler *s, int rc, const char *message);

/* Fills running, waiting, pages_* and step_us. */
void weir_scheduler_status(const struct weir_scheduler *s, weir_target_status *status);
