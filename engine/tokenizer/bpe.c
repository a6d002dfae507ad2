/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/bpe.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/unicode_class.h"

#define MAX_MERGES (1u << 24)
#define REPLACEMENT 0xFFFDu

struct weir_bpe_pair {
    uint32_t left, right;
    uint32_t rank; /* WEIR_MERGE_NONE: free slot */
    uint32_t merged;
};

static size_t pair_slot(const struct weir_bpe *b, uint32_t left, uint32_t right)
{
    /* Fibonacci hashing; the product's high bits are the well-mixed ones. */
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    size_t mask = b->n_pair_slots - 1;
    size_t at = (size_t)(key >> 32) & mask;
    while (b->pairs[at].rank != WEIR_MERGE_NONE &&
           (b->pairs[at].left != left || b->pairs[at].right != right)) {
        at = (at + 1) & mask;
    }
    return at;
}

static void rank_pair(const void *context, struct weir_merge_symbol *left,
                      const struct weir_merge_symbol *right)
{
    const struct weir_bpe *b = context;
    const struct weir_bpe_pair *pair = &b->pairs[pair_slot(b, left->id, right->id)];
    left->priority = pair->rank;
    left->merged_id = pair->merged;
}

/* "left right": the first space that is not the first byte parts them. */
static int add_merge(struct weir_bpe *b, struct weir_text_table *texts, weir_str merge,
                     uint32_t rank, char *joined)
{
    const char *space = merge.n > 1 ? memchr(merge.p + 1, ' ', merge.n - 1) : NULL;
    if (!space || space + 1 == merge.p + merge.n) {
        return 0; /* names no pair, so it never applies */
    }
    weir_str left_text = {merge.p, (size_t)(space - merge.p)};
    weir_str right_text = {space + 1, merge.n - left_text.n - 1};
    memcpy(joined, left_text.p, left_text.n);
    memcpy(joined + left_text.n, right_text.p, right_text.n);
    uint32_t left = 0, right = 0, merged = 0;
    int r = weir_text_table_add(texts, left_text, &left);
    if (r == 0) {
        r = weir_text_table_add(texts, right_text, &right);
    }
    if (r == 0) {
        r = weir_text_table_add(texts, (weir_str){joined, merge.n - 1}, &merged);
    }
    if (r < 0) {
        return r;
    }
    struct weir_bpe_pair *pair = &b->pairs[pair_slot(b, left, right)];
    if (pair->rank == WEIR_MERGE_NONE) { /* the first of equal ones counts */
        *pair = (struct weir_bpe_pair){left, right, rank, merged};
    }
    return 0;
}

static int read_merges(struct weir_bpe *b, struct weir_text_table *texts, const struct weir_gguf *g,
                       struct weir_error *err)
{
    struct weir_gguf_array merges;
    int r = weir_gguf_array(g, "tokenizer.ggml.merges", WEIR_GGUF_STR, &merges, err);
    if (r < 0) {
        return r;
    }
    if (merges.n > MAX_MERGES) {
        return weir_error_set(err, WEIR_E_TOOBIG,
                              "tokenizer.ggml.merges has %llu merges, must have at most %u",
                              (unsigned long long)merges.n, MAX_MERGES);
    }
    b->n_pair_slots = 1024;
    while (b->n_pair_slots < merges.n * 3 / 2) {
        b->n_pair_slots *= 2;
    }
    size_t max_bytes = 1;
    const unsigned char *cursor = merges.data;
    for (uint64_t i = 0; i < merges.n; i++) {
        size_t n = weir_gguf_array_next_str(&cursor).n;
        max_bytes = n > max_bytes ? n : max_bytes;
    }
    char *joined = malloc(max_bytes);
    b->pairs = malloc(b->n_pair_slots * sizeof(b->pairs[0]));
    r = joined && b->pairs ? 0 : WEIR_E_NOMEM;
    for (size_t i = 0; r == 0 && i < b->n_pair_slots; i++) {
        b->pairs[i].rank = WEIR_MERGE_NONE;
    }
    cursor = merges.data;
    for (uint32_t i = 0; r == 0 && i < merges.n; i++) {
        r = add_merge(b, texts, weir_gguf_array_next_str(&cursor), i, joined);
    }
    free(joined);
    return r < 0 ? weir_error_set(err, r, "no memory for %llu merges", (unsigned long long)merges.n)
                 : 0;
}

