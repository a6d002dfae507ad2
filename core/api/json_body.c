/* SPDX-License-Identifier: Apache-2.0 */
#include "json_body.h"

#include <stdlib.h>

#include "json_arena.h"

/* Objects up to this size are checked pairwise for duplicate keys; larger ones are sorted. */
enum { PAIRWISE_KEYS = 12 };

static void locate(weir_str body, size_t pos, size_t *ret_line, size_t *ret_column)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < pos && i < body.n; i++) {
        if (body.p[i] == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

static int key_compare(const void *a, const void *b)
{
    yyjson_val *const *ka = a, *const *kb = b;
    size_t na = yyjson_get_len(*ka), nb = yyjson_get_len(*kb);
    if (na != nb) {
        return na < nb ? -1 : 1;
    }
    return memcmp(yyjson_get_str(*ka), yyjson_get_str(*kb), na);
}

static int duplicate_error(yyjson_val *key, struct weir_error *err)
{
    return weir_error_set(err, WEIR_E_FORMAT, "the key \"%.64s\" appears twice in one object",
                          yyjson_get_str(key));
}

static bool is_same(yyjson_val *a, yyjson_val *b)
{
    size_t n = unsafe_yyjson_get_len(a);
    return n == unsafe_yyjson_get_len(b) &&
           memcmp(unsafe_yyjson_get_str(a), unsafe_yyjson_get_str(b), n) == 0;
}

static int check_keys_pairwise(yyjson_val *object, struct weir_error *err)
{
    yyjson_val *keys[PAIRWISE_KEYS];
    size_t n_keys = unsafe_yyjson_get_len(object);
    yyjson_val *key = unsafe_yyjson_get_first(object);
    for (size_t n = 0; n < n_keys; n++) {
        for (size_t i = 0; i < n; i++) {
            if (is_same(keys[i], key)) {
                return duplicate_error(key, err);
            }
        }
        keys[n] = key;
        key = unsafe_yyjson_get_next(key + 1);
    }
    return 0;
}

static int check_keys_sorted(yyjson_val *object, struct weir_error *err)
{
    size_t n = yyjson_obj_size(object);
    yyjson_val **keys = malloc(n * sizeof(yyjson_val *));
    if (!keys) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    yyjson_obj_iter it = yyjson_obj_iter_with(object);
    for (size_t i = 0; i < n; i++) {
        keys[i] = yyjson_obj_iter_next(&it);
    }
    qsort(keys, n, sizeof(yyjson_val *), key_compare);
    int r = 0;
    for (size_t i = 1; i < n && r == 0; i++) {
        if (key_compare(&keys[i - 1], &keys[i]) == 0) {
            r = duplicate_error(keys[i], err);
        }
    }
    free(keys);
    return r;
}

static int check_keys(yyjson_val *object, struct weir_error *err)
{
    return unsafe_yyjson_get_len(object) <= PAIRWISE_KEYS ? check_keys_pairwise(object, err)
                                                          : check_keys_sorted(object, err);
}

/* yyjson lays a document's values down one behind the other, what a container holds right behind
 * it; so one walk sees all of them, and a container is left where it ends. Input never drives
 * recursion. */
static int check_tree(yyjson_val *root, struct weir_error *err)
{
    yyjson_val *ends[WEIR_JSON_MAX_DEPTH]; /* of the containers that the walk is in */
    size_t depth = 0;
    yyjson_val *end = unsafe_yyjson_get_next(root);
    for (yyjson_val *v = root; v < end; v++) {
        while (depth > 0 && v == ends[depth - 1]) {
            depth--;
        }
        if (!unsafe_yyjson_is_ctn(v)) {
            continue;
        }
        if (depth == WEIR_JSON_MAX_DEPTH) {
            return weir_error_set(err, WEIR_E_FORMAT, "nested deeper than %d levels",
                                  WEIR_JSON_MAX_DEPTH);
        }
        ends[depth++] = unsafe_yyjson_get_next(v);
        int r = unsafe_yyjson_is_obj(v) ? check_keys(v, err) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static yyjson_doc *read_text(weir_str text, const yyjson_alc *alc, yyjson_read_err *ret_err)
{
    /* Without YYJSON_READ_INSITU the input is not written to. */
    return yyjson_read_opts((char *)(uintptr_t)text.p, text.n, YYJSON_READ_NOFLAG, alc, ret_err);
}

int weir_json_body_parse(weir_str body, struct weir_arena *arena, yyjson_doc **ret_doc,
                         struct weir_error *err)
{
    yyjson_read_err read_err = {.code = YYJSON_READ_ERROR_MEMORY_ALLOCATION};
    yyjson_doc *doc = NULL;
    if (arena && body.n <= WEIR_JSON_PIECE_BYTES) {
        yyjson_alc alc = weir_json_arena(arena);
        doc = read_text(body, &alc, &read_err);
    }
    if (!doc && read_err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
        doc = read_text(body, NULL, &read_err);
    }
    if (!doc) {
        size_t line = 0, column = 0;
        locate(body, read_err.pos, &line, &column);
        return weir_error_set(err,
                              read_err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? WEIR_E_NOMEM
                                                                                   : WEIR_E_FORMAT,
                              "the body is not valid JSON: %s at line %zu, column %zu",
                              body.n ? read_err.msg : "it is empty", line, column);
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    int r = yyjson_is_obj(root)
                ? check_tree(root, err)
                : weir_error_set(err, WEIR_E_FORMAT, "the body must be a JSON object, not %s",
                                 yyjson_get_type_desc(root));
    if (r < 0) {
        yyjson_doc_free(doc);
        return r;
    }
    *ret_doc = doc;
    return 0;
}
