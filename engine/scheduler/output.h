/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sampled tokens to text that may be sent: whole UTF-8 characters, nothing of a stop string.
 *
 * Why: a token may hold half a character or the begin of a stop string, so text can only be sent
 * when later tokens have settled it. The tokens' log-probabilities wait for their text. How: bytes
 * -> characters (malformed ones become U+FFFD) -> stop matcher -> text[0..ready) may be sent,
 * text[ready..len) is held back. Ownership: all memory comes from the arena given to init; nothing
 * is allocated afterwards. Threads: one owner. Invariant: ready <= len <= cap. The owner empties
 * text[0..ready) before the next add(); what is held back is shorter than the longest stop string,
 * so add() always fits. */
#include "engine/scheduler/stop_set.h"
#include "engine/vocabulary.h"
#include "weir/backend_step.h"

struct weir_output_token { /* waits for its text to be sent */
    int32_t token;
    float logprob;
    uint64_t begin, end; /* its text, as offsets in the completion */
    uint32_t n_top;
    weir_top_logprob top[20];
};

struct weir_output {
    const struct weir_vocabulary *vocabulary;
    const struct weir_stop_set *stops;
    struct weir_stop_state stop_state;
    char *text;
    uint32_t cap, len, ready;
    uint64_t start; /* offset of text[0] in the completion */
    char *bytes;    /* an incomplete character, and room for a piece behind it */
    uint32_t n_partial;
    struct weir_output_token *tokens; /* [tokens_cap]; NULL when nobody asked */
    uint32_t n_tokens, tokens_cap;
    bool shows_control; /* control tokens are text, too: tool calls are marked by them */
    bool stopped;       /* a stop string was found; text ends before it */
};

int weir_output_init(struct weir_output *o, const struct weir_vocabulary *vocabulary,
                     const struct weir_stop_set *stops, bool want_logprobs,
                     struct weir_arena *arena);
/* Takes the next token, sampled as result->tokens[index]. True when a stop string is complete. */
bool weir_output_add(struct weir_output *o, const weir_step_result *result, uint32_t index);
/* No token follows: what was held back may be sent. */
void weir_output_end(struct weir_output *o);
/* How many of tokens[] go with the text that is ready. A token without text waits for the next
 * text, unless `last` or too many of them wait. */
uint32_t weir_output_tokens_due(const struct weir_output *o, bool last);
/* Forgets what was sent. */
void weir_output_consume(struct weir_output *o, uint32_t n_bytes, uint32_t n_tokens);
