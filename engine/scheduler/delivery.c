/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery.h"

#include "base/utf8.h"

/* An echoed prompt is cut so that each piece fits any sensible buffer of the host. */
enum { ECHO_PIECE_BYTES = 1024 };

void weir_delivery_init(struct weir_delivery *d, weir_ticket ticket, uint32_t choice, weir_str echo)
{
    *d = (struct weir_delivery){.ticket = ticket, .choice = choice, .echo = echo};
}

static int push(struct weir_delivery *d, const weir_sink *sink, weir_chunk *chunk)
{
    chunk->struct_size = sizeof(*chunk);
    chunk->choice = d->choice;
    chunk->seq = d->seq;
    int r = sink->push(sink, d->ticket, chunk);
    if (r < 0) {
        return r;
    }
    d->seq++;
    d->n_uncounted -= chunk->n_tokens;
    return 0;
}

static int send_echo(struct weir_delivery *d, const weir_sink *sink)
{
    while (d->echo.n > 0) {
        weir_str piece = {d->echo.p, d->echo.n < ECHO_PIECE_BYTES ? d->echo.n : ECHO_PIECE_BYTES};
        piece.n -= weir_utf8_partial_tail(piece);
        int r = push(d, sink, &(weir_chunk){.kind = WEIR_CHUNK_TEXT, .text = piece});
        if (r < 0) {
            return r;
        }
        d->echo.p += piece.n;
        d->echo.n -= piece.n;
    }
    return 0;
}

static weir_logprob lay_out(const struct weir_vocabulary *v, int32_t token, float logprob)
{
    return (weir_logprob){.token = token, .logprob = logprob, .bytes = v->piece(v->impl, token)};
}

static void lay_out_tokens(struct weir_logprob_scratch *s, const struct weir_output *o, uint32_t n)
{
    weir_logprob *top = s->top;
    for (uint32_t i = 0; i < n; i++) {
        const struct weir_output_token *t = &o->tokens[i];
        s->entries[i].chosen = lay_out(o->vocabulary, t->token, t->logprob);
        s->entries[i].top = top;
        s->entries[i].n_top = t->n_top;
        for (uint32_t k = 0; k < t->n_top; k++) {
            *top++ = lay_out(o->vocabulary, t->top[k].token, t->top[k].logprob);
        }
    }
}

/* The next TEXT chunk: all that is ready, or as much as the log-probabilities of n tokens span. */
static weir_chunk next_text(const struct weir_delivery *d, const struct weir_output *o,
                            struct weir_logprob_scratch *scratch, uint32_t due, uint32_t n)
{
    uint32_t n_bytes = o->ready;
    uint32_t n_accounted = d->n_uncounted - (o->n_tokens - n);
    if (n < due) {
        uint64_t span = o->tokens[n - 1].end - o->start;
        n_bytes = span < o->ready ? (uint32_t)span : o->ready;
        n_accounted = n;
    }
    lay_out_tokens(scratch, o, n);
    return (weir_chunk){
        .kind = WEIR_CHUNK_TEXT,
        .text = {o->text, n_bytes},
        .n_tokens = n_accounted,
        .logprobs = n > 0 ? scratch->entries : NULL,
        .n_logprobs = n,
    };
}

static int send_text(struct weir_delivery *d, struct weir_output *o, const weir_sink *sink,
                     struct weir_logprob_scratch *scratch, bool last)
{
    uint32_t due = weir_output_tokens_due(o, last);
    while (o->ready > 0 || due > 0) {
        uint32_t n = due < WEIR_CHUNK_MAX_LOGPROBS ? due : WEIR_CHUNK_MAX_LOGPROBS;
        weir_chunk chunk = next_text(d, o, scratch, due, n);
        int r = push(d, sink, &chunk);
        if (r < 0) {
            return r;
        }
        weir_output_consume(o, (uint32_t)chunk.text.n, n);
        due -= n;
    }
    return 0;
}

static int send_pieces(struct weir_delivery *d, struct weir_tool_stream *tools,
                       const weir_sink *sink)
{
    weir_chunk chunk;
    while (weir_tool_stream_peek(tools, &chunk)) {
        chunk.n_tokens = d->n_uncounted;
        int r = push(d, sink, &chunk);
        if (r < 0) {
            return r;
        }
        weir_tool_stream_take(tools);
    }
    return 0;
}

int weir_delivery_send(struct weir_delivery *d, struct weir_output *o,
                       struct weir_tool_stream *tools, enum weir_finish finish,
                       const weir_sink *sink, struct weir_logprob_scratch *scratch)
{
    int r = send_echo(d, sink);
    if (r == 0 && tools) {
        r = send_pieces(d, tools, sink);
    } else if (r == 0) {
        r = send_text(d, o, sink, scratch, finish != WEIR_FINISH_NONE);
    }
    if (r == 0 && finish != WEIR_FINISH_NONE) {
        r = push(d, sink,
                 &(weir_chunk){
                     .kind = WEIR_CHUNK_FINISH,
                     .finish = finish,
                     .n_tokens = d->n_uncounted,
                 });
    }
    return r;
}
