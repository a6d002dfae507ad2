/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/text_table.h"

#include <stdlib.h>
#include <xxhash.h>

struct weir_text_slot {
    uint32_t hash_high; /* spares most comparisons of bytes */
    uint32_t id_plus_1; /* 0: free */
};

void weir_text_table_init(struct weir_text_table *t)
{
    *t = (struct weir_text_table){0};
}

void weir_text_table_finish(struct weir_text_table *t)
{
    free(t->bytes);
    free(t->starts);
    free(t->slots);
    weir_text_table_init(t);
}

weir_str weir_text_table_get(const struct weir_text_table *t, uint32_t id)
{
    return (weir_str){t->bytes + t->starts[id], t->starts[id + 1] - t->starts[id]};
}

/* The slot that holds the text, or the free one where it belongs. n_slots > n ends the walk. */
static size_t probe(const struct weir_text_table *t, weir_str text, uint64_t hash)
{
    size_t mask = t->n_slots - 1;
    size_t at = (size_t)hash & mask;
    while (t->slots[at].id_plus_1 != 0) {
        if (t->slots[at].hash_high == (uint32_t)(hash >> 32) &&
            weir_str_eq(weir_text_table_get(t, t->slots[at].id_plus_1 - 1), text)) {
            break;
        }
        at = (at + 1) & mask;
    }
    return at;
}

uint32_t weir_text_table_find(const struct weir_text_table *t, weir_str text)
{
    if (t->n == 0 || text.n > t->max_text_bytes) {
        return WEIR_TEXT_NONE;
    }
    size_t at = probe(t, text, XXH3_64bits(text.p, text.n));
    return t->slots[at].id_plus_1 - 1; /* a free slot gives WEIR_TEXT_NONE */
}

static int grow_slots(struct weir_text_table *t)
{
    size_t n_slots = t->n_slots ? t->n_slots * 2 : 1024;
    struct weir_text_slot *slots = calloc(n_slots, sizeof(slots[0]));
    if (!slots) {
        return WEIR_E_NOMEM;
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    for (size_t i = 0; i < t->n; i++) {
        weir_str text = weir_text_table_get(t, (uint32_t)i);
        uint64_t hash = XXH3_64bits(text.p, text.n);
        size_t at = probe(t, text, hash);
        t->slots[at] = (struct weir_text_slot){(uint32_t)(hash >> 32), (uint32_t)i + 1};
    }
    return 0;
}

static int reserve(struct weir_text_table *t, size_t n_bytes)
{
    size_t used = t->n ? t->starts[t->n] : 0;
    if (n_bytes > UINT32_MAX - used) {
        return WEIR_E_TOOBIG;
    }
    if (used + n_bytes > t->cap_bytes) {
        size_t cap = (used + n_bytes) * 2 + 4096;
        char *bytes = realloc(t->bytes, cap);
        if (!bytes) {
            return WEIR_E_NOMEM;
        }
        t->bytes = bytes;
        t->cap_bytes = cap;
    }
    if (t->n + 2 > t->cap_texts) {
        size_t cap = t->cap_texts * 2 + 1024;
        uint32_t *starts = realloc(t->starts, cap * sizeof(starts[0]));
        if (!starts) {
            return WEIR_E_NOMEM;
        }
        t->starts = starts;
        t->cap_texts = cap;
        t->starts[0] = 0;
    }
    return (t->n + 1) * 2 > t->n_slots ? grow_slots(t) : 0;
}

int weir_text_table_add(struct weir_text_table *t, weir_str text, uint32_t *ret_id)
{
    int r = reserve(t, text.n);
    if (r < 0) {
        return r;
    }
    uint64_t hash = XXH3_64bits(text.p, text.n);
    size_t at = probe(t, text, hash);
    if (t->slots[at].id_plus_1 == 0) {
        uint32_t start = t->starts[t->n];
        if (text.n) {
            memcpy(t->bytes + start, text.p, text.n);
        }
        t->n++;
        t->starts[t->n] = start + (uint32_t)text.n;
        t->slots[at] = (struct weir_text_slot){(uint32_t)(hash >> 32), (uint32_t)t->n};
        if (text.n > t->max_text_bytes) {
            t->max_text_bytes = text.n;
        }
    }
    *ret_id = t->slots[at].id_plus_1 - 1;
    return 0;
}
