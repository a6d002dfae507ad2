/* SPDX-License-Identifier: Apache-2.0 */
#include "grammar.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/grammar/json_rules.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/walker.h"

/* Threads visited for one mask: some 20 ms at worst. What was not reached then is not allowed. */
static const int64_t MASK_FUEL = 1000000;

struct weir_grammar {
    atomic_uint n_refs;
    const struct weir_token_trie *trie;
    struct weir_automaton automaton;
    struct weir_grammar_state initial;
};

int weir_walker_create(struct weir_walker **ret_walker)
{
    struct weir_walker *w = calloc(1, sizeof(*w));
    if (!w) {
        return WEIR_E_NOMEM;
    }
    *ret_walker = w;
    return 0;
}

void weir_walker_destroy(struct weir_walker *w)
{
    free(w);
}

/* Stores the frame and those below it; parents come first, so that indexes stay in order.
 * moved[frame]: its new index, 0 while not stored. False: no room. */
static bool store_stack(struct weir_grammar_state *s, const struct weir_walker *w, uint32_t frame,
                        uint16_t *moved)
{
    uint32_t path[WEIR_GRAMMAR_MAX_DEPTH + 1];
    uint32_t n = 0;
    while (frame != 0 && moved[frame] == 0) {
        path[n++] = frame;
        frame = w->frames[frame].parent;
    }
    if (s->n_frames + n > WEIR_GRAMMAR_MAX_FRAMES) {
        return false;
    }
    while (n > 0) {
        frame = path[--n];
        s->frames[s->n_frames].state = w->frames[frame].state;
        s->frames[s->n_frames].parent = moved[w->frames[frame].parent];
        moved[frame] = s->n_frames++;
    }
    return true;
}

/* Makes the state of a level. Frames in use are few; the table of new places is cleared by need. */
static void store(struct weir_grammar_state *s, const struct weir_walker *w, uint32_t level)
{
    uint16_t moved[WEIR_WALK_MAX_FRAMES];
    memset(moved, 0, w->frames_at[level] * sizeof(*moved));
    uint32_t n;
    const struct weir_walk_thread *threads = weir_walker_level(w, level, &n);
    s->n_threads = 0;
    s->n_frames = 1;
    s->may_end = false;
    for (uint32_t i = 0; i < n; i++) {
        if (threads[i].state == WEIR_STATE_POP) {
            s->may_end = true;
        } else if (store_stack(s, w, threads[i].frame, moved)) {
            s->threads[s->n_threads].state = threads[i].state;
            s->threads[s->n_threads++].frame = moved[threads[i].frame];
        }
    }
}

/* Puts the state's frames in place; level 0 stays empty. */
static void load_frames(const struct weir_grammar_state *s, struct weir_walker *w)
{
    weir_walker_clear(w, &s->grammar->automaton);
    for (uint32_t i = 1; i < s->n_frames; i++) {
        uint16_t parent = s->frames[i].parent;
        w->frames[i] = (struct weir_walk_frame){
            .state = s->frames[i].state,
            .parent = parent,
            .depth = (uint16_t)(w->frames[parent].depth + 1),
        };
    }
    w->n_frames = w->frames_at[0] = s->n_frames;
}

static int build(struct weir_automaton *a, const struct weir_grammar_source *source,
                 uint32_t *ret_start, struct weir_error *err)
{
    uint32_t value = WEIR_STATE_POP;
    if (source->schema.n > 0) {
        int r = weir_json_schema_rule(a, source->schema, &value, err);
        if (r < 0) {
            return r;
        }
    } else {
        value = weir_json_object(a);
    }
    uint32_t before = weir_automaton_state(a), after = weir_automaton_state(a);
    *ret_start = weir_automaton_state(a);
    weir_automaton_text(a, *ret_start, source->prefix, before);
    weir_automaton_text(a, after, source->suffix, WEIR_STATE_POP);
    weir_automaton_call(a, before, value, after);
    int r = weir_automaton_seal(a);
    switch (r) {
    case 0: break;
    case WEIR_E_ARG:
        return weir_error_set(err, r, "a $ref leads back to itself before any text is written");
    case WEIR_E_TOOBIG:
        return weir_error_set(err, r, "the schema is too large: over %d states",
                              WEIR_AUTOMATON_MAX_STATES);
    default: return weir_error_set(err, r, "out of memory");
    }
    if (a->states[*ret_start].need == WEIR_NEED_NEVER) {
        return weir_error_set(err, WEIR_E_ARG, "no value can satisfy the schema");
    }
    return 0;
}

