/* SPDX-License-Identifier: Apache-2.0 */
/* "weir.backend.stream/1": a target that schedules itself: an engine, an upstream server.
 *
 * The core gives it whole requests and gets chunks. weir's own engine wraps any step backend into
 * this interface, so that the core knows one kind of target only.
 *
 * Life of a generation: prepare() checks and counts [any]; submit() starts it [loop]; the target
 * pushes chunks from any thread through the sink; exactly one finish() ends it, also after
 * cancel(). Back-pressure: push() answers WEIR_E_BUSY when the reader's bounded buffer is full; the
 * target keeps that chunk, pauses the generation and goes on after wake(). Ownership: a
 * weir_generation and what it points to live until finish() is called.
 *
 * Two kinds of targets. One has threads of its own, as an engine: it delivers from any of them, and
 * what it delivers crosses over to the request's loop. The other, which has loop_begin(), works on
 * the requests' own loops, as an upstream does: submit, cancel and wake are called on the loop that
 * the generation names, and push and finish must be called on it. No thread is crossed and nothing
 * is copied on the way. */
#ifndef WEIR_BACKEND_STREAM_H
#define WEIR_BACKEND_STREAM_H

#include "weir/backend_step.h"
#include "weir/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXT_BACKEND_STREAM "weir.backend.stream/1"

enum weir_generation_kind {
    WEIR_GENERATION_CHAT = 1,       /* body has "messages" */
    WEIR_GENERATION_COMPLETION = 2, /* `prompt`, or prompt_tokens when given as token ids */
    WEIR_GENERATION_EMBEDDING = 3
};

enum weir_tool_choice {
    WEIR_TOOLS_NONE = 0,
    WEIR_TOOLS_AUTO = 1,
    WEIR_TOOLS_REQUIRED = 2,
    WEIR_TOOLS_NAMED = 3
};

enum weir_format { WEIR_FORMAT_TEXT = 0, WEIR_FORMAT_JSON = 1, WEIR_FORMAT_JSON_SCHEMA = 2 };

enum { WEIR_MAX_STOPS = 16, WEIR_MAX_CHOICES = 64 };

/* Parameters of weir_sampling that a client may leave to the model; bits of sampling_given. */
enum weir_sampling_parameter {
    WEIR_SAMPLING_TEMPERATURE = 1u << 0,
    WEIR_SAMPLING_TOP_P = 1u << 1,
    WEIR_SAMPLING_TOP_K = 1u << 2,
    WEIR_SAMPLING_MIN_P = 1u << 3,
    WEIR_SAMPLING_TYPICAL_P = 1u << 4,
    WEIR_SAMPLING_REPETITION_PENALTY = 1u << 5,
    WEIR_SAMPLING_PRESENCE_PENALTY = 1u << 6,
    WEIR_SAMPLING_FREQUENCY_PENALTY = 1u << 7
};

