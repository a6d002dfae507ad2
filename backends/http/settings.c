/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yyjson.h>

enum { MAX_PATH = 2048, MAX_HEAD = 16384 };

/* The schema has checked the shape; numbers stay in range here whatever it is. */
static uint32_t number_of(yyjson_val *object, const char *key, uint32_t otherwise)
{
    yyjson_val *v = yyjson_obj_get(object, key);
    return yyjson_is_uint(v) && yyjson_get_uint(v) <= UINT32_MAX ? (uint32_t)yyjson_get_uint(v)
                                                                 : otherwise;
}

static int duration_of(yyjson_val *object, const char *key, uint32_t otherwise, uint32_t *ret_ms,
                       struct weir_error *err)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}};
    yyjson_val *v = yyjson_obj_get(object, key);
    *ret_ms = otherwise;
    if (!v) {
        return 0;
    }
    const char *text = yyjson_is_str(v) ? yyjson_get_str(v) : "";
    char *end = NULL;
    unsigned long n = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    for (size_t i = 0; end && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0 && n <= UINT32_MAX) {
            uint64_t ms = (n * units[i].us + 999) / 1000;
            *ret_ms = ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
            return 0;
        }
    }
    return weir_error_set(err, WEIR_E_ARG, "%s: must be a duration such as 500ms or 30s", key);
}

static bool is_plain(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static int bad_url(struct weir_error *err, const char *why)
{
    return weir_error_set(err, WEIR_E_ARG, "url: %s; it must be like http://host:8000/v1", why);
}

/* host, [v6] or either with :port */
static int read_authority(struct weir_upstream_settings *s, const char *text, size_t n,
                          struct weir_error *err)
{
    size_t n_host = n;
    const char *host = text, *port = NULL;
    if (n && *text == '[') {
        const char *end = memchr(text, ']', n);
        if (!end) {
            return bad_url(err, "its address has no ]");
        }
        host = text + 1;
        n_host = (size_t)(end - host);
        port = end + 1 < text + n ? end + 1 : NULL;
    } else {
        port = memchr(text, ':', n);
        n_host = port ? (size_t)(port - text) : n;
    }
    if (n_host == 0 || n_host >= sizeof(s->host) || memchr(text, '@', n)) {
        return bad_url(err, "it has no usable host");
    }
    memcpy(s->host, host, n_host);
    s->host[n_host] = '\0';
    s->port = s->is_tls ? 443 : 80;
    if (port) {
        char digits[8] = "", *end = NULL;
        size_t n_port = n - (size_t)(port - text);
        if (*port != ':' || n_port < 2 || n_port >= sizeof(digits)) {
            return bad_url(err, "its port is wrong");
        }
        memcpy(digits, port + 1, n_port - 1);
        unsigned long value = strtoul(digits, &end, 10);
        if (*end || value == 0 || value > 65535) {
            return bad_url(err, "its port is wrong");
        }
        s->port = (uint16_t)value;
    }
    unsigned char address[16];
    s->is_address =
        inet_pton(AF_INET, s->host, address) == 1 || inet_pton(AF_INET6, s->host, address) == 1;
    (void)snprintf(s->authority, sizeof(s->authority), "%.*s", (int)n, text);
    return 0;
}

static int read_url(struct weir_upstream_settings *s, const char *url, struct weir_error *err)
{
    s->is_tls = strncmp(url, "https://", 8) == 0;
    if (!s->is_tls && strncmp(url, "http://", 7) != 0) {
        return bad_url(err, "it is no http or https address");
    }
    const char *authority = url + (s->is_tls ? 8 : 7);
    size_t n = strcspn(authority, "/?#");
    const char *path = authority + n;
    size_t n_path = strlen(path);
    if (strpbrk(path, "?#") || !is_plain(url, strlen(url)) || n_path > MAX_PATH) {
        return bad_url(err, "it may have no query, fragment or space");
    }
    while (n_path && path[n_path - 1] == '/') {
        n_path--;
    }
    int r = read_authority(s, authority, n, err);
    if (r < 0) {
        return r;
    }
    static const char *const ends[WEIR_UPSTREAM_KINDS] = {NULL, "/chat/completions", "/completions",
                                                          "/embeddings"};
    s->base_path = strndup(path, n_path);
    bool ok = s->base_path != NULL;
    for (int kind = 1; kind < WEIR_UPSTREAM_KINDS; kind++) {
        ok &= asprintf(&s->paths[kind], "%.*s%s", (int)n_path, path, ends[kind]) >= 0;
    }
    return ok ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
}

static int read_key_file(const char *path, char *to, size_t cap, struct weir_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, to, cap - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (n < 0) {
        return weir_error_set(err, WEIR_E_ARG, "api_key_file: cannot read %s", path);
    }
    while (n && (to[n - 1] == '\n' || to[n - 1] == '\r' || to[n - 1] == ' ')) {
        n--;
    }
    to[n] = '\0';
    return 0;
}

static int read_key(struct weir_upstream_settings *s, yyjson_val *root, struct weir_error *err)
{
    const char *file = yyjson_get_str(yyjson_obj_get(root, "api_key_file"));
    const char *env = yyjson_get_str(yyjson_obj_get(root, "api_key_env"));
    char text[WEIR_UPSTREAM_MAX_KEY] = "";
    if (file && env) {
        return weir_error_set(err, WEIR_E_ARG, "api_key_file, api_key_env: only one may be given");
    }
    if (file) {
        int r = read_key_file(file, text, sizeof(text), err);
        if (r < 0) {
            return r;
        }
    } else if (env) {
        (void)snprintf(text, sizeof(text), "%s", getenv(env) ? getenv(env) : "");
    } else {
        return 0;
    }
    if (!*text || !is_plain(text, strlen(text))) {
        return weir_error_set(err, WEIR_E_ARG, "%s: %s holds no usable key",
                              file ? "api_key_file" : "api_key_env", file ? file : env);
    }
    s->key = strdup(text);
    return s->key ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
}

static int copy_text(yyjson_val *object, const char *key, char **ret, struct weir_error *err)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    *ret = text ? strdup(text) : NULL;
    return !text || *ret ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
}

