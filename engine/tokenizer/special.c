/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/special.h"

#include <stdlib.h>

#include "engine/tokenizer/key_heap.h"
#include "engine/tokenizer/tokenizer.h"

struct weir_special_node {
    uint32_t first_child, next_sibling; /* 0: none; node 0 is never a child */
    uint32_t id;                        /* the token that ends here, or WEIR_TOKEN_NONE */
    uint8_t byte;
    bool is_control;
};

static int add_node(struct weir_special_set *s, uint8_t byte, uint32_t *ret_node)
{
    if (s->n == s->cap) {
        size_t cap = s->cap * 2 + 1024;
        struct weir_special_node *nodes = realloc(s->nodes, cap * sizeof(nodes[0]));
        if (!nodes) {
            return WEIR_E_NOMEM;
        }
        s->nodes = nodes;
        s->cap = cap;
    }
    s->nodes[s->n] = (struct weir_special_node){.id = WEIR_TOKEN_NONE, .byte = byte};
    *ret_node = (uint32_t)s->n++;
    return 0;
}

static uint32_t find_child(const struct weir_special_set *s, uint32_t node, uint8_t byte)
{
    uint32_t child = s->nodes[node].first_child;
    while (child && s->nodes[child].byte != byte) {
        child = s->nodes[child].next_sibling;
    }
    return child;
}

static int insert(struct weir_special_set *s, weir_str text, uint32_t id, bool is_control)
{
    uint32_t *root = &s->roots[(uint8_t)text.p[0]];
    int r = *root ? 0 : add_node(s, (uint8_t)text.p[0], root);
    uint32_t node = *root;
    for (size_t i = 1; i < text.n && r == 0; i++) {
        uint8_t byte = (uint8_t)text.p[i];
        uint32_t child = find_child(s, node, byte);
        if (!child) {
            r = add_node(s, byte, &child);
            if (r < 0) {
                break;
            }
            s->nodes[child].next_sibling = s->nodes[node].first_child;
            s->nodes[node].first_child = child;
        }
        node = child;
    }
    if (r == 0) {
        s->nodes[node].id = id;
        s->nodes[node].is_control = is_control;
    }
    return r;
}

int weir_special_set_init(struct weir_special_set *s, const struct weir_vocab *v)
{
    *s = (struct weir_special_set){0};
    uint32_t unused;
    int r = add_node(s, 0, &unused); /* number 0 means "none" */
    for (uint32_t id = 0; id < v->n && r == 0; id++) {
        unsigned control = v->attrs[id] & (WEIR_TOKEN_CONTROL | WEIR_TOKEN_UNKNOWN);
        if (control || (v->attrs[id] & WEIR_TOKEN_USER_DEFINED)) {
            r = insert(s, weir_text_table_get(&v->texts, id), id, control != 0);
        }
    }
    return r;
}

void weir_special_set_finish(struct weir_special_set *s)
{
    free(s->nodes);
    *s = (struct weir_special_set){0};
}

/* The longest token that begins at `start` and has at most max_bytes; n_bytes 0: none. */
static struct weir_special_match longest_at(const struct weir_special_set *s, weir_str text,
                                            size_t start, size_t max_bytes, bool with_control)
{
    struct weir_special_match best = {.start = (uint32_t)start};
    uint32_t node = s->roots[(uint8_t)text.p[start]];
    for (size_t n = 1; node && n <= max_bytes; n++) {
        const struct weir_special_node *at = &s->nodes[node];
        if (at->id != WEIR_TOKEN_NONE && (with_control || !at->is_control)) {
            best.n_bytes = (uint32_t)n;
            best.id = at->id;
        }
        node = n < max_bytes ? find_child(s, node, (uint8_t)text.p[start + n]) : 0;
    }
    return best;
}

/* All positions where some token begins, with the longest one there. */
static int find_candidates(const struct weir_special_set *s, weir_str text, bool with_control,
                           struct weir_special_match **ret_matches, size_t *ret_n)
{
    struct weir_special_match *matches = NULL;
    size_t n = 0;
    size_t cap = 0;
    for (size_t at = 0; at < text.n; at++) {
        if (!s->roots[(uint8_t)text.p[at]]) {
            continue;
        }
        struct weir_special_match m = longest_at(s, text, at, text.n - at, with_control);
        if (m.n_bytes == 0) {
            continue;
        }
        if (n == cap) {
            cap = cap * 2 + 64;
            struct weir_special_match *grown = realloc(matches, cap * sizeof(matches[0]));
            if (!grown) {
                free(matches);
                return WEIR_E_NOMEM;
            }
            matches = grown;
        }
        matches[n++] = m;
    }
    *ret_matches = matches;
    *ret_n = n;
    return 0;
}

static uint64_t heap_key(const struct weir_special_match *m, size_t i)
{
    return (uint64_t)(UINT32_MAX - m->n_bytes) << 32 | i;
}

/* Bytes from `start` that no match has taken yet, up to max_bytes. */
static size_t free_bytes(const unsigned char *taken, size_t start, size_t max_bytes)
{
    size_t n = 0;
    while (n < max_bytes && !taken[start + n]) {
        n++;
    }
    return n;
}

/* Lets candidates take their bytes, longest first. One that overlaps a taken one falls back to the
 * longest token that still fits; n_bytes 0 when none does. */
static void settle(const struct weir_special_set *s, weir_str text, bool with_control,
                   struct weir_special_match *matches, unsigned char *taken,
                   struct weir_key_heap *heap)
{
    while (heap->n > 0) {
        size_t i = (uint32_t)weir_key_heap_pop(heap);
        struct weir_special_match *m = &matches[i];
        size_t n_free = free_bytes(taken, m->start, m->n_bytes);
        if (n_free == m->n_bytes) {
            memset(taken + m->start, 1, n_free);
            continue;
        }
        *m = longest_at(s, text, m->start, n_free, with_control);
        if (m->n_bytes > 0) {
            weir_key_heap_push(heap, heap_key(m, i));
        }
    }
}

int weir_special_set_find(const struct weir_special_set *s, weir_str text, bool with_control,
                          struct weir_special_match **ret_matches, size_t *ret_n)
{
    struct weir_special_match *matches = NULL;
    size_t n = 0;
    int r = find_candidates(s, text, with_control, &matches, &n);
    if (r < 0 || n == 0) {
        *ret_matches = NULL;
        *ret_n = 0;
        return r;
    }
    unsigned char *taken = calloc(text.n, 1);
    struct weir_key_heap heap = {.keys = malloc(n * sizeof(heap.keys[0]))};
    if (!taken || !heap.keys) {
        r = WEIR_E_NOMEM;
        free(matches);
        matches = NULL;
        n = 0;
    } else {
        for (size_t i = 0; i < n; i++) {
            weir_key_heap_push(&heap, heap_key(&matches[i], i));
        }
        settle(s, text, with_control, matches, taken, &heap);
        size_t n_kept = 0;
        for (size_t i = 0; i < n; i++) {
            if (matches[i].n_bytes > 0) {
                matches[n_kept++] = matches[i];
            }
        }
        n = n_kept;
    }
    free(taken);
    free(heap.keys);
    *ret_matches = matches;
    *ret_n = n;
    return r;
}
