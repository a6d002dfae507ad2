/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/tokenizer.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "tests/support/cmocka.h"
#include "tests/support/files.h"

#define MAX_IDS 8192

static struct weir_tokenizer *open_tokenizer(const char *path)
{
    struct weir_gguf *g = NULL;
    struct weir_tokenizer *t = NULL;
    struct weir_error err = {0};
    if (weir_gguf_open(path, &g, &err) < 0 || weir_tokenizer_create(g, &t, &err) < 0) {
        fail_msg("%s: %s", path, err.message);
    }
    weir_gguf_destroy(g); /* the tokenizer must not need it any more */
    return t;
}

static const char *vocab_path(const char *name)
{
    char file[128];
    (void)snprintf(file, sizeof(file), "golden/vocab/%s.gguf", name);
    return weir_test_data_path(file);
}

static uint32_t read_leb128(const unsigned char **cursor)
{
    uint32_t v = 0;
    unsigned shift = 0;
    while (**cursor & 0x80) {
        v |= (uint32_t)(*(*cursor)++ & 0x7F) << shift;
        shift += 7;
    }
    return v | (uint32_t) * (*cursor)++ << shift;
}

static bool has_sha256(const struct weir_buf *b, const unsigned char *expected)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    assert_false(b->failed);
    SHA256((const unsigned char *)b->data, b->len, digest);
    return memcmp(digest, expected, sizeof(digest)) == 0;
}

static void compare_pieces(const char *name, const struct weir_tokenizer *t,
                           const unsigned char *pieces_hash, const unsigned char *kinds_hash)
{
    struct weir_buf pieces, kinds;
    weir_buf_init(&pieces, (size_t)64 << 20);
    weir_buf_init(&kinds, (size_t)1 << 20);
    for (uint32_t id = 0; id < weir_tokenizer_info(t)->n_vocab; id++) {
        weir_str piece = weir_tokenizer_piece(t, id);
        uint32_t n = (uint32_t)piece.n;
        unsigned attrs = weir_tokenizer_attrs(t, id);
        weir_buf_add(&pieces, &n, sizeof(n));
        weir_buf_add_str(&pieces, piece);
        weir_buf_add_char(&kinds, (char)(((attrs & WEIR_TOKEN_CONTROL) != 0) |
                                         ((attrs & WEIR_TOKEN_EOG) != 0) << 1));
    }
    if (!has_sha256(&pieces, pieces_hash)) {
        fail_msg("%s: pieces differ", name);
    }
    if (!has_sha256(&kinds, kinds_hash)) {
        fail_msg("%s: control or end-of-generation tokens differ", name);
    }
    weir_buf_finish(&pieces);
    weir_buf_finish(&kinds);
}

static void compare_ids(const char *name, const struct weir_tokenizer *t, weir_str text,
                        size_t number, unsigned flags, const unsigned char **cursor)
{
    static uint32_t ids[MAX_IDS];
    size_t n;
    assert_int_equal(weir_tokenizer_encode(t, text, flags, ids, MAX_IDS, &n), 0);
    uint32_t n_golden = read_leb128(cursor);
    bool equal = n == n_golden;
    for (uint32_t i = 0; i < n_golden; i++) {
        uint32_t id = read_leb128(cursor);
        if (equal && ids[i] != id) {
            print_message("%s: text %zu, token %u: %u, golden %u\n", name, number, i, ids[i], id);
            equal = false;
        }
    }
    if (!equal) {
        fail_msg("%s: text %zu '%.*s' flags %u: %zu tokens, golden %u", name, number, (int)text.n,
                 text.p, flags, n, n_golden);
    }
}

/* SentencePiece writes a space as U+2581, so that this letter comes back as a space. */
static bool has_sentencepiece_space(weir_str text)
{
    return memmem(text.p, text.n, "\xE2\x96\x81", 3) != NULL;
}

/* The pieces of a text's plain ids are the text, where each byte has a token and no space is added.
 */
