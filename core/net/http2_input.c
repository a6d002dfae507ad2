/* SPDX-License-Identifier: Apache-2.0 */
/* What an HTTP/2 client sends, as nghttp2 reports it: header fields and bodies become requests. */
#include <string.h>

#include "core/net/http2.h"
#include "core/net/http_head_rules.h"

enum {
    RESET_COST = 2, /* a request that was begun in vain costs more than a PING */
    HEADS = 4       /* of the largest: a decoded block beyond that is an attack, not a mistake */
};

static uint64_t now_ms(const struct weir_http2_session *s)
{
    return uv_now(s->connection->server->loop);
}

static struct weir_http_exchange *exchange_of(const struct weir_http2_session *s, int32_t id)
{
    return nghttp2_session_get_stream_user_data(s->ng, id);
}

static void reject(struct weir_http_exchange *ex, enum weir_http_problem problem)
{
    if (ex->reply == WEIR_HTTP_REPLY_NONE && weir_http_exchange_reject(ex, problem) < 0) {
        weir_http2_reset(ex, NGHTTP2_INTERNAL_ERROR);
    }
}

/* ---- every frame: does it only make work? ---- */

static uint32_t cost_of(struct weir_http2_session *s, const nghttp2_frame_hd *hd)
{
    switch (hd->type) {
    case NGHTTP2_HEADERS: return 0; /* bounded by the number of streams */
    case NGHTTP2_DATA: return hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_WINDOW_UPDATE:
        if (s->n_updates > 0) {
            s->n_updates--;
            return 0;
        }
        return 1;
    case NGHTTP2_RST_STREAM: return RESET_COST;
    default: return 1; /* PRIORITY, SETTINGS, PING, GOAWAY, CONTINUATION, unknown ones */
    }
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    struct weir_http2_session *s = user;
    (void)ng;
    return !s->is_over && weir_http2_spend(s, cost_of(s, hd)) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* A malformed message; nghttp2 resets its stream. Provoked resets cost as much as sent ones. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
    (void)ng;
    (void)frame;
    (void)code;
    return weir_http2_spend(user, RESET_COST) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- header fields ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct weir_http2_session *s = user;
    struct weir_http_connection *c = s->connection;
    s->n_block_bytes = 0;
    s->head_deadline_ms = now_ms(s) + c->server->limits.header_timeout_ms;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers */
    }
    struct weir_http_exchange *ex = weir_http_server_take_exchange(c->server);
    if (!ex) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    ex->connection = c;
    ex->h2.id = frame->hd.stream_id;
    weir_buf_init(&ex->h2.pending, 2 * c->server->limits.max_pending_bytes);
    LIST_INSERT_HEAD(&s->exchanges, ex, h2.all);
    s->n_exchanges++;
    (void)nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, ex);
    return 0;
}

/* The pseudo-header fields of a request; they stand before all others. */
static enum weir_http_problem take_pseudo(struct weir_http_exchange *ex, weir_str name,
                                          weir_str value)
{
    struct weir_http_request *r = &ex->request;
    if (weir_str_is(name, ":path")) {
        if (value.n > ex->connection->server->limits.max_target_bytes) {
            return WEIR_HTTP_TARGET_TOO_LONG;
        }
        return weir_http_request_keep(r, value, &ex->h2.path);
    }
    if (weir_str_is(name, ":method")) {
        return weir_http_request_keep(r, value, &r->method);
    }
    if (weir_str_is(name, ":authority")) {
        return weir_http_request_keep(r, value, &r->authority);
    }
    return WEIR_HTTP_OK; /* :scheme */
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *user)
{
    enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 §6.5.2 */
    struct weir_http2_session *s = user;
    const struct weir_http_limits *limits = &s->connection->server->limits;
    struct weir_http_exchange *ex = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void)flags;
    s->n_block_bytes += n_name + n_value + FIELD_OVERHEAD;
    if (s->n_block_bytes > HEADS * limits->max_head_bytes) {
        weir_http2_end_session(s, NGHTTP2_ENHANCE_YOUR_CALM);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!ex || ex->request.is_head_complete || ex->h2.problem != WEIR_HTTP_OK) {
        return 0; /* trailers are read and dropped, like fields that are too many */
    }
    weir_str n = {(const char *)name, n_name}, v = {(const char *)value, n_value};
    if (s->n_block_bytes > limits->max_head_bytes) {
        ex->h2.problem = WEIR_HTTP_HEAD_TOO_LARGE;
    } else if (n_name > 0 && name[0] == ':') {
        ex->h2.problem = take_pseudo(ex, n, v);
    } else {
        ex->h2.problem = weir_http_request_add_field(&ex->request, n, v);
    }
    return 0;
}

