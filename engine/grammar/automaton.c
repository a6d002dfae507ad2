/* SPDX-License-Identifier: Apache-2.0 */
#include "automaton.h"

#include <stdlib.h>

/* Passes over the states until `need` is stable; each settles chains in one direction. When they
 * do not suffice, `need` is too large, which only forbids more. */
enum { MAX_NEED_PASSES = 64 };

/* Makes room for one more element; false: failed, and a->code says why. */
static bool grow(struct weir_automaton *a, void **array, uint32_t n, uint32_t *cap, uint32_t max,
                 size_t size)
{
    if (a->code < 0) {
        return false;
    }
    if (n == max) {
        a->code = WEIR_E_TOOBIG;
        return false;
    }
    if (n < *cap) {
        return true;
    }
    uint32_t wanted = *cap ? *cap * 2 : 64;
    void *p = realloc(*array, wanted * size);
    if (!p) {
        a->code = WEIR_E_NOMEM;
        return false;
    }
    *array = p;
    *cap = wanted;
    return true;
}

void weir_automaton_init(struct weir_automaton *a)
{
    *a = (struct weir_automaton){0};
    (void)weir_automaton_state(a);
}

void weir_automaton_finish(struct weir_automaton *a)
{
    free(a->states);
    free(a->edges);
    free(a->bodies);
    *a = (struct weir_automaton){0};
}

uint32_t weir_automaton_state(struct weir_automaton *a)
{
    if (!grow(a, (void **)&a->states, a->n_states, &a->cap_states, WEIR_AUTOMATON_MAX_STATES,
              sizeof(*a->states))) {
        return WEIR_STATE_POP;
    }
    a->states[a->n_states] = (struct weir_state){.need = WEIR_NEED_NEVER};
    return a->n_states++;
}

uint32_t weir_automaton_body(struct weir_automaton *a, struct weir_body body)
{
    uint32_t state = weir_automaton_state(a);
    if (state == WEIR_STATE_POP || !grow(a, (void **)&a->bodies, a->n_bodies, &a->cap_bodies,
                                         WEIR_AUTOMATON_MAX_STATES, sizeof(*a->bodies))) {
        return WEIR_STATE_POP;
    }
    a->bodies[a->n_bodies++] = body;
    a->states[state].body = a->n_bodies;
    return state;
}

void weir_automaton_body_loop(struct weir_automaton *a, uint32_t state)
{
    if (a->code == 0) {
        a->bodies[a->states[state].body - 1].next = state;
    }
}

static void add_edge(struct weir_automaton *a, struct weir_edge edge)
{
    if (grow(a, (void **)&a->edges, a->n_edges, &a->cap_edges, WEIR_AUTOMATON_MAX_EDGES,
             sizeof(*a->edges))) {
        a->edges[a->n_edges++] = edge;
    }
}

void weir_automaton_range_call(struct weir_automaton *a, uint32_t from, uint8_t lo, uint8_t hi,
                               uint32_t target, uint32_t back)
{
    add_edge(a, (struct weir_edge){
                    .target = target,
                    .push = back,
                    .from = from,
                    .lo = lo,
                    .hi = hi,
                    .takes_byte = true,
                });
}

void weir_automaton_range(struct weir_automaton *a, uint32_t from, uint8_t lo, uint8_t hi,
                          uint32_t target)
{
    weir_automaton_range_call(a, from, lo, hi, target, WEIR_STATE_NONE);
}

void weir_automaton_call(struct weir_automaton *a, uint32_t from, uint32_t target, uint32_t back)
{
    add_edge(a, (struct weir_edge){.target = target, .push = back, .from = from});
}

void weir_automaton_empty(struct weir_automaton *a, uint32_t from, uint32_t target)
{
    weir_automaton_call(a, from, target, WEIR_STATE_NONE);
}

void weir_automaton_text(struct weir_automaton *a, uint32_t from, weir_str s, uint32_t target)
{
    uint32_t at = from;
    for (size_t i = 0; i < s.n; i++) {
        uint32_t to = i + 1 == s.n ? target : weir_automaton_state(a);
        weir_automaton_range(a, at, (uint8_t)s.p[i], (uint8_t)s.p[i], to);
        at = to;
    }
    if (s.n == 0) {
        weir_automaton_empty(a, from, target);
    }
}

/* Counting sort by (from, takes_byte); the order of edges does not matter otherwise. */
static int sort_edges(struct weir_automaton *a)
{
    struct weir_edge *sorted = malloc((a->n_edges ? a->n_edges : 1) * sizeof(*sorted));
    if (!sorted) {
        return WEIR_E_NOMEM;
    }
    for (uint32_t i = 0; i < a->n_edges; i++) {
        struct weir_state *s = &a->states[a->edges[i].from];
        s->n_edges++;
        s->n_empty += !a->edges[i].takes_byte;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < a->n_states; i++) {
        a->states[i].first_edge = at;
        at += a->states[i].n_edges;
        a->states[i].n_edges = 0; /* counted up again while they are placed */
    }
    for (int takes_byte = 0; takes_byte < 2; takes_byte++) {
        for (uint32_t i = 0; i < a->n_edges; i++) {
            struct weir_state *s = &a->states[a->edges[i].from];
            if (a->edges[i].takes_byte == takes_byte) {
                sorted[s->first_edge + s->n_edges++] = a->edges[i];
            }
        }
    }
    free(a->edges);
    a->edges = sorted;
    return 0;
}

