/* SPDX-License-Identifier: Apache-2.0 */
#include "string_pattern_states.h"

#include <stdlib.h>
#include <string.h>

#include "engine/grammar/json_rules.h"

enum {
    N_WORDS = WEIR_STRING_PATTERN_MAX_NODES / 64,
    MAX_CUTS = 2 * WEIR_STRING_PATTERN_MAX_RANGES + 2,
    N_SLOTS = 8192, /* power of two, over twice the states */
    MAX_BYTES = 4,
};

struct subset { /* a state: the nodes in which the text may stand */
    uint64_t nodes[N_WORDS];
    uint32_t state; /* of the automaton */
};

struct builder {
    struct weir_automaton *a;
    const struct weir_string_pattern *p;
    uint32_t close;
    uint32_t n_words;
    struct subset *subsets; /* [n_subsets] */
    uint32_t n_subsets;
    uint16_t *slots; /* [N_SLOTS] 1 + subset; 0: free */
    /* Characters cuts[i]..cuts[i + 1] - 1 behave alike. */
    uint32_t *cuts;
    uint32_t n_cuts;
    uint16_t *stack; /* [MAX_NODES] of close_over() */
    int64_t *fuel;
};

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void find_cuts(struct builder *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->p->n_ranges; i++) {
        b->cuts[n++] = b->p->ranges[i].first;
        b->cuts[n++] = b->p->ranges[i].last + 1;
    }
    qsort(b->cuts, n, sizeof(*b->cuts), by_number);
    for (uint32_t i = 0; i < n; i++) {
        if (b->n_cuts == 0 || b->cuts[b->n_cuts - 1] != b->cuts[i]) {
            b->cuts[b->n_cuts++] = b->cuts[i];
        }
    }
}

/* Adds a node and all that is reached from it without a character. */
static void close_over(struct builder *b, uint16_t node, uint64_t *nodes)
{
    uint32_t n = 0;
    b->stack[n++] = node;
    while (n > 0) {
        uint16_t at = b->stack[--n];
        if (nodes[at / 64] >> (at % 64) & 1) {
            continue;
        }
        nodes[at / 64] |= UINT64_C(1) << (at % 64);
        --*b->fuel;
        const struct weir_string_pattern_node *node_at = &b->p->nodes[at];
        for (int o = 0; o < 2 && !node_at->takes_char; o++) {
            uint16_t to = node_at->out[o];
            if (to != WEIR_STRING_PATTERN_NONE && !(nodes[to / 64] >> (to % 64) & 1) &&
                n < WEIR_STRING_PATTERN_MAX_NODES) {
                b->stack[n++] = to;
            }
        }
    }
}

static uint32_t hash_of(const struct builder *b, const uint64_t *nodes)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < b->n_words; i++) {
        h = (h ^ nodes[i]) * UINT64_C(0x9E3779B97F4A7C15);
        h ^= h >> 29;
    }
    return (uint32_t)h;
}

/* The subset's number, made when it is new; UINT32_MAX: too many. */
static uint32_t find_subset(struct builder *b, const uint64_t *nodes)
{
    uint32_t at = hash_of(b, nodes) % N_SLOTS;
    while (b->slots[at] != 0) {
        if (memcmp(b->subsets[b->slots[at] - 1].nodes, nodes, b->n_words * sizeof(*nodes)) == 0) {
            return b->slots[at] - 1u;
        }
        at = (at + 1) % N_SLOTS;
    }
    if (b->n_subsets == WEIR_STRING_PATTERN_MAX_STATES) {
        return UINT32_MAX;
    }
    struct subset *s = &b->subsets[b->n_subsets];
    memcpy(s->nodes, nodes, b->n_words * sizeof(*nodes));
    s->state = weir_automaton_state(b->a);
    b->slots[at] = (uint16_t)++b->n_subsets;
    return b->n_subsets - 1;
}

static bool takes(const struct weir_string_pattern *p, const struct weir_string_pattern_node *node,
                  uint32_t c)
{
    const struct weir_char_range *r = &p->ranges[node->first_range];
    for (uint32_t i = 0; i < node->n_ranges; i++) {
        if (c >= r[i].first && c <= r[i].last) {
            return true;
        }
    }
    return false;
}

