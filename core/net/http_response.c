/* SPDX-License-Identifier: Apache-2.0 */
/* Response framing: status line, the fields that belong to the server, chunks. */
#include "core/net/http_exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "core/net/http_server_internal.h"

enum { NO_LENGTH = -1, MAX_OVERHEAD_BYTES = 512 }; /* status line and the server's own fields */

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return ""; /* the phrase may be empty (RFC 9112 §4) */
    }
}

static bool is_token(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (const char *p = name; *p; p++) {
        char lower = (char)(*p | 0x20);
        bool is_alnum = (lower >= 'a' && lower <= 'z') || (*p >= '0' && *p <= '9');
        if (!is_alnum && !strchr(others, *p)) {
            return false;
        }
    }
    return *name != '\0';
}

static bool is_field_value(weir_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {"connection", "content-length", "date", "transfer-encoding"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strcasecmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int check_open(const struct weir_http_exchange *ex)
{
    const struct weir_http_connection *c = ex->connection;
    return ex->is_ended || c->is_aborted || c->state == WEIR_HTTP_CLOSED ? WEIR_E_GONE : WEIR_OK;
}

static int add_field(struct weir_buf *fields, const char *name, weir_str value)
{
    size_t n_name = strlen(name);
    if (n_name > fields->max_bytes || value.n > fields->max_bytes ||
        n_name + value.n + 4 > fields->max_bytes - fields->len) {
        return WEIR_E_TOOBIG;
    }
    weir_buf_add(fields, name, n_name);
    weir_buf_add(fields, ": ", 2);
    weir_buf_add_str(fields, value);
    weir_buf_add(fields, "\r\n", 2);
    return fields->failed ? WEIR_E_NOMEM : WEIR_OK;
}

static bool is_field(const char *name, weir_str value)
{
    return is_token(name) && is_field_value(value) && !is_ours(name);
}

int weir_http_add_header(struct weir_http_exchange *ex, const char *name, weir_str value)
{
    if (!is_field(name, value) || ex->reply != WEIR_HTTP_REPLY_NONE) {
        return WEIR_E_ARG;
    }
    return add_field(&ex->fields, name, value);
}

bool weir_http_has_header(const struct weir_http_exchange *ex, const char *name)
{
    size_t n = strlen(name);
    weir_str rest = weir_buf_view(&ex->fields);
    while (rest.n > n) {
        if (strncasecmp(rest.p, name, n) == 0 && rest.p[n] == ':') {
            return true;
        }
        const char *end = memchr(rest.p, '\n', rest.n); /* every field ends with one */
        size_t n_line = (size_t)(end - rest.p) + 1;
        rest = (weir_str){rest.p + n_line, rest.n - n_line};
    }
    return false;
}

void weir_http_add_retry_after(struct weir_http_exchange *ex, uint64_t retry_after_us)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRIu64, (retry_after_us + 999999) / 1000000);
    (void)weir_http_add_header(ex, "retry-after", (weir_str){text, (size_t)n});
    n = snprintf(text, sizeof(text), "%" PRIu64, (retry_after_us + 999) / 1000);
    (void)weir_http_add_header(ex, "retry-after-ms", (weir_str){text, (size_t)n});
}

bool weir_http_takes_trailers(const struct weir_http_exchange *ex)
{
    static const weir_str word = WEIR_STR_INIT("trailers");
    weir_str te = weir_http_header(ex, "te");
    for (size_t i = 0; ex->request.version_minor == 1 && i + word.n <= te.n; i++) {
        bool begins = i == 0 || te.p[i - 1] == ' ' || te.p[i - 1] == ',' || te.p[i - 1] == '\t';
        bool ends = i + word.n == te.n || strchr(" ,;\t", te.p[i + word.n]);
        if (begins && ends && strncasecmp(te.p + i, word.p, word.n) == 0) {
            return true;
        }
    }
    return false;
}

/* The head's fields are in the output by now; the buffer serves the trailer. */
int weir_http_add_trailer(struct weir_http_exchange *ex, const char *name, weir_str value)
{
    if (!is_field(name, value) || ex->reply != WEIR_HTTP_REPLY_STREAM || !ex->is_chunked ||
        ex->hides_body || !weir_http_takes_trailers(ex)) {
        return WEIR_E_ARG;
    }
    return add_field(&ex->fields, name, value);
}

static bool may_keep_alive(const struct weir_http_exchange *ex)
{
    const struct weir_http_connection *c = ex->connection;
    const struct weir_http_server *s = c->server;
    uint32_t max = s->limits.max_requests_per_connection;
    return ex->request.keep_alive && ex->request.is_complete && !s->is_draining && !c->is_last &&
           (max == 0 || c->n_requests + 1 < max);
}

static void add_text(struct weir_http_output *out, const char *text)
{
    weir_http_output_add(out, text, strlen(text));
}

static void add_str(struct weir_http_output *out, weir_str s)
{
    weir_http_output_add(out, s.p, s.n);
}

/* Without printf: this is in the path of every request. */
static void add_number(struct weir_http_output *out, uint64_t value, unsigned base)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    weir_http_output_add(out, digits + at, sizeof(digits) - at);
}

