/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Text to token ids and back, whoever does it: a model file's tokenizer or a backend's own.
 *
 * Why: the scheduler must not care whether the model came as a GGUF file or is the echo example.
 * Ownership: a borrowed view; whoever fills it keeps `impl` alive. Pieces live as long as `impl`.
 * Threads: any; immutable. */
#include <stdbool.h>

#include "base/buf.h"
#include "weir/types.h"

enum {
    WEIR_TEXT_ADD_SPECIAL = 1u << 0,   /* the model's begin-of-text token in front */
    WEIR_TEXT_PARSE_SPECIAL = 1u << 1, /* "<|im_end|>" in the text is that token, not its letters */
};

struct weir_vocabulary {
    const void *impl;
    uint32_t n_vocab;
    uint32_t max_piece_bytes; /* of any token */
    /* The full count, also when it is over cap, or WEIR_E_*; flags: WEIR_TEXT_*. */
    int64_t (*encode)(const void *impl, weir_str text, uint32_t flags, int32_t *out, size_t cap);
    /* The bytes that a token stands for, maybe part of a character; a control token's name. Empty
     * for ids without any. */
    weir_str (*piece)(const void *impl, int32_t token);
    bool (*is_control)(const void *impl, int32_t token); /* no part of the visible text */
    bool (*is_end)(const void *impl, int32_t token);     /* ends a generation */
    /* Appends the text of tokens that stand by themselves; not necessarily UTF-8. */
    void (*decode)(const void *impl, const int32_t *tokens, size_t n_tokens, struct weir_buf *out);
};

/* The bytes that a token adds to the answer. */
static inline weir_str weir_vocabulary_visible(const struct weir_vocabulary *v, int32_t token)
{
    return v->is_control(v->impl, token) ? (weir_str){NULL, 0} : v->piece(v->impl, token);
}

/* Appends s with U+FFFD in the place of each byte that is no part of a character. */
void weir_vocabulary_repair(struct weir_buf *out, weir_str s);
