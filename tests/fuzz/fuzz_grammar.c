/* SPDX-License-Identifier: Apache-2.0 */
/* A schema and bytes that choose tokens, parted by a line `%%`. Properties: compiling ends, and
 * refusals say why; while the text is not complete some token is allowed; allowed tokens are taken;
 * what is complete is JSON. */
#include <stdlib.h>

#include <yyjson.h>

#include "base/buf.h"
#include "engine/grammar/grammar.h"
#include "tests/support/pieces.h"

enum { MAX_TOKENS = 300, MAX_TEXT_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void split(weir_str all, weir_str *ret_schema, weir_str *ret_choices)
{
    static const char mark[] = "\n%%\n";
    const char *at = all.n ? memmem(all.p, all.n, mark, sizeof(mark) - 1) : NULL;
    if (!at) {
        *ret_schema = all;
        *ret_choices = (weir_str){NULL, 0};
        return;
    }
    const char *choices = at + sizeof(mark) - 1;
    *ret_schema = (weir_str){all.p, (size_t)(at - all.p)};
    *ret_choices = (weir_str){choices, (size_t)(all.p + all.n - choices)};
}

/* The first allowed token from `from` on. */
static int32_t pick(const uint32_t *bits, uint32_t from, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        int32_t token = (int32_t)((from + i) % n_vocab);
        if (weir_mask_allows(bits, token)) {
            return token;
        }
    }
    abort();
}

static void wander(const struct weir_vocabulary *v, const struct weir_grammar *g,
                   struct weir_walker *w, weir_str choices)
{
    uint32_t bits[PIECES_MAX_WORDS];
    struct weir_grammar_state s;
    struct weir_buf text;
    weir_buf_init(&text, MAX_TEXT_BYTES);
    weir_grammar_state_init(&s, g);
    for (size_t n = 0; n < MAX_TOKENS && !weir_grammar_is_complete(&s); n++) {
        require(weir_grammar_mask(&s, w, bits) == 0);
        uint32_t from = n < choices.n ? (uint8_t)choices.p[n] * 2u : (uint32_t)n;
        int32_t token = pick(bits, from, v->n_vocab);
        require(weir_grammar_advance(&s, w, token) == 0);
        if (token != PIECES_END) {
            weir_buf_add_str(&text, weir_vocabulary_visible(v, token));
        }
    }
    if (s.may_end) {
        yyjson_doc *doc = yyjson_read(text.data, text.len, 0);
        require(doc != NULL);
        yyjson_doc_free(doc);
    }
    weir_buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Made once for the life of the fuzzer. */
    static struct weir_vocabulary v;
    static struct weir_token_trie *trie;
    static struct weir_walker *w;
    if (!trie) {
        v = pieces_vocabulary();
        require(weir_token_trie_create(&v, &trie) == 0 && weir_walker_create(&w) == 0);
    }
    struct weir_grammar *g = NULL;
    struct weir_error err = {0};
    struct weir_grammar_source source;
    weir_str choices;
    source = (struct weir_grammar_source){.schema = {NULL, 0}};
    split((weir_str){(const char *)data, size}, &source.schema, &choices);
    int r = weir_grammar_compile(&source, trie, &g, &err);
    require((r < 0) == (err.message[0] != '\0'));
    if (r == 0) {
        wander(&v, g, w, choices);
    }
    weir_grammar_unref(g);
    return 0;
}
