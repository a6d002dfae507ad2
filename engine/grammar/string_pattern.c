/* SPDX-License-Identifier: Apache-2.0 */
/* Thompson's construction ("Regular Expression Search Algorithm", 1968). The nodes of an atom lie
 * next to each other, so that a count repeats it by copying them. */
#include "string_pattern.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_REPEAT = 1000 };
#define ENDLESS UINT32_MAX

struct fragment {
    uint32_t first; /* its nodes are first..n_nodes when it has just been made */
    uint16_t start, end;
};

struct group {
    uint32_t first;
    uint16_t start, choice; /* where the next alternative hangs */
    uint16_t end, last;     /* behind all alternatives; behind what was read of this one */
};

struct parser {
    struct weir_string_pattern *p;
    weir_str text;
    size_t at;
    struct group groups[WEIR_STRING_PATTERN_MAX_DEPTH];
    uint32_t depth;
    bool ended; /* by `$`: only `|` or the end may follow */
    int code;
    struct weir_error *err;
};

static uint16_t fail(struct parser *x, int code, const char *what)
{
    if (x->code == 0) {
        x->code = weir_error_set(x->err, code, "pattern: %s at character %zu", what, x->at);
    }
    return 0;
}

static uint16_t add_node(struct parser *x)
{
    struct weir_string_pattern *p = x->p;
    if (p->n_nodes == WEIR_STRING_PATTERN_MAX_NODES) {
        return fail(x, WEIR_E_TOOBIG, "too large");
    }
    p->nodes[p->n_nodes] = (struct weir_string_pattern_node){
        .out = {WEIR_STRING_PATTERN_NONE, WEIR_STRING_PATTERN_NONE}};
    return (uint16_t)p->n_nodes++;
}

/* Nodes that take nothing have two ways at most; a third needs a node of its own. */
static void lead(struct parser *x, uint16_t from, uint16_t to)
{
    uint16_t *out = x->p->nodes[from].out;
    out[out[0] == WEIR_STRING_PATTERN_NONE ? 0 : 1] = to;
}

static void add_range(struct parser *x, uint32_t first, uint32_t last)
{
    struct weir_string_pattern *p = x->p;
    if (p->n_ranges == WEIR_STRING_PATTERN_MAX_RANGES) {
        (void)fail(x, WEIR_E_TOOBIG, "too many classes");
        return;
    }
    p->ranges[p->n_ranges++] = (struct weir_char_range){first, last};
}

static int by_first(const void *a, const void *b)
{
    uint32_t x = ((const struct weir_char_range *)a)->first;
    uint32_t y = ((const struct weir_char_range *)b)->first;
    return (x > y) - (x < y);
}

/* Sorts and joins the ranges from `first` on; `opposite` turns them round. */
static void tidy_ranges(struct parser *x, uint32_t first, bool opposite)
{
    struct weir_string_pattern *p = x->p;
    struct weir_char_range *r = p->ranges + first;
    uint32_t n = p->n_ranges - first, kept = 0;
    qsort(r, n, sizeof(*r), by_first);
    for (uint32_t i = 0; i < n; i++) {
        if (kept > 0 && r[i].first <= r[kept - 1].last + 1) {
            r[kept - 1].last = r[i].last > r[kept - 1].last ? r[i].last : r[kept - 1].last;
        } else {
            r[kept++] = r[i];
        }
    }
    p->n_ranges = first + kept;
    if (!opposite) {
        return;
    }
    uint32_t next = 0; /* the first character that is not yet judged */
    for (uint32_t i = 0; i < kept; i++) {
        struct weir_char_range in = r[i];
        r[i] = (struct weir_char_range){next, in.first - 1};
        next = in.last + 1;
    }
    if (next <= WEIR_STRING_PATTERN_LAST_CHAR) {
        add_range(x, next, WEIR_STRING_PATTERN_LAST_CHAR);
    }
    if (p->n_ranges > first && r[0].last + 1 == 0) { /* began with character 0: nothing before it */
        p->n_ranges--;
        memmove(r, r + 1, (p->n_ranges - first) * sizeof(*r));
    }
}

