/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/spm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/quant/half.h"
#include "engine/tokenizer/tokenizer.h"

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
        memcpy(out, "\xE2\x96\x81", 3);
        n = 3;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ') {
            memcpy(out + n, "\xE2\x96\x81", 3);
            n += 3;
        } else {
            out[n++] = text.p[i];
        }
    }
    return n;
}

int weir_spm_encode(const struct weir_spm *s, weir_str text, bool with_space,
                    struct weir_merge *merge, struct weir_token_sink *sink)
{
    char *escaped = malloc(3 * (text.n + 1));
    int r = escaped ? weir_merge_start(merge, text.n + 1) : WEIR_E_NOMEM;
    if (r < 0) {
        free(escaped);
        return r;
    }
    size_t n_bytes = escape_spaces(text, with_space, escaped);
    struct spm_word word = {s, escaped};
    for (size_t at = 0; at < n_bytes;) {
        size_t len = char_bytes((unsigned char)escaped[at]);
        len = len < n_bytes - at ? len : n_bytes - at;
        uint32_t id = weir_vocab_find(s->vocab, (weir_str){escaped + at, len});
        weir_merge_add(merge, id, at, len);
        at += len;
    }
    weir_merge_run(merge, rank_pair, &word);
    for (uint32_t i = merge->n ? 0 : WEIR_MERGE_NONE; i != WEIR_MERGE_NONE;
         i = merge->symbols[i].next) {
        put_symbol(&word, &merge->symbols[i], sink);
    }
    free(escaped);
    return 0;
}