/* Where subset `s` goes with character c; false: nowhere. */
static bool follow(struct builder *b, const struct subset *s, uint32_t c, uint64_t *nodes)
{
    bool any = false;
    memset(nodes, 0, b->n_words * sizeof(*nodes));
    for (uint32_t w = 0; w < b->n_words; w++) {
        for (uint64_t bits = s->nodes[w]; bits != 0; bits &= bits - 1) {
            const struct weir_string_pattern_node *node =
                &b->p->nodes[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            *b->fuel -= 1 + node->n_ranges;
            if (node->takes_char && takes(b->p, node, c)) {
                close_over(b, node->out[0], nodes);
                any = true;
            }
        }
    }
    return any;
}

/* Bytes lo[i]..hi[i] one after another, from state to state. Bytes at the end that may be any
 * continuation are left to the rules that strings share. */
static void lay_bytes(struct weir_automaton *a, uint32_t from, const uint8_t *lo, const uint8_t *hi,
                      uint32_t n, uint32_t target)
{
    uint32_t any = 0;
    while (any + 1 < n && lo[n - 1 - any] == 0x80 && hi[n - 1 - any] == 0xBF) {
        any++;
    }
    const uint32_t tails[MAX_BYTES] = {WEIR_STATE_POP, a->shared.utf8_1, a->shared.utf8_2,
                                       a->shared.utf8_3};
    for (uint32_t i = 0; i + any + 1 < n; i++) {
        uint32_t next = weir_automaton_state(a);
        weir_automaton_range(a, from, lo[i], hi[i], next);
        from = next;
    }
    uint32_t last = n - 1 - any;
    if (any > 0) {
        weir_automaton_range_call(a, from, lo[last], hi[last], tails[any], target);
    } else {
        weir_automaton_range(a, from, lo[last], hi[last], target);
    }
}

static uint32_t encode(uint32_t c, uint8_t *out)
{
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    uint32_t n = c < 0x10000 ? 3 : 4;
    out[0] = (uint8_t)((n == 3 ? 0xE0 : 0xF0) | c >> (6 * (n - 1)));
    for (uint32_t i = 1; i < n; i++) {
        out[i] = (uint8_t)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3F));
    }
    return n;
}

/* Characters from 0x80 on. Cut so that in each piece the bytes vary one by one: where the first
 * ones differ, the rest runs over all continuations. */
static void lay_utf8(struct weir_automaton *a, uint32_t from, uint32_t first, uint32_t last,
                     uint32_t target)
{
    static const uint32_t ends[] = {0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, WEIR_STRING_PATTERN_LAST_CHAR};
    while (first <= last) {
        uint32_t end = last;
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
            if (first <= ends[i]) {
                end = end < ends[i] ? end : ends[i];
                break;
            }
        }
        for (uint32_t bits = 18; bits >= 6; bits -= 6) {
            uint32_t mask = (1u << bits) - 1;
            if ((first & ~mask) != (end & ~mask)) {
                if ((first & mask) != 0) {
                    end = first | mask;
                } else if ((end & mask) != mask) {
                    end = (end & ~mask) - 1;
                }
            }
        }
        if (first < 0xD800 || first > 0xDFFF) {
            uint8_t lo[MAX_BYTES], hi[MAX_BYTES];
            uint32_t n = encode(first, lo);
            (void)encode(end, hi);
            lay_bytes(a, from, lo, hi, n, target);
        }
        first = end + 1;
    }
}

static void lay_ascii(struct weir_automaton *a, uint32_t from, uint32_t *escape, uint32_t c,
                      uint32_t target)
{
    static const char letters[] = "btn\0fr"; /* of 0x08..0x0D; none for \v */
    char letter = c == '"' || c == '\\' ? (char)c : c >= 8 && c <= 13 ? letters[c - 8] : '\0';
    if (letter != '\0') {
        if (*escape == WEIR_STATE_NONE) {
            *escape = weir_automaton_state(a);
            weir_automaton_range(a, from, '\\', '\\', *escape);
        }
        weir_automaton_range(a, *escape, (uint8_t)letter, (uint8_t)letter, target);
    } else if (c >= 0x20) {
        weir_automaton_range(a, from, (uint8_t)c, (uint8_t)c, target);
    }
}

