/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a collection and entries of a log: an ordered array of blocks. */
#include <stdlib.h>

#include "core/store/memory_map.h"

static int compare(weir_str a, weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

bool weir_store_list_find(const struct weir_store_list *list, weir_str name, size_t *ret_at)
{
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct weir_store_bytes *b = list->at[middle];
        int c = compare((weir_str){b->bytes, b->name_len}, name);
        if (c == 0) {
            *ret_at = middle;
            return true;
        }
        if (c < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_at = low;
    return false;
}

struct weir_store_bytes *weir_store_bytes_create(struct weir_store_shard *s, weir_str name,
                                                 weir_str value, uint64_t number)
{
    struct weir_store_bytes *b = weir_store_block_get(&s->blocks, sizeof(*b) + name.n + value.n);
    if (!b) {
        return NULL;
    }
    *b = (struct weir_store_bytes){
        .number = number, .name_len = (uint16_t)name.n, .value_len = (uint32_t)value.n};
    if (name.n) {
        memcpy(b->bytes, name.p, name.n);
    }
    if (value.n) {
        memcpy(b->bytes + name.n, value.p, value.n);
    }
    return b;
}

void weir_store_bytes_destroy(struct weir_store_shard *s, struct weir_store_bytes *b)
{
    if (b) {
        weir_store_block_put(&s->blocks, b, weir_store_bytes_size(b));
    }
}

size_t weir_store_bytes_size(const struct weir_store_bytes *b)
{
    return sizeof(*b) + b->name_len + (size_t)b->value_len;
}

bool weir_store_list_insert(struct weir_store_shard *s, struct weir_store_entry *e, size_t at,
                            struct weir_store_bytes *b)
{
    struct weir_store_list *list = &e->list;
    size_t cap = list->n < list->cap ? list->cap : list->cap ? list->cap * 2 : 8;
    size_t n_more = weir_store_bytes_size(b) + (cap - list->cap) * sizeof(b);
    if (!weir_store_grow(s, e, n_more)) {
        return false;
    }
    if (cap > list->cap) {
        struct weir_store_bytes **blocks = realloc(list->at, cap * sizeof(b));
        if (!blocks) {
            weir_store_shrink(s, e, n_more);
            return false;
        }
        list->at = blocks;
        list->cap = cap;
    }
    memmove(&list->at[at + 1], &list->at[at], (list->n - at) * sizeof(b));
    list->at[at] = b;
    list->n++;
    return true;
}

void weir_store_list_remove(struct weir_store_shard *s, struct weir_store_entry *e, size_t at)
{
    struct weir_store_list *list = &e->list;
    weir_store_shrink(s, e, weir_store_bytes_size(list->at[at]));
    weir_store_bytes_destroy(s, list->at[at]);
    memmove(&list->at[at], &list->at[at + 1], (list->n - at - 1) * sizeof(list->at[0]));
    list->n--;
}
