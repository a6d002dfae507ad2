/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Text to token ids and back, whoever does it: a model file's tokenizer or a backend's own.
 *
 * Why: the scheduler must not care whether the model came as a GGUF file or is the echo example.
 * Ownership: a borrowed view; whoever fills it keeps `impl` alive.
 * Threads: any; the functions are pure.
 * Errors: encode and piece return the full length, also when it is over cap (then nothing behind
 * cap is written), or WEIR_E_*. */
#include <stdbool.h>

#include "base/buf.h"
#include "weir/types.h"

enum {
    WEIR_ENCODE_ADD_SPECIAL = 1u << 0, /* put the model's begin-of-text token in front */
    WEIR_ENCODE_PARSE_SPECIAL = 1u
                                << 1, /* "<|im_end|>" in the text is that token, not its letters */
};

struct weir_vocabulary {
    const void *impl;
    uint32_t n_vocab;
    uint32_t max_piece_bytes; /* of any token */
    int64_t (*encode)(const void *impl, weir_str text, uint32_t flags, int32_t *out, size_t cap);
    /* The bytes that a token stands for, maybe part of a character; 0 for a control token. */
    int64_t (*piece)(const void *impl, int32_t token, char *out, size_t cap);
    bool (*is_end)(const void *impl, int32_t token); /* ends a generation */
};

/* Appends the bytes of the tokens; not necessarily UTF-8. WEIR_E_ARG: not a token. */
int weir_vocabulary_decode(const struct weir_vocabulary *v, const int32_t *tokens, size_t n_tokens,
                           struct weir_buf *ret_bytes);
/* Appends s with U+FFFD in the place of each byte that is no part of a character. */
void weir_utf8_repair(struct weir_buf *out, weir_str s);
