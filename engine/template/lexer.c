/* SPDX-License-Identifier: Apache-2.0 */
#include "lexer.h"

#include <stdlib.h>

#include "engine/template/literal.h"
#include "engine/template/text.h"

enum { MAX_BRACKETS = 128 };

struct lexer {
    struct weir_arena *arena;
    struct weir_tpl_tokens *out;
    struct weir_error *err;
    weir_str src; /* newlines normalised to \n */
    size_t at;
    uint32_t line; /* of `at` */
    char brackets[MAX_BRACKETS];
    size_t n_brackets;
};

static int fail(struct lexer *lx, const char *what)
{
    return weir_error_set(lx->err, WEIR_E_FORMAT, "line %u: %s", lx->line, what);
}

static int out_of_memory(struct lexer *lx)
{
    return weir_error_set(lx->err, WEIR_E_NOMEM, "line %u: the template is too large", lx->line);
}

static char peek(const struct lexer *lx, size_t ahead)
{
    return ahead < lx->src.n - lx->at ? lx->src.p[lx->at + ahead] : '\0';
}

static weir_str rest(const struct lexer *lx)
{
    return (weir_str){lx->src.p + lx->at, lx->src.n - lx->at};
}

static void advance_to(struct lexer *lx, size_t to)
{
    for (; lx->at < to; lx->at++) {
        lx->line += lx->src.p[lx->at] == '\n';
    }
}

static void skip_space(struct lexer *lx)
{
    weir_str left = rest(lx);
    weir_str stripped = weir_tpl_text_strip(left, (weir_str){NULL, 0}, WEIR_TPL_LEFT);
    advance_to(lx, lx->at + (left.n - stripped.n));
}

static int emit(struct lexer *lx, struct weir_tpl_token token)
{
    struct weir_tpl_tokens *t = lx->out;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        struct weir_tpl_token *items = weir_arena_array(lx->arena, cap, sizeof(*items));
        if (!items) {
            return out_of_memory(lx);
        }
        if (t->n) {
            memcpy(items, t->items, t->n * sizeof(*items));
        }
        t->items = items;
        t->cap = cap;
    }
    t->items[t->n++] = token;
    return 0;
}

static int emit_text(struct lexer *lx, enum weir_tpl_token_kind kind, weir_str text)
{
    return emit(lx, (struct weir_tpl_token){.kind = kind, .line = lx->line, .text = text});
}

/* What is left of the data before a tag. `sign` is the character behind the tag's opening. */
static weir_str strip_before_tag(weir_str data, char sign, bool is_print, bool at_line_start)
{
    if (sign == '-') {
        return weir_tpl_text_strip(data, (weir_str){NULL, 0}, WEIR_TPL_RIGHT);
    }
    if (sign == '+' || is_print) {
        return data;
    }
    size_t newline = weir_tpl_text_rfind(data, (weir_str)WEIR_STR_INIT("\n"), data.n);
    size_t start = newline == SIZE_MAX ? 0 : newline + 1;
    if (start == 0 && !at_line_start) {
        return data;
    }
    weir_str tail = {data.p + start, data.n - start};
    tail = weir_tpl_text_strip(tail, (weir_str){NULL, 0}, WEIR_TPL_BOTH);
    return tail.n == 0 ? (weir_str){data.p, start} : data;
}

/* Emits src[at, hit) as data that a tag at `hit` follows. */
static int emit_data(struct lexer *lx, size_t hit, bool is_print)
{
    char sign = hit + 2 < lx->src.n ? lx->src.p[hit + 2] : '\0';
    bool at_line_start = lx->at == 0 || lx->src.p[lx->at - 1] == '\n';
    weir_str data = {lx->src.p + lx->at, hit - lx->at};
    weir_str kept = strip_before_tag(data, sign, is_print, at_line_start);
    int r = kept.n ? emit_text(lx, WEIR_TPL_TOKEN_DATA, kept) : 0;
    advance_to(lx, hit);
    return r;
}

static void skip_opening(struct lexer *lx)
{
    advance_to(lx, lx->at + 2);
    if (peek(lx, 0) == '-' || peek(lx, 0) == '+') {
        advance_to(lx, lx->at + 1);
    }
}

/* Behind the end of a tag: `-` eats white space, trim_blocks one newline, `+` nothing. */
static void skip_after_tag(struct lexer *lx, char sign, bool trims)
{
    if (sign == '-') {
        skip_space(lx);
    } else if (trims && sign != '+' && peek(lx, 0) == '\n') {
        advance_to(lx, lx->at + 1);
    }
}