static void lay_chars(struct weir_automaton *a, uint32_t from, uint32_t *escape, uint32_t first,
                      uint32_t last, uint32_t target)
{
    while (first <= last && first < 0x80) {
        uint32_t end = first;
        bool plain = first >= 0x20 && first != '"' && first != '\\';
        while (plain && end < last && end + 1 < 0x80 && end + 1 != '"' && end + 1 != '\\') {
            end++;
        }
        if (plain) {
            weir_automaton_range(a, from, (uint8_t)first, (uint8_t)end, target);
        } else {
            lay_ascii(a, from, escape, first, target);
        }
        first = end + 1;
    }
    if (first <= last) {
        lay_utf8(a, from, first, last, target);
    }
}

/* The edges of subset i. Neighbouring classes that go to the same place are one range. */
static int lay_subset(struct builder *b, uint32_t i)
{
    uint64_t nodes[N_WORDS];
    uint32_t from = b->subsets[i].state, escape = WEIR_STATE_NONE;
    uint32_t begin = 0, going = UINT32_MAX; /* the open range: its first character, its subset */
    for (uint32_t c = 0; c < b->n_cuts; c++) {
        uint32_t to = UINT32_MAX;
        if (b->cuts[c] <= WEIR_STRING_PATTERN_LAST_CHAR &&
            follow(b, &b->subsets[i], b->cuts[c], nodes)) {
            to = find_subset(b, nodes);
            if (to == UINT32_MAX || *b->fuel < 0) {
                return WEIR_E_TOOBIG;
            }
        }
        if (to != going) {
            if (going != UINT32_MAX) {
                lay_chars(b->a, from, &escape, begin, b->cuts[c] - 1, b->subsets[going].state);
            }
            begin = b->cuts[c];
            going = to;
        }
    }
    uint16_t accept = b->p->accept;
    if (b->subsets[i].nodes[accept / 64] >> (accept % 64) & 1) {
        weir_automaton_range(b->a, from, '"', '"', b->close);
    }
    return b->a->code;
}

static int lay(struct builder *b, uint32_t from)
{
    uint64_t nodes[N_WORDS] = {0};
    find_cuts(b);
    weir_json_prepare_strings(b->a);
    close_over(b, b->p->start, nodes);
    uint32_t start = find_subset(b, nodes);
    weir_automaton_empty(b->a, from, b->subsets[start].state);
    int r = 0;
    for (uint32_t i = 0; i < b->n_subsets && r == 0; i++) {
        r = lay_subset(b, i);
    }
    return r;
}

int weir_string_pattern_lay(struct weir_automaton *a, const struct weir_string_pattern *p,
                            uint32_t from, uint32_t close, int64_t *fuel, struct weir_error *err)
{
    struct builder b = {
        .a = a,
        .p = p,
        .close = close,
        .n_words = (p->n_nodes + 63) / 64,
        .subsets = calloc(WEIR_STRING_PATTERN_MAX_STATES, sizeof(*b.subsets)),
        .slots = calloc(N_SLOTS, sizeof(*b.slots)),
        .cuts = malloc(MAX_CUTS * sizeof(*b.cuts)),
        .stack = malloc(WEIR_STRING_PATTERN_MAX_NODES * sizeof(*b.stack)),
        .fuel = fuel,
    };
    int r = WEIR_E_NOMEM;
    if (b.subsets && b.slots && b.cuts && b.stack) {
        r = lay(&b, from);
    }
    free(b.subsets);
    free(b.slots);
    free(b.cuts);
    free(b.stack);
    if (r == WEIR_E_TOOBIG) {
        return weir_error_set(err, r, "pattern: too complex");
    }
    return r < 0 ? weir_error_set(err, r, "out of memory") : 0;
}
