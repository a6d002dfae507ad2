/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/store_url.h"

static const struct scheme {
    const char *prefix;
    enum weir_store_url_kind kind;
    bool tls;
} schemes[] = {
    {"redis://", WEIR_STORE_URL_TCP, false},
    {"rediss://", WEIR_STORE_URL_TCP, true},
    {"redis+unix://", WEIR_STORE_URL_UNIX, false},
    {"redis+sentinel://", WEIR_STORE_URL_SENTINEL, false},
    {"rediss+sentinel://", WEIR_STORE_URL_SENTINEL, true},
};

/* What is left to read. */
struct rest {
    const char *p, *end;
};

static weir_str until(struct rest *r, const char *stops)
{
    const char *from = r->p;
    while (r->p < r->end && !strchr(stops, *r->p)) {
        r->p++;
    }
    return (weir_str){from, (size_t)(r->p - from)};
}

static bool skip(struct rest *r, char c)
{
    bool there = r->p < r->end && *r->p == c;
    r->p += there;
    return there;
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-decodes into to[cap], NUL-ended. */
static bool decode(weir_str from, char *to, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < from.n; i++) {
        char c = from.p[i];
        if (c == '%') {
            bool whole = from.n - i > 2;
            int high = whole ? hex_of(from.p[i + 1]) : -1, low = whole ? hex_of(from.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || n + 1 >= cap) {
            return false;
        }
        to[n++] = c;
    }
    to[n] = '\0';
    return true;
}

static bool number(weir_str text, uint32_t max, uint32_t *ret_value)
{
    uint32_t value = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || value > max / 10) {
            return false;
        }
        value = value * 10 + (uint32_t)(text.p[i] - '0');
    }
    *ret_value = value;
    return text.n > 0 && value <= max;
}

static int read_credentials(struct rest *r, struct weir_store_url *u, struct weir_error *err)
{
    const char *at = memchr(r->p, '@', (size_t)(r->end - r->p));
    if (!at) {
        return 0;
    }
    struct rest c = {r->p, at};
    weir_str user = until(&c, ":");
    bool has_password = skip(&c, ':');
    weir_str password = {c.p, (size_t)(c.end - c.p)};
    r->p = at + 1;
    if (!decode(user, u->user, sizeof(u->user)) ||
        (has_password && !decode(password, u->password, sizeof(u->password)))) {
        return weir_error_set(err, WEIR_E_ARG,
                              "user or password is too long or not percent-encoded right");
    }
    return 0;
}

static int read_host(struct rest *r, uint16_t default_port, struct weir_store_url *u,
                     struct weir_error *err)
{
    if (u->n_hosts == WEIR_STORE_URL_MAX_HOSTS) {
        return weir_error_set(err, WEIR_E_ARG, "names more than %d hosts",
                              WEIR_STORE_URL_MAX_HOSTS);
    }
    struct weir_store_host *h = &u->hosts[u->n_hosts++];
    bool brackets = skip(r, '[');
    weir_str name = until(r, brackets ? "]" : ":,/");
    if ((brackets && !skip(r, ']')) || name.n == 0 || name.n >= sizeof(h->name)) {
        return weir_error_set(err, WEIR_E_ARG, "lacks a host, such as redis://host:6379");
    }
    memcpy(h->name, name.p, name.n);
    h->port = default_port;
    uint32_t port = default_port;
    if (skip(r, ':') && (!number(until(r, ",/"), 65535, &port) || port == 0)) {
        return weir_error_set(err, WEIR_E_ARG, "has a port that is no number of 1 to 65535");
    }
    h->port = (uint16_t)port;
    return 0;
}

static int read_db(weir_str text, struct weir_store_url *u, struct weir_error *err)
{
    if (text.n && !number(text, 65535, &u->db)) {
        return weir_error_set(err, WEIR_E_ARG, "has a database that is no number");
    }
    return 0;
}

static int read_unix(struct rest *r, struct weir_store_url *u, struct weir_error *err)
{
    weir_str path = until(r, "?");
    if (path.n < 2 || path.p[0] != '/' || !decode(path, u->path, sizeof(u->path))) {
        return weir_error_set(err, WEIR_E_ARG,
                              "lacks an absolute path, such as redis+unix:///run/redis.sock");
    }
    if (skip(r, '?')) {
        if (r->end - r->p < 4 || memcmp(r->p, "db=", 3) != 0) {
            return weir_error_set(err, WEIR_E_ARG, "may have ?db=N behind the path, nothing else");
        }
        return read_db((weir_str){r->p + 3, (size_t)(r->end - r->p - 3)}, u, err);
    }
    return 0;
}

static int read_hosts(struct rest *r, struct weir_store_url *u, struct weir_error *err)
{
    bool sentinel = u->kind == WEIR_STORE_URL_SENTINEL;
    int rc = read_credentials(r, u, err);
    do {
        rc = rc < 0 ? rc : read_host(r, sentinel ? 26379 : 6379, u, err);
    } while (rc == 0 && sentinel && skip(r, ','));
    if (rc < 0) {
        return rc;
    }
    if (sentinel) {
        weir_str master = skip(r, '/') ? until(r, "/") : (weir_str){NULL, 0};
        if (master.n == 0 || !decode(master, u->master, sizeof(u->master))) {
            return weir_error_set(err, WEIR_E_ARG,
                                  "lacks the master's name: redis+sentinel://host:26379/name");
        }
    }
    weir_str db = skip(r, '/') ? until(r, "") : (weir_str){NULL, 0};
    rc = read_db(db, u, err);
    if (rc == 0 && r->p != r->end) {
        return weir_error_set(err, WEIR_E_ARG, "has something behind its end");
    }
    return rc;
}

int weir_store_url_parse(const char *text, struct weir_store_url *ret_url, struct weir_error *err)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t n = strlen(schemes[i].prefix);
        if (strncmp(text, schemes[i].prefix, n) == 0) {
            *ret_url = (struct weir_store_url){.kind = schemes[i].kind, .tls = schemes[i].tls};
            struct rest r = {text + n, text + strlen(text)};
            return ret_url->kind == WEIR_STORE_URL_UNIX ? read_unix(&r, ret_url, err)
                                                        : read_hosts(&r, ret_url, err);
        }
    }
    return weir_error_set(err, WEIR_E_ARG,
                          "must begin with redis://, rediss://, redis+unix://, "
                          "redis+sentinel:// or rediss+sentinel://");
}
