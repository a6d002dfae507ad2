/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One request on its way: socket -> phases -> queue -> target -> chunks -> socket.
 *
 * Life: created when the headers are complete, ended when the exchange is closed and nothing else
 * holds it (a prepare on the thread pool, a granted place, a generation that runs). Then
 * on_complete runs once and the memory goes back to the worker's pool. Ownership: a request belongs
 * to one worker and its loop. Everything that must outlive the exchange (the target reads the
 * generation until its end) is in the request's own arena. Threads: all [loop-thread]; other
 * threads reach it through the items posted to the inbox. Invariants: at most one answer; `holds`
 * reaches 0 exactly once; the phases run in order. */
#include <sys/queue.h> /* TAILQ_* */
#include <uv.h>
#include <yyjson.h>

#include "base/arena.h"
#include "base/random.h"
#include "core/api/api_request.h"
#include "core/api/reply.h"
#include "core/config/service_class.h"
#include "core/config/tenant_resources.h"
#include "core/net/http_exchange.h"
#include "core/net/http_server.h"
#include "core/plugin/run.h"
#include "core/request/delivery.h"
#include "core/target/model.h"

struct weir_admin_call;
struct weir_hedge;
struct weir_replay;
struct weir_worker;
struct weir_route;

enum { WEIR_REQUEST_ID_BYTES = 72 };

enum weir_request_hold { /* reasons to stay alive */
                         WEIR_HOLD_EXCHANGE = 1u << 0,
                         WEIR_HOLD_PREPARE = 1u << 1, /* on the thread pool */
                         WEIR_HOLD_GRANT =
                             1u << 2, /* in the queue, or granted and not submitted yet */
                         WEIR_HOLD_TARGET = 1u << 3, /* submitted, the end has not come */
                         WEIR_HOLD_ADMIN = 1u << 4, /* an operation of the admin API is under way */
                         WEIR_HOLD_REPLAY = 1u << 5, /* a kept answer is going out */
                         WEIR_HOLD_RETRY = 1u << 6,  /* waits for its next attempt */
                         WEIR_HOLD_HEDGE = 1u
                                           << 7, /* an attempt that does not lead has not ended */
};

/* How a target's chunks come back; stays where it is while the target knows it. */
struct weir_request_flow {
    struct weir_inbox_item item;
    struct weir_request *request; /* read with each chunk, as is the beginning of `flow` */
    struct weir_flow flow;
};

struct weir_request {
    struct weir_request *next, *prev; /* the worker's list of live requests */
    TAILQ_ENTRY(weir_request) ready;  /* the worker's list of those that have come whole */
    bool is_ready;

    /* What each event of a stream reads lies together, up to `route`. */
    struct weir_worker *worker;
    struct weir_http_exchange *ex;          /* NULL once closed */
    struct weir_request_flow *lead;         /* the one that is read; NULL before the first run */
    const struct weir_model_series *series; /* metrics of its model and class; NULL: none */
    uint32_t finish;                        /* enum weir_finish of choice 0 */
    int deliver_rc;                         /* first failure of the reply */
    bool run_begun;
    bool paused;    /* the client is slow: chunks stay in the flow */
    bool cancelled; /* cancel() was sent */
    bool failed;    /* the client was told that the run failed; nothing follows */
    bool has_chunk; /* plugins have seen of the answer */
    uint64_t first_chunk_us, last_chunk_us, last_piece_us; /* the last: its last sign of life */
    uint64_t n_out_tokens; /* in the bytes of `out`, or gathered by the reply, and all before */
    struct weir_buf out;   /* bytes on their way into the exchange */
    struct weir_reply reply;
    struct weir_delivery delivery;

    const struct weir_route *route;
    struct weir_arena arena;
    struct weir_admin_call *admin; /* NULL: none, or not yet */
    uint32_t holds;                /* enum weir_request_hold */
    bool closing;                  /* being ended: holds no longer end it */

    char id[WEIR_REQUEST_ID_BYTES];
    weir_str path, peer, method; /* the exchange's as long as it lives */
    weir_str traceparent;
    weir_str tenant, key_id, key_limits, user;
    weir_str key_models; /* one a line; empty: all of the tenant's */
    weir_str tags;       /* a JSON object of texts */
    uint32_t class_rank;
    bool class_given;
    int32_t priority;
    uint32_t deadline_ms; /* from arrival; 0: none */

