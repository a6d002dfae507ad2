/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

enum kind {
    KIND_CHARACTER, /* a */
    KIND_ANY,
    KIND_CLASS, /* %a: a is the letter */
    KIND_SET,   /* a: index in sets */
    KIND_OPEN,  /* capture a */
    KIND_POSITION,
    KIND_CLOSE,
    KIND_BALANCED, /* %bxy */
    KIND_FRONTIER, /* %f[set] */
    KIND_BACK,     /* %1 */
    KIND_END,      /* $ at the end */
    KIND_DONE
};

enum repeat { ONCE, GREEDY0, GREEDY1, LAZY0, OPTIONAL };

/* ---- compiling ---- */

static bool fail(struct pattern *p, const char *why)
{
    p->error = why;
    return false;
}

/* The C locale's classes as ranges, which do not depend on where weir runs. */
static const char *ranges_of(char class)
{
    switch (class | 0x20) {
    case 'a': return "AZaz";
    case 'd': return "09";
    case 'g': return "!~";
    case 'l': return "az";
    case 'p': return "!/:@[`{~";
    case 's': return "\t\r  ";
    case 'u': return "AZ";
    case 'w': return "09AZaz";
    case 'x': return "09AFaf";
    default: return "\1\x1f\x7f\x7f"; /* c; and NUL, see below */
    }
}

static bool in_class(uint8_t c, uint8_t class)
{
    bool in = (class | 0x20) == 'c' && c == 0;
    for (const char *r = ranges_of((char)class); *r && !in; r += 2) {
        in = c >= (uint8_t)r[0] && c <= (uint8_t)r[1];
    }
    return in != (class >= 'A' && class <= 'Z');
}

static bool is_class_letter(char c)
{
    return strchr("acdglpsuwxACDGLPSUWX", c) != NULL && c != '\0';
}

static void set_add(uint8_t *set, uint8_t c)
{
    set[c >> 3] |= (uint8_t)(1u << (c & 7));
}

static bool set_has(const uint8_t *set, uint8_t c)
{
    return set[c >> 3] >> (c & 7) & 1;
}

static void set_add_range(uint8_t *set, unsigned first, unsigned last)
{
    for (; first <= last; first++) {
        set_add(set, (uint8_t)first);
    }
}

static void set_add_class(uint8_t *set, char class)
{
    uint8_t one[32] = {0};
    bool negative = class >= 'A' && class <= 'Z';
    for (const char *r = ranges_of(class); *r; r += 2) {
        set_add_range(one, (uint8_t)r[0], (uint8_t)r[1]);
    }
    one[0] |= (class | 0x20) == 'c';
    for (size_t i = 0; i < 32; i++) {
        set[i] |= (uint8_t)(negative ? ~one[i] : one[i]);
    }
}

/* The place of the ']' of a set whose '[' is before `i`; 0: there is none. */
static size_t find_set_end(weir_str t, size_t i)
{
    do { /* the first character is never the end */
        if (i >= t.n) {
            return 0;
        }
        i += t.p[i] == '%' && i + 1 < t.n ? 2 : 1;
    } while (i >= t.n || t.p[i] != ']');
    return i;
}

/* `i` is behind '['; gives the place behind ']', 0 on failure. What odd forms mean is as in Lua. */
static size_t compile_set(struct pattern *p, weir_str t, size_t i, uint8_t *ret_set)
{
    bool negative = i < t.n && t.p[i] == '^';
    i += negative;
    size_t end = find_set_end(t, i);
    if (end == 0 || p->n_sets == PATTERN_MAX_SETS) {
        (void)fail(p, end ? "too many sets in the pattern" : "malformed pattern (missing ']')");
        return 0;
    }
    uint8_t *set = p->sets[p->n_sets];
    memset(set, 0, sizeof(p->sets[0]));
    *ret_set = (uint8_t)p->n_sets++;
    for (; i < end; i++) {
        if (t.p[i] == '%') {
            i++;
            if (is_class_letter(t.p[i])) {
                set_add_class(set, t.p[i]);
            } else {
                set_add(set, (uint8_t)t.p[i]);
            }
        } else if (i + 2 < end && t.p[i + 1] == '-') {
            set_add_range(set, (uint8_t)t.p[i], (uint8_t)t.p[i + 2]);
            i += 2;
        } else {
            set_add(set, (uint8_t)t.p[i]);
        }
    }
    for (size_t c = 0; negative && c < 32; c++) {
        set[c] = (uint8_t)~set[c];
    }
    return end + 1;
}

static void add(struct pattern *p, enum kind kind, uint8_t a, uint8_t b)
{
    p->items[p->n++] = (struct pattern_item){.kind = (uint8_t)kind, .a = a, .b = b};
}

struct open_captures {
    uint8_t list[PATTERN_MAX_CAPTURES];
    uint32_t n;
};

