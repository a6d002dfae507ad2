/* SPDX-License-Identifier: Apache-2.0 */
#include "tool_stream.h"

#include <assert.h>

/* A call's head may be held back and then come at once, with the text of a step behind it. */
enum { MAX_QUEUED_BYTES = 4 * WEIR_TOOL_MAX_HEAD_BYTES };

static void add_piece(struct weir_tool_stream *s, enum weir_chunk_kind kind,
                      const struct weir_tool_event *event)
{
    s->pieces[s->n_pieces++] = (struct weir_tool_piece){
        .kind = kind,
        .tool_index = event->index,
        .at = (uint32_t)s->bytes.len,
        .text_len = (uint32_t)event->text.n,
        .id_len = (uint32_t)event->id.n,
        .name_len = (uint32_t)event->name.n,
    };
    weir_buf_add_str(&s->bytes, event->text);
    weir_buf_add_str(&s->bytes, event->id);
    weir_buf_add_str(&s->bytes, event->name);
}

static int on_event(void *ctx, const struct weir_tool_event *event)
{
    struct weir_tool_stream *s = ctx;
    if (s->complete) {
        return 0;
    }
    switch (event->kind) {
    case WEIR_TOOL_EVENT_CONTENT: add_piece(s, WEIR_CHUNK_TEXT, event); break;
    case WEIR_TOOL_EVENT_START:
    case WEIR_TOOL_EVENT_ARGUMENTS: add_piece(s, WEIR_CHUNK_TOOL_CALL, event); break;
    case WEIR_TOOL_EVENT_END: s->complete = s->only_one; break;
    }
    return s->bytes.failed || s->n_pieces == WEIR_TOOL_STREAM_MAX_PIECES ? WEIR_E_NOMEM : 0;
}

int weir_tool_stream_init(struct weir_tool_stream *s, const struct weir_tool_format *format,
                          yyjson_val *tools, uint64_t id_seed, bool parallel,
                          struct weir_arena *arena)
{
    *s = (struct weir_tool_stream){.only_one = !parallel};
    weir_buf_init(&s->bytes, MAX_QUEUED_BYTES);
    weir_tool_parser_init(&s->parser, format, tools, id_seed,
                          (struct weir_tool_sink){.emit = on_event, .ctx = s});
    s->pieces = weir_arena_array(arena, WEIR_TOOL_STREAM_MAX_PIECES, sizeof(*s->pieces));
    return s->pieces ? 0 : WEIR_E_NOMEM;
}

void weir_tool_stream_finish(struct weir_tool_stream *s)
{
    weir_tool_parser_finish(&s->parser);
    weir_buf_finish(&s->bytes);
}

int weir_tool_stream_feed(struct weir_tool_stream *s, struct weir_output *o, bool last)
{
    assert(s->n_taken == s->n_pieces || last);
    int r = weir_tool_parser_feed(&s->parser, (weir_str){o->text, o->ready});
    weir_output_consume(o, o->ready, 0);
    if (r == 0 && last) {
        r = weir_tool_parser_end(&s->parser);
    }
    return r;
}

bool weir_tool_stream_has_calls(const struct weir_tool_stream *s)
{
    return s->parser.n_calls > 0;
}

bool weir_tool_stream_peek(const struct weir_tool_stream *s, weir_chunk *ret_chunk)
{
    if (s->n_taken == s->n_pieces) {
        return false;
    }
    const struct weir_tool_piece *piece = &s->pieces[s->n_taken];
    const char *at = s->bytes.data + piece->at;
    *ret_chunk = (weir_chunk){
        .kind = piece->kind,
        .text = {at, piece->text_len},
        .tool_index = piece->tool_index,
        .tool_id = {at + piece->text_len, piece->id_len},
        .tool_name = {at + piece->text_len + piece->id_len, piece->name_len},
    };
    return true;
}

void weir_tool_stream_take(struct weir_tool_stream *s)
{
    if (++s->n_taken == s->n_pieces) {
        s->n_taken = s->n_pieces = 0;
        weir_buf_reset(&s->bytes);
    }
}
