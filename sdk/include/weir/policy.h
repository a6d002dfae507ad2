/* SPDX-License-Identifier: Apache-2.0 */
/* "weir.policy/1": a plugin that looks at requests and decides.
 *
 * Life: instance_create once per configuration [main]; the phases in the order HEADERS, BODY,
 * ROUTE, then ADMIT or REPLAY, each over the plugins in the order of `plugins:`; on_chunk for every
 * piece of output; on_complete exactly once for every request that reached the first phase, on
 * every path, client gone and backend dead included; instance_destroy when the last request that
 * saw the instance has ended. A NULL hook, or a phase whose bit is not set, costs nothing. All
 * hooks run on the request's loop and never concurrently for one request; different workers run
 * them in parallel for different requests. */
#ifndef WEIR_POLICY_H
#define WEIR_POLICY_H

#include "weir/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXT_POLICY "weir.policy/1"

/* One meaning in every phase. */
enum weir_verdict {
    WEIR_CONTINUE = 0, /* next plugin of this phase */
    WEIR_DENY = 1,     /* refuse, with what host->deny() set; default 403 */
    WEIR_RESPOND = 2,  /* answered here with host->respond(); skip to on_complete */
    WEIR_SUSPEND = 3,  /* host->suspend() gave a ticket; on_resume gives the verdict */
    WEIR_FAIL = 4      /* the plugin broke: the operator's on_error (open or closed) decides */
};

enum weir_phase {
    WEIR_PHASE_HEADERS = 1, /* request line and headers */
    WEIR_PHASE_BODY = 2,    /* body parsed, prompt tokens counted */
    WEIR_PHASE_ROUTE = 3,   /* targets that could run it are known */
    WEIR_PHASE_ADMIT = 4,   /* about to take capacity; again for each further attempt */
    WEIR_PHASE_OUTPUT = 5,  /* only in on_resume: after host->pause() */
    /* A plugin answers with output that it kept (weir/answer.h), in place of ADMIT and a run. */
    WEIR_PHASE_REPLAY = 6
};
#define WEIR_PHASE_BIT(phase) (1u << (phase))

enum weir_chunk_kind {
    WEIR_CHUNK_TEXT = 1,      /* text of the answer */
    WEIR_CHUNK_TOOL_CALL = 2, /* a tool call begins (tool_id, tool_name) or its arguments go on */
    WEIR_CHUNK_FINISH = 3,    /* the choice ended: `finish`; text is empty */
    /* An input's embedding, as a piece of JSON: no text to change or hold back, REPLACE and HOLD
     * are failures here. */
    WEIR_CHUNK_EMBEDDING = 4
};

enum weir_finish {
    WEIR_FINISH_NONE = 0,
    WEIR_FINISH_STOP = 1,   /* end of text or a stop string */
    WEIR_FINISH_LENGTH = 2, /* max_tokens or the context is full */
    WEIR_FINISH_TOOL_CALLS = 3,
    WEIR_FINISH_FILTER = 4, /* a plugin ended it */
    WEIR_FINISH_CANCEL = 5, /* client gone, timeout or shutdown */
    WEIR_FINISH_ERROR = 6
};

/* One token's probability. */
typedef struct weir_logprob {
    int32_t token;
    float logprob;  /* natural log, of the distribution before sampling filters */
    weir_str bytes; /* the token's bytes, maybe part of a character */
} weir_logprob;

typedef struct weir_token_logprobs { /* of one emitted token */
    weir_logprob chosen;
    const weir_logprob *top; /* [n_top], most likely first */
    uint32_t n_top;
} weir_token_logprobs;

enum {
    /* Text that this plugin held back, given a last time because the choice ends or something else
     * than its continuation comes next. HOLD is a failure here. */
    WEIR_CHUNK_LAST = 1u << 0
};

/* One normalised event, whatever the endpoint, streamed or not. Text is whole UTF-8 characters. */
typedef struct weir_chunk {
    uint32_t struct_size;
    uint32_t kind; /* enum weir_chunk_kind */
    uint32_t choice;
    uint32_t finish; /* enum weir_finish; set in WEIR_CHUNK_FINISH only */
    uint64_t seq;    /* counts the choice's chunks from 0 */
    weir_str text;   /* TEXT: the piece; TOOL_CALL: a piece of the arguments' JSON */
    uint32_t tool_index;
    uint32_t n_tokens; /* tokens that this chunk accounts for; 0 when held back text follows */
    weir_str tool_id, tool_name;         /* only where a call begins */
    const weir_token_logprobs *logprobs; /* [n_logprobs] when asked for */
    uint32_t n_logprobs;
    uint32_t flags; /* WEIR_CHUNK_LAST */
} weir_chunk;

enum weir_chunk_action {
    WEIR_CHUNK_PASS = 0,
    WEIR_CHUNK_REPLACE =
        1,                /* *out holds the new text (may be empty), borrowed until the next call */
    WEIR_CHUNK_HOLD = 2,  /* withhold: its text comes again, with the next chunk's behind it; not
                             for FINISH; at most 64 KiB in all */
    WEIR_CHUNK_ABORT = 3, /* end the choice with finish "content_filter" */
    WEIR_CHUNK_REST = 4   /* PASS, this and all others: the request's output is not shown again */
};

enum weir_usage_flags {
    WEIR_USAGE_REPLAYED = 1u << 0 /* no target ran: a plugin had kept the answer */
};

typedef struct weir_usage { /* what on_complete gets */
    uint32_t struct_size;
    uint32_t http_status; /* sent, or 499 when the client left before the head */
    uint32_t finish;      /* enum weir_finish of choice 0 */
    uint32_t n_choices;
    uint64_t prompt_tokens, cached_tokens, completion_tokens;
    uint64_t queue_us, first_token_us, total_us; /* since arrival; first_token_us 0: none came */
    weir_str model, target, error_code;
    /* Of completion_tokens, those whose bytes the client's socket took. */
    uint64_t delivered_tokens;
    uint64_t device_us; /* share of the device's time; 0: unknown */
    uint32_t flags;     /* enum weir_usage_flags */
    uint32_t reserved;
} weir_usage;

typedef struct weir_policy {
    uint32_t struct_size;
    uint32_t phases;         /* WEIR_PHASE_BIT()s in which on_phase is called */
    uint32_t req_state_size; /* bytes kept per request, at most 4096 */
    uint32_t reserved;

    /* `config_json` is the validated configuration with defaults filled in. NULL on failure, with a
     * sentence for the operator in *err (static or host->alloc'ed bytes). [main] */
    void *(*instance_create)(const weir_host *h, weir_str config_json, weir_str *err);
    void (*instance_destroy)(void *instance); /* [main] */

    int (*on_phase)(void *instance, weir_req *r, int phase); /* enum weir_verdict [loop] */
    int (*on_resume)(void *instance, weir_req *r, int phase, int rc, weir_str data);  /* [loop] */
    int (*on_chunk)(void *instance, weir_req *r, const weir_chunk *c, weir_str *out); /* [loop] */
    void (*on_complete)(void *instance, weir_req *r, const weir_usage *u);            /* [loop] */
    /* The client's socket has taken the bytes of n_tokens tokens of this request by now. Called
     * when the number has grown; an answer that is not streamed is taken as a whole. Before
     * on_complete. [loop] */
    void (*on_delivered)(void *instance, weir_req *r, uint64_t n_tokens);
} weir_policy;

#ifdef __cplusplus
}
#endif
#endif
