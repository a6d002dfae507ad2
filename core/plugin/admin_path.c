/* SPDX-License-Identifier: Apache-2.0 */
#include "admin_path.h"

#include <stdbool.h>

/* The part of `rest` up to the next slash; rest moves behind it. */
static weir_str next_part(weir_str *rest)
{
    const char *slash = rest->n ? memchr(rest->p, '/', rest->n) : NULL;
    weir_str part = {rest->p, slash ? (size_t)(slash - rest->p) : rest->n};
    size_t used = part.n + (slash != NULL);
    *rest = slash ? (weir_str){rest->p + used, rest->n - used} : (weir_str){NULL, 0};
    return part;
}

static bool is_param(weir_str part)
{
    return part.n > 2 && part.p[0] == '{' && part.p[part.n - 1] == '}';
}

static bool part_is_sound(weir_str part)
{
    bool param = is_param(part);
    weir_str s = param ? (weir_str){part.p + 1, part.n - 2} : part;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = (c >= 'a' && c <= 'z') || c == '_';
        bool other = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
        if (!word && (param || !other)) {
            return false;
        }
    }
    return s.n > 0;
}

int weir_admin_path_check(const char *path)
{
    size_t n = strlen(path);
    if (path[0] != '/' || n < 2 || n > WEIR_ADMIN_MAX_PATH_BYTES) {
        return WEIR_E_ARG;
    }
    weir_str rest = {path + 1, n - 1};
    size_t n_params = 0;
    while (rest.p) {
        weir_str part = next_part(&rest);
        n_params += is_param(part);
        if (!part_is_sound(part)) {
            return WEIR_E_ARG;
        }
    }
    return n_params > WEIR_ADMIN_MAX_PARAMS ? WEIR_E_ARG : 0;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int decode(weir_str s, bool plus_is_space, struct weir_arena *arena, weir_str *ret)
{
    char *out = weir_arena_alloc(arena, s.n + 1);
    size_t n = 0;
    if (!out) {
        return WEIR_E_NOMEM;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            bool whole = s.n - i > 2;
            int high = whole ? hex_value(s.p[i + 1]) : -1;
            int low = whole ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return WEIR_E_FORMAT;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if ((unsigned char)c < 0x20 || c == 0x7f) {
            return WEIR_E_FORMAT;
        }
        out[n++] = c;
    }
    *ret = (weir_str){out, n};
    return 0;
}

static int match(const char *path, weir_str given, struct weir_admin_params *ret_params)
{
    weir_str mine = {path + 1, strlen(path) - 1};
    if (given.n < 1 || given.p[0] != '/') {
        return WEIR_E_NOTFOUND;
    }
    given = (weir_str){given.p + 1, given.n - 1};
    ret_params->n = 0;
    while (mine.p && given.p) {
        weir_str a = next_part(&mine), b = next_part(&given);
        if (is_param(a) && b.n > 0 && ret_params->n < WEIR_ADMIN_MAX_PARAMS) {
            ret_params->items[ret_params->n++] = (struct weir_admin_param){{a.p + 1, a.n - 2}, b};
        } else if (!weir_str_eq(a, b)) {
            return WEIR_E_NOTFOUND;
        }
    }
    return mine.p || given.p ? WEIR_E_NOTFOUND : 0;
}

int weir_admin_path_match(const char *path, weir_str given, struct weir_arena *arena,
                          struct weir_admin_params *ret_params)
{
    int rc = match(path, given, ret_params);
    for (size_t i = 0; rc == 0 && i < ret_params->n; i++) {
        rc = decode(ret_params->items[i].value, false, arena, &ret_params->items[i].value);
    }
    return rc;
}

int weir_admin_query_find(weir_str query, const char *name, struct weir_arena *arena,
                          weir_str *ret_value)
{
    while (query.n) {
        const char *end = memchr(query.p, '&', query.n);
        weir_str pair = {query.p, end ? (size_t)(end - query.p) : query.n};
        size_t used = pair.n + (end != NULL);
        query = (weir_str){query.p + used, query.n - used};
        const char *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
        size_t name_len = eq ? (size_t)(eq - pair.p) : pair.n;
        if (weir_str_is((weir_str){pair.p, name_len}, name)) {
            size_t skip = name_len + (eq != NULL);
            return decode((weir_str){pair.p + skip, pair.n - skip}, true, arena, ret_value);
        }
    }
    return WEIR_E_NOTFOUND;
}