/* Clients may split Cookie into several fields (RFC 9113 §8.2.3); handlers look at one. */
static enum weir_http_problem join_cookies(struct weir_http_exchange *ex)
{
    struct weir_http_request *r = &ex->request;
    char *joined = NULL;
    size_t n_kept = 0, n_joined = 0;
    if (weir_http_request_count(r, weir_str_from("cookie")) < 2) {
        return WEIR_HTTP_OK;
    }
    /* The values are all in `head`, with a name before each, so they fit even with separators. */
    joined = weir_arena_alloc(&ex->arena, r->head.len);
    if (!joined) {
        return WEIR_HTTP_NO_MEMORY;
    }
    for (size_t i = 0; i < r->n_fields; i++) {
        weir_str value = r->fields[i].value;
        if (!weir_str_is(r->fields[i].name, "cookie")) {
            r->fields[n_kept++] = r->fields[i];
            continue;
        }
        if (n_joined > 0) {
            memcpy(joined + n_joined, "; ", 2);
            n_joined += 2;
        }
        memcpy(joined + n_joined, value.p, value.n);
        n_joined += value.n;
    }
    r->fields[n_kept++] = (struct weir_http_field){weir_str_from("cookie"), {joined, n_joined}};
    r->n_fields = n_kept;
    return WEIR_HTTP_OK;
}

/* A Host field is as good as :authority; both must agree. */
static enum weir_http_problem settle_host(struct weir_http_request *r)
{
    static const weir_str name = WEIR_STR_INIT("host");
    if (r->authority.n == 0) {
        return WEIR_HTTP_OK;
    }
    const struct weir_http_field *host = weir_http_request_find(r, name);
    if (host) {
        return weir_str_eq(host->value, r->authority) ? WEIR_HTTP_OK : WEIR_HTTP_BAD_HOST;
    }
    if (r->n_fields == r->max_fields) {
        return WEIR_HTTP_TOO_MANY_HEADERS;
    }
    r->fields[r->n_fields++] = (struct weir_http_field){name, r->authority};
    return WEIR_HTTP_OK;
}

static enum weir_http_problem check_head(struct weir_http_exchange *ex, bool is_complete)
{
    struct weir_http_request *r = &ex->request;
    const struct weir_http_server *server = ex->connection->server;
    weir_http_request_resolve(r);
    r->method = weir_http_request_resolved(r, r->method);
    r->authority = weir_http_request_resolved(r, r->authority);
    weir_str path = weir_http_request_resolved(r, ex->h2.path);
    r->version_minor = 1;
    r->keep_alive = true;
    r->has_body = !is_complete;
    enum weir_http_problem problem = ex->h2.problem;
    problem = problem == WEIR_HTTP_OK ? settle_host(r) : problem;
    problem = problem == WEIR_HTTP_OK ? join_cookies(ex) : problem;
    problem = problem == WEIR_HTTP_OK ? weir_http_head_check(r, path, &server->limits) : problem;
    bool is_full = server->stats.n_running >= server->limits.max_connections;
    return problem == WEIR_HTTP_OK && is_full ? WEIR_HTTP_TOO_MANY_CONNECTIONS : problem;
}