static bool compile_capture(struct pattern *p, struct open_captures *open, weir_str t, size_t *i)
{
    if (t.p[*i] == ')') {
        if (open->n == 0) {
            return fail(p, "invalid pattern capture");
        }
        add(p, KIND_CLOSE, open->list[--open->n], 0);
        *i += 1;
        return true;
    }
    if (p->n_captures == PATTERN_MAX_CAPTURES) {
        return fail(p, "too many captures");
    }
    uint8_t number = (uint8_t)p->n_captures++;
    if (*i + 1 < t.n && t.p[*i + 1] == ')') {
        add(p, KIND_POSITION, number, 0);
        *i += 2;
    } else {
        open->list[open->n++] = number;
        add(p, KIND_OPEN, number, 0);
        *i += 1;
    }
    return true;
}

static bool is_open(const struct open_captures *open, uint8_t number)
{
    for (uint32_t i = 0; i < open->n; i++) {
        if (open->list[i] == number) {
            return true;
        }
    }
    return false;
}

/* What begins with '%'. True in *ret_single: a single character, which may be repeated. */
static bool compile_escape(struct pattern *p, const struct open_captures *open, weir_str t,
                           size_t *i, bool *ret_single)
{
    if (*i + 1 >= t.n) {
        return fail(p, "malformed pattern (ends with '%')");
    }
    char c = t.p[*i + 1];
    *ret_single = false;
    if (c == 'b') {
        if (*i + 3 >= t.n) {
            return fail(p, "malformed pattern (missing arguments to '%b')");
        }
        add(p, KIND_BALANCED, (uint8_t)t.p[*i + 2], (uint8_t)t.p[*i + 3]);
        *i += 4;
        return true;
    }
    if (c == 'f') {
        uint8_t set;
        if (*i + 2 >= t.n || t.p[*i + 2] != '[') {
            return fail(p, "missing '[' after '%f' in pattern");
        }
        *i = compile_set(p, t, *i + 3, &set);
        add(p, KIND_FRONTIER, *i ? set : 0, 0);
        return *i != 0;
    }
    if (c >= '0' && c <= '9') {
        uint8_t number = (uint8_t)(c - '1');
        if (c == '0' || number >= p->n_captures || is_open(open, number)) {
            return fail(p, "invalid capture index in pattern");
        }
        add(p, KIND_BACK, number, 0);
        *i += 2;
        return true;
    }
    add(p, is_class_letter(c) ? KIND_CLASS : KIND_CHARACTER, (uint8_t)c, 0);
    *i += 2;
    *ret_single = true;
    return true;
}

static bool compile_single(struct pattern *p, const struct open_captures *open, weir_str t,
                           size_t *i, bool *ret_single)
{
    char c = t.p[*i];
    *ret_single = true;
    if (c == '%') {
        return compile_escape(p, open, t, i, ret_single);
    }
    if (c == '[') {
        uint8_t set;
        *i = compile_set(p, t, *i + 1, &set);
        if (*i) {
            add(p, KIND_SET, set, 0);
        }
        return *i != 0;
    }
    add(p, c == '.' ? KIND_ANY : KIND_CHARACTER, (uint8_t)c, 0);
    *i += 1;
    return true;
}

static void compile_repeat(struct pattern *p, weir_str t, size_t *i)
{
    static const char marks[] = "*+-?";
    static const uint8_t repeats[] = {GREEDY0, GREEDY1, LAZY0, OPTIONAL};
    const char *at = *i < t.n && t.p[*i] ? strchr(marks, t.p[*i]) : NULL;
    if (at) {
        p->items[p->n - 1].repeat = repeats[at - marks];
        *i += 1;
    }
}

bool pattern_compile(struct pattern *p, weir_str t)
{
    struct open_captures open = {.n = 0};
    size_t i = t.n && t.p[0] == '^';
    /* Not as a whole: it is large, and every call of a string function has one. */
    p->n = p->n_captures = p->n_sets = 0;
    p->error = NULL;
    p->anchored = i != 0;
    if (t.n > PATTERN_MAX_BYTES) {
        return fail(p, "the pattern is longer than 256 bytes");
    }
    while (i < t.n) {
        bool single = false;
        if (t.p[i] == '(' || t.p[i] == ')') {
            if (!compile_capture(p, &open, t, &i)) {
                return false;
            }
        } else if (t.p[i] == '$' && i + 1 == t.n) {
            add(p, KIND_END, 0, 0);
            i++;
        } else if (!compile_single(p, &open, t, &i, &single)) {
            return false;
        } else if (single) {
            compile_repeat(p, t, &i);
        }
    }
    if (open.n) {
        return fail(p, "unfinished capture");
    }
    add(p, KIND_DONE, 0, 0);
    return true;
}

/* ---- matching ---- */

/* Where to go on when what follows fails: item `item` took `n` characters from `at`. */
struct choice {
    uint16_t item;
    size_t at, n;
};

struct matcher {
    const struct pattern *p;
    const uint8_t *s;
    size_t n;
    int64_t *steps;
    struct choice choices[PATTERN_MAX_BYTES + 1];
    uint32_t n_choices;
    struct pattern_capture *captures;
};

static bool is_single(const struct matcher *m, const struct pattern_item *item, size_t at)
{
    if (at >= m->n) {
        return false;
    }
    uint8_t c = m->s[at];
    switch (item->kind) {
    case KIND_ANY: return true;
    case KIND_CHARACTER: return c == item->a;
    case KIND_CLASS: return in_class(c, item->a);
    default: return set_has(m->p->sets[item->a], c);
    }
}

