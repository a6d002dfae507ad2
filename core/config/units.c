/* SPDX-License-Identifier: Apache-2.0 */
#include "units.h"

#include <stdbool.h>

struct unit {
    const char *name;
    uint64_t factor;
};

#define KI UINT64_C(1024)
#define K UINT64_C(1000)

static const struct unit duration_units[] = {
    {"us", 1},        {"ms", K},          {"s", K *K},
    {"m", 60 * K *K}, {"h", 3600 * K *K}, {"d", 24 * 3600 * K *K},
};

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"Ki", KI},
    {"KiB", KI},
    {"Mi", KI *KI},
    {"MiB", KI *KI},
    {"Gi", KI *KI *KI},
    {"GiB", KI *KI *KI},
    {"Ti", KI *KI *KI *KI},
    {"TiB", KI *KI *KI *KI},
    {"k", K},
    {"K", K},
    {"kB", K},
    {"KB", K},
    {"M", K *K},
    {"MB", K *K},
    {"G", K *K *K},
    {"GB", K *K *K},
    {"T", K *K *K *K},
    {"TB", K *K *K *K},
};

#undef KI
#undef K

/* Reads digits at the front; returns how many, 0 when there are none or the value overflows. */
static size_t parse_whole(weir_str text, uint64_t *ret_value)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(text.p[i] - '0'), &v)) {
            return 0;
        }
    }
    *ret_value = v;
    return i;
}

static int parse_quantity(weir_str text, const struct unit *units, size_t n_units, uint64_t *ret)
{
    uint64_t value;
    size_t n = parse_whole(text, &value);
    if (n == 0) {
        return WEIR_E_ARG;
    }
    weir_str name = {text.p + n, text.n - n};
    for (size_t i = 0; i < n_units; i++) {
        if (weir_str_is(name, units[i].name)) {
            uint64_t product;
            if (__builtin_mul_overflow(value, units[i].factor, &product)) {
                return WEIR_E_ARG;
            }
            *ret = product;
            return 0;
        }
    }
    return WEIR_E_ARG;
}

int weir_duration_parse(weir_str text, uint64_t *ret_us)
{
    return parse_quantity(text, duration_units, sizeof(duration_units) / sizeof(duration_units[0]),
                          ret_us);
}

int weir_bytes_parse(weir_str text, uint64_t *ret_bytes)
{
    return parse_quantity(text, byte_units, sizeof(byte_units) / sizeof(byte_units[0]), ret_bytes);
}

static bool is_host(weir_str host, bool v6)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool other = v6 ? c == ':' || c == '.' || c == '%' : c == '.' || c == '-' || c == '_';
        if (!alnum && !other) {
            return false;
        }
    }
    return (host.n > 0 || !v6) && host.n <= 255;
}

int weir_host_port_parse(weir_str text, weir_str *ret_host, uint16_t *ret_port)
{
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0) {
        return WEIR_E_ARG;
    }
    weir_str host = {text.p, colon - 1};
    weir_str digits = {text.p + colon, text.n - colon};
    bool v6 = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (v6) {
        host = (weir_str){host.p + 1, host.n - 2};
    }
    uint64_t port;
    size_t n = parse_whole(digits, &port);
    if (n == 0 || n != digits.n || port > UINT16_MAX || !is_host(host, v6)) {
        return WEIR_E_ARG;
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return 0;
}

int weir_uri_check(weir_str text)
{
    size_t i = 0;
    while (i < text.n && ((text.p[i] >= 'a' && text.p[i] <= 'z') || text.p[i] == '+' ||
                          (i > 0 && text.p[i] >= '0' && text.p[i] <= '9'))) {
        i++;
    }
    if (i == 0 || i + 1 >= text.n || text.p[i] != ':') {
        return WEIR_E_ARG;
    }
    for (; i < text.n; i++) {
        if (text.p[i] <= ' ' || text.p[i] > '~') {
            return WEIR_E_ARG;
        }
    }
    return 0;
}
