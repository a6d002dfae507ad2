/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/pretokenize.h"

#include "engine/tokenizer/unicode_class.h"

#define L WEIR_UNICODE_LETTER
#define N WEIR_UNICODE_NUMBER
#define M WEIR_UNICODE_MARK
#define P WEIR_UNICODE_PUNCTUATION
#define S WEIR_UNICODE_SYMBOL
#define SPACE WEIR_UNICODE_SPACE

static bool is_class(const struct weir_pre_text *t, size_t at, size_t end, unsigned classes)
{
    return at < end && (t->classes[at] & classes) != 0;
}

static bool is_cp(const struct weir_pre_text *t, size_t at, size_t end, uint32_t cp)
{
    return at < end && t->cps[at] == cp;
}

static bool is_newline(const struct weir_pre_text *t, size_t at, size_t end)
{
    return at < end && (t->cps[at] == '\r' || t->cps[at] == '\n');
}

static size_t skip_class(const struct weir_pre_text *t, size_t at, size_t end, unsigned classes)
{
    while (is_class(t, at, end, classes)) {
        at++;
    }
    return at;
}

static size_t skip_newlines(const struct weir_pre_text *t, size_t at, size_t end)
{
    while (is_newline(t, at, end)) {
        at++;
    }
    return at;
}

static uint32_t ascii_lower(uint32_t cp)
{
    return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
}

/* 's|'t|'re|'ve|'m|'ll|'d, with fold also in capitals. The end, or `at` when there is none. */
static size_t skip_contraction(const struct weir_pre_text *t, size_t at, size_t end, bool fold)
{
    if (!is_cp(t, at, end, '\'') || at + 1 >= end) {
        return at;
    }
    uint32_t first = fold ? ascii_lower(t->cps[at + 1]) : t->cps[at + 1];
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
        return at + 2;
    }
    if (at + 2 >= end) {
        return at;
    }
    uint32_t second = fold ? ascii_lower(t->cps[at + 2]) : t->cps[at + 2];
    bool is_two =
        ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return is_two ? at + 3 : at;
}

