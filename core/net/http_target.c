/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_target.h"

#include <stdbool.h>
#include <strings.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* What a byte may stand in by itself (RFC 3986). */
enum { IN_HOST = 1, IN_PATH = 2, IN_QUERY = 4, IN_ALL = IN_HOST | IN_PATH | IN_QUERY };

static const uint8_t byte_kinds[256] = {
    ['0' ... '9'] = IN_ALL,
    ['A' ... 'Z'] = IN_ALL,
    ['a' ... 'z'] = IN_ALL,
    ['-'] = IN_ALL,
    ['.'] = IN_ALL,
    ['_'] = IN_ALL,
    ['~'] = IN_ALL,
    ['!'] = IN_ALL,
    ['$'] = IN_ALL,
    ['&' ... '*'] = IN_ALL, /* & ' ( ) * */
    ['+'] = IN_ALL,
    [','] = IN_PATH | IN_QUERY,
    [';'] = IN_ALL,
    ['='] = IN_ALL,
    [':'] = IN_PATH | IN_QUERY,
    ['@'] = IN_PATH | IN_QUERY,
    ['/'] = IN_PATH | IN_QUERY,
    ['?'] = IN_QUERY,
};

/* 0..255, or -1 when s[i] does not begin a good escape. */
static int escape_value(weir_str s, size_t i)
{
    if (s.n - i < 3 || s.p[i] != '%') {
        return -1;
    }
    int high = hex_value(s.p[i + 1]);
    int low = hex_value(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Bytes of that kind, and escapes of anything but NUL. */
static bool is_made_of(weir_str s, uint8_t kind)
{
    for (size_t i = 0;; i += 3) {
        while (i < s.n && byte_kinds[(unsigned char)s.p[i]] & kind) {
            i++;
        }
        if (i == s.n) {
            return true;
        }
        if (escape_value(s, i) <= 0) {
            return false;
        }
    }
}

static bool has_prefix(weir_str s, weir_str prefix)
{
    return s.n >= prefix.n && strncasecmp(s.p, prefix.p, prefix.n) == 0;
}

static weir_str drop(weir_str s, size_t n)
{
    return (weir_str){s.p + n, s.n - n};
}

/* Cuts the authority off an absolute target; what is left begins at its path or query. */
static weir_str split_authority(weir_str target, weir_str *ret_authority)
{
    static const weir_str schemes[] = {WEIR_STR_INIT("http://"), WEIR_STR_INIT("https://")};
    if (target.n && target.p[0] == '/') { /* nearly always */
        return target;
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!has_prefix(target, schemes[i])) {
            continue;
        }
        weir_str rest = drop(target, schemes[i].n);
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?') {
            n++;
        }
        *ret_authority = (weir_str){rest.p, n};
        return drop(rest, n);
    }
    return target;
}

int weir_http_target_parse(weir_str target, struct weir_http_target *ret_target)
{
    static const weir_str root = WEIR_STR_INIT("/");
    struct weir_http_target t = {.path = target};

    if (weir_str_is(target, "*")) {
        *ret_target = t;
        return WEIR_OK;
    }
    weir_str rest = split_authority(target, &t.authority);
    if (t.authority.p && weir_http_host_check(t.authority) < 0) {
        return WEIR_E_FORMAT;
    }
    const char *mark = rest.n ? memchr(rest.p, '?', rest.n) : NULL;
    t.path = (weir_str){rest.p, mark ? (size_t)(mark - rest.p) : rest.n};
    if (mark) {
        t.query = drop(rest, t.path.n + 1);
    }
    if (t.authority.p && t.path.n == 0) {
        t.path = root;
    }
    if (t.path.n == 0 || t.path.p[0] != '/' || !is_made_of(t.path, IN_PATH) ||
        !is_made_of(t.query, IN_QUERY)) {
        return WEIR_E_FORMAT;
    }
    *ret_target = t;
    return WEIR_OK;
}

/* "" or ":" digits, at most 65535. */
static bool is_port_part(weir_str s)
{
    if (s.n == 0) {
        return true;
    }
    if (s.p[0] != ':' || s.n > 6) {
        return false;
    }
    unsigned port = 0;
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(s.p[i] - '0');
    }
    return port <= 65535;
}

int weir_http_host_check(weir_str host)
{
    if (host.n == 0) {
        return WEIR_E_FORMAT;
    }
    size_t n_name = 0;
    bool good;
    if (host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);
        if (!end) {
            return WEIR_E_FORMAT;
        }
        n_name = (size_t)(end - host.p) + 1;
        good = n_name > 2;
        for (size_t i = 1; i + 1 < n_name; i++) {
            good = good && (hex_value(host.p[i]) >= 0 || host.p[i] == ':' || host.p[i] == '.');
        }
    } else {
        while (n_name < host.n && host.p[n_name] != ':') {
            n_name++;
        }
        good = n_name > 0 && is_made_of((weir_str){host.p, n_name}, IN_HOST);
    }
    return good && is_port_part(drop(host, n_name)) ? WEIR_OK : WEIR_E_FORMAT;
}

weir_str weir_http_percent_decode(struct weir_arena *arena, weir_str text)
{
    char *out = weir_arena_alloc(arena, text.n + 1);
    if (!out) {
        return (weir_str){NULL, 0};
    }
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int value = escape_value(text, i);
        if (value >= 0) {
            out[n++] = (char)value;
            i += 2;
        } else {
            out[n++] = text.p[i];
        }
    }
    return (weir_str){out, n};
}
