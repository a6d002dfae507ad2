/* SPDX-License-Identifier: Apache-2.0 */
#include "logprobs.h"

#include "answer.h"

static bool is_absent(yyjson_val *v)
{
    return !v || yyjson_is_null(v);
}

/* A token's own bytes where they are told: its text may be only a part of a character. */
static int read_bytes(yyjson_val *object, struct weir_arena *arena, weir_str *ret)
{
    yyjson_val *token = yyjson_obj_get(object, "token"), *bytes = yyjson_obj_get(object, "bytes");
    if (!yyjson_is_str(token) || (!is_absent(bytes) && !yyjson_is_arr(bytes))) {
        return WEIR_E_FORMAT;
    }
    *ret = (weir_str){yyjson_get_str(token), yyjson_get_len(token)};
    if (is_absent(bytes)) {
        return 0;
    }
    size_t i, n;
    yyjson_val *byte;
    char *to = weir_arena_alloc(arena, yyjson_arr_size(bytes) + 1);
    if (!to) {
        return WEIR_E_NOMEM;
    }
    yyjson_arr_foreach(bytes, i, n, byte)
    {
        if (!yyjson_is_uint(byte) || yyjson_get_uint(byte) > 255) {
            return WEIR_E_FORMAT;
        }
        to[i] = (char)(unsigned char)yyjson_get_uint(byte);
    }
    *ret = (weir_str){to, yyjson_arr_size(bytes)};
    return 0;
}

static int read_one(yyjson_val *object, struct weir_arena *arena, weir_logprob *ret)
{
    yyjson_val *logprob = yyjson_obj_get(object, "logprob");
    if (!yyjson_is_obj(object) || !yyjson_is_num(logprob)) {
        return WEIR_E_FORMAT;
    }
    *ret = (weir_logprob){.token = -1, .logprob = (float)yyjson_get_num(logprob)};
    return read_bytes(object, arena, &ret->bytes);
}

static int read_tops(yyjson_val *tops, struct weir_arena *arena, weir_token_logprobs *to)
{
    if (is_absent(tops)) {
        return 0;
    }
    if (!yyjson_is_arr(tops)) {
        return WEIR_E_FORMAT;
    }
    weir_logprob *top = weir_arena_array(arena, WEIR_UPSTREAM_MAX_TOP, sizeof(*top));
    if (!top) {
        return WEIR_E_NOMEM;
    }
    to->top = top;
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(tops, i, n, one)
    {
        if (i == WEIR_UPSTREAM_MAX_TOP) {
            break;
        }
        int r = read_one(one, arena, &top[to->n_top]);
        if (r < 0) {
            return r;
        }
        to->n_top++;
    }
    return 0;
}

static int read_list(yyjson_val *content, struct weir_arena *arena, weir_token_logprobs *list)
{
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(content, i, n, one)
    {
        int r = read_one(one, arena, &list[i].chosen);
        r = r < 0 ? r : read_tops(yyjson_obj_get(one, "top_logprobs"), arena, &list[i]);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int read_map(yyjson_val *map, struct weir_arena *arena, weir_token_logprobs *to)
{
    if (is_absent(map)) {
        return 0;
    }
    weir_logprob *top = weir_arena_array(arena, WEIR_UPSTREAM_MAX_TOP, sizeof(*top));
    if (!yyjson_is_obj(map) || !top) {
        return top ? WEIR_E_FORMAT : WEIR_E_NOMEM;
    }
    to->top = top;
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(map, i, n, key, value)
    {
        if (i == WEIR_UPSTREAM_MAX_TOP) {
            break;
        }
        if (!yyjson_is_num(value)) {
            return WEIR_E_FORMAT;
        }
        top[to->n_top++] = (weir_logprob){.token = -1,
                                          .logprob = (float)yyjson_get_num(value),
                                          .bytes = {yyjson_get_str(key), yyjson_get_len(key)}};
    }
    return 0;
}

static int read_columns(yyjson_val *tokens, yyjson_val *object, struct weir_arena *arena,
                        weir_token_logprobs *list)
{
    yyjson_val *values = yyjson_obj_get(object, "token_logprobs");
    yyjson_val *tops = yyjson_obj_get(object, "top_logprobs");
    size_t n_tokens = yyjson_arr_size(tokens);
    if (yyjson_arr_size(values) != n_tokens ||
        (!is_absent(tops) && yyjson_arr_size(tops) != n_tokens)) {
        return WEIR_E_FORMAT;
    }
    yyjson_val *token = yyjson_arr_get_first(tokens), *value = yyjson_arr_get_first(values);
    yyjson_val *top = yyjson_arr_get_first(tops);
    for (size_t i = 0; i < n_tokens; i++) {
        if (!yyjson_is_str(token) || (!yyjson_is_num(value) && !yyjson_is_null(value))) {
            return WEIR_E_FORMAT;
        }
        list[i].chosen =
            (weir_logprob){.token = -1,
                           .logprob = yyjson_is_num(value) ? (float)yyjson_get_num(value) : 0,
                           .bytes = {yyjson_get_str(token), yyjson_get_len(token)}};
        int r = read_map(top, arena, &list[i]);
        if (r < 0) {
            return r;
        }
        token = unsafe_yyjson_get_next(token);
        value = unsafe_yyjson_get_next(value);
        top = top ? unsafe_yyjson_get_next(top) : NULL;
    }
    return 0;
}

int weir_upstream_read_logprobs(yyjson_val *logprobs, struct weir_arena *arena,
                                const weir_token_logprobs **ret_list, uint32_t *ret_n)
{
    yyjson_val *content = yyjson_obj_get(logprobs, "content");
    yyjson_val *tokens = yyjson_obj_get(logprobs, "tokens");
    yyjson_val *from = is_absent(content) ? tokens : content;
    if (!yyjson_is_obj(logprobs) || (!is_absent(from) && !yyjson_is_arr(from))) {
        return WEIR_E_FORMAT;
    }
    size_t n = yyjson_arr_size(from);
    if (n == 0) {
        return 0;
    }
    weir_token_logprobs *list = weir_arena_array(arena, n, sizeof(*list));
    if (!list || n > INT32_MAX) {
        return WEIR_E_NOMEM;
    }
    int r = from == content ? read_list(content, arena, list)
                            : read_columns(tokens, logprobs, arena, list);
    *ret_list = list;
    *ret_n = (uint32_t)n;
    return r;
}
