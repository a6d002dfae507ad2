/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One choice of a generation: its tokens, the KV pages that hold them, and where it stands.
 *
 * How: tokens[0..n_computed) have their KV in pages; a step computes tokens[n_computed..) or a
 * piece of them, and samples when it reaches the end. So a fresh prompt, a chunk of it, a decode
 * step and the recomputation after a preemption are one and the same thing. Ownership: memory
 * belongs to the job's arena; pages are references into the page pool. Threads: the engine's.
 * Invariant: n_computed < n_tokens <= n_prompt + max_tokens while it runs; pages cover n_computed;
 * slot and pages are held in the states PREFILL and DECODE, may be held in PAUSED, never otherwise.
 */
#include "engine/scheduler/constraint.h"
#include "engine/scheduler/delivery.h"
#include "engine/scheduler/output.h"
#include "engine/scheduler/page_key.h"

enum weir_sequence_state {
    WEIR_SEQUENCE_WAITING,   /* never ran */
    WEIR_SEQUENCE_PREFILL,   /* in the batch, more than one token to compute */
    WEIR_SEQUENCE_DECODE,    /* in the batch, one token to compute */
    WEIR_SEQUENCE_PAUSED,    /* its reader is full */
    WEIR_SEQUENCE_PREEMPTED, /* lost its slot and pages; waits like WAITING */
    WEIR_SEQUENCE_DONE,      /* its last chunk was delivered, or its job was ended */
};

enum { WEIR_NO_SLOT = UINT32_MAX };
enum { WEIR_CLASS_AGING_US = 5 * 1000 * 1000 };

struct weir_job;

struct weir_sequence {
    struct weir_job *job;
    uint32_t choice;
    uint32_t class_rank;     /* lifted by what it has waited */
    uint64_t waits_since_us; /* while it waits */
    enum weir_sequence_state state;
    bool in_pieces;          /* a chunk of it is under way between steps; it is in no batch */
    enum weir_finish finish; /* not NONE: nothing more is sampled, the rest waits for the reader */
    uint32_t slot;
    int32_t *tokens; /* [n_prompt + max_tokens] */
    uint32_t n_tokens, n_prompt, max_tokens;
    uint32_t n_computed;
    uint32_t *pages; /* [pages of n_prompt + max_tokens] */
    uint32_t n_pages;
    struct weir_page_key chain; /* key of page n_chained - 1, or the root */
    uint32_t n_chained;         /* pages published or matched */
    uint32_t n_preempted;
    uint32_t n_yielded;    /* of these, to tenants with less */
    uint64_t looked_at;    /* number of the look that it was last part of; see weir_turn_next() */
    uint32_t n_overtaken;  /* times that a later one was admitted before it */
    uint64_t paused_at_us; /* when it was paused */
    weir_sampling sampling;
    struct weir_output output;
    struct weir_constraint *constraint; /* NULL: none */
    struct weir_tool_stream *tools;     /* NULL: the request has none */
    struct weir_delivery delivery;
};

static inline uint32_t weir_pages_for(uint32_t n_tokens)
{
    return n_tokens / WEIR_PAGE_TOKENS + (n_tokens % WEIR_PAGE_TOKENS != 0);
}

/* Memory comes from the job's arena, but for what a tool stream grows; finish() gives that back. */
int weir_sequence_init(struct weir_sequence *q, struct weir_job *job, uint32_t choice,
                       const weir_generation *generation, const struct weir_vocabulary *vocabulary);
void weir_sequence_finish(struct weir_sequence *q);

static inline bool weir_sequence_runs(const struct weir_sequence *q)
{
    return q->state == WEIR_SEQUENCE_PREFILL || q->state == WEIR_SEQUENCE_DECODE;
}

/* What it is when it holds a slot and may run. */
static inline enum weir_sequence_state weir_sequence_running_state(const struct weir_sequence *q)
{
    return q->n_tokens - q->n_computed > 1 ? WEIR_SEQUENCE_PREFILL : WEIR_SEQUENCE_DECODE;
}

static inline bool weir_sequence_waits(const struct weir_sequence *q)
{
    return q->state == WEIR_SEQUENCE_WAITING || q->state == WEIR_SEQUENCE_PREEMPTED;
}

/* < 0: a goes before b. Total: class, priority, arrival, choice. Pages and slots are taken from the
 * last. */
int weir_sequence_rank(const struct weir_sequence *a, const struct weir_sequence *b);
/* The class, lifted by one for every WEIR_CLASS_AGING_US of waiting: no class is starved by better
 * ones. What it was lifted to when it was admitted it keeps. */
uint32_t weir_sequence_class(const struct weir_sequence *q, uint64_t now_us);
/* < 0: a is served before b of the same class: the tenant's share, priority, preempted ones,
 * arrival.
 */
int weir_sequence_turn(const struct weir_sequence *a, const struct weir_sequence *b);
