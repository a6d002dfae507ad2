/* SPDX-License-Identifier: Apache-2.0 */
#include "literals.h"

#include <stdlib.h>

#include "engine/grammar/json_rules.h"

static int compare(const void *a, const void *b)
{
    const struct weir_literal *x = a, *y = b;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int c = n > 0 ? memcmp(x->text.p, y->text.p, n) : 0;
    return c ? c : (x->text.n > y->text.n) - (x->text.n < y->text.n);
}

static size_t common_prefix(weir_str a, weir_str b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) {
        n++;
    }
    return n;
}

/* What other_name() must know of a place in the tree of names. */
struct branch {
    uint32_t state;
    bool whole;      /* a name ends here */
    bool taken[256]; /* bytes that go on in a name */
};

struct tree {
    struct weir_automaton *a;
    uint32_t *open;          /* state after each byte of the last text */
    uint32_t *open_branch;   /* the same, as indexes into branches */
    struct branch *branches; /* NULL: not wanted */
    uint32_t n_branches;
};

static void add_branch(struct tree *t, size_t depth, uint8_t byte, uint32_t state)
{
    if (t->branches) {
        t->branches[t->open_branch[depth]].taken[byte] = true;
        t->open_branch[depth + 1] = t->n_branches;
        t->branches[t->n_branches++] = (struct branch){.state = state};
    }
}

/* The texts are sorted: each goes on from where it parts from the one before. */
static void grow(struct tree *t, const struct weir_literal *literals, uint32_t n)
{
    weir_str last = {NULL, 0};
    for (uint32_t i = 0; i < n && t->a->code == 0; i++) {
        weir_str text = literals[i].text;
        for (size_t depth = common_prefix(text, last); depth < text.n; depth++) {
            uint8_t byte = (uint8_t)text.p[depth];
            t->open[depth + 1] = weir_automaton_state(t->a);
            weir_automaton_range(t->a, t->open[depth], byte, byte, t->open[depth + 1]);
            add_branch(t, depth, byte, t->open[depth + 1]);
        }
        if (!t->branches) {
            weir_automaton_empty(t->a, t->open[text.n], literals[i].target);
        } else if (literals[i].target != WEIR_STATE_NONE) {
            t->branches[t->open_branch[text.n]].whole = true;
        }
        last = text;
    }
}

static size_t longest(const struct weir_literal *literals, uint32_t n, size_t *ret_total)
{
    size_t most = 0;
    *ret_total = 0;
    for (uint32_t i = 0; i < n; i++) {
        most = literals[i].text.n > most ? literals[i].text.n : most;
        *ret_total += literals[i].text.n;
    }
    return most;
}

int weir_literals_add(struct weir_automaton *a, uint32_t from, struct weir_literal *literals,
                      uint32_t n)
{
    size_t total;
    struct tree t = {.a = a};
    t.open = malloc((longest(literals, n, &total) + 1) * sizeof(*t.open));
    if (!t.open) {
        return WEIR_E_NOMEM;
    }
    t.open[0] = from;
    qsort(literals, n, sizeof(*literals), compare);
    grow(&t, literals, n);
    free(t.open);
    return 0;
}

/* Is every byte that goes on from here one that begins a character? */
static bool is_between(const struct branch *b)
{
    for (unsigned byte = 0x80; byte < 0xC0; byte++) {
        if (b->taken[byte]) {
            return false;
        }
    }
    return true;
}

static uint32_t tail_of(const struct weir_automaton *a, unsigned byte)
{
    return byte < 0x80 ? WEIR_STATE_NONE : weir_json_tail(a, (uint8_t)byte);
}

/* Every character that does not go on in a name leads to `inside`. */
static void add_others(struct weir_automaton *a, const struct branch *b, uint32_t inside)
{
    for (unsigned byte = 0x20; byte <= 0xF4; byte++) {
        uint32_t tail = tail_of(a, byte);
        bool begins = byte < 0x80 ? byte != '"' && byte != '\\' : tail != WEIR_STATE_NONE;
        if (begins && !b->taken[byte]) {
            weir_automaton_range_call(a, b->state, (uint8_t)byte, (uint8_t)byte,
                                      byte < 0x80 ? inside : tail,
                                      byte < 0x80 ? WEIR_STATE_NONE : inside);
        }
    }
}

/* A name that needs an escape is cut before it: no escape may come before a name parts from all of
 * the others, so that it cannot be written anyway. */
static void cut_names(struct weir_literal *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        weir_str *s = &names[i].text;
        size_t len = 0;
        while (len < s->n && (uint8_t)s->p[len] >= 0x20 && s->p[len] != '"' && s->p[len] != '\\') {
            len++;
        }
        names[i].target = len == s->n ? WEIR_STATE_POP : WEIR_STATE_NONE;
        s->n = len;
    }
}

int weir_literals_other_name(struct weir_automaton *a, struct weir_literal *names, uint32_t n,
                             uint32_t *ret_rule)
{
    weir_json_prepare_strings(a);
    cut_names(names, n);
    qsort(names, n, sizeof(*names), compare);
    size_t total;
    size_t depths = longest(names, n, &total) + 1;
    struct tree t = {.a = a};
    t.open = malloc(depths * sizeof(*t.open));
    t.open_branch = malloc(depths * sizeof(*t.open_branch));
    t.branches = malloc((total + 1) * sizeof(*t.branches));
    if (t.open && t.open_branch && t.branches) {
        uint32_t inside = weir_json_inside(a);
        t.open[0] = weir_automaton_state(a);
        t.open_branch[0] = 0;
        t.branches[t.n_branches++] = (struct branch){.state = t.open[0], .whole = true};
        grow(&t, names, n);
        for (uint32_t i = 0; i < t.n_branches; i++) {
            struct branch *b = &t.branches[i];
            if (!is_between(b)) {
                continue;
            }
            add_others(a, b, inside);
            if (!b->whole) {
                weir_automaton_range(a, b->state, '"', '"', WEIR_STATE_POP);
            }
        }
        *ret_rule = weir_json_byte(a, '"', t.open[0]);
    }
    int r = t.open && t.open_branch && t.branches ? 0 : WEIR_E_NOMEM;
    free(t.open);
    free(t.open_branch);
    free(t.branches);
    return r;
}