/* A validated request. JSON fields are texts that parse. */
typedef struct weir_generation {
    uint32_t struct_size;
    uint32_t kind;       /* enum weir_generation_kind */
    uint32_t class_rank; /* 0 critical_api, 1 interactive_ui, 2 batch */
    int32_t priority;    /* within the class; lower runs sooner */
    weir_str tenant;     /* salts the prefix cache; "" without tenants */
    weir_str request_id;
    weir_str messages_json;       /* CHAT: array */
    weir_str tools_json;          /* CHAT: array, or "" */
    weir_str template_args_json;  /* chat_template_kwargs: object, or "" */
    weir_str tool_name;           /* WEIR_TOOLS_NAMED */
    weir_str schema_json;         /* WEIR_FORMAT_JSON_SCHEMA */
    weir_str prompt;              /* COMPLETION: text */
    const int32_t *prompt_tokens; /* COMPLETION: [n_prompt_tokens] instead of text, or NULL */
    uint32_t n_prompt_tokens;
    uint32_t tool_choice;         /* enum weir_tool_choice */
    uint32_t parallel_tool_calls; /* 0 or 1 */
    uint32_t format;              /* enum weir_format */
    uint32_t n;                   /* choices, 1..WEIR_MAX_CHOICES */
    uint32_t max_tokens;          /* per choice; 0: as many as fit */
    uint32_t echo;                /* COMPLETION: the prompt's text comes first */
    uint32_t want_logprobs;       /* 0 or 1 */
    uint32_t n_top;               /* top logprobs per token, 0..20 */
    uint32_t n_stop;
    uint32_t ignore_eos; /* benchmarks: go on to max_tokens */
    weir_str stop[WEIR_MAX_STOPS];
    weir_sampling sampling; /* choice i draws with seed + i */
    /* The tenant's part of the target, where several want it. */
    uint32_t tenant_weight;    /* against those of others; 0: 100 */
    uint32_t tenant_share_ppm; /* of the device's time, at most; 0: no bound */
    uint32_t tenant_is_capped; /* 1: the bound holds also while nobody else wants the device */
    uint32_t reserved;
    uint64_t tenant_kv_bytes; /* KV memory, running and kept, at most; 0: no bound */
    uint32_t loop;            /* number of the request's loop, as in loop_begin() */
    uint32_t stream;          /* the client wants the answer piece by piece */
    uint32_t seed_given;      /* sampling.seed is the client's, not a random one */
    uint32_t reserved3;
    weir_str user;        /* the end user, "" when not known */
    weir_str traceparent; /* W3C trace context of the client, or "" */
    /* EMBEDDING: JSON, a text, an array of token ids, or an array of n_inputs of these. */
    weir_str input_json;
    uint32_t n_inputs;
    uint32_t dimensions;     /* 0: as many as the model has */
    uint32_t is_base64;      /* vectors as base64 of little-endian floats; 0: arrays of numbers */
    uint32_t sampling_given; /* WEIR_SAMPLING_*: what the client named itself */
} weir_generation;

/* What prepare() found. */
typedef struct weir_prepared {
    uint32_t struct_size;
    uint32_t prompt_tokens;
    uint32_t max_tokens; /* after the context limit */
    uint32_t reserved;
    void *state; /* the target's own (tokens, grammar); submit() or discard() takes it */
} weir_prepared;

/* A refusal that the client can mend: becomes a 400 that names `param`. */
typedef struct weir_refusal {
    uint32_t struct_size;
    uint32_t status; /* 400 unless set */
    char param[64];  /* "messages[2].content", "" when none */
    char code[48];   /* "context_length_exceeded", "" when none */
    char message[400];
} weir_refusal;

enum weir_target_state {
    WEIR_TARGET_LOADING = 1,
    WEIR_TARGET_READY = 2,
    WEIR_TARGET_STALLED = 3, /* work is pending and no step ended for the stall limit */
    WEIR_TARGET_FAILED = 4
};

typedef struct weir_target_status {
    uint32_t struct_size;
    uint32_t state;   /* enum weir_target_state */
    float progress;   /* of loading, 0..1 */
    uint32_t running; /* sequences in the batch */
    uint32_t waiting; /* submitted, not in the batch yet */
    /* By class rank: a generation of that class is taken while fewer sequences than this are
     * unfinished. Read while READY; notify() when it changes. The host counts, and keeps to it. */
    uint32_t max_sequences[3];
    uint32_t pages_total, pages_used, pages_cached; /* cached: reusable prefix pages, not in use */
    uint32_t reserved;
    uint64_t steps, step_tokens, prompt_tokens, completion_tokens;
    uint64_t prefix_tokens_asked, prefix_tokens_hit;
    uint64_t preemptions, cancelled;
    uint64_t last_step_us; /* time of the last finished step, host->now_us() */
    uint64_t step_us;      /* moving average of a step's duration */
    uint64_t weight_bytes, kv_bytes, scratch_bytes;
    uint32_t n_ctx, n_vocab;
    char error[256]; /* why it failed */
    char device[64], arch[32], quant[32];
    /* Taken beyond max_sequences for tenants that run less than their share: the target makes room
     * for them by itself. */
    uint32_t max_extra;
    uint32_t reserved2;
} weir_target_status;

enum {
    /* Nothing of it has reached what runs it: another target can run it as if it were new. */
    WEIR_OUTCOME_UNSENT = 1u << 0,
    /* The target itself is in doubt (refused, broken, silent), not only this generation. */
    WEIR_OUTCOME_TARGET_FAILED = 1u << 1
};

