/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/spm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/quant/half.h"
#include "engine/tokenizer/tokenizer.h"

static const char escaped_space[] = "\xE2\x96\x81"; /* U+2581 */
#define ESCAPED_SPACE_BYTES 3u

static bool is_escaped_space(const char *p, size_t n_bytes)
{
    return n_bytes >= ESCAPED_SPACE_BYTES && memcmp(p, escaped_space, ESCAPED_SPACE_BYTES) == 0;
}

/* Order-preserving map of floats to integers, turned round: the best score gets the least. */
static uint32_t priority_of_score(float score)
{
    uint32_t bits = weir_f32_to_bits(score == 0.0f ? 0.0f : score); /* -0.0 equals 0.0 */
    uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ~ascending;
}

static int read_scores(struct weir_spm *s, const struct weir_gguf *g, struct weir_error *err)
{
    struct weir_gguf_array scores;
    int r = weir_gguf_array(g, "tokenizer.ggml.scores", WEIR_GGUF_F32, &scores, err);
    if (r < 0) {
        return r;
    }
    if (scores.n != s->vocab->n) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "tokenizer.ggml.scores has %llu elements, must have %u",
                              (unsigned long long)scores.n, s->vocab->n);
    }
    for (uint32_t i = 0; i < s->vocab->n; i++) {
        float score = weir_gguf_array_f32(&scores, i);
        if (isnan(score)) {
            return weir_error_set(err, WEIR_E_FORMAT, "tokenizer.ggml.scores: token %u has NaN", i);
        }
        s->priorities[i] = priority_of_score(score);
    }
    return 0;
}

static void find_joins(struct weir_spm *s)
{
    for (uint32_t id = 0; id < s->vocab->n; id++) {
        weir_str text = weir_text_table_get(&s->vocab->texts, id);
        for (size_t i = 1; i < text.n; i++) {
            if (is_escaped_space(text.p + i, text.n - i)) {
                s->joins_space[(uint8_t)text.p[i - 1]] = true;
            }
        }
    }
}

int weir_spm_init(struct weir_spm *s, const struct weir_vocab *v, const struct weir_gguf *g,
                  struct weir_error *err)
{
    *s = (struct weir_spm){.vocab = v};
    s->priorities = malloc(v->n * sizeof(s->priorities[0]));
    if (!s->priorities) {
        return weir_error_set(err, WEIR_E_NOMEM, "no memory for %u scores", v->n);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        (void)snprintf(text, sizeof(text), "<0x%02X>", byte);
        uint32_t id = weir_vocab_find(v, weir_str_from(text));
        if (id == WEIR_TOKEN_NONE) {
            id = weir_vocab_find(v, (weir_str){&(char){(char)byte}, 1});
        }
        s->byte_tokens[byte] = id;
    }
    find_joins(s);
    return read_scores(s, g, err);
}

void weir_spm_finish(struct weir_spm *s)
{
    free(s->priorities);
    *s = (struct weir_spm){0};
}

struct spm_word {
    const struct weir_spm *spm;
    const char *text;
};

static void rank_pair(const void *context, struct weir_merge_symbol *left,
                      const struct weir_merge_symbol *right)
{
    const struct spm_word *word = context;
    weir_str joined = {word->text + left->start, (size_t)left->n_bytes + right->n_bytes};
    uint32_t id = weir_vocab_find(word->spm->vocab, joined);
    if (id != WEIR_TOKEN_NONE) {
        left->priority = word->spm->priorities[id];
        left->merged_id = id;
    }
}

/* Length of a character by its first byte, whether or not the rest is well-formed: the reference
 * splits so, and the pieces of malformed ones end as byte tokens. */
static size_t char_bytes(unsigned char first)
{
    if (first >= 0xF0) {
        return 4;
    }
    if (first >= 0xE0) {
        return 3;
    }
    return first >= 0xC0 ? 2 : 1;
}

static void put_symbol(const struct spm_word *word, const struct weir_merge_symbol *symbol,
                       struct weir_token_sink *sink)
{
    if (symbol->id != WEIR_MERGE_NONE) {
        weir_token_sink_add(sink, symbol->id);
        return;
    }
    for (size_t i = 0; i < symbol->n_bytes; i++) {
        uint32_t id = word->spm->byte_tokens[(uint8_t)word->text[symbol->start + i]];
        if (id != WEIR_TOKEN_NONE) {
            weir_token_sink_add(sink, id);
        }
    }
}

/* Spaces become U+2581. Returns the length; out has room for 3 * (text.n + 1). */
static size_t escape_spaces(weir_str text, bool with_space, char *out)
{
    size_t n = 0;
    if (with_space) {
        memcpy(out, escaped_space, ESCAPED_SPACE_BYTES);
        n = ESCAPED_SPACE_BYTES;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ') {
            memcpy(out + n, escaped_space, ESCAPED_SPACE_BYTES);
            n += ESCAPED_SPACE_BYTES;
        } else {
            out[n++] = text.p[i];
        }
    }
    return n;
}

/* The length of the character at the beginning, by its first byte. */
static size_t next_char_bytes(const char *p, size_t n_bytes)
{
    size_t len = char_bytes((unsigned char)*p);
    return len < n_bytes ? len : n_bytes;
}

/* Merges the word at the beginning of the text and returns its length. */
static size_t encode_word(const struct weir_spm *s, const char *text, size_t n_bytes,
                          struct weir_merge *merge, struct weir_token_sink *sink)
{
    struct spm_word word = {s, text};
    weir_merge_restart(merge);
    size_t at = 0;
    while (at < n_bytes) {
        if (at > 0 && !s->joins_space[(uint8_t)text[at - 1]] &&
            is_escaped_space(text + at, n_bytes - at)) {
            break;
        }
        size_t len = next_char_bytes(text + at, n_bytes - at);
        weir_merge_add(merge, weir_vocab_find(s->vocab, (weir_str){text + at, len}), at, len);
        at += len;
    }
    weir_merge_run(merge, rank_pair, &word);
    for (uint32_t i = 0; i != WEIR_MERGE_NONE; i = merge->symbols[i].next) {
        put_symbol(&word, &merge->symbols[i], sink);
    }
    return at;
}

int weir_spm_encode(const struct weir_spm *s, weir_str text, bool with_space,
                    struct weir_merge *merge, struct weir_token_sink *sink)
{
    char *escaped = malloc(3 * (text.n + 1));
    int r = escaped ? weir_merge_start(merge, text.n + 1) : WEIR_E_NOMEM;
    if (r == 0) {
        size_t n_bytes = escape_spaces(text, with_space, escaped);
        for (size_t at = 0; at < n_bytes;) {
            at += encode_word(s, escaped + at, n_bytes - at, merge, sink);
        }
    }
    free(escaped);
    return r;
}
