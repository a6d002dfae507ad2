/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An upstream's JSON, event by event or as one object, turned into weir's chunks.
 *
 * Why: all endpoints and servers end in the same normalised chunks; only this file knows the wire's
 * shapes on the upstream's side. Strict: a member that is there has its documented type, or the
 * answer is not trusted. Unknown members are skipped.
 * Source: OpenAI API reference, "Chat completion chunk object", "Completion object"; vLLM's errors.
 * Embeddings: embeddings.h.
 * Back-pressure: when `emit` answers WEIR_E_BUSY, read() returns that; called again with the same
 * text it goes on behind the chunks that were taken.
 * Ownership: the text and what chunks point to live until emit() returns. Threads: none.
 * Bounds: WEIR_MAX_CHOICES choices, WEIR_UPSTREAM_MAX_CALLS tool calls a choice, 20 top logprobs.
 */
#include <yyjson.h>

#include "base/arena.h"
#include "failure.h"

enum { WEIR_UPSTREAM_MAX_CALLS = 128, WEIR_UPSTREAM_MAX_TOP = 20 };

struct weir_upstream_answer {
    uint32_t kind; /* enum weir_generation_kind */
    uint32_t n_choices;
    uint32_t n_inputs; /* EMBEDDING */
    bool stream;
    uint64_t ended; /* a bit for each choice that has ended */
    bool has_usage;
    uint64_t prompt_tokens, cached_tokens, completion_tokens; /* of the usage */
    uint64_t n_counted;                                       /* tokens, where no usage tells */
    uint32_t n_given, n_skip; /* chunks of the text that is read; those taken before */
    int (*emit)(void *arg, const weir_chunk *chunk);
    void *arg;
    const yyjson_alc *alc;                 /* for parsing; NULL: malloc */
    struct weir_arena *arena;              /* for what chunks point to; reset by read() */
    struct weir_upstream_failure *failure; /* filled when read() fails with WEIR_E_FORMAT */
    uint64_t seq[WEIR_MAX_CHOICES];        /* last: most requests have one choice */
};

/* One event's data, or a whole answer. 0; WEIR_E_BUSY and what else emit() answered;
 * WEIR_E_FORMAT: *failure says what is wrong, or what the upstream says that is. */
int weir_upstream_answer_read(struct weir_upstream_answer *a, weir_str json);
/* Has every choice ended? */
bool weir_upstream_answer_is_whole(const struct weir_upstream_answer *a);
