/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One generation at an upstream: from submit() to its one finish().
 *
 * Life: WAITING for a link, then RUNNING on one, then ended; ended jobs are pooled by their lane.
 * The link tells of the response (head, body, end, failure); the job pushes chunks, and holds back
 * what the reader cannot take, together with its link's reading.
 * Threads: the loop's. Errors: every failure becomes the outcome of the one finish().
 * Invariants: finish() is called once; after any call into the job it may have ended, and its link
 * then does not name it any more.
 * Bounds: an event 1 MiB, a whole answer 16 MiB, an error's body 64 KiB; what is held back is one
 * read's bytes. */
#include "h1.h"
#include "sse.h"
#include "upstream.h"

struct weir_upstream_link;

struct weir_upstream_job {
    struct weir_upstream_lane *lane;
    struct weir_upstream_link *link; /* NULL: waits, or its response is complete */
    weir_ticket ticket;
    uint64_t progress_ms;
    bool is_waiting, is_retried;
    bool is_lost;      /* its request could not be sent: no memory */
    bool was_sent;     /* its request has left, perhaps */
    bool has_answer;   /* bytes of a response have come */
    bool has_progress; /* a chunk was given */
    bool is_pushing;   /* inside the sink */
    bool is_cancelled;
    bool is_paused; /* the reader is full */
    bool is_gone;   /* nobody reads */
    bool has_end;   /* the response is complete; what is held back is not read yet */
    struct weir_upstream_head head;
    weir_str fresh; /* a whole answer's first piece, where it was read: not kept yet */
    struct weir_sse sse;
    struct weir_upstream_answer answer; /* its beginning, and all above, is read with each event */
    struct weir_upstream_job *next, *prev; /* of the lane's list */
    struct weir_upstream_job *next_waiting;
    const weir_generation *g;
    uint32_t max_tokens, prompt_tokens; /* the latter as estimated */
    int32_t stream;                     /* of HTTP/2 */
    uint32_t n_attempts;                /* connections that were tried for it */
    uint64_t submitted_ms, sent_ms;
    uint64_t sent_us;
    struct weir_upstream_failure failure;
    struct weir_buf body;  /* of a whole answer, or of an error */
    struct weir_buf stuck; /* an event whose chunks were not all taken */
    struct weir_buf held;  /* body bytes behind it */
};

enum {
    WEIR_UPSTREAM_JOB_NEAR = offsetof(struct weir_upstream_job, answer) +
                             offsetof(struct weir_upstream_answer, seq) + sizeof(uint64_t)
};

void weir_upstream_job_init(struct weir_upstream_job *j); /* new memory */
void weir_upstream_job_free(struct weir_upstream_job *j);
void weir_upstream_job_begin(struct weir_upstream_job *j, struct weir_upstream_lane *lane,
                             const weir_generation *g, const weir_prepared *p, weir_ticket ticket);

/* From the link. */
void weir_upstream_job_sent(struct weir_upstream_job *j);
void weir_upstream_job_head(struct weir_upstream_job *j, const struct weir_upstream_head *head);
void weir_upstream_job_body(struct weir_upstream_job *j, const char *bytes, size_t n);
/* Keeps of the body what the link's memory holds. After body(), before that memory goes, unless the
 * job has ended. */
void weir_upstream_job_keep(struct weir_upstream_job *j);
/* The response is complete; the link is the job's no more. */
void weir_upstream_job_end(struct weir_upstream_job *j);
void weir_upstream_job_fail(struct weir_upstream_job *j, const struct weir_upstream_failure *why);

/* From the core. */
void weir_upstream_job_cancel(struct weir_upstream_job *j);
void weir_upstream_job_wake(struct weir_upstream_job *j);
/* Deadlines. */
void weir_upstream_job_tick(struct weir_upstream_job *j, uint64_t now_ms);
