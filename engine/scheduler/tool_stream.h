/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The answer of a request with tools: text in, pieces of content and of calls out, kept until the
 * reader takes them.
 *
 * Why: the parser cannot be stopped in the middle of a text, but the reader may be full at any
 * chunk. So what the parser finds is queued here.
 * Ownership: owns parser and queue; format and tools are borrowed.
 * Threads: one owner.
 * Errors: WEIR_E_NOMEM, also when one step's text makes more than MAX_PIECES pieces.
 * Invariant: a feed() follows only when every piece was taken, so the queue holds one step's text.
 */
#include <stdbool.h>

#include "engine/scheduler/output.h"
#include "engine/tool/tool_parser.h"
#include "weir/policy.h"

enum { WEIR_TOOL_STREAM_MAX_PIECES = 1024 };

struct weir_tool_piece {
    uint32_t kind; /* enum weir_chunk_kind */
    uint32_t tool_index;
    uint32_t at; /* offset in `bytes` of text, id and name, one behind the other */
    uint32_t text_len, id_len, name_len;
};

struct weir_tool_stream {
    struct weir_tool_parser parser;
    struct weir_buf bytes;
    struct weir_tool_piece *pieces; /* [MAX_PIECES] */
    uint32_t n_pieces, n_taken;
    bool only_one; /* calls behind the first are not wanted */
    bool complete; /* only_one, and the first call is whole: the answer ends here */
};

/* tools: the request's array; both it and the format must outlive the stream. */
int weir_tool_stream_init(struct weir_tool_stream *s, const struct weir_tool_format *format,
                          yyjson_val *tools, uint64_t id_seed, bool parallel,
                          struct weir_arena *arena);
void weir_tool_stream_finish(struct weir_tool_stream *s);

/* Takes the text that is ready in *o; with `last` nothing follows. */
int weir_tool_stream_feed(struct weir_tool_stream *s, struct weir_output *o, bool last);
bool weir_tool_stream_has_calls(const struct weir_tool_stream *s);
/* The next piece as a chunk that borrows from the stream; false when there is none. */
bool weir_tool_stream_peek(const struct weir_tool_stream *s, weir_chunk *ret_chunk);
void weir_tool_stream_take(struct weir_tool_stream *s);