static uint8_t need_of_edge(const struct weir_automaton *a, const struct weir_edge *e)
{
    unsigned inner = a->states[e->target].need;
    if (e->push == WEIR_STATE_NONE || e->push == WEIR_STATE_POP) {
        return (uint8_t)inner;
    }
    unsigned after = a->states[e->push].need;
    if (inner == WEIR_NEED_NEVER || after == WEIR_NEED_NEVER) {
        return WEIR_NEED_NEVER;
    }
    inner++;
    inner = inner > after ? inner : after;
    return inner > WEIR_GRAMMAR_MAX_DEPTH ? WEIR_NEED_NEVER : (uint8_t)inner;
}

static uint8_t need_of_body(const struct weir_automaton *a, const struct weir_body *b)
{
    uint8_t next = b->next == WEIR_STATE_NONE ? WEIR_NEED_NEVER : a->states[b->next].need;
    uint8_t close = b->min_more > 0 ? WEIR_NEED_NEVER : a->states[b->close].need;
    uint8_t least = next < close ? next : close;
    /* Room for the rest of a character: the tables of what stays inside know no depth. */
    return least == 0 && b->next != WEIR_STATE_NONE ? 1 : least;
}

static bool lower_need(struct weir_automaton *a, uint32_t state)
{
    struct weir_state *s = &a->states[state];
    uint8_t least = s->need;
    for (uint32_t i = 0; i < s->n_edges; i++) {
        uint8_t need = need_of_edge(a, &a->edges[s->first_edge + i]);
        least = need < least ? need : least;
    }
    if (s->body) {
        uint8_t need = need_of_body(a, &a->bodies[s->body - 1]);
        least = need < least ? need : least;
    }
    bool changed = least != s->need;
    s->need = least;
    return changed;
}

static void compute_need(struct weir_automaton *a)
{
    a->states[WEIR_STATE_POP].need = 0;
    bool changed = true;
    for (int pass = 0; changed && pass < MAX_NEED_PASSES; pass++) {
        changed = false;
        for (uint32_t i = 0; i < a->n_states; i++) {
            changed |= lower_need(a, a->n_states - 1 - i);
        }
        for (uint32_t i = 0; i < a->n_states; i++) {
            changed |= lower_need(a, i);
        }
    }
}

/* Follows empty edges depth first with its own stack. A state met while it is still open closes a
 * cycle. Coming back from a call that took nothing counts as following the push, too. */
static int find_cycle(const struct weir_automaton *a, uint8_t *mark, uint32_t *stack,
                      uint32_t *next)
{
    enum { NEW, OPEN, DONE };
    for (uint32_t root = 0; root < a->n_states; root++) {
        uint32_t n = 0;
        if (mark[root] == NEW) {
            stack[n++] = root;
            mark[root] = OPEN;
            next[root] = 0;
        }
        while (n > 0) {
            uint32_t at = stack[n - 1];
            const struct weir_state *s = &a->states[at];
            if (next[at] == 2 * s->n_empty) {
                mark[at] = DONE;
                n--;
                continue;
            }
            const struct weir_edge *e = &a->edges[s->first_edge + next[at] / 2];
            bool back = next[at] % 2 == 1;
            next[at]++;
            /* Of all rules only white space can be empty; coming back from another takes bytes. */
            uint32_t to =
                back ? (e->target == a->shared.space ? e->push : WEIR_STATE_NONE) : e->target;
            if (to == WEIR_STATE_NONE || mark[to] == DONE) {
                continue;
            }
            if (mark[to] == OPEN) {
                return WEIR_E_ARG;
            }
            mark[to] = OPEN;
            next[to] = 0;
            stack[n++] = to;
        }
    }
    return 0;
}

static int check_progress(const struct weir_automaton *a)
{
    uint8_t *mark = calloc(a->n_states, sizeof(*mark));
    uint32_t *stack = calloc(a->n_states, 2 * sizeof(*stack));
    int r = mark && stack ? find_cycle(a, mark, stack, stack + a->n_states) : WEIR_E_NOMEM;
    free(mark);
    free(stack);
    return r;
}

int weir_automaton_seal(struct weir_automaton *a)
{
    if (a->code < 0) {
        return a->code;
    }
    a->code = sort_edges(a);
    if (a->code == 0) {
        a->code = check_progress(a);
    }
    if (a->code == 0) {
        compute_need(a);
        a->sealed = true;
    }
    return a->code;
}