/* \s+(?!\S)|\s+ from a space: all of the run, but the last one is left to what follows. */
static size_t skip_spaces(const struct weir_pre_text *t, size_t begin, size_t end)
{
    size_t at = skip_class(t, begin, end, SPACE);
    return at < end && at - begin > 1 ? at - 1 : at;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ from a space: up to the last newline of the run if it has one. */
static size_t skip_lines_or_spaces(const struct weir_pre_text *t, size_t begin, size_t end)
{
    size_t after_newline = 0;
    for (size_t at = begin; is_class(t, at, end, SPACE); at++) {
        if (is_newline(t, at, end)) {
            after_newline = at + 1;
        }
    }
    return after_newline ? after_newline : skip_spaces(t, begin, end);
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t scan_gpt2(const struct weir_pre_text *t, size_t begin, size_t end)
{
    size_t at = skip_contraction(t, begin, end, false);
    if (at > begin) {
        return at;
    }
    at = is_cp(t, begin, end, ' ') ? begin + 1 : begin;
    if (is_class(t, at, end, L)) {
        return skip_class(t, at, end, L);
    }
    if (is_class(t, at, end, N)) {
        return skip_class(t, at, end, N);
    }
    if (at < end && !is_class(t, at, end, SPACE)) {
        while (at < end && !is_class(t, at, end, SPACE | L | N)) {
            at++;
        }
        return at;
    }
    return skip_spaces(t, begin, end);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?WORD+|\p{N}{1,max_digits}|
 *  ?[^\s WORD \p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * where WORD is the set of classes that make words. */
static size_t scan_gpt4(const struct weir_pre_text *t, size_t begin, size_t end, unsigned word,
                        size_t max_digits)
{
    size_t at = skip_contraction(t, begin, end, true);
    if (at > begin) {
        return at;
    }
    if (!is_newline(t, begin, end) && !is_class(t, begin, end, N) &&
        (is_class(t, begin, end, word) || is_class(t, begin + 1, end, word))) {
        return skip_class(t, begin + 1, end, word);
    }
    if (is_class(t, begin, end, N)) {
        while (at - begin < max_digits && is_class(t, at, end, N)) {
            at++;
        }
        return at;
    }
    at = is_cp(t, begin, end, ' ') ? begin + 1 : begin;
    if (at < end && !is_class(t, at, end, SPACE | word | N)) {
        while (at < end && !is_class(t, at, end, SPACE | word | N)) {
            at++;
        }
        return skip_newlines(t, at, end);
    }
    return skip_lines_or_spaces(t, begin, end);
}

static size_t scan_llama3(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_gpt4(t, begin, end, L, 3);
}

static size_t scan_qwen2(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_gpt4(t, begin, end, L, 1);
}

static size_t scan_qwen35(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_gpt4(t, begin, end, L | M, 1);
}

/* The scanners below isolate the matches of one expression: a piece is a match, or what lies
 * between two of them. */

/* [\u4E00-\u9FA5\u3040-\u30FF] */
static bool is_cjk_kana(const struct weir_pre_text *t, size_t at)
{
    uint32_t cp = t->cps[at];
    return (cp >= 0x4E00 && cp <= 0x9FA5) || (cp >= 0x3040 && cp <= 0x30FF);
}

/* [\u0800-\u9FA5\uAC00-\uD7FF] without the spaces among them: the reference reads those as ASCII */
static bool is_deepseek_cjk(const struct weir_pre_text *t, size_t at)
{
    uint32_t cp = t->cps[at];
    bool in_range = (cp >= 0x0800 && cp <= 0x9FA5) || (cp >= 0xAC00 && cp <= 0xD7FF);
    return in_range && !(t->classes[at] & SPACE);
}

/* [\p{P}$+<=>^~|]+ ; with_backtick: also ` */
static bool is_mark_of_code(const struct weir_pre_text *t, size_t at, bool with_backtick)
{
    if (t->classes[at] & P) {
        return true;
    }
    switch (t->cps[at]) {
    case '$':
    case '+':
    case '<':
    case '=':
    case '>':
    case '^':
    case '~':
    case '|': return true;
    case '`': return with_backtick;
    default: return false;
    }
}

static size_t scan_marks(const struct weir_pre_text *t, size_t begin, size_t end,
                         bool with_backtick)
{
    bool match = is_mark_of_code(t, begin, with_backtick);
    size_t at = begin + 1;
    while (at < end && is_mark_of_code(t, at, with_backtick) == match) {
        at++;
    }
    return at;
}

static size_t scan_default_marks(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_marks(t, begin, end, false);
}

static size_t scan_falcon_marks(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_marks(t, begin, end, true);
}

/* \p{N}{1,max_digits} */
static size_t scan_digits(const struct weir_pre_text *t, size_t begin, size_t end,
                          size_t max_digits)
{
    bool match = is_class(t, begin, end, N);
    size_t at = begin + 1;
    while (at < end && is_class(t, at, end, N) == match && (!match || at - begin < max_digits)) {
        at++;
    }
    return at;
}

static size_t scan_each_digit(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_digits(t, begin, end, 1);
}

static size_t scan_three_digits(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_digits(t, begin, end, 3);
}

static size_t scan_numbers(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_digits(t, begin, end, SIZE_MAX);
}

static bool are_three_ascii_digits(const struct weir_pre_text *t, size_t at, size_t end)
{
    for (size_t i = 0; i < 3; i++) {
        if (at + i >= end || t->cps[at + i] < '0' || t->cps[at + i] > '9') {
            return false;
        }
    }
    return true;
}

/* [0-9][0-9][0-9] */
static size_t scan_ascii_triples(const struct weir_pre_text *t, size_t begin, size_t end)
{
    if (are_three_ascii_digits(t, begin, end)) {
        return begin + 3;
    }
    size_t at = begin + 1;
    while (at < end && !are_three_ascii_digits(t, at, end)) {
        at++;
    }
    return at;
}

/* [\r\n] */
static size_t scan_each_newline(const struct weir_pre_text *t, size_t begin, size_t end)
{
    size_t at = begin + 1;
    while (!is_newline(t, begin, end) && at < end && !is_newline(t, at, end)) {
        at++;
    }
    return at;
}

/* Does \s?CLASS+ match here? The length of its optional space, or -1. */
static int space_before_class(const struct weir_pre_text *t, size_t at, size_t end, unsigned class)
{
    if (is_class(t, at, end, class)) {
        return 0;
    }
    return is_class(t, at, end, SPACE) && is_class(t, at + 1, end, class) ? 1 : -1;
}

/* \s?CLASS+ */
static size_t scan_spaced_class(const struct weir_pre_text *t, size_t begin, size_t end,
                                unsigned class)
{
    int space = space_before_class(t, begin, end, class);
    if (space >= 0) {
        return skip_class(t, begin + (size_t)space, end, class);
    }
    size_t at = begin + 1;
    while (at < end && space_before_class(t, at, end, class) < 0) {
        at++;
    }
    return at;
}

static size_t scan_spaced_letters(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_spaced_class(t, begin, end, L);
}

static size_t scan_spaced_punctuation(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_spaced_class(t, begin, end, P);
}

static size_t scan_runs(const struct weir_pre_text *t, size_t begin, size_t end,
                        bool (*in_run)(const struct weir_pre_text *, size_t))
{
    bool match = in_run(t, begin);
    size_t at = begin + 1;
    while (at < end && in_run(t, at) == match) {
        at++;
    }
    return at;
}

static size_t scan_cjk_kana(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_runs(t, begin, end, is_cjk_kana);
}

static size_t scan_deepseek_cjk(const struct weir_pre_text *t, size_t begin, size_t end)
{
    return scan_runs(t, begin, end, is_deepseek_cjk);
}

static bool is_ascii_letter(const struct weir_pre_text *t, size_t at, size_t end)
{
    return at < end && ascii_lower(t->cps[at]) >= 'a' && ascii_lower(t->cps[at]) <= 'z';
}

/* May the character stand before a word in DeepSeek 3's expression? */
static bool may_lead_word(const struct weir_pre_text *t, size_t at, size_t end)
{
    return !is_newline(t, at, end) && !is_class(t, at, end, L | P | S);
}

static bool matches_deepseek3(const struct weir_pre_text *t, size_t at, size_t end)
{
    return is_class(t, at, end, L | M | P | S | SPACE) ||
           (may_lead_word(t, at, end) && is_class(t, at + 1, end, L | M));
}

/* [ascii punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|
 * \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t scan_deepseek3(const struct weir_pre_text *t, size_t begin, size_t end)
{
    size_t at = begin + 1;
    if (!matches_deepseek3(t, begin, end)) {
        while (at < end && !matches_deepseek3(t, at, end)) {
            at++;
        }
        return at;
    }
    if (t->cps[begin] < 0x80 && is_class(t, begin, end, P | S) && is_ascii_letter(t, at, end)) {
        while (is_ascii_letter(t, at, end)) {
            at++;
        }
        return at;
    }
    if (is_class(t, begin, end, L | M) ||
        (may_lead_word(t, begin, end) && is_class(t, at, end, L | M))) {
        return skip_class(t, at, end, L | M);
    }
    at = is_cp(t, begin, end, ' ') ? begin + 1 : begin;
    if (is_class(t, at, end, P | S)) {
        return skip_newlines(t, skip_class(t, at, end, P | S), end);
    }
    return skip_lines_or_spaces(t, begin, end);
}

#define GPT2                                                                                       \
    {                                                                                              \
        scan_gpt2                                                                                  \
    }
#define DIGITS_GPT2                                                                                \
    {                                                                                              \
        scan_each_digit, scan_gpt2                                                                 \
    }
#define DEEPSEEK3                                                                                  \
    {                                                                                              \
        scan_three_digits, scan_cjk_kana, scan_deepseek3                                           \
    }

static const struct weir_pretokenizer pretokenizers[] = {
    {"a.x-4.0", GPT2, false, false},
    {"codeshell", DIGITS_GPT2, false, false},
    {"command-r", DIGITS_GPT2, false, false},
    {"dbrx", {scan_llama3}, false, false},
    {"deepseek-coder",
     {scan_each_newline, scan_spaced_letters, scan_spaced_punctuation, scan_deepseek_cjk,
      scan_each_digit},
     false,
     false},
    {"deepseek-r1-qwen", {scan_qwen2}, false, false},
    {"deepseek-v3", DEEPSEEK3, false, false},
    {"default", {scan_default_marks, scan_gpt2, scan_numbers, scan_ascii_triples}, false, false},
    {"exaone", DIGITS_GPT2, false, false},
    {"exaone4", GPT2, false, false},
    {"f2llmv2", {scan_qwen2}, false, false},
    {"falcon", {scan_falcon_marks, scan_gpt2, scan_ascii_triples}, false, false},
    {"falcon-h1", {scan_llama3}, true, true},
    {"falcon3", {scan_llama3}, true, true},
    {"gigachat", GPT2, false, false},
    {"glm4", {scan_llama3}, true, false},
    {"gpt-2", GPT2, false, false},
    {"grok-2", {scan_qwen2}, false, false},
    {"hunyuan", {scan_qwen2}, false, false},
    {"hunyuan-dense", DEEPSEEK3, false, false},
    {"jais", GPT2, false, false},
    {"kormo", {scan_qwen2}, false, false},
    {"lfm2", {scan_llama3}, true, true},
    {"llama-bpe", {scan_llama3}, true, true},
    {"llama-v3", {scan_llama3}, true, true},
    {"llama3", {scan_llama3}, true, true},
    {"megrez", {scan_qwen2}, false, false},
    {"mellum", GPT2, false, false},
    {"mellum2", DIGITS_GPT2, false, false},
    {"midm-2.0", {scan_llama3}, true, true},
    {"minerva-7b", DIGITS_GPT2, false, false},
    {"mpt", GPT2, false, false},
    {"olmo", GPT2, false, false},
    {"phi-2", GPT2, false, false},
    {"pixtral", {scan_llama3}, true, true},
    {"qwen2", {scan_qwen2}, false, false},
    {"qwen35", {scan_qwen35}, false, false},
    {"refact", DIGITS_GPT2, false, false},
    {"smaug-bpe", {scan_llama3}, false, false},
    {"smollm", DIGITS_GPT2, false, false},
    {"solar-open", {scan_qwen2}, false, false},
    {"stablelm2", {scan_qwen2}, false, false},
    {"starcoder", DIGITS_GPT2, false, false},
    {"trillion", GPT2, false, false},
};

const struct weir_pretokenizer *weir_pretokenizer_find(weir_str name)
{
    for (size_t i = 0; i < sizeof(pretokenizers) / sizeof(pretokenizers[0]); i++) {
        if (weir_str_is(name, pretokenizers[i].name)) {
            return &pretokenizers[i];
        }
    }
    return NULL;
}

bool weir_pre_walk_next(struct weir_pre_walk *w, const struct weir_pretokenizer *p,
                        const struct weir_pre_text *t)
{
    w->begin = w->end;
    if (w->begin == t->n) {
        return false;
    }
    /* A stage whose piece is used up cuts the next one out of the piece of the stage before. */
    size_t limit = t->n;
    for (size_t i = 0; i < WEIR_PRETOKENIZER_MAX_STAGES && p->stages[i]; i++) {
        if (w->ends[i] == w->begin) {
            w->ends[i] = p->stages[i](t, w->begin, limit);
        }
        limit = w->ends[i];
    }
    w->end = limit;
    return true;
}
