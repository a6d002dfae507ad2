/* SPDX-License-Identifier: Apache-2.0 */
/* Writes texts of a schema by chance, with a real model's vocabulary, and times the masks.
 *
 * Usage: weir_grammar_walk MODEL.gguf SCHEMA COUNT. SCHEMA is the text itself; "" is JSON mode.
 * One text a line to stdout, JSON strings escaped as they are; figures to stderr. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "engine/file_vocabulary.h"
#include "engine/grammar/grammar.h"

enum { HURRY_AFTER_TOKENS = 60, MAX_TOKENS = 3000, MAX_TEXT_BYTES = 1 << 20 };

struct timing {
    double mask_us, worst_mask_us, advance_us;
    unsigned long n;
};

static double now_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static uint32_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

/* The token of a closing byte where one is allowed, else one by chance. */
static int32_t pick(const struct weir_vocabulary *v, const uint32_t *bits, bool hurry,
                    uint64_t *seed)
{
    for (int32_t t = 0; hurry && t < (int32_t)v->n_vocab; t++) {
        weir_str p = weir_vocabulary_visible(v, t);
        if (weir_mask_allows(bits, t) &&
            (v->is_end(v->impl, t) || (p.n == 1 && strchr("\"}]", p.p[0])))) {
            return t;
        }
    }
    uint32_t from = draw(seed) % v->n_vocab;
    for (uint32_t i = 0; i < v->n_vocab; i++) {
        int32_t t = (int32_t)((from + i) % v->n_vocab);
        if (weir_mask_allows(bits, t)) {
            return t;
        }
    }
    return -1;
}

static int wander(const struct weir_vocabulary *v, const struct weir_grammar *g,
                  struct weir_walker *w, uint32_t *bits, uint64_t *seed, struct timing *timing)
{
    struct weir_buf text;
    struct weir_grammar_state s;
    weir_buf_init(&text, MAX_TEXT_BYTES);
    weir_grammar_state_init(&s, g);
    int r = 0;
    for (int n = 0; r == 0 && !weir_grammar_is_complete(&s); n++) {
        double t0 = now_us();
        r = weir_grammar_mask(&s, w, bits);
        double t1 = now_us();
        int32_t token = r == 0 ? pick(v, bits, n > HURRY_AFTER_TOKENS, seed) : -1;
        double t2 = now_us();
        r = token < 0 || n > MAX_TOKENS ? WEIR_E_INTERNAL : weir_grammar_advance(&s, w, token);
        timing->advance_us += now_us() - t2;
        timing->mask_us += t1 - t0;
        timing->worst_mask_us = t1 - t0 > timing->worst_mask_us ? t1 - t0 : timing->worst_mask_us;
        timing->n++;
        if (r == 0 && !v->is_end(v->impl, token)) {
            weir_buf_add_str(&text, weir_vocabulary_visible(v, token));
        }
    }
    for (size_t i = 0; i < text.len; i++) {
        (void)putchar(text.data[i] == '\n' ? ' ' : text.data[i]); /* white space in JSON */
    }
    (void)putchar('\n');
    weir_buf_finish(&text);
    return r;
}

static int run(const struct weir_vocabulary *v, const char *schema, int count)
{
    struct weir_token_trie *trie = NULL;
    struct weir_walker *w = NULL;
    struct weir_grammar *g = NULL;
    struct weir_error err = {0};
    struct weir_grammar_source source = {.schema = weir_str_from(schema)};
    double t0 = now_us();
    int r = weir_token_trie_create(v, &trie);
    double t1 = now_us();
    uint32_t *bits = r == 0 ? calloc(trie->n_words, sizeof(*bits)) : NULL;
    r = r == 0 && bits ? weir_walker_create(&w) : WEIR_E_NOMEM;
    double t2 = now_us();
    r = r == 0 ? weir_grammar_compile(&source, trie, &g, &err) : r;
    double t3 = now_us();
    struct timing timing = {0};
    uint64_t seed = 88172645463325252u;
    for (int i = 0; r == 0 && i < count; i++) {
        r = wander(v, g, w, bits, &seed, &timing);
    }
    if (r < 0) {
        (void)fprintf(stderr, "%s: %s\n", weir_error_name(r), err.message);
    } else {
        (void)fprintf(stderr,
                      "trie %.1f ms (%u nodes, %u closers, %u long), compile %.2f ms, mask %.1f us "
                      "(worst %.1f), advance %.2f us, %lu tokens\n",
                      (t1 - t0) / 1e3, trie->n_nodes, trie->n_closers, trie->n_long_inside,
                      (t3 - t2) / 1e3, timing.mask_us / (double)timing.n, timing.worst_mask_us,
                      timing.advance_us / (double)timing.n, timing.n);
    }
    weir_grammar_unref(g);
    weir_walker_destroy(w);
    weir_token_trie_destroy(trie);
    free(bits);
    return r < 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        (void)fprintf(stderr, "usage: %s MODEL.gguf SCHEMA COUNT\n", argv[0]);
        return 2;
    }
    struct weir_gguf *file = NULL;
    struct weir_tokenizer *tokenizer = NULL;
    struct weir_error err = {0};
    int r = weir_gguf_open(argv[1], &file, &err);
    r = r < 0 ? r : weir_tokenizer_create(file, &tokenizer, &err);
    if (r < 0) {
        (void)fprintf(stderr, "%s\n", err.message);
    } else {
        struct weir_vocabulary v = weir_file_vocabulary(tokenizer);
        r = run(&v, argv[2], atoi(argv[3]));
    }
    weir_tokenizer_destroy(tokenizer);
    weir_gguf_destroy(file);
    return r != 0;
}