static void decode_gives_text_back(const struct weir_tokenizer *t, weir_str text)
{
    static uint32_t ids[MAX_IDS];
    size_t n;
    assert_int_equal(weir_tokenizer_encode(t, text, 0, ids, MAX_IDS, &n), 0);
    struct weir_buf out;
    weir_buf_init(&out, 1 << 20);
    weir_tokenizer_decode(t, ids, n, 0, &out);
    assert_false(out.failed);
    assert_int_equal(out.len, text.n);
    assert_memory_equal(out.data ? out.data : "", text.p, text.n);
    weir_buf_finish(&out);
}

/* lossless: every byte has a token, and no space is put before texts. */
static void compare_with_golden(const char *name, const char *path, bool lossless)
{
    struct weir_tokenizer *t = open_tokenizer(path);
    char file[128];
    (void)snprintf(file, sizeof(file), "golden/tokens_%s.bin", name);
    char *golden = weir_test_read_file(weir_test_data_path(file), NULL);
    yyjson_doc *texts =
        yyjson_read_file(weir_test_data_path("golden/token_texts.json"), 0, NULL, NULL);
    assert_non_null(texts);

    uint32_t head[4]; /* n_vocab, bos, eos, n_texts */
    memcpy(head, golden, sizeof(head));
    const unsigned char *cursor = (const unsigned char *)golden + sizeof(head);
    assert_int_equal(weir_tokenizer_info(t)->n_vocab, head[0]);
    assert_int_equal(weir_tokenizer_info(t)->bos, head[1]);
    assert_int_equal(weir_tokenizer_info(t)->eos, head[2]);
    compare_pieces(name, t, cursor, cursor + SHA256_DIGEST_LENGTH);
    cursor += (size_t)2 * SHA256_DIGEST_LENGTH;
    for (size_t i = 0; i < head[3]; i++) {
        yyjson_val *item = yyjson_arr_get(yyjson_doc_get_root(texts), i);
        weir_str text = {yyjson_get_str(item), yyjson_get_len(item)};
        assert_non_null(text.p);
        compare_ids(name, t, text, i, WEIR_ENCODE_ADD_SPECIAL | WEIR_ENCODE_PARSE_SPECIAL, &cursor);
        compare_ids(name, t, text, i, 0, &cursor);
        if (lossless && !has_sentencepiece_space(text)) {
            decode_gives_text_back(t, text);
        }
    }
    weir_tokenizer_destroy(t);
    yyjson_doc_free(texts);
    free(golden);
}

static void compare_model(const char *name, const char *file, bool lossless)
{
    const char *path = weir_test_model_path(file);
    if (!path) {
        print_message("no %s on this machine\n", file);
        skip();
    }
    compare_with_golden(name, path, lossless);
}

static void smollm2_ids_equal_the_golden_ones(void **state)
{
    (void)state;
    compare_model("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", false);
}

static void gemma3_ids_equal_the_golden_ones(void **state)
{
    (void)state;
    compare_model("gemma3", "gemma-3-270m-q4_k_m.gguf", true);
}

static void every_pre_tokeniser_equals_the_golden_ids(void **state)
{
    (void)state;
    static const char *const names[] = {
        "default", "gpt-2",          "llama-bpe",   "qwen2", "qwen35",
        "falcon",  "deepseek-coder", "deepseek-v3", "spm",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        compare_with_golden(names[i], vocab_path(names[i]), false);
    }
}

static void a_full_output_still_counts(void **state)
{
    (void)state;
    struct weir_tokenizer *t = open_tokenizer(vocab_path("gpt-2"));
    weir_str text = weir_str_from("one two three four five six seven");
    uint32_t whole[64], part[3] = {0};
    size_t n = 0, n_part = 0;
    assert_int_equal(weir_tokenizer_encode(t, text, 0, whole, 64, &n), 0);
    assert_true(n > 3);
    assert_int_equal(weir_tokenizer_encode(t, text, 0, part, 3, &n_part), WEIR_E_TOOBIG);
    assert_int_equal(n_part, n);
    assert_memory_equal(part, whole, sizeof(part));
    assert_int_equal(weir_tokenizer_encode(t, text, 0, NULL, 0, &n_part), WEIR_E_TOOBIG);
    assert_int_equal(n_part, n);
    weir_tokenizer_destroy(t);
}

