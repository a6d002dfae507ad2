/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SentencePiece's BPE: characters, merged into the token with the highest score.
 * Ownership: borrows the vocabulary. Threads: immutable once read. Errors: WEIR_E_FORMAT,
 * WEIR_E_NOMEM. */
#include <stdbool.h>

#include "engine/tokenizer/merge.h"
#include "engine/tokenizer/token_sink.h"
#include "engine/tokenizer/vocab.h"

struct weir_spm {
    const struct weir_vocab *vocab;
    uint32_t *priorities; /* [vocab->n] from tokenizer.ggml.scores: higher score, lower number */
    uint32_t byte_tokens[256]; /* WEIR_TOKEN_NONE: none */
    /* Does some token hold U+2581 behind a character that ends in this byte? Where none does,
     * no merge crosses, and the text can be cut into words without another result. */
    bool joins_space[256];
};

WEIR_NODISCARD int weir_spm_init(struct weir_spm *s, const struct weir_vocab *v,
                                 const struct weir_gguf *g, struct weir_error *err);
void weir_spm_finish(struct weir_spm *s);

/* Encodes a text without special tokens; with_space: as if a space stood before it. */
WEIR_NODISCARD int weir_spm_encode(const struct weir_spm *s, weir_str text, bool with_space,
                                   struct weir_merge *merge, struct weir_token_sink *sink);