/* \d, \w, \s; false: no such letter. */
static bool add_named_class(struct parser *x, char letter)
{
    static const struct weir_char_range digits[] = {{'0', '9'}},
                                        words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                                        spaces[] = {{'\t', '\r'},     {' ', ' '},
                                                    {0xA0, 0xA0},     {0x1680, 0x1680},
                                                    {0x2000, 0x200A}, {0x2028, 0x2029},
                                                    {0x202F, 0x202F}, {0x205F, 0x205F},
                                                    {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    const struct weir_char_range *r = digits;
    size_t n = 1;
    switch (letter | 0x20) {
    case 'd': break;
    case 'w': r = words, n = sizeof(words) / sizeof(words[0]); break;
    case 's': r = spaces, n = sizeof(spaces) / sizeof(spaces[0]); break;
    default: return false;
    }
    uint32_t first = x->p->n_ranges;
    for (size_t i = 0; i < n; i++) {
        add_range(x, r[i].first, r[i].last);
    }
    tidy_ranges(x, first, letter < 'a');
    return true;
}

static int peek(const struct parser *x)
{
    return x->at < x->text.n ? (uint8_t)x->text.p[x->at] : -1;
}

static bool take(struct parser *x, char c)
{
    if (peek(x) != (uint8_t)c) {
        return false;
    }
    x->at++;
    return true;
}

/* One character of UTF-8, which the JSON reader has checked. */
static uint32_t take_char(struct parser *x)
{
    uint8_t lead_byte = (uint8_t)x->text.p[x->at++];
    if (lead_byte < 0x80) {
        return lead_byte;
    }
    int more = lead_byte >= 0xF0 ? 3 : lead_byte >= 0xE0 ? 2 : 1;
    uint32_t c = lead_byte & (0x3Fu >> more);
    while (more-- > 0 && x->at < x->text.n) {
        c = c << 6 | ((uint8_t)x->text.p[x->at++] & 0x3F);
    }
    return c;
}

static uint32_t take_hex(struct parser *x, int n_digits)
{
    uint32_t value = 0;
    for (int i = 0; i < n_digits; i++) {
        int c = peek(x);
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;
        if (c < 0 || digit < 0) {
            return fail(x, WEIR_E_ARG, "a hexadecimal digit is missing");
        }
        value = value << 4 | (uint32_t)digit;
        x->at++;
    }
    return value;
}

/* Behind a backslash that is no class. */
static uint32_t take_escape(struct parser *x)
{
    int c = peek(x);
    if (c < 0) {
        return fail(x, WEIR_E_ARG, "nothing behind the backslash");
    }
    uint32_t value = take_char(x);
    switch (value) {
    case 't': return '\t';
    case 'n': return '\n';
    case 'r': return '\r';
    case 'v': return '\v';
    case 'f': return '\f';
    case '0': return 0;
    case 'x': return take_hex(x, 2);
    case 'u': return take_hex(x, 4);
    default: break;
    }
    bool is_letter = (value | 0x20) >= 'a' && (value | 0x20) <= 'z';
    if ((value >= '1' && value <= '9') || is_letter) {
        return fail(x, WEIR_E_ARG,
                    is_letter ? "this escape is not supported"
                              : "references to groups are not supported");
    }
    return value;
}

/* A character or class inside brackets. *ret_one: the character, UINT32_MAX for a class. */
static void take_class_atom(struct parser *x, uint32_t *ret_one)
{
    *ret_one = UINT32_MAX;
    if (!take(x, '\\')) {
        *ret_one = take_char(x);
        return;
    }
    int c = peek(x);
    if (c >= 0 && add_named_class(x, (char)c)) {
        x->at++;
    } else if (take(x, 'b')) {
        *ret_one = '\b';
    } else {
        *ret_one = take_escape(x);
    }
}

/* Behind the opening bracket. */
static void take_class(struct parser *x)
{
    uint32_t begin = x->p->n_ranges;
    bool opposite = take(x, '^');
    while (x->code == 0 && peek(x) >= 0 && peek(x) != ']') {
        uint32_t one, last;
        take_class_atom(x, &one);
        bool is_range = one != UINT32_MAX && peek(x) == '-' && x->at + 1 < x->text.n &&
                        x->text.p[x->at + 1] != ']';
        last = one;
        if (is_range) {
            x->at++;
            take_class_atom(x, &last);
            if (last == UINT32_MAX || last < one) {
                (void)fail(x, WEIR_E_ARG, "a range that runs backwards");
                return;
            }
        }
        if (one != UINT32_MAX) {
            add_range(x, one, last);
        }
    }
    if (!take(x, ']')) {
        (void)fail(x, WEIR_E_ARG, "']' is missing");
        return;
    }
    tidy_ranges(x, begin, opposite);
}

static struct fragment char_fragment(struct parser *x, uint32_t first_range)
{
    struct fragment f = {.first = x->p->n_nodes, .start = add_node(x), .end = add_node(x)};
    if (x->code == 0) {
        struct weir_string_pattern_node *n = &x->p->nodes[f.start];
        n->takes_char = true;
        n->first_range = (uint16_t)first_range;
        n->n_ranges = (uint16_t)(x->p->n_ranges - first_range);
        n->out[0] = f.end;
    }
    return f;
}

/* The nodes of f once more, behind all that there are. */
static struct fragment copy(struct parser *x, struct fragment f, uint32_t n)
{
    struct weir_string_pattern *p = x->p;
    if (p->n_nodes + n > WEIR_STRING_PATTERN_MAX_NODES) {
        (void)fail(x, WEIR_E_TOOBIG, "too large");
        return f;
    }
    uint16_t shift = (uint16_t)(p->n_nodes - f.first);
    memcpy(p->nodes + p->n_nodes, p->nodes + f.first, n * sizeof(*p->nodes));
    for (uint32_t i = p->n_nodes; i < p->n_nodes + n; i++) {
        for (int o = 0; o < 2; o++) {
            if (p->nodes[i].out[o] != WEIR_STRING_PATTERN_NONE) {
                p->nodes[i].out[o] = (uint16_t)(p->nodes[i].out[o] + shift);
            }
        }
    }
    p->n_nodes += n;
    return (struct fragment){f.first + shift, (uint16_t)(f.start + shift),
                             (uint16_t)(f.end + shift)};
}

/* min..max times f, whose nodes are the last ones. */
static struct fragment repeat(struct parser *x, struct fragment f, uint32_t min, uint32_t max)
{
    uint32_t n_nodes = x->p->n_nodes - f.first;
    uint32_t n_copies = max == ENDLESS ? (min > 0 ? min : 1) : max;
    struct fragment all = {.first = f.first};
    struct fragment now = f;
    /* All copies before any is linked; the i-th is n_nodes further. */
    for (uint32_t i = 1; i < n_copies && x->code == 0; i++) {
        (void)copy(x, f, n_nodes);
    }
    all.start = add_node(x);
    all.end = add_node(x);
    uint16_t last = all.start;
    for (uint32_t i = 0; i < n_copies && x->code == 0; i++) {
        uint16_t shift = (uint16_t)(i * n_nodes);
        now = (struct fragment){f.first, (uint16_t)(f.start + shift), (uint16_t)(f.end + shift)};
        uint16_t enter = add_node(x);
        if (x->code < 0) {
            break;
        }
        lead(x, last, enter);
        lead(x, enter, now.start);
        if (i >= min) {
            lead(x, enter, all.end);
        }
        last = now.end;
    }
    if (x->code < 0) {
        return f;
    }
    if (max == ENDLESS) {
        uint16_t again = add_node(x);
        if (x->code == 0) {
            lead(x, last, again);
            lead(x, again, now.start);
            lead(x, again, all.end);
        }
    } else {
        lead(x, last, all.end);
    }
    return all;
}

static uint32_t take_number(struct parser *x)
{
    uint32_t n = 0;
    if (peek(x) < '0' || peek(x) > '9') {
        return fail(x, WEIR_E_ARG, "a number is missing");
    }
    while (peek(x) >= '0' && peek(x) <= '9') {
        n = n * 10 + (uint32_t)(peek(x) - '0');
        x->at++;
        if (n > MAX_REPEAT) {
            return fail(x, WEIR_E_TOOBIG, "over 1000 repetitions");
        }
    }
    return n;
}

static struct fragment take_repeat(struct parser *x, struct fragment f)
{
    uint32_t min = 1, max = 1;
    if (take(x, '*')) {
        min = 0, max = ENDLESS;
    } else if (take(x, '+')) {
        max = ENDLESS;
    } else if (take(x, '?')) {
        min = 0;
    } else if (take(x, '{')) {
        min = max = take_number(x);
        if (take(x, ',')) {
            max = peek(x) == '}' ? ENDLESS : take_number(x);
        }
        if (!take(x, '}') || max < min) {
            (void)fail(x, WEIR_E_ARG, "a wrong count of repetitions");
        }
    } else {
        return f;
    }
    (void)take(x, '?'); /* lazy: the same texts */
    return x->code == 0 ? repeat(x, f, min, max) : f;
}

static void append(struct parser *x, struct fragment f)
{
    if (x->code == 0) {
        struct group *g = &x->groups[x->depth];
        lead(x, g->last, f.start);
        g->last = f.end;
    }
}

static void append_any_text(struct parser *x)
{
    uint32_t first_range = x->p->n_ranges;
    add_range(x, 0, WEIR_STRING_PATTERN_LAST_CHAR);
    struct fragment f = char_fragment(x, first_range);
    if (x->code == 0) {
        append(x, repeat(x, f, 0, ENDLESS));
    }
}

static void begin_alternative(struct parser *x)
{
    struct group *g = &x->groups[x->depth];
    g->last = add_node(x);
    if (x->code < 0) {
        return;
    }
    lead(x, g->choice, g->last);
    if (x->depth == 0) {
        x->ended = false;
        if (!take(x, '^')) {
            append_any_text(x);
        }
    }
}

static void end_alternative(struct parser *x)
{
    if (x->depth == 0 && !x->ended) {
        append_any_text(x);
    }
    struct group *g = &x->groups[x->depth];
    if (x->code == 0) {
        lead(x, g->last, g->end);
    }
}

static void open_group(struct parser *x)
{
    struct group *g = &x->groups[x->depth];
    g->first = x->p->n_nodes;
    g->start = g->choice = add_node(x);
    g->end = add_node(x);
    begin_alternative(x);
}

static void next_alternative(struct parser *x)
{
    end_alternative(x);
    uint16_t choice = add_node(x);
    struct group *g = &x->groups[x->depth];
    if (x->code == 0) {
        lead(x, g->choice, choice);
        g->choice = choice;
        begin_alternative(x);
    }
}

/* Behind the opening parenthesis. */
static void take_group(struct parser *x)
{
    if (take(x, '?') && !take(x, ':')) {
        bool named = take(x, '<') && peek(x) != '=' && peek(x) != '!';
        while (named && peek(x) >= 0 && peek(x) != '>') {
            x->at++;
        }
        if (!named || !take(x, '>')) {
            (void)fail(x, WEIR_E_ARG, "look-around is not supported");
            return;
        }
    }
    if (x->depth + 1 == WEIR_STRING_PATTERN_MAX_DEPTH) {
        (void)fail(x, WEIR_E_TOOBIG, "groups lie too deep");
        return;
    }
    x->depth++;
    open_group(x);
}

static void close_group(struct parser *x)
{
    if (x->depth == 0) {
        (void)fail(x, WEIR_E_ARG, "')' without '('");
        return;
    }
    end_alternative(x);
    struct group g = x->groups[x->depth--];
    append(x, take_repeat(x, (struct fragment){g.first, g.start, g.end}));
}

static void take_atom(struct parser *x)
{
    uint32_t first_range = x->p->n_ranges;
    if (take(x, '.')) {
        add_range(x, '\n', '\n');
        add_range(x, '\r', '\r');
        add_range(x, 0x2028, 0x2029);
        tidy_ranges(x, first_range, true);
    } else if (take(x, '[')) {
        take_class(x);
    } else {
        bool escaped = take(x, '\\');
        int c = peek(x);
        if (escaped && c >= 0 && add_named_class(x, (char)c)) {
            x->at++;
        } else if (!escaped && c >= 0 && strchr("*+?{}]^", c)) {
            (void)fail(x, WEIR_E_ARG,
                       c == '^' ? "'^' may only come first" : "a character with no meaning here");
        } else {
            uint32_t one = escaped ? take_escape(x) : take_char(x);
            add_range(x, one, one);
        }
    }
    struct fragment f = char_fragment(x, first_range);
    append(x, take_repeat(x, f));
}

static void take_next(struct parser *x)
{
    if (take(x, '|')) {
        next_alternative(x);
    } else if (x->ended && x->depth == 0) {
        (void)fail(x, WEIR_E_ARG, "'$' may only come last");
    } else if (take(x, '(')) {
        take_group(x);
    } else if (take(x, ')')) {
        close_group(x);
    } else if (take(x, '$')) {
        if (x->depth > 0) {
            (void)fail(x, WEIR_E_ARG, "'$' may only come last");
        }
        x->ended = true;
    } else {
        take_atom(x);
    }
}

int weir_string_pattern_parse(weir_str text, struct weir_string_pattern *ret_pattern,
                              struct weir_error *err)
{
    *ret_pattern = (struct weir_string_pattern){
        .nodes = malloc(WEIR_STRING_PATTERN_MAX_NODES * sizeof(*ret_pattern->nodes)),
        .ranges = malloc(WEIR_STRING_PATTERN_MAX_RANGES * sizeof(*ret_pattern->ranges)),
    };
    if (!ret_pattern->nodes || !ret_pattern->ranges) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    struct parser x = {.p = ret_pattern, .text = text, .err = err};
    open_group(&x);
    while (x.code == 0 && x.at < text.n) {
        take_next(&x);
    }
    if (x.code == 0 && x.depth > 0) {
        (void)fail(&x, WEIR_E_ARG, "')' is missing");
    }
    if (x.code == 0) {
        end_alternative(&x);
    }
    ret_pattern->start = x.groups[0].start;
    ret_pattern->accept = x.groups[0].end;
    return x.code;
}

void weir_string_pattern_finish(struct weir_string_pattern *p)
{
    free(p->nodes);
    free(p->ranges);
    *p = (struct weir_string_pattern){0};
}
