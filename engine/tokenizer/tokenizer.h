/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Text to token ids and back, as the model was trained.
 *
 * Why: token ids must equal those of the model's own tokenizer; a different split is another
 * prompt. Ids equal llama.cpp's, which the golden tests check.
 * Kinds: byte-level BPE (tokenizer.ggml.model "gpt2") with the pre-tokenisers that
 * pretokenize.c lists, and SentencePiece ("llama": Llama 2, Gemma 3). No regex library: texts are
 * split by scanners that look at each character a bounded number of times, and merged in
 * O(n log n).
 * Ownership: the tokenizer copies what it needs; the file may be closed after create.
 * Threads: immutable after create; any thread may call anything. Encoding allocates its own
 * scratch, at most about 64 bytes per byte of text.
 * Errors: WEIR_E_FORMAT, WEIR_E_UNSUPPORTED (unknown kind, named), WEIR_E_TOOBIG, WEIR_E_NOMEM. */
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "engine/gguf/gguf.h"
#include "weir/types.h"

#define WEIR_TOKEN_NONE UINT32_MAX
#define WEIR_TOKENIZER_MAX_TEXT_BYTES ((size_t)4 << 20)

/* Attributes of a token, a bit set. */
enum {
    WEIR_TOKEN_NORMAL = 1,
    WEIR_TOKEN_UNKNOWN = 2,
    WEIR_TOKEN_CONTROL = 4,      /* a mark such as <|im_end|>: not part of the visible text */
    WEIR_TOKEN_USER_DEFINED = 8, /* found whole in every text, before anything else is split */
    WEIR_TOKEN_UNUSED = 16,
    WEIR_TOKEN_BYTE = 32, /* stands for one byte that no other token covers */
    WEIR_TOKEN_EOG = 64,  /* ends a generation: end of text, end of turn, … */
};

enum {
    WEIR_ENCODE_ADD_SPECIAL = 1,   /* BOS before and EOS after, where the model wants them */
    WEIR_ENCODE_PARSE_SPECIAL = 2, /* "<|im_end|>" in the text is that token; else plain text */
};

enum {
    WEIR_DECODE_SPECIAL = 1, /* write control tokens as their text; else leave them out */
};

struct weir_tokenizer;

/* What the file says about its tokenizer. Ids are WEIR_TOKEN_NONE where there is none. */
struct weir_tokenizer_info {
    uint32_t n_vocab;
    uint32_t bos, eos, eot, unk, pad;
    bool add_bos, add_eos;
    bool add_space_prefix; /* SentencePiece: a text begins as if a space stood before it */
    const uint32_t *eog;   /* [n_eog] every token with WEIR_TOKEN_EOG, ascending */
    size_t n_eog;
    size_t max_piece_bytes;
};

WEIR_NODISCARD int weir_tokenizer_create(const struct weir_gguf *g,
                                         struct weir_tokenizer **ret_tokenizer,
                                         struct weir_error *err);
void weir_tokenizer_destroy(struct weir_tokenizer *t); /* NULL ok */

/* Lives as long as the tokenizer. */
const struct weir_tokenizer_info *weir_tokenizer_info(const struct weir_tokenizer *t);

/* Writes up to `cap` ids to out and the full number to *ret_n, also when it is more than `cap`:
 * then WEIR_E_TOOBIG, and out holds the first `cap`. WEIR_E_TOOBIG with *ret_n 0 for a text longer
 * than WEIR_TOKENIZER_MAX_TEXT_BYTES. Bytes that are not UTF-8 become U+FFFD (BPE) or byte tokens
 * (SentencePiece). */
WEIR_NODISCARD int weir_tokenizer_encode(const struct weir_tokenizer *t, weir_str text,
                                         unsigned flags, uint32_t *out, size_t cap, size_t *ret_n);

/* The bytes that a token stands for; control tokens: their text. A piece may end inside a UTF-8
 * character that the next one completes. Empty for unused tokens and ids past the vocabulary. */
weir_str weir_tokenizer_piece(const struct weir_tokenizer *t, uint32_t id);
/* WEIR_TOKEN_* bits; 0 past the vocabulary. */
unsigned weir_tokenizer_attrs(const struct weir_tokenizer *t, uint32_t id);
/* The token whose text in the file is `text` ("<|im_end|>"); WEIR_TOKEN_NONE when there is none. */
uint32_t weir_tokenizer_find(const struct weir_tokenizer *t, weir_str text);

/* Appends the text of n ids: the pieces in a row, without the space that add_space_prefix put
 * before the first one. Failure is the buffer's sticky one. */
void weir_tokenizer_decode(const struct weir_tokenizer *t, const uint32_t *ids, size_t n,
                           unsigned flags, struct weir_buf *out);