    bool headers_done;                           /* the HEADERS phase passed */
    bool body_ready;                             /* the body waits for the HEADERS phase */
    void (*after_phase)(struct weir_request *r); /* what follows the phase that runs */

    /* What plugins asked to answer; taken when a phase ends with ANSWERED. */
    uint32_t answer_status;
    bool answer_is_body; /* respond(): `answer_text` is the body */
    weir_str answer_type, answer_code, answer_text;
    struct weir_replay *answer_replay; /* replay(): in place of all that; NULL: not asked for */

    /* Generation endpoints. */
    yyjson_doc *body;
    weir_str body_text; /* with plugins a copy in the arena, else the exchange's */
    struct weir_api_request api;
    struct weir_model *model;       /* that runs it */
    struct weir_model *next_model;  /* a policy wants it instead; NULL: none does */
    struct weir_model *asked_model; /* that the client, or then a policy, named */
    bool is_pinned;                 /* to that target of it, by a policy */
    uint32_t pinned_index;
    uint32_t n_fallbacks_tried;                  /* of asked_model's list */
    bool is_shortened;                           /* the ladder lowered max_tokens */
    bool cached_only;                            /* a plugin answers it, or nobody */
    uint32_t asked_max_tokens, given_max_tokens; /* by the client or the ladder; by prepare() */
    uint64_t tenant_hash;
    struct weir_tenant_resources resources;
    bool counts_as_stream;          /* given back at the end */
    struct weir_balance_ask ask;    /* of the last choice; `excluded` is for the queue, too */
    struct weir_model *tried_model; /* whose targets `tried` are bits of */
    uint64_t tried;                 /* these have failed it */
    uint32_t n_retries;
    struct weir_plugin_timer retry_timer;
    bool is_late;               /* the target was too slow, and was told to end it */
    struct weir_target *target; /* the one it is prepared for */
    uint32_t target_index;      /* where it was chosen */
    weir_prepared prepared;
    bool is_prepared; /* prepared.state must be submitted or discarded */
    int prepare_rc;
    void (*after_prepare)(struct weir_request *r);
    struct weir_queue_entry entry;
    bool has_place; /* granted, and not given back yet */
    bool admitted;  /* the ADMIT phase passed */
    struct weir_inbox_item call_item;
    weir_ticket ticket;
    struct weir_hedge *hedge; /* a second attempt; NULL: there was none */
    struct weir_plugin_timer hedge_timer;
    bool is_hedge_armed;
    struct weir_replay *replay; /* goes out in place of the flow's; NULL: none does */
    weir_outcome outcome;
    bool filtered;             /* plugins ended every choice */
    uint64_t filtered_choices; /* bit per choice */

    /* Sight. */
    uint64_t arrived_us, enqueued_us, granted_us;
    uint64_t begun_us; /* the target's start on it */
    uint32_t status;   /* sent; 0: none yet */
    const char *error_code;

    /* Large and seldom read to their ends: a new request clears only the beginning of each. */
    struct weir_plugin_run run;
    uv_work_t work; /* of prepare, on the thread pool */
    weir_refusal refusal;
    struct weir_request_flow first;
};

/* A random id: "req_…". */
void weir_request_id_make(struct weir_random *random, char out[WEIR_REQUEST_ID_BYTES]);

/* Called by the worker's HTTP server. */
struct weir_request *weir_request_create(struct weir_worker *worker, struct weir_http_exchange *ex);
void weir_request_headers(struct weir_request *r);
void weir_request_body(struct weir_request *r);
void weir_request_writable(struct weir_request *r);
/* The kernel may have taken more of the response. */
void weir_request_sent(struct weir_request *r);
void weir_request_closed(struct weir_request *r, enum weir_http_end why);
/* Every 100 ms: ends waits that took too long. */
void weir_request_tick(struct weir_request *r, uint64_t now_us);

void weir_request_hold(struct weir_request *r, enum weir_request_hold reason);
/* Ends the request when no hold is left; r may be gone afterwards. */
void weir_request_drop(struct weir_request *r, enum weir_request_hold reason);

/* Runs a phase, then `next` unless the phase answered. */
void weir_request_phase(struct weir_request *r, enum weir_phase phase,
                        void (*next)(struct weir_request *r));

extern const struct weir_plugin_request_ops weir_request_plugin_ops;
