/* SPDX-License-Identifier: Apache-2.0 */
#include "embeddings.h"

#include <stdlib.h>

#include "base/buf.h"

enum { MAX_INPUTS = 2048, MAX_ITEM_BYTES = 4 << 20 };

static bool is_vector(yyjson_val *v)
{
    if (yyjson_is_str(v)) { /* base64 */
        return yyjson_get_len(v) > 0;
    }
    size_t i, n;
    yyjson_val *number;
    yyjson_arr_foreach(v, i, n, number)
    {
        if (!yyjson_is_num(number)) {
            return false;
        }
    }
    return yyjson_arr_size(v) > 0;
}

/* Only what belongs to it, however the upstream wrote it. */
static int write_item(struct weir_buf *b, uint64_t index, yyjson_val *vector, bool is_first)
{
    size_t n = 0;
    char *text = yyjson_val_write(vector, 0, &n);
    weir_buf_reset(b);
    weir_buf_add_text(b, is_first ? "" : ",");
    weir_buf_add_text(b, "{\"object\":\"embedding\",\"index\":");
    weir_buf_add_u64(b, index);
    weir_buf_add_text(b, ",\"embedding\":");
    weir_buf_add(b, text ? text : "", n);
    weir_buf_add_char(b, '}');
    free(text);
    return text && !b->failed ? 0 : WEIR_E_NOMEM;
}

/* The input that it belongs to; false: to none, or to one that has its own already. */
static bool place_of(const struct weir_upstream_answer *a, yyjson_val *item, uint64_t position,
                     uint64_t seen[MAX_INPUTS / 64], uint64_t *ret_index)
{
    yyjson_val *v = yyjson_obj_get(item, "index");
    uint64_t index = v ? yyjson_get_uint(v) : position;
    if ((v && !yyjson_is_uint(v)) || index >= a->n_inputs || index >= MAX_INPUTS ||
        (seen[index / 64] >> index % 64 & 1)) {
        return false;
    }
    seen[index / 64] |= UINT64_C(1) << index % 64;
    *ret_index = index;
    return true;
}

int weir_upstream_read_embeddings(struct weir_upstream_answer *a, yyjson_val *data,
                                  int (*emit)(struct weir_upstream_answer *a, weir_chunk *chunk),
                                  const char **ret_what)
{
    uint64_t seen[MAX_INPUTS / 64] = {0};
    *ret_what = "another number of embeddings than of inputs";
    if (!yyjson_is_arr(data) || yyjson_arr_size(data) != a->n_inputs) {
        return WEIR_E_FORMAT;
    }
    struct weir_buf b;
    weir_buf_init(&b, MAX_ITEM_BYTES);
    int r = 0;
    size_t i, n;
    yyjson_val *item;
    yyjson_arr_foreach(data, i, n, item)
    {
        uint64_t index = 0;
        yyjson_val *vector = yyjson_obj_get(item, "embedding");
        if (!is_vector(vector) || !place_of(a, item, i, seen, &index)) {
            *ret_what = "an embedding that is none";
            r = WEIR_E_FORMAT;
            break;
        }
        r = write_item(&b, index, vector, i == 0);
        weir_chunk chunk = {.kind = WEIR_CHUNK_EMBEDDING, .text = weir_buf_view(&b)};
        r = r < 0 ? r : emit(a, &chunk);
        if (r < 0) {
            break;
        }
    }
    weir_buf_finish(&b);
    return r;
}