/* Characters from `at` that a repeated item can take, at most `most`. */
static size_t count_run(struct matcher *m, const struct pattern_item *item, size_t at, size_t most)
{
    size_t n = 0;
    while (n < most && is_single(m, item, at + n)) {
        n++;
    }
    *m->steps -= (int64_t)n + 1;
    return n;
}

/* Characters of a text in balance from `at`; 0: none. */
static size_t count_balanced(struct matcher *m, const struct pattern_item *item, size_t at)
{
    size_t depth = 1;
    if (at >= m->n || m->s[at] != item->a) {
        return 0;
    }
    for (size_t i = at + 1; i < m->n; i++) {
        *m->steps -= 1;
        if (m->s[i] == item->b) {
            if (--depth == 0) {
                return i + 1 - at;
            }
        } else if (m->s[i] == item->a) {
            depth++;
        }
    }
    return 0;
}

static bool at_frontier(const struct matcher *m, const struct pattern_item *item, size_t at)
{
    const uint8_t *set = m->p->sets[item->a];
    uint8_t before = at ? m->s[at - 1] : 0, here = at < m->n ? m->s[at] : 0;
    return !set_has(set, before) && set_has(set, here);
}

/* One item at *at. False: it does not match here. */
static bool match_item(struct matcher *m, uint16_t index, size_t *at)
{
    const struct pattern_item *item = &m->p->items[index];
    struct pattern_capture *capture = &m->captures[item->a < PATTERN_MAX_CAPTURES ? item->a : 0];
    size_t n;
    *m->steps -= 1;
    switch (item->kind) {
    case KIND_OPEN:
        capture->at = *at;
        capture->is_position = false;
        return true;
    case KIND_POSITION:
        *capture = (struct pattern_capture){.at = *at, .is_position = true};
        return true;
    case KIND_CLOSE: capture->n = *at - capture->at; return true;
    case KIND_BALANCED:
        n = count_balanced(m, item, *at);
        *at += n;
        return n != 0;
    case KIND_FRONTIER: return at_frontier(m, item, *at);
    case KIND_BACK:
        n = capture->n;
        *m->steps -= (int64_t)(n / 16);
        if (capture->is_position || n > m->n - *at ||
            memcmp(m->s + capture->at, m->s + *at, n) != 0) {
            return false;
        }
        *at += n;
        return true;
    case KIND_END: return *at == m->n;
    default: break;
    }
    if (item->repeat == ONCE) {
        bool is = is_single(m, item, *at);
        *at += is;
        return is;
    }
    bool lazy = item->repeat == LAZY0;
    n = lazy ? 0 : count_run(m, item, *at, item->repeat == OPTIONAL ? 1 : m->n - *at);
    if (item->repeat == GREEDY1 && n == 0) {
        return false;
    }
    m->choices[m->n_choices++] = (struct choice){index, *at, n};
    *at += n;
    return true;
}

/* Takes the newest choice another way: *index and *at are then behind it. */
static bool choose_again(struct matcher *m, uint16_t *index, size_t *at)
{
    while (m->n_choices) {
        struct choice *c = &m->choices[m->n_choices - 1];
        const struct pattern_item *item = &m->p->items[c->item];
        size_t least = item->repeat == GREEDY1 ? 1 : 0;
        bool again;
        *m->steps -= 1;
        if (item->repeat == LAZY0) {
            again = is_single(m, item, c->at + c->n);
            c->n += again;
        } else {
            again = c->n > least;
            c->n -= again;
        }
        if (again) {
            *index = (uint16_t)(c->item + 1);
            *at = c->at + c->n;
            return true;
        }
        m->n_choices--;
    }
    return false;
}

/* Captures need no undoing: those that were set on a way that failed are set again before they are
 * looked at, since the items are passed in order. */
static int match_here(struct matcher *m, size_t from, size_t *ret_end)
{
    uint16_t index = 0;
    size_t at = from;
    m->n_choices = 0;
    while (m->p->items[index].kind != KIND_DONE) {
        if (*m->steps <= 0) {
            return WEIR_E_TIMEOUT;
        }
        if (match_item(m, index, &at)) {
            index++;
        } else if (!choose_again(m, &index, &at)) {
            return 0;
        }
    }
    *ret_end = at;
    return 1;
}

int pattern_search(const struct pattern *p, weir_str subject, size_t from, int64_t *steps,
                   struct pattern_match *ret_match)
{
    struct matcher m; /* large: its choices stay uninitialised until used */
    m.p = p;
    m.s = (const uint8_t *)subject.p;
    m.n = subject.n;
    m.steps = steps;
    m.captures = ret_match->captures;
    for (size_t at = from; at <= subject.n; at++) {
        size_t end = 0;
        int rc = match_here(&m, at, &end);
        if (rc != 0) {
            ret_match->at = at;
            ret_match->n = rc > 0 ? end - at : 0;
            return rc;
        }
        if (p->anchored) {
            break;
        }
    }
    return 0;
}