int weir_bpe_init(struct weir_bpe *b, struct weir_vocab *v, const struct weir_pretokenizer *pre,
                  const struct weir_gguf *g, struct weir_error *err)
{
    *b = (struct weir_bpe){.vocab = v, .pre = pre};
    for (uint32_t byte = 0; byte < 256; byte++) {
        char letter[4];
        size_t n = weir_utf8_encode(weir_vocab_byte_letter((uint8_t)byte), letter);
        int r = weir_text_table_add(&v->texts, (weir_str){letter, n}, &b->byte_symbols[byte]);
        if (r < 0) {
            return weir_error_set(err, r, "no memory for the tokenizer");
        }
        if (byte < 128) {
            b->ascii_tokens[byte] = weir_vocab_find(v, (weir_str){&(char){(char)byte}, 1});
        }
    }
    return read_merges(b, &v->texts, g, err);
}

void weir_bpe_finish(struct weir_bpe *b)
{
    free(b->pairs);
    *b = (struct weir_bpe){0};
}

/* The word as one token, where the model prefers that to merging; else WEIR_TOKEN_NONE. */
static uint32_t find_whole_word(const struct weir_bpe *b, const uint32_t *cps, size_t n)
{
    char text[512];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        size_t n_bytes = weir_utf8_encode(cps[i], bytes);
        for (size_t k = 0; k < n_bytes; k++) {
            if (at + 4 > sizeof(text)) {
                return WEIR_TOKEN_NONE;
            }
            at += weir_utf8_encode(weir_vocab_byte_letter((uint8_t)bytes[k]), text + at);
        }
    }
    return weir_vocab_find(b->vocab, (weir_str){text, at});
}

/* A symbol that is no token falls apart into those of its letters that are tokens as text. This
 * drops bytes that the vocabulary lacks, as the reference does. */
static void put_symbol(const struct weir_bpe *b, uint32_t symbol, struct weir_token_sink *sink)
{
    if (symbol < b->vocab->n) {
        weir_token_sink_add(sink, symbol);
        return;
    }
    weir_str text = weir_text_table_get(&b->vocab->texts, symbol);
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = (uint8_t)text.p[i];
        if (c < 128 && b->ascii_tokens[c] != WEIR_TOKEN_NONE) {
            weir_token_sink_add(sink, b->ascii_tokens[c]);
        }
    }
}

static int encode_word(const struct weir_bpe *b, const uint32_t *cps, size_t n,
                       struct weir_merge *merge, struct weir_token_sink *sink)
{
    if (b->pre->ignore_merges) {
        uint32_t whole = find_whole_word(b, cps, n);
        if (whole != WEIR_TOKEN_NONE) {
            weir_token_sink_add(sink, whole);
            return 0;
        }
    }
    int r = weir_merge_start(merge, n * 4);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        size_t n_bytes = weir_utf8_encode(cps[i], bytes);
        for (size_t k = 0; k < n_bytes; k++) {
            weir_merge_add(merge, b->byte_symbols[(uint8_t)bytes[k]], 0, 0);
        }
    }
    weir_merge_run(merge, rank_pair, b);
    for (uint32_t i = 0; i != WEIR_MERGE_NONE; i = merge->symbols[i].next) {
        put_symbol(b, merge->symbols[i].id, sink);
    }
    return 0;
}

/* Code points of the text; a byte that is not UTF-8 gives U+FFFD. */
static size_t decode_text(weir_str text, uint32_t *cps, uint8_t *classes)
{
    size_t n = 0;
    size_t at = 0;
    while (at < text.n) {
        uint32_t cp = REPLACEMENT;
        size_t len = weir_utf8_decode(text.p + at, text.n - at, &cp);
        at += len ? len : 1;
        cps[n] = cp;
        classes[n] = weir_unicode_class(cp);
        n++;
    }
    return n;
}

int weir_bpe_encode(const struct weir_bpe *b, weir_str text, struct weir_merge *merge,
                    struct weir_token_sink *sink)
{
    uint32_t *cps = malloc(text.n * (sizeof(cps[0]) + 1) + 1);
    if (!cps) {
        return WEIR_E_NOMEM;
    }
    uint8_t *classes = (uint8_t *)(cps + text.n);
    struct weir_pre_text decoded = {cps, classes, decode_text(text, cps, classes)};
    struct weir_pre_walk walk = {0};
    int r = 0;
    while (r == 0 && weir_pre_walk_next(&walk, b->pre, &decoded)) {
        r = encode_word(b, cps + walk.begin, walk.end - walk.begin, merge, sink);
    }
    free(cps);
    return r;
}
