/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Splits a text into the words inside which byte-level BPE merges.
 *
 * Why: each model family was trained with its own regular expressions (tokenizer.ggml.pre). Here
 * every expression is a scanner that, from the beginning of a piece, finds its end; scanners are
 * applied one inside the other, and each looks at a character a bounded number of times.
 * Ownership: constant tables; the text is the caller's. Threads: any. */
#include <stdbool.h>

#include "weir/types.h"

#define WEIR_PRETOKENIZER_MAX_STAGES 5

struct weir_pre_text {
    const uint32_t *cps;    /* [n] code points */
    const uint8_t *classes; /* [n] weir_unicode_class() of each */
    size_t n;
};

/* The end, in (begin, end], of the piece that starts at begin. */
typedef size_t (*weir_pre_scanner)(const struct weir_pre_text *t, size_t begin, size_t end);

struct weir_pretokenizer {
    const char *name;
    weir_pre_scanner stages[WEIR_PRETOKENIZER_MAX_STAGES]; /* NULL after the last one */
    bool ignore_merges; /* a word that is a token is that token, whatever the merges say */
    bool add_bos;       /* unless the file says otherwise */
};

/* NULL for a name that is not supported. */
const struct weir_pretokenizer *weir_pretokenizer_find(weir_str name);

/* Walks over the words: starts zeroed, next() gives one word [begin, end) after the other. */
struct weir_pre_walk {
    size_t ends[WEIR_PRETOKENIZER_MAX_STAGES]; /* of the current piece of each stage */
    size_t begin, end;
};

/* false when the text is used up. */
bool weir_pre_walk_next(struct weir_pre_walk *w, const struct weir_pretokenizer *p,
                        const struct weir_pre_text *t);