static int fill(struct weir_grammar *g, const struct weir_grammar_source *source,
                struct weir_error *err)
{
    uint32_t start;
    int r = build(&g->automaton, source, &start, err);
    if (r < 0) {
        return r;
    }
    struct weir_walker *w = NULL;
    r = weir_walker_create(&w);
    if (r < 0) {
        return weir_error_set(err, r, "out of memory");
    }
    weir_walker_start(w, &g->automaton, start);
    g->initial.grammar = g;
    store(&g->initial, w, 0);
    weir_walker_destroy(w);
    if (g->initial.n_threads == 0) {
        return weir_error_set(err, WEIR_E_TOOBIG,
                              "the schema has too many alternatives in one place");
    }
    return 0;
}

int weir_grammar_compile(const struct weir_grammar_source *source,
                         const struct weir_token_trie *trie, struct weir_grammar **ret_grammar,
                         struct weir_error *err)
{
    if (!trie->spells_json) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED,
                              "the model's vocabulary cannot spell all of JSON");
    }
    struct weir_grammar *g = calloc(1, sizeof(*g));
    if (!g) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    atomic_init(&g->n_refs, 1);
    g->trie = trie;
    weir_automaton_init(&g->automaton);
    int r = fill(g, source, err);
    if (r < 0) {
        weir_grammar_unref(g);
        return r;
    }
    *ret_grammar = g;
    return 0;
}

struct weir_grammar *weir_grammar_ref(struct weir_grammar *g)
{
    /* Whoever refs holds a reference already: nothing to order. */
    atomic_fetch_add_explicit(&g->n_refs, 1, memory_order_relaxed);
    return g;
}

void weir_grammar_unref(struct weir_grammar *g)
{
    /* Release: what other owners did comes before; acquire: the last one sees it. */
    if (g && atomic_fetch_sub_explicit(&g->n_refs, 1, memory_order_acq_rel) == 1) {
        weir_automaton_finish(&g->automaton);
        free(g);
    }
}

void weir_grammar_state_init(struct weir_grammar_state *s, const struct weir_grammar *g)
{
    *s = g->initial;
}

static void allow_node(const struct weir_token_trie *t, uint32_t node, uint32_t *bits)
{
    for (uint32_t i = t->nodes[node].first_token; i < t->nodes[node + 1].first_token; i++) {
        weir_mask_allow(bits, t->tokens[i]);
    }
}

/* Allows the tokens of nodes first..end, all below one node whose level is made, that can be taken.
 * A node's level is its depth. */
static void walk(struct weir_walker *w, const struct weir_token_trie *t, uint32_t first,
                 uint32_t end, uint32_t *bits)
{
    for (uint32_t i = first; i < end;) {
        const struct weir_trie_node *node = &t->nodes[i];
        if (weir_walker_step(w, node->depth - 1u, node->byte) == 0) {
            i = node->skip;
            continue;
        }
        allow_node(t, i, bits);
        i++;
    }
}

/* Index of the first closer that is not before the node. */
static uint32_t find_closer(const struct weir_token_trie *t, uint32_t node)
{
    uint32_t lo = 0, hi = t->n_closers;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->closers[mid].node < node) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Of nodes first..end the tokens that close the string, min..max characters from their begin, and
 * go on from there. The string's frame is of `level`. */
static void allow_closers(struct weir_walker *w, const struct weir_token_trie *t, uint32_t level,
                          const struct weir_body *b, uint32_t frame, uint32_t first, uint32_t end,
                          uint32_t *bits)
{
    for (uint32_t i = find_closer(t, first); i < t->n_closers && t->closers[i].node < end; i++) {
        const struct weir_trie_closer *c = &t->closers[i];
        const struct weir_trie_node *node = &t->nodes[c->node];
        if (c->n_chars >= b->min_more && c->n_chars <= b->max_more &&
            weir_walker_enter(w, level, node->depth, b->close, frame) > 0) {
            allow_node(t, c->node, bits);
            walk(w, t, c->node + 1, node->skip, bits);
        }
    }
}

/* What stands below a node at which all possibilities have become one string without bounds, whose
 * inside the node's bytes are: then the tables hold for the rest of each token. False: not so. */
static bool allow_below(struct weir_walker *w, const struct weir_token_trie *t, uint32_t node,
                        uint32_t *bits)
{
    const struct weir_trie_node *at = &t->nodes[node];
    uint32_t n;
    const struct weir_walk_thread *thread = weir_walker_level(w, at->depth, &n);
    const struct weir_body *b =
        weir_automaton_body_of(w->automaton, &w->automaton->states[thread->state]);
    if (!at->inside || n != 1 || !b || b->min_more > 0 || b->max_more != UINT32_MAX) {
        return false;
    }
    const uint32_t *inside = t->inside_masks + (size_t)(WEIR_TRIE_INSIDE_MASKS - 1) * t->n_words;
    for (uint32_t i = at->first_token; i < t->nodes[at->skip].first_token; i++) {
        if (weir_mask_allows(inside, t->tokens[i])) {
            weir_mask_allow(bits, t->tokens[i]);
        }
    }
    allow_closers(w, t, at->depth, b, thread->frame, node + 1, at->skip, bits);
    return true;
}