static void add_framing(struct weir_http_exchange *ex, int status, int64_t n_body)
{
    struct weir_http_connection *c = ex->connection;
    struct weir_http_output *out = &c->out;
    ex->hides_body = weir_str_is(ex->request.method, "HEAD") || status == 204 || status == 304;
    if (n_body != NO_LENGTH && status != 204 && status != 304) {
        add_text(out, "Content-Length: ");
        add_number(out, (uint64_t)n_body, 10);
        add_text(out, "\r\n");
    } else if (n_body == NO_LENGTH && ex->request.version_minor == 0) {
        c->is_last = c->is_last || !ex->hides_body;
    } else if (n_body == NO_LENGTH && status != 204 && status != 304) {
        ex->is_chunked = true;
        add_text(out, "Transfer-Encoding: chunked\r\n");
    }
    c->is_last = !may_keep_alive(ex);
    if (c->is_last) {
        add_text(out, "Connection: close\r\n");
    } else if (ex->request.version_minor == 0) {
        add_text(out, "Connection: keep-alive\r\n");
    }
}

static int begin(struct weir_http_exchange *ex, int status, int64_t n_body)
{
    if (status < 200 || status > 599 || ex->reply != WEIR_HTTP_REPLY_NONE) {
        return WEIR_E_ARG;
    }
    struct weir_http_connection *c = ex->connection;
    struct weir_http_output *out = &c->out;
    if (ex->fields.len + MAX_OVERHEAD_BYTES > weir_http_output_room(out)) {
        return WEIR_E_TOOBIG;
    }
    add_text(out, "HTTP/1.1 ");
    add_number(out, (uint64_t)status, 10);
    add_text(out, " ");
    add_text(out, reason_phrase(status));
    add_text(out, "\r\n");
    add_str(out, weir_http_date_line(&c->server->date, time(NULL)));
    add_framing(ex, status, n_body);
    add_str(out, weir_buf_view(&ex->fields));
    weir_buf_reset(&ex->fields); /* trailers, from now on */
    add_text(out, "\r\n");
    ex->reply = WEIR_HTTP_REPLY_STREAM;
    c->state = WEIR_HTTP_RUN; /* what is left of the request's body is not wanted any more */
    return WEIR_OK;
}

/* Memory ran out between pieces: the response cannot be completed in a way that the client can
 * trust, so the connection ends. */
static int commit(struct weir_http_exchange *ex)
{
    struct weir_http_connection *c = ex->connection;
    weir_http_server_mark_dirty(c);
    if (c->out.fill.failed) {
        c->is_aborted = true;
        return WEIR_E_NOMEM;
    }
    return WEIR_OK;
}

int weir_http_respond(struct weir_http_exchange *ex, int status, weir_str body)
{
    int r = check_open(ex);
    if (r < 0) {
        return r;
    }
    struct weir_http_output *out = &ex->connection->out;
    size_t room = weir_http_output_room(out);
    if (body.n > room || room - body.n < ex->fields.len + MAX_OVERHEAD_BYTES) {
        return WEIR_E_TOOBIG;
    }
    r = begin(ex, status, (int64_t)body.n);
    if (r < 0) {
        return r;
    }
    if (!ex->hides_body) {
        add_str(out, body);
        ex->n_sent = body.n;
    }
    ex->reply = WEIR_HTTP_REPLY_ENDED;
    return commit(ex);
}

int weir_http_stream_begin(struct weir_http_exchange *ex, int status)
{
    int r = check_open(ex);
    if (r < 0) {
        return r;
    }
    r = begin(ex, status, NO_LENGTH);
    return r < 0 ? r : commit(ex);
}

int weir_http_stream_write(struct weir_http_exchange *ex, weir_str bytes)
{
    enum { CHUNK_FRAME_BYTES = 20 };
    int r = check_open(ex);
    if (r < 0) {
        return r;
    }
    if (ex->reply != WEIR_HTTP_REPLY_STREAM) {
        return WEIR_E_ARG;
    }
    struct weir_http_connection *c = ex->connection;
    struct weir_http_output *out = &c->out;
    size_t room = weir_http_output_room(out);
    if (room < CHUNK_FRAME_BYTES || bytes.n > room - CHUNK_FRAME_BYTES) {
        return WEIR_E_TOOBIG;
    }
    if (bytes.n > 0 && !ex->hides_body) {
        if (ex->is_chunked) {
            add_number(out, bytes.n, 16);
            add_text(out, "\r\n");
        }
        add_str(out, bytes);
        if (ex->is_chunked) {
            add_text(out, "\r\n");
        }
        ex->n_sent += bytes.n;
    }
    r = commit(ex);
    if (r < 0) {
        return r;
    }
    ex->is_paused = weir_http_output_pending(out) > c->server->limits.pending_high_bytes;
    return ex->is_paused;
}

int weir_http_stream_end(struct weir_http_exchange *ex)
{
    int r = check_open(ex);
    if (r < 0) {
        return r;
    }
    if (ex->reply != WEIR_HTTP_REPLY_STREAM) {
        return WEIR_E_ARG;
    }
    struct weir_http_output *out = &ex->connection->out;
    if (ex->fields.len > weir_http_output_room(out)) {
        weir_buf_reset(&ex->fields); /* trailers are worth less than the end of the stream */
    }
    if (ex->is_chunked && !ex->hides_body) {
        add_text(out, "0\r\n");
        add_str(out, weir_buf_view(&ex->fields));
        add_text(out, "\r\n");
    }
    ex->reply = WEIR_HTTP_REPLY_ENDED;
    return commit(ex);
}

void weir_http_abort(struct weir_http_exchange *ex)
{
    if (check_open(ex) == WEIR_OK) {
        ex->connection->is_aborted = true;
        weir_http_server_mark_dirty(ex->connection);
    }
}