static void text_past_the_limit_is_refused(void **state)
{
    (void)state;
    struct weir_tokenizer *t = open_tokenizer(vocab_path("gpt-2"));
    size_t n_bytes = WEIR_TOKENIZER_MAX_TEXT_BYTES + 1, n = 1;
    char *text = calloc(n_bytes, 1);
    assert_non_null(text);
    assert_int_equal(weir_tokenizer_encode(t, (weir_str){text, n_bytes}, 0, NULL, 0, &n),
                     WEIR_E_TOOBIG);
    assert_int_equal(n, 0);
    free(text);
    weir_tokenizer_destroy(t);
}

/* A quadratic encoder would need hours for these, and the test would hit its time limit. */
static void a_megabyte_of_the_same_is_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n_bytes;
    } vocabs[] = {
        {"gpt-2", (size_t)1 << 20}, {"spm", (size_t)1 << 20},   {"default", 100000},
        {"llama-bpe", 100000},      {"deepseek-coder", 100000}, {"deepseek-v3", 100000},
    };
    static const char *const units[] = {"a", " ", "\n", "1", "<|", "\xC3\xA9", "\t\n ", "\xFF"};
    char *text = malloc((size_t)1 << 20);
    assert_non_null(text);
    for (size_t v = 0; v < sizeof(vocabs) / sizeof(vocabs[0]); v++) {
        size_t n_bytes = vocabs[v].n_bytes;
        struct weir_tokenizer *t = open_tokenizer(vocab_path(vocabs[v].name));
        for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
            size_t len = strlen(units[u]);
            for (size_t i = 0; i < n_bytes; i++) {
                text[i] = units[u][i % len];
            }
            size_t n = 0;
            int r = weir_tokenizer_encode(t, (weir_str){text, n_bytes}, WEIR_ENCODE_PARSE_SPECIAL,
                                          NULL, 0, &n);
            assert_true(r == WEIR_E_TOOBIG && n > 0);
        }
        weir_tokenizer_destroy(t);
    }
    free(text);
}

static void special_tokens_are_text_unless_asked_for(void **state)
{
    (void)state;
    struct weir_tokenizer *t = open_tokenizer(vocab_path("qwen2"));
    uint32_t ids[64];
    size_t n;
    weir_str mark = weir_str_from("<|im_start|>");
    uint32_t id = weir_tokenizer_find(t, mark);
    assert_int_not_equal(id, WEIR_TOKEN_NONE);
    assert_int_equal(weir_tokenizer_encode(t, mark, WEIR_ENCODE_PARSE_SPECIAL, ids, 64, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], id);
    assert_true(weir_str_eq(weir_tokenizer_piece(t, id), mark));
    assert_int_equal(weir_tokenizer_encode(t, mark, 0, ids, 64, &n), 0);
    assert_true(n > 1);
    assert_int_equal(weir_tokenizer_find(t, weir_str_from("no such token")), WEIR_TOKEN_NONE);
    weir_tokenizer_destroy(t);
}

static void decode_hides_control_tokens_and_the_space_prefix(void **state)
{
    (void)state;
    struct weir_tokenizer *t = open_tokenizer(vocab_path("spm"));
    weir_str text = weir_str_from("<|im_start|>hello");
    uint32_t ids[64];
    size_t n;
    assert_int_equal(weir_tokenizer_encode(t, text, WEIR_ENCODE_PARSE_SPECIAL, ids, 64, &n), 0);
    struct weir_buf out;
    weir_buf_init(&out, 100);
    weir_tokenizer_decode(t, ids, n, 0, &out);
    assert_string_equal(out.data, "hello");
    weir_buf_reset(&out);
    weir_tokenizer_decode(t, ids, n, WEIR_DECODE_SPECIAL, &out);
    assert_string_equal(out.data, "<|im_start|> hello");
    weir_buf_finish(&out);
    weir_tokenizer_destroy(t);
}

