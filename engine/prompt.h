/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What prepare() makes of a generation: tokens, limits and the immutable parts of the decoding.
 *
 * Why: rendering, tokenising and compiling may take long; they are done once, on any thread, before
 * the request takes its place in the engine.
 * Ownership: one heap object with its own arena. It belongs to whoever holds weir_prepared.state:
 * the host until submit() succeeds or discard() is called, then the job. Threads: none while it is
 * made; immutable afterwards. */
#include <yyjson.h>

#include "base/arena.h"
#include "engine/grammar/grammar.h"
#include "engine/scheduler/page_key.h"
#include "engine/scheduler/stop_set.h"
#include "engine/tool/tool_format.h"

struct weir_prompt {
    struct weir_arena arena;
    int32_t *tokens; /* [n_tokens] */
    uint32_t n_tokens;
    uint32_t max_tokens; /* of each choice's completion; n_tokens + max_tokens <= context */
    uint32_t max_pages;  /* that its tenant may have; 0: no bound */
    struct weir_stop_set stops;
    struct weir_page_key root;                  /* of the tenant's page keys */
    const struct weir_tool_format *tool_format; /* NULL: no tools */
    yyjson_doc *tools;                          /* the request's array */
    struct weir_grammar *grammar;               /* a reference; NULL: the answer is free */
    uint32_t n_logits;                          /* of the model */
    uint64_t model_serial;                      /* the load that the grammar belongs to */
    weir_str echo; /* text in front of the completion; whole UTF-8 characters */
};

/* NULL: out of memory. limit_bytes bounds the arena. */
struct weir_prompt *weir_prompt_create(size_t limit_bytes);
void weir_prompt_destroy(struct weir_prompt *p); /* NULL ok */