/* Allows the tokens that level 0 can take. */
static void walk_all(struct weir_walker *w, const struct weir_token_trie *t, uint32_t *bits)
{
    for (uint32_t i = 0; i < t->n_nodes;) {
        const struct weir_trie_node *node = &t->nodes[i];
        bool fits = weir_walker_step(w, node->depth - 1u, node->byte) > 0;
        if (fits) {
            allow_node(t, i, bits);
        }
        i = !fits || allow_below(w, t, i, bits) ? node->skip : i + 1;
    }
}

/* Tokens of one byte alone, so that out of fuel there is still a way on. */
static void walk_bytes(struct weir_walker *w, const struct weir_token_trie *t, uint32_t *bits)
{
    for (uint32_t i = 0; i < t->n_nodes; i = t->nodes[i].skip) {
        w->fuel = WEIR_WALK_MAX_VISITED + 1;
        if (weir_walker_step(w, 0, t->nodes[i].byte) > 0) {
            allow_node(t, i, bits);
        }
    }
}

static void add_words(uint32_t *bits, const uint32_t *more, uint32_t n_words)
{
    for (uint32_t i = 0; i < n_words; i++) {
        bits[i] |= more[i];
    }
}

/* Tokens that leave the string open. */
static void allow_inside(const struct weir_token_trie *t, uint32_t max_more, uint32_t *bits)
{
    uint32_t all = WEIR_TRIE_INSIDE_MASKS - 1;
    uint32_t n_long = t->n_long_inside;
    uint32_t longest = n_long > 0 ? t->long_inside[n_long - 1].n_chars : 0;
    if (max_more >= longest && max_more >= all) {
        add_words(bits, t->inside_masks + (size_t)all * t->n_words, t->n_words);
        return;
    }
    uint32_t k = max_more < all ? max_more : all;
    add_words(bits, t->inside_masks + (size_t)(k - 1) * t->n_words, t->n_words);
    for (uint32_t i = 0; i < n_long && t->long_inside[i].n_chars <= max_more; i++) {
        weir_mask_allow(bits, t->long_inside[i].token);
    }
}

static bool is_empty(const uint32_t *bits, uint32_t n_words)
{
    uint32_t any = 0;
    for (uint32_t i = 0; i < n_words; i++) {
        any |= bits[i];
    }
    return any == 0;
}

int weir_grammar_mask(const struct weir_grammar_state *s, struct weir_walker *w, uint32_t *bits)
{
    const struct weir_grammar *g = s->grammar;
    const struct weir_automaton *a = &g->automaton;
    const struct weir_token_trie *t = g->trie;
    memset(bits, 0, t->n_words * sizeof(*bits));
    load_frames(s, w);
    w->fuel = MASK_FUEL;
    for (uint32_t i = 0; i < s->n_threads; i++) {
        const struct weir_body *b = weir_automaton_body_of(a, &a->states[s->threads[i].state]);
        if (b && b->max_more > 0) {
            allow_inside(t, b->max_more, bits);
        }
        if (b) {
            allow_closers(w, t, 0, b, s->threads[i].frame, 0, t->n_nodes, bits);
        }
    }
    for (uint32_t i = 0; i < s->n_threads; i++) {
        if (!a->states[s->threads[i].state].body) {
            weir_walker_load(w,
                             (struct weir_walk_thread){s->threads[i].state, s->threads[i].frame});
        }
    }
    if (w->end[0] > 0) {
        w->fuel = MASK_FUEL;
        walk_all(w, t, bits);
    }
    for (uint32_t i = 0; s->may_end && i < t->n_end_tokens; i++) {
        weir_mask_allow(bits, t->end_tokens[i]);
    }
    if (is_empty(bits, t->n_words)) {
        walk_bytes(w, t, bits);
    }
    return is_empty(bits, t->n_words) ? WEIR_E_INTERNAL : 0;
}

int weir_grammar_advance(struct weir_grammar_state *s, struct weir_walker *w, int32_t token)
{
    const struct weir_vocabulary *v = s->grammar->trie->vocabulary;
    if (v->is_end(v->impl, token)) {
        s->n_threads = s->may_end ? 0 : s->n_threads;
        return s->may_end ? 0 : WEIR_E_ARG;
    }
    weir_str piece = weir_vocabulary_visible(v, token);
    if (piece.n == 0 || piece.n > WEIR_TRIE_MAX_PIECE_BYTES) {
        return WEIR_E_ARG;
    }
    load_frames(s, w);
    for (uint32_t i = 0; i < s->n_threads; i++) {
        weir_walker_load(w, (struct weir_walk_thread){s->threads[i].state, s->threads[i].frame});
    }
    for (uint32_t i = 0; i < piece.n; i++) {
        if (weir_walker_step(w, i, (uint8_t)piece.p[i]) == 0) {
            return WEIR_E_ARG;
        }
    }
    store(s, w, (uint32_t)piece.n);
    return 0;
}
