/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A step backend without a model, strict about what the scheduler hands it.
 *
 * How: the "KV" of a position is its token, its position and a hash of everything before it. A step
 * reads the whole sequence back through its page table, so a wrong page, a wrong position, a page
 * written twice or a stale one changes the answer and is counted as a violation. The next token is
 * a function of those tokens (and of the seed when the temperature is above 0), so that the right
 * answer of a request is known without any scheduler: fake_backend_next().
 * Time is virtual: host.now_us moves by the step's cost only.
 * Threads: fields marked [any] may be set while an engine runs. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "weir/backend_step.h"

enum { FAKE_END = 256, FAKE_N_VOCAB = 280, FAKE_MAX_SLOTS = 128 };

struct fake_backend {
    weir_host host; /* give &fake.host to engine or scheduler */
    /* What the model claims to be. */
    uint32_t n_pages, n_ctx, max_sequences, max_step_tokens, caps;
    /* Virtual cost of a step. */
    uint64_t step_us, decode_row_us, prompt_token_us;
    uint32_t end_every;     /* on average one token of so many ends the text; 0: never */
    _Atomic int load_fails; /* so many loads fail with load_rc [any] */
    int load_rc;
    _Atomic int fail_in_steps; /* > 0: the step that counts it down to 0 fails [any] */
    _Atomic int fail_slot;     /* >= 0: that slot's result is WEIR_E_DEVICE [any] */
    _Atomic bool is_deaf;      /* interrupt() does nothing [any] */
    _Atomic bool blocked;      /* steps wait until it is false or interrupt() is called [any] */

    _Atomic uint64_t now_us;
    _Atomic uint32_t n_violations, n_steps, n_loads, n_unloads;
    _Atomic uint32_t n_waiting; /* steps held up by `blocked` */
    char violation[200];        /* the first one */
    uint32_t most_tokens;       /* in one step so far */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic bool interrupted;
    struct fake_position *kv; /* [n_pages * 16] */
    bool open[FAKE_MAX_SLOTS];
    bool is_loaded;
    weir_step_batch batch; /* of the step that has begun */
    weir_step_result *results;
    bool begun;
    weir_step_batch prefill; /* the one under way */
    weir_step_result *prefill_results;
    uint64_t prefill_left_us;
    bool has_prefill;
    _Atomic uint32_t n_prefills, n_pieces, n_dropped;
};

/* Defaults: 1024 pages, context 4096, 32 sequences, 512 tokens a step. */
void fake_backend_init(struct fake_backend *f);
void fake_backend_finish(struct fake_backend *f);
const weir_backend_step *fake_backend(void);
/* With step_begin and step_end in place of step. */
const weir_backend_step *fake_backend_in_halves(void);
/* With chunks in pieces of up to 512 tokens. */
const weir_backend_step *fake_backend_in_pieces(void);
void fake_backend_block(struct fake_backend *f, bool blocked);

/* Ready for use without load(), for tests of the scheduler alone. */
void *fake_backend_open(struct fake_backend *f, weir_model_info *ret_info);

/* The token that follows tokens[0..n). */
int32_t fake_backend_next(const struct fake_backend *f, const int32_t *tokens, uint32_t n,
                          uint32_t n_prompt, const weir_sampling *sampling);
float fake_backend_logprob(int32_t token);
/* Bytes of a token; static. */
weir_str fake_backend_piece(int32_t token);
