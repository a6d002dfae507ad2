/* SPDX-License-Identifier: Apache-2.0 */
/* "weir.backend.step/1": device code behind the batching interface.
 *
 * The host's scheduler owns sequences, pages, fairness, preemption and sampling parameters. The
 * backend owns device memory and kernels. One step is one forward pass over a batch of sequence
 * parts (prefill chunks and single decode tokens mixed), followed by sampling where asked for.
 *
 * KV pages: the host hands out page numbers 0..n_pages-1 of page_tokens (16) positions each; a
 * sequence part brings its page table. Prefixes are shared by naming the same full page in several
 * tables; the backend never writes to a page below `pos`.
 * Determinism: a sequence's logits must not depend on what else is in the batch, nor on how its
 * prompt was cut into steps.
 * Threads: load, step, chunk_*, seq_*, embed and unload on the model's own thread [model], one at a
 * time; devices on [main]; interrupt and stats from [any]. */
#ifndef WEIR_BACKEND_STEP_H
#define WEIR_BACKEND_STEP_H

#include "weir/host.h"
#include "weir/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXT_BACKEND_STEP "weir.backend.step/1"

enum { WEIR_PAGE_TOKENS = 16, WEIR_STEP_MAX_TOKENS_OUT = 8 };

typedef struct weir_device {
    uint32_t struct_size;
    uint32_t index;
    /* 0: cannot run here, and `name` says why in place of the device's name; `backend: auto` takes
     * the highest of all backends */
    uint32_t score;
    uint32_t reserved;
    uint64_t memory_total_bytes, memory_free_bytes;
    char id[64], name[96]; /* "cpu0", "AVX-512 VNNI, 2 cores"; the id may be asked for by name */
} weir_device;

enum {
    WEIR_MODEL_CAN_EMBED = 1u << 0,
    WEIR_MODEL_CAN_LOGPROBS = 1u << 1,
    WEIR_MODEL_CAN_MASK = 1u << 2 /* honours weir_step_part.mask */
};

typedef struct weir_load_params {
    uint32_t struct_size;
    uint32_t device;          /* index from devices() */
    uint32_t n_threads;       /* compute threads; 0: the backend chooses */
    uint32_t n_ctx;           /* longest sequence wanted; 0: what the model was trained for */
    uint32_t max_sequences;   /* sequences alive at a time */
    uint32_t max_step_tokens; /* tokens in one step */
    uint64_t kv_bytes;        /* budget of the KV pool; 0: the backend chooses */
    weir_str file;            /* path of the model; empty where the backend needs none */
    weir_str options_json;    /* the backend's own options, "{}" when none */
    /* Called from load with 0..1; a non-zero return asks load to give up (WEIR_E_CANCELLED). */
    int (*progress)(void *arg, float fraction);
    void *progress_arg;
    /* The model is to be split over these, see max_devices; fewer than 2: `device` has all of it.
     */
    const uint32_t *devices; /* [n_devices] indices from devices(), each once */
    uint32_t n_devices;
    uint32_t reserved;
} weir_load_params;

typedef struct weir_model_info {
    uint32_t struct_size;
    uint32_t caps;    /* WEIR_MODEL_CAN_* */
    uint32_t n_vocab; /* logits per position */
    uint32_t n_ctx;   /* longest sequence, in tokens */
    uint32_t n_embd;
    uint32_t n_pages; /* KV pages in the pool */
    uint32_t page_tokens;
    uint32_t max_sequences, max_step_tokens;
    uint32_t n_threads;
    uint64_t weight_bytes, kv_bytes, scratch_bytes; /* memory held */
    uint64_t kv_bytes_per_token;
    uint64_t step_bytes; /* bytes of weights that one decode step must read */
    char arch[32], quant[32], device[64];
    uint32_t max_prefill_tokens; /* in one prefill_begin(); 0: it has none */
    uint32_t reserved;
} weir_model_info;

typedef struct weir_logit_bias {
    int32_t token;
    float bias; /* added to the logit */
} weir_logit_bias;

/* How to choose one token. Applied in this order: bias, penalties, mask, temperature 0 -> arg-max;
 * else temperature, top_k, typical_p, top_p, min_p, draw. */
typedef struct weir_sampling {
    uint32_t struct_size;
    int32_t top_k;                             /* 0: off */
    float temperature;                         /* 0: arg-max, lowest token id on ties */
    float top_p, typical_p;                    /* 1: off */
    float min_p;                               /* 0: off */
    float repetition_penalty;                  /* 1: off; over the whole history given */
    float presence_penalty, frequency_penalty; /* 0: off; over the completion's tokens only */
    uint32_t n_bias;
    const weir_logit_bias *bias; /* [n_bias] */
    uint64_t seed;               /* the draw depends on (seed, sample_index) alone */
} weir_sampling;

enum {
    WEIR_STEP_SAMPLE = 1u << 0, /* sample after the last token of this part */
    WEIR_STEP_LOGPROBS =
        1u << 1 /* also give logprobs of the sampled token and the n_top likeliest */
};

