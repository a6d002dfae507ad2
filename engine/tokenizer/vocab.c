/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/vocab.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/tokenizer/tokenizer.h"

/* Of tokenizer.ggml.token_type in the file. */
enum token_type {
    TYPE_NORMAL = 1,
    TYPE_UNKNOWN = 2,
    TYPE_CONTROL = 3,
    TYPE_USER_DEFINED = 4,
    TYPE_UNUSED = 5,
    TYPE_BYTE = 6,
};

static bool is_printable_latin(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* GPT-2's bytes_to_unicode(): printable Latin-1 stands for itself, the others are U+0100 and up in
 * order: 0x00-0x20, 0x7F-0xA0, 0xAD. */
uint32_t weir_vocab_byte_letter(uint8_t byte)
{
    if (is_printable_latin(byte)) {
        return byte;
    }
    if (byte <= 0x20) {
        return 0x100u + byte;
    }
    return byte <= 0xA0 ? 0x100u + 33 + (byte - 0x7Fu) : 0x100u + 67;
}

/* The byte of a letter, or -1. */
static int letter_byte(uint32_t letter)
{
    if (letter < 0x100) {
        return is_printable_latin(letter) ? (int)letter : -1;
    }
    uint32_t i = letter - 0x100;
    if (i <= 0x20) {
        return (int)i;
    }
    if (i < 67) {
        return (int)(i - 33 + 0x7F);
    }
    return i == 67 ? 0xAD : -1;
}

static uint16_t attrs_of_type(int32_t type)
{
    switch (type) {
    case TYPE_NORMAL: return WEIR_TOKEN_NORMAL;
    case TYPE_UNKNOWN: return WEIR_TOKEN_UNKNOWN;
    case TYPE_CONTROL: return WEIR_TOKEN_CONTROL;
    case TYPE_USER_DEFINED: return WEIR_TOKEN_USER_DEFINED;
    case TYPE_UNUSED: return WEIR_TOKEN_UNUSED;
    case TYPE_BYTE: return WEIR_TOKEN_BYTE;
    default: return 0;
    }
}

static size_t decode_byte_level(weir_str text, char *out)
{
    size_t n = 0;
    size_t i = 0;
    while (i < text.n) {
        uint32_t cp;
        size_t len = weir_utf8_decode(text.p + i, text.n - i, &cp);
        int byte = len ? letter_byte(cp) : -1;
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            len = len ? len : 1;
            memcpy(out + n, text.p + i, len);
            n += len;
        }
        i += len;
    }
    return n;
}

