/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Byte-level BPE: words of byte letters, merged by the ranks in tokenizer.ggml.merges.
 *
 * Why: symbols are numbers, not texts: those of the vocabulary's text table. A merge is one look
 * in a table of pairs.
 * Ownership: borrows the vocabulary, owns the pairs. Threads: immutable once read.
 * Errors: WEIR_E_FORMAT, WEIR_E_NOMEM. */
#include "engine/tokenizer/merge.h"
#include "engine/tokenizer/pretokenize.h"
#include "engine/tokenizer/token_sink.h"
#include "engine/tokenizer/vocab.h"

struct weir_bpe_pair;

struct weir_bpe {
    const struct weir_vocab *vocab;
    const struct weir_pretokenizer *pre;
    uint32_t byte_symbols[256]; /* the text of each byte's letter */
    uint32_t ascii_tokens[128]; /* the token of each ASCII character as text, or none */
    struct weir_bpe_pair *pairs;
    size_t n_pair_slots; /* a power of two */
};

/* Adds to the vocabulary's texts what merges mention and is no token. */
WEIR_NODISCARD int weir_bpe_init(struct weir_bpe *b, struct weir_vocab *v,
                                 const struct weir_pretokenizer *pre, const struct weir_gguf *g,
                                 struct weir_error *err);
void weir_bpe_finish(struct weir_bpe *b);

/* Encodes a text without special tokens. */
WEIR_NODISCARD int weir_bpe_encode(const struct weir_bpe *b, weir_str text,
                                   struct weir_merge *merge, struct weir_token_sink *sink);