/* ---- requests ---- */

static void complete(struct weir_http_exchange *ex)
{
    const struct weir_http_server *server = ex->connection->server;
    ex->request.is_complete = true;
    if (ex->is_announced && !ex->is_ended && ex->reply == WEIR_HTTP_REPLY_NONE &&
        !ex->h2.is_aborted) {
        server->handler.on_request(server->user, ex);
    }
}

static void send_continue(struct weir_http_exchange *ex)
{
    nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NONE};
    struct weir_http_connection *c = ex->connection;
    (void)nghttp2_submit_headers(c->h2->ng, NGHTTP2_FLAG_NONE, ex->h2.id, NULL, &status, 1, NULL);
}

static void take_head(struct weir_http_exchange *ex, bool is_complete)
{
    struct weir_http_connection *c = ex->connection;
    uint32_t max = c->server->limits.max_requests_per_connection;
    enum weir_http_problem problem = check_head(ex, is_complete);
    ex->h2.body_start_ms = ex->h2.body_last_ms = now_ms(c->h2);
    if (problem != WEIR_HTTP_OK) {
        reject(ex, problem);
        ex->request.is_complete = is_complete;
        return;
    }
    ex->request.is_head_complete = true;
    if (max > 0 && c->n_requests + c->h2->n_exchanges >= max) {
        weir_http2.drain(c);
    }
    weir_http_exchange_announce(ex);
    if (is_complete) {
        complete(ex);
    } else if (ex->request.expects_continue && ex->reply == WEIR_HTTP_REPLY_NONE) {
        send_continue(ex);
    }
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                   void *user)
{
    struct weir_http2_session *s = user;
    struct weir_http_exchange *ex = nghttp2_session_get_stream_user_data(ng, id);
    (void)flags;
    if (!ex || !ex->is_announced || ex->reply != WEIR_HTTP_REPLY_NONE || ex->h2.is_aborted) {
        return 0; /* of a request that is answered already */
    }
    struct weir_buf *body = &ex->request.body;
    if (n > body->max_bytes - body->len) {
        reject(ex, WEIR_HTTP_BODY_TOO_LARGE);
        return 0;
    }
    if (n > WEIR_HTTP2_BODIES * body->max_bytes - s->n_body_bytes) {
        weir_http2_reset(ex, NGHTTP2_ENHANCE_YOUR_CALM);
        weir_http_exchange_end(ex, WEIR_HTTP_END_REJECTED);
        return 0;
    }
    weir_buf_add(body, bytes, n);
    if (body->failed) {
        reject(ex, WEIR_HTTP_NO_MEMORY);
        return 0;
    }
    s->n_body_bytes += n;
    ex->h2.body_last_ms = now_ms(s);
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct weir_http2_session *s = user;
    (void)ng;
    if (frame->hd.type == NGHTTP2_SETTINGS) {
        s->head_deadline_ms = 0; /* the preface is complete */
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct weir_http_exchange *ex = exchange_of(s, frame->hd.stream_id);
    bool is_complete = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        s->head_deadline_ms = 0;
        if (ex && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            take_head(ex, is_complete);
            return 0;
        }
    }
    if (ex && is_complete) {
        complete(ex);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error_code, void *user)
{
    struct weir_http_exchange *ex = nghttp2_session_get_stream_user_data(ng, id);
    (void)error_code;
    (void)user;
    if (!ex) {
        return 0;
    }
    (void)nghttp2_session_set_stream_user_data(ng, id, NULL);
    ex->h2.is_closed = true;
    if (!ex->h2.was_sent) {
        weir_http2_drop(ex, ex->h2.is_aborted ? WEIR_HTTP_END_ABORTED : WEIR_HTTP_END_CLIENT_GONE);
    }
    return 0;
}

void weir_http2_set_input_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
