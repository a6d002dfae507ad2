/* SPDX-License-Identifier: Apache-2.0 */
/* The response side of an exchange: fields, their checks, and the order of calls. */
#include "core/net/http_exchange.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "base/http_field.h"
#include "core/net/http_server_internal.h"

/* No two of them are of one length. */
static bool is_ours(weir_str name)
{
    static const weir_str connection = WEIR_STR_INIT("connection");
    static const weir_str content_length = WEIR_STR_INIT("content-length");
    static const weir_str date = WEIR_STR_INIT("date");
    static const weir_str transfer_encoding = WEIR_STR_INIT("transfer-encoding");
    switch (name.n) {
    case sizeof("date") - 1: return weir_http_is_named(name, date);
    case sizeof("connection") - 1: return weir_http_is_named(name, connection);
    case sizeof("content-length") - 1: return weir_http_is_named(name, content_length);
    case sizeof("transfer-encoding") - 1: return weir_http_is_named(name, transfer_encoding);
    default: return false;
    }
}

static int check_open(const struct weir_http_exchange *ex)
{
    const struct weir_http_connection *c = ex->connection;
    return ex->is_ended || c->state == WEIR_HTTP_CLOSED || c->protocol->is_broken(ex) ? WEIR_E_GONE
                                                                                      : WEIR_OK;
}

static int add_field(struct weir_buf *fields, weir_str name, weir_str value)
{
    size_t room = fields->max_bytes - fields->len;
    if (room < 4 || name.n > room - 4 || value.n > room - 4 - name.n) {
        return WEIR_E_TOOBIG;
    }
    size_t n_bytes = name.n + value.n + 4;
    char *p = weir_buf_reserve(fields, n_bytes);
    if (!p) {
        return WEIR_E_NOMEM;
    }
    memcpy(p, name.p, name.n);
    memcpy(p + name.n, ": ", 2);
    if (value.n > 0) {
        memcpy(p + name.n + 2, value.p, value.n);
    }
    memcpy(p + n_bytes - 2, "\r\n", 2);
    weir_buf_commit(fields, n_bytes);
    return WEIR_OK;
}

static bool is_field(weir_str name, weir_str value)
{
    return weir_http_is_token(name) && weir_http_is_field_value(value) && !is_ours(name);
}

int weir_http_add_header(struct weir_http_exchange *ex, weir_str name, weir_str value)
{
    if (!is_field(name, value) || ex->reply != WEIR_HTTP_REPLY_NONE) {
        return WEIR_E_ARG;
    }
    return add_field(&ex->fields, name, value);
}

int weir_http_add_own_header(struct weir_http_exchange *ex, weir_str name, weir_str value)
{
    assert(is_field(name, value));
    return ex->reply == WEIR_HTTP_REPLY_NONE ? add_field(&ex->fields, name, value) : WEIR_E_ARG;
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
    (void)weir_http_add_own_header(ex, weir_str_from("retry-after"), (weir_str){text, (size_t)n});
    n = snprintf(text, sizeof(text), "%" PRIu64, (retry_after_us + 999) / 1000);
    (void)weir_http_add_own_header(ex, weir_str_from("retry-after-ms"),
                                   (weir_str){text, (size_t)n});
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
int weir_http_add_trailer(struct weir_http_exchange *ex, weir_str name, weir_str value)
{
    if (!is_field(name, value) || ex->reply != WEIR_HTTP_REPLY_STREAM || !ex->is_chunked ||
        ex->hides_body || !weir_http_takes_trailers(ex)) {
        return WEIR_E_ARG;
    }
    return add_field(&ex->fields, name, value);
}

/* Bytes could not be added, so the response cannot be completed in a way that the client can
 * trust; or some were, and leave with this turn of the loop. */
static int commit(struct weir_http_exchange *ex)
{
    struct weir_http_connection *c = ex->connection;
    weir_http_server_mark_dirty(c);
    if (c->protocol->is_broken(ex)) {
        c->protocol->abort(ex);
        return WEIR_E_NOMEM;
    }
    return WEIR_OK;
}

static int begin(struct weir_http_exchange *ex, int status, int64_t n_body)
{
    const struct weir_http_protocol *protocol = ex->connection->protocol;
    size_t room = protocol->room(ex);
    size_t n = n_body == WEIR_HTTP_NO_LENGTH ? 0 : (size_t)n_body;
    if (status < 200 || status > 599 || ex->reply != WEIR_HTTP_REPLY_NONE) {
        return WEIR_E_ARG;
    }
    if (n > room || room - n < ex->fields.len + WEIR_HTTP_OVERHEAD_BYTES) {
        return WEIR_E_TOOBIG;
    }
    ex->hides_body = weir_str_is(ex->request.method, "HEAD") || status == 204 || status == 304;
    int r = protocol->begin(ex, status, n_body);
    if (r == WEIR_OK) {
        ex->reply = WEIR_HTTP_REPLY_STREAM;
    }
    return r;
}

static void write_body(struct weir_http_exchange *ex, weir_str bytes)
{
    if (bytes.n > 0 && !ex->hides_body) {
        ex->connection->protocol->write(ex, bytes);
        ex->n_sent += bytes.n;
    }
}

static void end(struct weir_http_exchange *ex)
{
    ex->reply = WEIR_HTTP_REPLY_ENDED;
    ex->connection->protocol->end(ex);
}

int weir_http_respond(struct weir_http_exchange *ex, int status, weir_str body)
{
    int r = check_open(ex);
    r = r < 0 ? r : begin(ex, status, (int64_t)body.n);
    if (r < 0) {
        return r;
    }
    write_body(ex, body);
    end(ex);
    return commit(ex);
}

int weir_http_stream_begin(struct weir_http_exchange *ex, int status)
{
    int r = check_open(ex);
    r = r < 0 ? r : begin(ex, status, WEIR_HTTP_NO_LENGTH);
    return r < 0 ? r : commit(ex);
}

void weir_http_stream_expect(const struct weir_http_exchange *ex)
{
    weir_fetch(ex->connection, WEIR_HTTP_CONNECTION_NEAR);
}

int weir_http_stream_write(struct weir_http_exchange *ex, weir_str bytes)
{
    enum { FRAME_BYTES = 20 };
    int r = check_open(ex);
    if (r < 0) {
        return r;
    }
    if (ex->reply != WEIR_HTTP_REPLY_STREAM) {
        return WEIR_E_ARG;
    }
    const struct weir_http_connection *c = ex->connection;
    size_t room = c->protocol->room(ex);
    if (room < FRAME_BYTES || bytes.n > room - FRAME_BYTES) {
        return WEIR_E_TOOBIG;
    }
    write_body(ex, bytes);
    r = commit(ex);
    if (r < 0) {
        return r;
    }
    ex->is_paused = c->protocol->pending(ex) > c->server->limits.pending_high_bytes;
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
    end(ex);
    return commit(ex);
}

void weir_http_abort(struct weir_http_exchange *ex)
{
    if (check_open(ex) == WEIR_OK) {
        ex->connection->protocol->abort(ex);
        weir_http_server_mark_dirty(ex->connection);
    }
}
