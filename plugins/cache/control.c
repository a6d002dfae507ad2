/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <strings.h>

static weir_str trim(weir_str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

static bool is(weir_str s, const char *name)
{
    return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

/* Seconds, perhaps in quotes; too large is very large, anything else is 0: the strictest. */
static uint64_t seconds(weir_str s)
{
    uint64_t v = 0;
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') {
        s = (weir_str){s.p + 1, s.n - 2};
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return 0;
        }
        v = v > UINT32_MAX ? v : v * 10 + (uint64_t)(s.p[i] - '0');
    }
    return v;
}

static void apply(struct cache_control *c, weir_str directive)
{
    const char *eq = directive.n ? memchr(directive.p, '=', directive.n) : NULL;
    size_t at = eq ? (size_t)(eq - directive.p) : directive.n;
    weir_str name = trim((weir_str){directive.p, at});
    if (is(name, "no-cache")) {
        c->no_cache = true;
    } else if (is(name, "no-store")) {
        c->no_store = true;
    } else if (is(name, "only-if-cached")) {
        c->only_if_cached = true;
    } else if (is(name, "max-age") && eq) {
        c->max_age_s = seconds(trim((weir_str){eq + 1, directive.n - at - 1}));
    }
}

struct cache_control cache_control_parse(weir_str header)
{
    struct cache_control c = {.max_age_s = UINT64_MAX};
    while (header.n) {
        const char *comma = memchr(header.p, ',', header.n);
        size_t n = comma ? (size_t)(comma - header.p) : header.n;
        apply(&c, trim((weir_str){header.p, n}));
        n += comma != NULL;
        header = (weir_str){header.p + n, header.n - n};
    }
    return c;
}
