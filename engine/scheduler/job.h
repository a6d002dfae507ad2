/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A submitted generation: its prompt, its choices, and what is known at its end.
 *
 * Ownership: a heap object with one arena that holds everything its sequences will ever need, so
 * that decoding allocates nothing. It owns the prompt. Nothing of the generation is looked at after
 * create(): a job that an engine in trouble has to end early may live longer than its request.
 * Threads: made on any thread, then the engine's alone, but for the fields marked [mailbox], which
 * the mailbox's lock guards. */
#include "engine/prompt.h"
#include "engine/scheduler/sequence.h"
#include "engine/scheduler/tenant_share.h"

enum { WEIR_EVENT_SUBMIT = 1u << 0, WEIR_EVENT_CANCEL = 1u << 1, WEIR_EVENT_WAKE = 1u << 2 };

struct weir_job {
    weir_ticket ticket;
    uint32_t class_rank;
    int32_t priority;
    bool ignore_eos, want_logprobs;
    uint32_t n_top;
    struct weir_share_terms terms;
    uint32_t max_pages; /* of its tenant; 0: no bound */
    struct weir_prompt *prompt;
    struct weir_arena arena;
    struct weir_sequence *sequences; /* [n_sequences] */
    uint32_t n_sequences;
    uint32_t n_open; /* sequences not DONE */
    uint64_t order;  /* of arrival */
    struct weir_tenant_share *share;

    int rc; /* of the outcome */
    const char *message;
    uint64_t cached_tokens, completion_tokens;
    uint64_t device_ns;                   /* its share of the steps' time, by tokens */
    uint64_t admitted_us, first_token_us; /* of choice 0; 0: not yet */

    struct weir_job *next, *prev; /* all unfinished jobs [mailbox] */
    struct weir_job *event_next;  /* jobs with events [mailbox] */
    uint32_t events;              /* WEIR_EVENT_* [mailbox] */
    bool was_reported;            /* its end, by weir_mailbox_end_all() [mailbox] */
    struct weir_job *taken_next;  /* what the engine took out of the mailbox */
    uint32_t taken_events;
    struct weir_job *ended_next; /* jobs that end with this round */
};

/* Takes the prompt on success. WEIR_E_NOMEM. */
int weir_job_create(const weir_generation *generation, struct weir_prompt *prompt,
                    weir_ticket ticket, const struct weir_vocabulary *vocabulary,
                    struct weir_job **ret_job);
void weir_job_destroy(struct weir_job *job); /* NULL ok */
