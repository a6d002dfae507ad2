/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The scheduler's state, shared by its files: scheduler.c (jobs, rounds), admission.c (waiting to
 * running), turn.c (whose turn it is), holdings.c (slots and pages), batch.c (the step's parts),
 * prefill.c (prompts between steps), tokens.c (what comes of it). Nobody else includes this.
 */
#include "engine/scheduler/pacer.h"
#include "engine/scheduler/page_pool.h"
#include "engine/scheduler/prefill.h"
#include "engine/scheduler/scheduler.h"

/* A token of the last step whose text is still to come. */
struct weir_pending_token {
    struct weir_sequence *sequence;
    const weir_step_result *result;
};

struct weir_scheduler {
    struct weir_scheduler_config config;
    struct weir_page_pool *pool;
    struct weir_pacer pacer;
    struct weir_tenant_shares shares;
    struct weir_logprob_scratch scratch;
    struct weir_walker *walker;   /* of grammars */
    struct weir_sequence **live;  /* [n_live] of max_live, by rank */
    struct weir_sequence **slots; /* [max_batch] NULL: free */
    uint32_t n_live, n_slots_used;
    uint64_t n_jobs;  /* added so far; gives each its order */
    uint64_t n_looks; /* see weir_turn_begin() */
    struct weir_job *ended;
    bool pushed;            /* something went to the sink since the last flush */
    double mean_completion; /* tokens, moving average of ended choices */

    /* The step in preparation; [max_batch] each. */
    weir_step_part *parts;
    struct weir_sequence **part_sequences;
    weir_step_result *results, *last_results; /* of this step, of the one before */
    struct weir_pending_token *pending;       /* [n_pending] of max_batch, in last_results */
    uint32_t n_pending;
    uint32_t n_parts, n_step_tokens, n_decode_rows;
    struct weir_prefill prefill;
    bool others_want; /* somebody whose time is not used up can run */
    uint64_t idle_us; /* nothing runs, but somebody who owes may do so after this; 0: nobody */
};

uint64_t weir_scheduler_now_us(const struct weir_scheduler *s);
/* Ends a job early: its sequences give everything back; it is reported at the end of the round. */
void weir_scheduler_fail_job(struct weir_scheduler *s, struct weir_job *job, int rc,
                             const char *message);

/* Around each call that makes the device work. ends(): false when the step was given up meanwhile.
 */
void weir_scheduler_device_begins(struct weir_scheduler *s);
bool weir_scheduler_device_ends(struct weir_scheduler *s);

/* The sequence is over; its job, too, when it was the last one open. */
void weir_scheduler_end_sequence(struct weir_scheduler *s, struct weir_sequence *q);

/* tokens.c */

/* What a step gave a sequence that took part with n_fed tokens. */
void weir_tokens_take_result(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_fed,
                             const weir_step_result *result);
/* The text of tokens that take_result() left for the time of the next step. */
void weir_tokens_take_pending(struct weir_scheduler *s);
/* The backend has steps in two halves. */
bool weir_tokens_overlap(const struct weir_scheduler *s);
/* Sends what is settled. Afterwards the sequence runs on, is paused, or is over. */
void weir_tokens_deliver(struct weir_scheduler *s, struct weir_sequence *q);

/* holdings.c */

/* A free slot for q; false when all are taken or the backend refused (the job has then failed). */
bool weir_holdings_take_slot(struct weir_scheduler *s, struct weir_sequence *q);
/* Pages so that n_tokens fit, taking them from paused and later sequences if need be. Returns how
 * many tokens fit, n_tokens or less. */
uint32_t weir_holdings_cover(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens);
/* Takes over pages that others have published behind what q has computed, at a page's boundary.
 * Returns how many tokens need not be computed. */
uint32_t weir_holdings_match(struct weir_scheduler *s, struct weir_sequence *q);
/* Counts them for the request and the metrics. */
void weir_holdings_count_match(struct weir_scheduler *s, struct weir_sequence *q,
                               uint32_t n_tokens);
/* Makes the pages that became full findable. */
void weir_holdings_publish(struct weir_scheduler *s, struct weir_sequence *q);
/* Gives back pages and slot; nothing is computed any more. */
void weir_holdings_release(struct weir_scheduler *s, struct weir_sequence *q);
/* Pages that the tenant's sequences hold have reached its bound, with n more. */
bool weir_holdings_is_beyond(const struct weir_scheduler *s, const struct weir_sequence *q,
                             uint32_t n);
/* release(), and q waits to be computed again (or stays paused). */
void weir_holdings_preempt(struct weir_scheduler *s, struct weir_sequence *q);

/* turn.c: sequences in turn, each once in a look. */
uint64_t weir_turn_begin(struct weir_scheduler *s);
/* NULL: no wanted one is left. */
struct weir_sequence *weir_turn_next(struct weir_scheduler *s, uint64_t look,
                                     bool (*is_wanted)(const struct weir_sequence *q),
                                     uint64_t now_us);

/* admission.c: moves waiting sequences into the batch. */
void weir_admission_run(struct weir_scheduler *s);

/* batch.c: fills parts[] and may begin a chunk; may fail jobs. */
void weir_batch_build(struct weir_scheduler *s);
/* q's next n_tokens; false when its job failed instead. */
bool weir_batch_make_part(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens,
                          weir_step_part *ret_part);
/* Takes a preempted sequence out again. */
void weir_batch_drop(struct weir_scheduler *s, const struct weir_sequence *q);