/* One sequence's part of a step. */
typedef struct weir_step_part {
    uint32_t slot;  /* 0..max_sequences-1, the sequence's number while it is open */
    uint32_t flags; /* WEIR_STEP_* */
    uint32_t pos;   /* position of tokens[0] in the sequence */
    uint32_t n_tokens;
    const int32_t *tokens; /* [n_tokens] */
    const uint32_t *pages; /* [n_pages], page of position p: pages[p / page_tokens] */
    uint32_t n_pages;      /* covers pos + n_tokens */
    uint32_t n_top;        /* top logprobs wanted, at most 20 */
    const weir_sampling *sampling;
    const int32_t *history; /* [n_history] prompt and completion so far, for penalties */
    uint32_t n_history;
    uint32_t n_history_prompt; /* how many of them are the prompt's */
    const uint32_t *mask;      /* [ceil(n_vocab / 32)] bit 1: allowed; NULL: all */
    uint64_t sample_index;     /* tokens of the completion before this one */
} weir_step_part;

typedef struct weir_step_batch {
    uint32_t struct_size;
    uint32_t part_size; /* sizeof(weir_step_part) of the caller: the stride of `parts` */
    const weir_step_part *parts;
    uint32_t n_parts;
    uint32_t n_tokens; /* of all parts */
} weir_step_batch;

typedef struct weir_top_logprob {
    int32_t token;
    float logprob;
} weir_top_logprob;

/* One per part, in the same order; memory of the caller, zeroed. */
typedef struct weir_step_result {
    int32_t rc;        /* 0, or WEIR_E_* for this sequence alone */
    uint32_t n_tokens; /* sampled tokens: 0 without SAMPLE, else 1 (more: speculation) */
    int32_t tokens[WEIR_STEP_MAX_TOKENS_OUT];
    float logprobs[WEIR_STEP_MAX_TOKENS_OUT];
    weir_top_logprob top[20];
    uint32_t n_top;
    uint32_t reserved;
} weir_step_result;

typedef struct weir_backend_step {
    uint32_t struct_size;
    uint32_t reserved;
    /* Fills out[0..*n_out), at most cap. A backend without any device gives 0 of them, or one of
     * score 0 that says why. [main] */
    int (*devices)(const weir_host *, weir_device *out, uint32_t cap, uint32_t *n_out);
    /* A negative return leaves *model untouched and *err as a sentence (valid until the next call).
     */
    int (*load)(const weir_host *, const weir_load_params *, void **model,
                weir_str *err);  /* [model] */
    void (*unload)(void *model); /* joins its threads before it returns [model] */
    int (*info)(void *model, weir_model_info *out); /* [any] */

    /* Needed only by backends without a model file of a known format (else NULL): text to tokens
     * and back. tokenize: returns the count, also when it is over cap. [any] */
    int64_t (*tokenize)(void *model, weir_str text, int32_t *out, size_t cap);
    int64_t (*piece)(void *model, int32_t token, char *out, size_t cap);
    int (*is_end)(void *model, int32_t token); /* 1: end of generation */

    /* Optional notices for backends that keep state of their own per sequence. */
    int (*seq_open)(void *model, uint32_t slot);
    int (*seq_fork)(void *model, uint32_t from_slot, uint32_t to_slot, uint32_t n_tokens);
    void (*seq_close)(void *model, uint32_t slot);

    /* results[n_parts]. A negative return fails the whole step: the device is in doubt. */
    int (*step)(void *model, const weir_step_batch *batch, weir_step_result *results);
    /* Pooled embedding of one text; out[n_embd]. Optional. */
    int (*embed)(void *model, const int32_t *tokens, uint32_t n_tokens, float *out);
    void (*interrupt)(void *model); /* makes a running step return WEIR_E_CANCELLED soon [any] */
    void (*stats)(void *model, void (*each)(void *arg, const char *name, double value), void *arg);
    /* Devices that one model can be split over. */
    uint32_t max_devices; /* 0 or not there: 1 */
    uint32_t reserved2;
    /* Optional, both or none: step() in two halves, for devices that work by themselves. begin
     * sends the step on its way; end waits for it. The host turns the last step's tokens into text
     * in between, and may call seq_close for sequences of the batch. The batch, what its parts
     * point to and results stay until end. After a begin that failed there is no end. */
    int (*step_begin)(void *model, const weir_step_batch *batch, weir_step_result *results);
    int (*step_end)(void *model);
    /* Optional, all or none: a prompt's chunk in pieces between steps, so that sequences that
     * decode wait for a few of its layers and not for all of them. begin takes a batch of one part,
     * at most max_prefill_tokens long, while no other chunk is under way; the batch, what its part
     * points to and results stay until it is done or dropped. run works on it for about `us`, on
     * something at least: 1: done, as step() would have left it; 0: there is more to do; negative:
     * as step(). Steps of other sequences come in between. drop forgets what is under way, if
     * anything is. */
    int (*prefill_begin)(void *model, const weir_step_batch *batch, weir_step_result *results);
    int (*prefill_run)(void *model, uint32_t us);
    void (*prefill_drop)(void *model);
} weir_backend_step;

#ifdef __cplusplus
}
#endif
#endif