/* Ends a generation. All strings are copied. */
typedef struct weir_outcome {
    uint32_t struct_size;
    int32_t rc; /* 0, WEIR_E_CANCELLED, WEIR_E_DEVICE, … */
    uint64_t prompt_tokens, cached_tokens, completion_tokens;
    uint64_t prefill_us, decode_us;
    weir_str message;        /* for rc < 0 */
    uint64_t device_us;      /* this generation's share of the device's time; 0: unknown */
    uint32_t status;         /* for rc < 0: HTTP status that the client should see; 0: by rc */
    uint32_t flags;          /* WEIR_OUTCOME_* */
    uint64_t retry_after_us; /* when the target wants to be asked again; 0: it did not say */
    weir_str code, param;    /* of the error that the client should see; "" when none */
} weir_outcome;

/* Where a target delivers; one per target, from the host. */
typedef struct weir_sink {
    uint32_t struct_size;
    /* A ticket's lower 32 bits are below this, and no other live ticket of the target has them:
     * they may be used as an index. */
    uint32_t max_tickets;
    /* Copies the chunk. WEIR_E_BUSY: buffer full, pause until wake(); WEIR_E_GONE: nobody reads.
     * [any] */
    int (*push)(const struct weir_sink *, weir_ticket, const weir_chunk *);
    /* Exactly once per submitted generation, never refused. [any] */
    void (*finish)(const struct weir_sink *, weir_ticket, const weir_outcome *);
    /* Capacity came free or the state changed: the host may submit again. [any] */
    void (*notify)(const struct weir_sink *);
    /* Groups push/finish of one step into one wake-up per loop. [any] */
    void (*flush)(const struct weir_sink *);
} weir_sink;

typedef struct weir_backend_stream {
    uint32_t struct_size;
    uint32_t reserved;
    /* Returns at once; loading goes on behind it. [main] */
    int (*open)(const weir_host *, weir_str config_json, const weir_sink *, void **target,
                weir_str *err);
    void (*close)(void *target); /* ends everything that runs, then frees [main] */
    void (*status)(void *target, weir_target_status *out); /* [any] */

    /* WEIR_E_ARG: *refusal says why. Other errors: 503. May take time on long prompts. [any] */
    int (*prepare)(void *target, const weir_generation *, weir_prepared *out,
                   weir_refusal *refusal);
    void (*discard)(void *target, void *prepared_state); /* prepared, never submitted [any] */
    /* WEIR_E_BUSY: not now, keep it queued. Prepared for what is no more (a model that was loaded
     * anew): WEIR_E_DEVICE or WEIR_E_TOOBIG, prepare again. The state stays with the host then.
     * [any] */
    int (*submit)(void *target, const weir_generation *, const weir_prepared *, weir_ticket);
    /* Stops work within one step; finish() still comes. Unknown tickets are ignored. [any] */
    void (*cancel)(void *target, weir_ticket);
    void (*wake)(void *target, weir_ticket); /* the reader has room again [any] */

    /* Optional. tokenize: returns the count, also when it is over cap. [any] */
    int64_t (*tokenize)(void *target, weir_str text, int add_special, int32_t *out, size_t cap);
    int64_t (*detokenize)(void *target, const int32_t *tokens, size_t n_tokens, char *out,
                          size_t cap);
    int64_t (*embed)(void *target, const weir_generation *, float *out, size_t cap);

    /* Both or none: the target works on the requests' own loops. A loop is a `uv_loop_t *` of the
     * libuv that the host runs on; the plugin links that same shared library. loop_begin() names
     * one, for each loop, before it turns: the target opens handles on it later, on the loop's
     * thread, when a generation comes. The loop's data is the host's. A prepare handle may run
     * before the last events of a turn: work that they leave for it needs an active idle handle,
     * or the loop sleeps first. [main] */
    void (*loop_begin)(void *target, uint32_t loop, void *uv_loop);
    /* No generation is left on this loop and none will come: closes all handles. WEIR_E_BUSY: the
     * loop must turn a few times more, ask again. [loop] */
    int (*loop_end)(void *target, uint32_t loop);
    /* Optional. Further figures by name, as weir_backend_step.stats gives them; none while nothing
     * is loaded. [any] */
    void (*stats)(void *target, void (*each)(void *arg, const char *name, double value), void *arg);

    /* Optional: asks the target's server for `path` ("": its list of models) and waits for the
     * answer, up to timeout_ms. 0: it is there. Several threads of the host's may check at a time.
     * [any, but no loop's thread] */
    int (*check)(void *target, weir_str path, uint32_t timeout_ms);
} weir_backend_stream;

#ifdef __cplusplus
}
#endif
#endif
