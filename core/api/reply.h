/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* OpenAI answers written from chunks: SSE events, or one JSON object at the end.
 *
 * Why: every endpoint gets the same normalised chunks; only this file knows the wire's shapes.
 * Ownership: a reply owns what it gathers per choice; it borrows `id`, `model` for its life.
 * Bounds: gathered text per choice is limited by max_bytes; over it, add() gives WEIR_E_TOOBIG.
 * Threads: none. Errors: WEIR_E_NOMEM, WEIR_E_TOOBIG. */
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/fetch.h"
#include "weir/backend_stream.h"

struct weir_reply_choice;

/* What stands behind the id is the same in all answers of a model that are made in one second, and
 * is kept here from reply to reply. Zeros: nothing is. */
struct weir_reply_frame {
    uint64_t created_s; /* 0: there is no text */
    uint32_t kind;
    bool stream;
    size_t n_model, n_text;
    char model[256];
    char text[1024];
};

struct weir_reply {
    uint32_t kind; /* enum weir_generation_kind */
    bool stream;
    bool include_usage;
    bool want_logprobs;
    uint32_t n_choices;
    struct weir_reply_choice *choices; /* [n_choices], in the arena */
    struct weir_buf head;              /* streamed: what each event begins with, once it is known */
    weir_str id;                       /* "chatcmpl-…": letters, digits, -_.: */
    weir_str model;
    uint64_t created_s; /* Unix time */
    size_t max_bytes;
    struct weir_reply_frame *frame; /* borrowed; NULL: none */
    struct weir_buf spare; /* memory for the first choice's text, kept from reply to reply */
};

int weir_reply_init(struct weir_reply *reply, struct weir_arena *arena);
void weir_reply_finish(struct weir_reply *reply);
/* The same, but leaves in `spare` what the next reply in this memory can use. */
void weir_reply_recycle(struct weir_reply *reply);

/* A chunk of a stream is near: what it needs is asked for meanwhile. */
static inline void weir_reply_expect(const struct weir_reply *reply)
{
    weir_fetch(reply->head.data, reply->head.len);
    weir_fetch(reply->choices, 1); /* of the first its beginning */
}

/* Streamed: appends the chunk's SSE event(s) to `out` (nothing for an empty piece). Otherwise
 * gathers it; `out` is left alone. */
int weir_reply_add(struct weir_reply *reply, const weir_chunk *chunk, struct weir_buf *out);
/* Streamed: the usage event when asked for, then [DONE]. Otherwise: the whole JSON object. */
int weir_reply_end(struct weir_reply *reply, const weir_outcome *outcome, struct weir_buf *out);
/* Streamed only: an error event, after which the stream ends. */
void weir_reply_error(const struct weir_reply *reply, weir_str message, weir_str code,
                      struct weir_buf *out);
const char *weir_finish_name(uint32_t finish);