static int skip_comment(struct lexer *lx)
{
    skip_opening(lx);
    size_t end = weir_tpl_text_find(lx->src, (weir_str)WEIR_STR_INIT("#}"), lx->at);
    if (end == SIZE_MAX) {
        return fail(lx, "a comment has no end, '#}' expected");
    }
    char sign = end > lx->at ? lx->src.p[end - 1] : '\0';
    advance_to(lx, end + 2);
    skip_after_tag(lx, sign, true);
    return 0;
}

/* Moves over `{% WORD %}` when it stands here. begin: the rules of `raw`, else of `endraw`. */
static bool skip_raw_tag(struct lexer *lx, weir_str word, bool begin)
{
    struct lexer saved = *lx;
    skip_opening(lx);
    skip_space(lx);
    if (weir_tpl_text_starts(rest(lx), word)) {
        advance_to(lx, lx->at + word.n);
        skip_space(lx);
        char sign = peek(lx, 0);
        bool has_sign = sign == '-' || (sign == '+' && !begin);
        if (peek(lx, has_sign) == '%' && peek(lx, has_sign + 1u) == '}') {
            advance_to(lx, lx->at + 2 + has_sign);
            skip_after_tag(lx, has_sign ? sign : '\0', !begin);
            return true;
        }
    }
    *lx = saved;
    return false;
}

static int lex_raw(struct lexer *lx)
{
    struct lexer begin = *lx;
    for (size_t from = lx->at;;) {
        size_t hit = weir_tpl_text_find(lx->src, (weir_str)WEIR_STR_INIT("{%"), from);
        if (hit == SIZE_MAX) {
            return fail(lx, "a raw block has no {% endraw %}");
        }
        lx->at = hit; /* lines up to here are counted by emit_data() */
        if (skip_raw_tag(lx, (weir_str)WEIR_STR_INIT("endraw"), false)) {
            size_t end = lx->at;
            uint32_t tag_lines = lx->line - begin.line;
            *lx = begin;
            int r = emit_data(lx, hit, false);
            lx->at = end;
            lx->line += tag_lines;
            return r;
        }
        from = hit + 2;
    }
}

static int lex_string(struct lexer *lx)
{
    char quote = peek(lx, 0);
    size_t end = lx->at + 1;
    while (end < lx->src.n && lx->src.p[end] != quote) {
        end += lx->src.p[end] == '\\' ? 2 : 1;
    }
    if (end >= lx->src.n) {
        return fail(lx, "a string has no end");
    }
    weir_str raw = {lx->src.p + lx->at + 1, end - lx->at - 1};
    weir_str text = raw;
    if (raw.n && memchr(raw.p, '\\', raw.n)) {
        int r = weir_tpl_literal_string(lx->arena, raw, &text);
        if (r < 0) {
            return r == WEIR_E_NOMEM ? out_of_memory(lx) : fail(lx, "a string has a bad escape");
        }
    }
    int r = emit_text(lx, WEIR_TPL_TOKEN_STRING, text);
    advance_to(lx, end + 1);
    return r;
}

static int lex_number(struct lexer *lx)
{
    struct weir_tpl_token token = {.line = lx->line};
    bool after_dot = lx->at > 0 && lx->src.p[lx->at - 1] == '.';
    size_t n = weir_tpl_literal_number(rest(lx), !after_dot, &token);
    if (n == 0) {
        return fail(lx, "a number is malformed or too large");
    }
    advance_to(lx, lx->at + n);
    return emit(lx, token);
}

static bool is_name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80 || (!first && c >= '0' && c <= '9');
}

static int lex_name(struct lexer *lx)
{
    size_t n = 1;
    while (is_name_char(peek(lx, n), false)) {
        n++;
    }
    int r = emit_text(lx, WEIR_TPL_TOKEN_NAME, (weir_str){lx->src.p + lx->at, n});
    advance_to(lx, lx->at + n);
    return r;
}

static int track_bracket(struct lexer *lx, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (lx->n_brackets == MAX_BRACKETS) {
            return weir_error_set(lx->err, WEIR_E_TOOBIG, "line %u: brackets nest too deeply",
                                  lx->line);
        }
        lx->brackets[lx->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (lx->n_brackets == 0 || lx->brackets[lx->n_brackets - 1] != c) {
            return fail(lx, "a closing bracket does not match");
        }
        lx->n_brackets--;
    }
    return 0;
}