static size_t decode_sentencepiece(weir_str text, char *out)
{
    static const char space[] = "\xE2\x96\x81"; /* U+2581 */
    size_t n = 0;
    size_t i = 0;
    while (i < text.n) {
        if (text.n - i >= 3 && memcmp(text.p + i, space, 3) == 0) {
            out[n++] = ' ';
            i += 3;
        } else {
            out[n++] = text.p[i++];
        }
    }
    return n;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0x0A>" -> 10; -1 for another text. */
static int parse_byte_token(weir_str text)
{
    if (text.n != 6 || memcmp(text.p, "<0x", 3) != 0 || text.p[5] != '>') {
        return -1;
    }
    int high = hex_digit(text.p[3]);
    int low = hex_digit(text.p[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Writes the bytes that the token stands for; never more than its text has. */
static size_t decode_piece(weir_str text, uint16_t attrs, enum weir_vocab_notation notation,
                           char *out)
{
    if (attrs & WEIR_TOKEN_NORMAL) {
        return notation == WEIR_VOCAB_BYTE_LEVEL ? decode_byte_level(text, out)
                                                 : decode_sentencepiece(text, out);
    }
    if (attrs & WEIR_TOKEN_BYTE) {
        int byte = parse_byte_token(text);
        if (byte >= 0) {
            *out = (char)byte;
            return 1;
        }
    }
    if (attrs & (WEIR_TOKEN_CONTROL | WEIR_TOKEN_UNKNOWN | WEIR_TOKEN_USER_DEFINED)) {
        memcpy(out, text.p, text.n);
        return text.n;
    }
    return 0;
}

static int read_texts(struct weir_vocab *v, const struct weir_gguf_array *tokens,
                      struct weir_error *err)
{
    const unsigned char *cursor = tokens->data;
    for (uint32_t i = 0; i < v->n; i++) {
        weir_str text = weir_gguf_array_next_str(&cursor);
        char name[32];
        if (text.n == 0) {
            (void)snprintf(name, sizeof(name), "[EMPTY_%u]", i);
            text = weir_str_from(name);
        }
        uint32_t id;
        int r = weir_text_table_add(&v->texts, text, &id);
        if (r < 0) {
            return weir_error_set(err, r, "out of memory for %u tokens", v->n);
        }
        if (id != i) {
            return weir_error_set(err, WEIR_E_FORMAT,
                                  "tokenizer.ggml.tokens: token %u has the same text as token %u",
                                  i, id);
        }
    }
    return 0;
}

static int read_attrs(struct weir_vocab *v, const struct weir_gguf *g, struct weir_error *err)
{
    struct weir_gguf_array types;
    int r = weir_gguf_array(g, "tokenizer.ggml.token_type", WEIR_GGUF_I32, &types, err);
    if (r < 0 && r != WEIR_E_NOTFOUND) {
        return r;
    }
    bool typed = r == 0;
    if (typed && types.n != v->n) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "tokenizer.ggml.token_type has %llu elements, must have %u",
                              (unsigned long long)types.n, v->n);
    }
    for (uint32_t i = 0; i < v->n; i++) {
        v->attrs[i] = typed ? attrs_of_type(weir_gguf_array_i32(&types, i)) : WEIR_TOKEN_NORMAL;
    }
    return 0;
}

int weir_vocab_decode_pieces(struct weir_vocab *v, enum weir_vocab_notation notation)
{
    v->pieces = malloc((size_t)v->texts.starts[v->n] + 1);
    v->piece_starts = malloc(((size_t)v->n + 1) * sizeof(v->piece_starts[0]));
    if (!v->pieces || !v->piece_starts) {
        return WEIR_E_NOMEM;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        v->piece_starts[i] = (uint32_t)at;
        weir_str text = weir_text_table_get(&v->texts, i);
        at += decode_piece(text, v->attrs[i], notation, v->pieces + at);
    }
    v->piece_starts[v->n] = (uint32_t)at;
    return 0;
}

int weir_vocab_init(struct weir_vocab *v, const struct weir_gguf *g, struct weir_error *err)
{
    *v = (struct weir_vocab){0};
    weir_text_table_init(&v->texts);
    struct weir_gguf_array tokens;
    int r = weir_gguf_array(g, "tokenizer.ggml.tokens", WEIR_GGUF_STR, &tokens, err);
    if (r < 0) {
        return r;
    }
    if (tokens.n == 0 || tokens.n > WEIR_VOCAB_MAX_TOKENS) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "tokenizer.ggml.tokens has %llu tokens, must have 1 to %u",
                              (unsigned long long)tokens.n, WEIR_VOCAB_MAX_TOKENS);
    }
    v->n = (uint32_t)tokens.n;
    v->attrs = calloc(v->n, sizeof(v->attrs[0]));
    if (!v->attrs) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory for %u tokens", v->n);
    }
    r = read_texts(v, &tokens, err);
    return r < 0 ? r : read_attrs(v, g, err);
}

void weir_vocab_finish(struct weir_vocab *v)
{
    weir_text_table_finish(&v->texts);
    free(v->attrs);
    free(v->pieces);
    free(v->piece_starts);
    *v = (struct weir_vocab){0};
}

uint32_t weir_vocab_find(const struct weir_vocab *v, weir_str text)
{
    uint32_t id = weir_text_table_find(&v->texts, text);
    return id < v->n ? id : WEIR_TOKEN_NONE;
}

weir_str weir_vocab_piece(const struct weir_vocab *v, uint32_t id)
{
    return (weir_str){v->pieces + v->piece_starts[id],
                      v->piece_starts[id + 1] - v->piece_starts[id]};
}
