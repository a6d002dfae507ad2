/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A loop's part of a target: its links, its jobs, and which job gets which link.
 *
 * Life: created empty; handles are opened when the first job comes and closed by end().
 * Threads: the loop's; create and destroy when it does not turn. */
#include "base/sockets.h"
#include "job.h"
#include "names.h"
#include "outbox.h"

enum { WEIR_UPSTREAM_PARSE_BYTES = 64 * 1024 };

struct weir_upstream_lane {
    struct weir_upstream *upstream;
    uv_loop_t *loop;
    struct weir_sockets sockets; /* of the links */
    uv_timer_t timer;            /* deadlines, while there are links or jobs */
    uint64_t walk_ms, walk_due_ms;
    struct weir_upstream_outbox outbox;
    bool has_handles, is_ticking, is_ending;
    uint32_t n_handles; /* open or closing */
    struct weir_upstream_names names;
    struct weir_upstream_link *links; /* all that are not closed */
    struct weir_upstream_link *idle;  /* the last used first */
    uint32_t n_links, n_idle, n_opening;
    struct weir_upstream_job *jobs;                    /* all that have not ended */
    struct weir_upstream_job *waiting, **last_waiting; /* for a link, in order */
    uint32_t n_waiting;
    uint64_t n_ended;                    /* jobs and links, ever */
    uint32_t n_ends[WEIR_UPSTREAM_ENDS]; /* since the last tick, by how */
    struct weir_upstream_job *spare;     /* linked by next */
    uint32_t n_spare;
    struct weir_upstream_link *spare_links;
    uint32_t n_spare_links;
    struct weir_upstream_totals totals;
    struct weir_arena arena; /* of one event */
    yyjson_alc alc;          /* over `parse` */
    struct weir_buf request_body;
    char parse[WEIR_UPSTREAM_PARSE_BYTES];
};

int weir_upstream_lane_create(struct weir_upstream *u, uv_loop_t *loop,
                              struct weir_upstream_lane **ret_lane);
void weir_upstream_lane_destroy(struct weir_upstream_lane *l); /* NULL ok */

int weir_upstream_lane_submit(struct weir_upstream_lane *l, const weir_generation *g,
                              const weir_prepared *p, weir_ticket ticket);
/* Closes everything; WEIR_E_BUSY until it is. */
int weir_upstream_lane_end(struct weir_upstream_lane *l);

/* From a job: its end, after it has been unhooked from its link. */
void weir_upstream_lane_forget(struct weir_upstream_lane *l, struct weir_upstream_job *j);
/* From a link. */
void weir_upstream_lane_ready(struct weir_upstream_lane *l, struct weir_upstream_link *link);
void weir_upstream_lane_idle(struct weir_upstream_lane *l, struct weir_upstream_link *link);
/* The link has closed: connecting failed, or later. `job` had its request on it, or NULL. */
void weir_upstream_lane_lost(struct weir_upstream_lane *l, struct weir_upstream_link *link,
                             bool was_open, struct weir_upstream_job *job,
                             const struct weir_upstream_failure *why);
/* The peer has refused the job's request unread: it waits for another link, once. False: it has. */
bool weir_upstream_lane_again(struct weir_upstream_lane *l, struct weir_upstream_job *job);
/* The names changed, or could not be found out. */
void weir_upstream_lane_named(struct weir_upstream_lane *l, const char *problem);