static int lex_operator(struct lexer *lx)
{
    static const char doubles[][3] = {"//", "**", "==", "!=", ">=", "<="};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(doubles) / sizeof(*doubles); i++) {
        n = peek(lx, 0) == doubles[i][0] && peek(lx, 1) == doubles[i][1] ? 2 : n;
    }
    if (n == 0 && peek(lx, 0) && strchr("+-/*%~[](){}><=.:|,;", peek(lx, 0))) {
        n = 1;
    }
    if (n == 0) {
        return fail(lx, "a character is not allowed here");
    }
    int r = n == 1 ? track_bracket(lx, peek(lx, 0)) : 0;
    if (r < 0) {
        return r;
    }
    r = emit_text(lx, WEIR_TPL_TOKEN_OP, (weir_str){lx->src.p + lx->at, n});
    advance_to(lx, lx->at + n);
    return r;
}

/* Emits the tag's end when it stands here. */
static int lex_tag_end(struct lexer *lx, bool is_print, bool *ret_ended)
{
    char close = is_print ? '}' : '%';
    char sign = peek(lx, 0);
    bool has_sign = sign == '-' || (sign == '+' && !is_print);
    *ret_ended =
        lx->n_brackets == 0 && peek(lx, has_sign) == close && peek(lx, has_sign + 1u) == '}';
    if (!*ret_ended) {
        return 0;
    }
    int r = emit_text(lx, is_print ? WEIR_TPL_TOKEN_PRINT_END : WEIR_TPL_TOKEN_BLOCK_END,
                      (weir_str){lx->src.p + lx->at, 2});
    advance_to(lx, lx->at + 2 + has_sign);
    skip_after_tag(lx, has_sign ? sign : '\0', !is_print);
    return r;
}

static int lex_tag(struct lexer *lx, bool is_print)
{
    int r = emit_text(lx, is_print ? WEIR_TPL_TOKEN_PRINT_BEGIN : WEIR_TPL_TOKEN_BLOCK_BEGIN,
                      (weir_str){lx->src.p + lx->at, 2});
    skip_opening(lx);
    lx->n_brackets = 0;
    bool ended = false;
    while (r == 0 && !ended) {
        skip_space(lx);
        char c = peek(lx, 0);
        if (lx->at >= lx->src.n) {
            return fail(lx, is_print ? "'{{' has no '}}'" : "'{%' has no '%}'");
        }
        r = lex_tag_end(lx, is_print, &ended);
        if (r < 0 || ended) {
            continue;
        }
        if (c == '"' || c == '\'') {
            r = lex_string(lx);
        } else if (c >= '0' && c <= '9') {
            r = lex_number(lx);
        } else if (is_name_char(c, true)) {
            r = lex_name(lx);
        } else {
            r = lex_operator(lx);
        }
    }
    return r;
}

/* Offset of the next opening of a tag or comment, or SIZE_MAX. */
static size_t find_opening(const struct lexer *lx)
{
    for (size_t i = lx->at; i + 1 < lx->src.n; i++) {
        char next = lx->src.p[i + 1];
        if (lx->src.p[i] == '{' && (next == '{' || next == '%' || next == '#')) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* jinja2 reads \r\n and \r as \n and drops one newline at the very end. */
static bool normalise(struct weir_arena *a, weir_str text, weir_str *ret_src)
{
    char *p = weir_arena_alloc(a, text.n + 1);
    if (!p) {
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\r') {
            p[n++] = '\n';
            i += i + 1 < text.n && text.p[i + 1] == '\n';
        } else {
            p[n++] = text.p[i];
        }
    }
    n -= n > 0 && p[n - 1] == '\n';
    *ret_src = (weir_str){p, n};
    return true;
}

int weir_tpl_lex(struct weir_arena *a, weir_str text, struct weir_tpl_tokens *ret_tokens,
                 struct weir_error *err)
{
    *ret_tokens = (struct weir_tpl_tokens){0};
    struct lexer lx = {.arena = a, .out = ret_tokens, .err = err, .line = 1};
    if (!normalise(a, text, &lx.src)) {
        return out_of_memory(&lx);
    }
    int r = 0;
    while (r == 0 && lx.at < lx.src.n) {
        size_t hit = find_opening(&lx);
        if (hit == SIZE_MAX) {
            r = emit_text(&lx, WEIR_TPL_TOKEN_DATA, rest(&lx));
            advance_to(&lx, lx.src.n);
            break;
        }
        char opening = lx.src.p[hit + 1];
        r = emit_data(&lx, hit, opening == '{');
        if (r < 0) {
            break;
        }
        if (opening == '#') {
            r = skip_comment(&lx);
        } else if (opening == '%' && skip_raw_tag(&lx, (weir_str)WEIR_STR_INIT("raw"), true)) {
            r = lex_raw(&lx);
        } else {
            r = lex_tag(&lx, opening == '{');
        }
    }
    return r < 0 ? r : emit_text(&lx, WEIR_TPL_TOKEN_END, (weir_str){NULL, 0});
}
