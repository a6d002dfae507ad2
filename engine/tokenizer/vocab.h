/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tokens of a model: their texts in the file, the bytes that they stand for, their attributes.
 *
 * Why: the file writes tokens in a notation (byte-level letters, U+2581 for a space, <0x0A>);
 * matching needs the notation, output needs the bytes.
 * Ownership: the vocabulary owns copies; the file may be closed. Threads: immutable once read.
 * Invariants: ids are 0 .. n-1; texts holds them first, then texts that are not tokens. */
#include "engine/gguf/gguf.h"
#include "engine/tokenizer/text_table.h"

#define WEIR_VOCAB_MAX_TOKENS (1u << 22)

enum weir_vocab_notation {
    WEIR_VOCAB_BYTE_LEVEL,    /* GPT-2: each byte is one letter */
    WEIR_VOCAB_SENTENCEPIECE, /* U+2581 is a space, <0xXX> a byte */
};

struct weir_vocab {
    uint32_t n;
    struct weir_text_table texts;
    uint16_t *attrs;        /* [n] WEIR_TOKEN_* */
    char *pieces;           /* the bytes of all tokens, one after the other */
    uint32_t *piece_starts; /* [n + 1] */
};

/* Reads tokenizer.ggml.tokens and .token_type. finish() takes what is half read. */
WEIR_NODISCARD int weir_vocab_init(struct weir_vocab *v, const struct weir_gguf *g,
                                   struct weir_error *err);
void weir_vocab_finish(struct weir_vocab *v);
/* Makes the pieces from texts and attributes, once the attributes are final. */
WEIR_NODISCARD int weir_vocab_decode_pieces(struct weir_vocab *v,
                                            enum weir_vocab_notation notation);

/* The token of that text, or WEIR_TOKEN_NONE. */
uint32_t weir_vocab_find(const struct weir_vocab *v, weir_str text);
weir_str weir_vocab_piece(const struct weir_vocab *v, uint32_t id);

/* The letter (code point) that stands for a byte in byte-level notation. */
uint32_t weir_vocab_byte_letter(uint8_t byte);