static int read_tls(struct weir_upstream_settings *s, yyjson_val *tls, struct weir_error *err)
{
    s->is_verified = !yyjson_is_false(yyjson_obj_get(tls, "verify"));
    if (tls && !s->is_tls) {
        return weir_error_set(err, WEIR_E_ARG, "tls: the url is not https");
    }
    int r = copy_text(tls, "ca", &s->ca, err);
    r = r < 0 ? r : copy_text(tls, "cert", &s->cert, err);
    r = r < 0 ? r : copy_text(tls, "key", &s->cert_key, err);
    r = r < 0 ? r : copy_text(tls, "server_name", &s->server_name, err);
    if (r == 0 && (s->cert != NULL) != (s->cert_key != NULL)) {
        return weir_error_set(err, WEIR_E_ARG, "tls: cert and key belong together");
    }
    return r;
}

static int read_limits(struct weir_upstream_settings *s, yyjson_val *root, struct weir_error *err)
{
    yyjson_val *timeouts = yyjson_obj_get(root, "timeouts"), *pool = yyjson_obj_get(root, "pool");
    const char *http2 = yyjson_get_str(yyjson_obj_get(root, "http2"));
    s->http2 = !http2 || strcmp(http2, "auto") == 0 ? WEIR_HTTP2_AUTO
               : strcmp(http2, "on") == 0           ? WEIR_HTTP2_ON
                                                    : WEIR_HTTP2_OFF;
    s->max_requests = number_of(pool, "requests", 1024);
    s->max_connections = number_of(pool, "connections", 1024);
    s->max_idle = number_of(pool, "idle", 64);
    int r = duration_of(timeouts, "connect", 5000, &s->connect_ms, err);
    r = r < 0 ? r : duration_of(timeouts, "first_token", 60000, &s->first_token_ms, err);
    r = r < 0 ? r : duration_of(timeouts, "between_tokens", 30000, &s->between_tokens_ms, err);
    r = r < 0 ? r : duration_of(timeouts, "total", 600000, &s->total_ms, err);
    r = r < 0 ? r : duration_of(pool, "idle_timeout", 60000, &s->idle_ms, err);
    return r < 0 ? r : duration_of(pool, "resolve", 30000, &s->resolve_ms, err);
}

static int write_heads(struct weir_upstream_settings *s, struct weir_error *err)
{
    bool ok = true;
    for (int kind = 1; kind < WEIR_UPSTREAM_KINDS; kind++) {
        struct weir_buf *b = &s->heads[kind];
        weir_buf_init(b, MAX_HEAD);
        weir_buf_printf(b,
                        "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                        "User-Agent: weir\r\n",
                        s->paths[kind], s->authority);
        if (s->key) {
            weir_buf_printf(b, "Authorization: Bearer %s\r\n", s->key);
        }
        ok &= !b->failed;
    }
    return ok ? 0 : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
}

int weir_upstream_settings_read(struct weir_upstream_settings *s, weir_str config_json,
                                struct weir_error *err)
{
    *s = (struct weir_upstream_settings){0};
    yyjson_doc *doc = yyjson_read(config_json.p, config_json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *url = yyjson_get_str(yyjson_obj_get(root, "url"));
    const char *model = yyjson_get_str(yyjson_obj_get(root, "model"));
    int r = url && model ? 0 : weir_error_set(err, WEIR_E_ARG, "url: must be given");
    r = r < 0 ? r : read_url(s, url, err);
    r = r < 0 ? r : read_key(s, root, err);
    r = r < 0 ? r : read_tls(s, yyjson_obj_get(root, "tls"), err);
    r = r < 0 ? r : read_limits(s, root, err);
    r = r < 0 ? r : write_heads(s, err);
    if (r == 0) {
        weir_buf_init(&s->model_json, MAX_HEAD);
        weir_buf_add_json_str(&s->model_json, weir_str_from(model));
        r = s->model_json.failed ? weir_error_set(err, WEIR_E_NOMEM, "out of memory") : 0;
    }
    yyjson_doc_free(doc);
    if (r < 0) {
        weir_upstream_settings_finish(s);
    }
    return r;
}

void weir_upstream_settings_finish(struct weir_upstream_settings *s)
{
    for (int kind = 0; kind < WEIR_UPSTREAM_KINDS; kind++) {
        free(s->paths[kind]);
        weir_buf_finish(&s->heads[kind]);
    }
    weir_buf_finish(&s->model_json);
    free(s->base_path);
    free(s->key);
    free(s->ca);
    free(s->cert);
    free(s->cert_key);
    free(s->server_name);
    *s = (struct weir_upstream_settings){0};
}
