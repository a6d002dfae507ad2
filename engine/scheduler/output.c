/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <assert.h>

#include "base/utf8.h"

/* Tokens that hold no text at all (control tokens) may queue up beside those held back. */
enum { SPARE_TOKENS = 64 };

static const char REPLACEMENT[3] = {(char)0xEF, (char)0xBF, (char)0xBD}; /* U+FFFD */

int weir_output_init(struct weir_output *o, const struct weir_vocabulary *vocabulary,
                     const struct weir_stop_set *stops, bool want_logprobs,
                     struct weir_arena *arena)
{
    *o = (struct weir_output){.vocabulary = vocabulary, .stops = stops};
    /* Each byte of a piece, and of an incomplete character before it, may become U+FFFD. */
    uint32_t piece_cap = vocabulary->max_piece_bytes + 4;
    o->cap = stops->longest + (uint32_t)WEIR_STEP_MAX_TOKENS_OUT * 3 * piece_cap;
    o->text = weir_arena_alloc(arena, o->cap);
    o->bytes = weir_arena_alloc(arena, piece_cap);
    if (want_logprobs) {
        o->tokens_cap = stops->longest + SPARE_TOKENS;
        o->tokens = weir_arena_array(arena, o->tokens_cap, sizeof(*o->tokens));
    }
    return o->text && o->bytes && (o->tokens || !want_logprobs) ? 0 : WEIR_E_NOMEM;
}

/* Appends settled characters; true when a stop string ends in them. */
static bool append(struct weir_output *o, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert(o->len < o->cap);
        o->text[o->len++] = p[i];
        uint32_t found = weir_stop_set_step(o->stops, &o->stop_state, p[i]);
        if (found > 0) {
            o->len -= found;
            o->stopped = true;
            return true;
        }
    }
    return false;
}

/* Turns o->bytes[0..n) into characters, keeping an incomplete one at the end. */
static bool append_bytes(struct weir_output *o, size_t n)
{
    size_t i = 0;
    o->n_partial = 0;
    while (i < n) {
        size_t len = weir_utf8_valid_len(o->bytes + i, n - i);
        if (len == 0 && weir_utf8_partial_tail((weir_str){o->bytes + i, n - i}) == n - i) {
            memmove(o->bytes, o->bytes + i, n - i);
            o->n_partial = (uint32_t)(n - i);
            return false;
        }
        bool stop =
            len > 0 ? append(o, o->bytes + i, len) : append(o, REPLACEMENT, sizeof(REPLACEMENT));
        if (stop) {
            return true;
        }
        i += len > 0 ? len : 1;
    }
    return false;
}

static void queue_token(struct weir_output *o, const weir_step_result *r, uint32_t index,
                        uint64_t begin)
{
    assert(o->n_tokens < o->tokens_cap);
    struct weir_output_token *t = &o->tokens[o->n_tokens++];
    t->token = r->tokens[index];
    t->logprob = r->logprobs[index];
    t->begin = begin;
    t->end = o->start + o->len;
    t->n_top = index == 0 ? r->n_top : 0;
    assert(t->n_top <= sizeof(t->top) / sizeof(t->top[0]));
    memcpy(t->top, r->top, t->n_top * sizeof(t->top[0]));
}

/* Tokens whose text lies wholly behind the end are not part of the answer. */
static void drop_tokens_behind_end(struct weir_output *o)
{
    while (o->n_tokens > 0 && o->tokens[o->n_tokens - 1].begin >= o->start + o->len) {
        o->n_tokens--;
    }
    for (uint32_t i = 0; i < o->n_tokens; i++) {
        if (o->tokens[i].end > o->start + o->len) {
            o->tokens[i].end = o->start + o->len;
        }
    }
}

bool weir_output_add(struct weir_output *o, const weir_step_result *result, uint32_t index)
{
    const struct weir_vocabulary *v = o->vocabulary;
    uint64_t begin = o->start + o->len;
    weir_str piece = o->shows_control ? v->piece(v->impl, result->tokens[index])
                                      : weir_vocabulary_visible(v, result->tokens[index]);
    assert(piece.n <= v->max_piece_bytes);
    if (piece.n > 0) {
        memcpy(o->bytes + o->n_partial, piece.p, piece.n);
    }
    bool stop = append_bytes(o, o->n_partial + piece.n);
    if (o->tokens) {
        queue_token(o, result, index, begin);
        if (stop) {
            drop_tokens_behind_end(o);
        }
    }
    o->ready = stop ? o->len : o->len - weir_stop_set_held(o->stops, &o->stop_state);
    return stop;
}

void weir_output_end(struct weir_output *o)
{
    if (!o->stopped && o->n_partial > 0) {
        (void)append(o, REPLACEMENT, sizeof(REPLACEMENT));
    }
    o->n_partial = 0;
    o->ready = o->len;
}

uint32_t weir_output_tokens_due(const struct weir_output *o, bool last)
{
    if (last || o->n_tokens + WEIR_STEP_MAX_TOKENS_OUT > o->tokens_cap) {
        return o->n_tokens;
    }
    uint32_t n = 0;
    while (o->ready > 0 && n < o->n_tokens && o->tokens[n].end <= o->start + o->ready) {
        n++;
    }
    return n;
}

void weir_output_consume(struct weir_output *o, uint32_t n_bytes, uint32_t n_tokens)
{
    assert(n_bytes <= o->ready && n_tokens <= o->n_tokens);
    memmove(o->text, o->text + n_bytes, o->len - n_bytes);
    o->len -= n_bytes;
    o->ready -= n_bytes;
    o->start += n_bytes;
    if (n_tokens > 0) {
        memmove(o->tokens, o->tokens + n_tokens, (o->n_tokens - n_tokens) * sizeof(*o->tokens));
        o->n_tokens -= n_tokens;
    }
}