static void ids_past_the_vocabulary_are_empty(void **state)
{
    (void)state;
    struct weir_tokenizer *t = open_tokenizer(vocab_path("gpt-2"));
    uint32_t past = weir_tokenizer_info(t)->n_vocab;
    assert_int_equal(weir_tokenizer_piece(t, past).n, 0);
    assert_int_equal(weir_tokenizer_attrs(t, past), 0);
    assert_int_equal(weir_tokenizer_piece(t, WEIR_TOKEN_NONE).n, 0);
    weir_tokenizer_destroy(t);
}

static void check_broken_tokenizer(const char *file, const char *expect)
{
    char name[256];
    (void)snprintf(name, sizeof(name), "corpus/gguf/%s", file);
    struct weir_gguf *g = NULL;
    struct weir_tokenizer *t = NULL;
    struct weir_error err = {0};
    assert_int_equal(weir_gguf_open(weir_test_data_path(name), &g, &err), 0);
    int r = weir_tokenizer_create(g, &t, &err);
    if (strcmp(expect, "ok") == 0) {
        uint32_t ids[64];
        size_t n;
        assert_int_equal(r, 0);
        weir_str text = weir_str_from("ab <|x|> \xFF\xE2\x96 A\n");
        assert_int_equal(weir_tokenizer_encode(t, text, WEIR_ENCODE_PARSE_SPECIAL, ids, 64, &n), 0);
    } else if (r == 0 || !strstr(err.message, expect)) {
        fail_msg("%s: says '%s', expected '%s'", file, r < 0 ? err.message : "ok", expect);
    }
    weir_tokenizer_destroy(t);
    weir_gguf_destroy(g);
}

static void broken_tokenizers_are_refused_with_their_sentence(void **state)
{
    (void)state;
    char *list = weir_test_read_file(weir_test_data_path("corpus/gguf/expect_tokenizer.txt"), NULL);
    size_t n = 0;
    char *rest = list;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        char *tab = strchr(line, '\t');
        assert_non_null(tab);
        *tab = '\0';
        check_broken_tokenizer(line, tab + 1);
        n++;
    }
    assert_true(n > 20);
    free(list);
}

struct encoder {
    const struct weir_tokenizer *t;
    uint32_t ids[256];
    size_t n;
};

static void *encode_often(void *arg)
{
    struct encoder *e = arg;
    weir_str text = weir_str_from("def main(argv: list[str]) -> int:\n    return 12345\n\n\n");
    for (int i = 0; i < 200; i++) {
        if (weir_tokenizer_encode(e->t, text, WEIR_ENCODE_PARSE_SPECIAL, e->ids, 256, &e->n) < 0) {
            e->n = 0;
        }
    }
    return NULL;
}

static void threads_encode_at_once(void **state)
{
    (void)state;
    struct weir_tokenizer *t = open_tokenizer(vocab_path("llama-bpe"));
    struct encoder encoders[4];
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        encoders[i] = (struct encoder){.t = t};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &encoders[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (size_t i = 1; i < 4; i++) {
        assert_true(encoders[i].n > 0 && encoders[i].n == encoders[0].n);
        assert_memory_equal(encoders[i].ids, encoders[0].ids, encoders[0].n * sizeof(uint32_t));
    }
    weir_tokenizer_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_ids_equal_the_golden_ones),
        cmocka_unit_test(gemma3_ids_equal_the_golden_ones),
        cmocka_unit_test(every_pre_tokeniser_equals_the_golden_ids),
        cmocka_unit_test(a_full_output_still_counts),
        cmocka_unit_test(text_past_the_limit_is_refused),
        cmocka_unit_test(a_megabyte_of_the_same_is_encoded),
        cmocka_unit_test(special_tokens_are_text_unless_asked_for),
        cmocka_unit_test(decode_hides_control_tokens_and_the_space_prefix),
        cmocka_unit_test(ids_past_the_vocabulary_are_empty),
        cmocka_unit_test(broken_tokenizers_are_refused_with_their_sentence),
        cmocka_unit_test(threads_encode_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
