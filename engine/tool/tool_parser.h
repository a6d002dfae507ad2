/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Recognises tool calls in a model's output while it is being generated.
 *
 * What: output text goes in by pieces; content, call starts, argument pieces and call ends come
 * out. Why a byte machine: what comes out, put together, must not depend on how the text was cut
 * into pieces, so that streamed and whole answers agree. Only text that may still become a marker
 * or the head of a call, and white space next to calls, is held back. Malformed calls: until a
 * call's name and the opening of its arguments have been read nothing is announced, and what turns
 * out to be no call is given as content. A call that breaks off later ends there, its arguments as
 * the model wrote them. Ownership: the parser owns its buffers; events are borrowed for the call.
 * Threads: one owner. Errors: sticky; WEIR_E_NOMEM, or what emit returned. */
#include "base/buf.h"
#include "engine/tool/tool_format.h"
#include "weir/types.h"

enum { WEIR_TOOL_MAX_HEAD_BYTES = 64 * 1024, WEIR_TOOL_ID_BYTES = 32 };

enum weir_tool_event_kind {
    WEIR_TOOL_EVENT_CONTENT,   /* text */
    WEIR_TOOL_EVENT_START,     /* index, id, name */
    WEIR_TOOL_EVENT_ARGUMENTS, /* index, text: a piece of the arguments' JSON */
    WEIR_TOOL_EVENT_END,       /* index: the call is whole */
};

struct weir_tool_event {
    enum weir_tool_event_kind kind;
    unsigned index;
    weir_str text;
    weir_str id, name;
};

struct weir_tool_sink {
    int (*emit)(void *ctx, const struct weir_tool_event *event); /* < 0 stops the parser */
    void *ctx;
};

/* Where the next byte belongs. Private to the parser. */
enum weir_tool_mode {
    WEIR_TOOL_TEXT,      /* content; a marker may begin */
    WEIR_TOOL_BEGUN,     /* behind a marker or a separator: a call must follow */
    WEIR_TOOL_NAME_TEXT, /* name[ARGS], for formats with `named` */
    WEIR_TOOL_OBJECT,    /* inside a call's object */
    WEIR_TOOL_ARGUMENTS, /* inside arguments that are being given out */
    WEIR_TOOL_ELEMENTS,  /* behind a call in an array */
};

struct weir_tool_parser {
    const struct weir_tool_format *format;
    struct weir_tool_sink sink;
    yyjson_val *tools; /* borrowed */
    uint64_t id_seed;
    int code; /* sticky error */
    enum weir_tool_mode mode;
    struct weir_buf text; /* content or arguments not emitted yet */
    struct weir_buf held; /* raw text that may be a marker, white space or a call's head */
    struct weir_buf name;
    unsigned n_calls;
    bool in_array;
    bool bare;       /* the call at hand has no marker: its name must be a known tool's */
    bool said;       /* content or a call has been given out */
    bool after_call; /* only white space since the last call */
    bool started;    /* the call at hand has been announced */
    bool in_arguments;
    /* Scanner of the call's JSON object. */
    unsigned depth;
    bool in_string, escaped;
    unsigned char field;    /* which key stands before the value */
    unsigned char expects;  /* what the object's grammar wants next */
    size_t token_at;        /* offset in held of the string, value or name being read */
    size_t args_at, args_n; /* arguments that came before the name; args_n 0: none */
};

/* tools: the request's array, which must outlive the parser. id_seed: the ids of calls derive from
 * it; give every choice of every request another. */
void weir_tool_parser_init(struct weir_tool_parser *p, const struct weir_tool_format *format,
                           yyjson_val *tools, uint64_t id_seed, struct weir_tool_sink sink);
void weir_tool_parser_finish(struct weir_tool_parser *p);

int weir_tool_parser_feed(struct weir_tool_parser *p, weir_str piece);
/* The output has ended: gives out what was held. */
int weir_tool_parser_end(struct weir_tool_parser *p);
