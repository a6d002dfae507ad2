/* SPDX-License-Identifier: Apache-2.0 */
/* Responses of HTTP/2: from a handler's bytes to frames in the connection's output. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/net/http2.h"

enum {
    MAX_FIELDS = 64,      /* of a response, or of its trailer */
    KEEP_BYTES = 4 * 1024 /* of a stream's buffer, while it waits for more */
};

struct field_list {
    nghttp2_nv nv[MAX_FIELDS];
    size_t n;
};

static void add(struct field_list *list, const char *name, size_t n_name, weir_str value)
{
    list->nv[list->n++] =
        (nghttp2_nv){(uint8_t *)name, (uint8_t *)value.p, n_name, value.n, NGHTTP2_NV_FLAG_NONE};
}

/* `fields` hold "Name: value\r\n" after one another; names become lower case in place. */
static int add_fields(struct field_list *list, struct weir_buf *fields)
{
    char *at = fields->data;
    char *end = at ? at + fields->len : NULL;
    while (at < end) {
        char *colon = memchr(at, ':', (size_t)(end - at));
        char *line_end = memchr(at, '\r', (size_t)(end - at));
        if (list->n == MAX_FIELDS) {
            return WEIR_E_TOOBIG;
        }
        for (char *p = at; p < colon; p++) {
            *p = (char)tolower((unsigned char)*p);
        }
        add(list, at, (size_t)(colon - at), (weir_str){colon + 2, (size_t)(line_end - colon) - 2});
        at = line_end + 2;
    }
    return WEIR_OK;
}

static void make_room(struct weir_http2_stream *h2)
{
    if (h2->n_read == h2->pending.len) {
        h2->n_read = 0;
        if (h2->pending.cap > KEEP_BYTES) {
            weir_buf_finish(&h2->pending);
        } else {
            weir_buf_reset(&h2->pending);
        }
    } else if (h2->n_read > h2->pending.len / 2) {
        weir_buf_consume(&h2->pending, h2->n_read);
        h2->n_read = 0;
    }
}

static void add_mark(struct weir_http_exchange *ex)
{
    struct weir_http2_stream *h2 = &ex->h2;
    if (h2->n_marks < 2) {
        h2->n_marks++;
    }
    h2->marks[h2->n_marks - 1].n_framed = h2->n_framed;
    h2->marks[h2->n_marks - 1].out_end = weir_http_output_given(&ex->connection->out);
}

bool weir_http2_note_taken(struct weir_http_exchange *ex, uint64_t position)
{
    struct weir_http2_stream *h2 = &ex->h2;
    bool moved = false;
    while (h2->n_marks > 0 && h2->marks[0].out_end <= position) {
        h2->n_taken = h2->marks[0].n_framed;
        h2->marks[0] = h2->marks[1];
        h2->n_marks--;
        moved = true;
    }
    return moved;
}

/* ---- what nghttp2 asks for ---- */

static int submit_trailers(struct weir_http_exchange *ex)
{
    struct field_list list;
    list.n = 0;
    int r = add_fields(&list, &ex->fields);
    return r < 0 ? r : nghttp2_submit_trailer(ex->connection->h2->ng, ex->h2.id, list.nv, list.n);
}

/* How many body bytes the next DATA frame holds; on_send_data() copies them. */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct weir_http_exchange *ex = nghttp2_session_get_stream_user_data(ng, id);
    (void)buf;
    (void)source;
    (void)user;
    if (!ex) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    size_t n = ex->h2.pending.len - ex->h2.n_read;
    if (n == 0 && ex->reply != WEIR_HTTP_REPLY_ENDED) {
        ex->h2.is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n <= max && ex->reply == WEIR_HTTP_REPLY_ENDED) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (ex->fields.len > 0 && submit_trailers(ex) == 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
    }
    return (ssize_t)(n < max ? n : max);
}

static bool is_full(const struct weir_http_connection *c)
{
    return weir_http_output_pending(&c->out) >= WEIR_HTTP2_OUT_BYTES;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *user)
{
    enum { FRAME_HEAD_BYTES = 9 };
    struct weir_http2_session *s = user;
    struct weir_http_connection *c = s->connection;
    struct weir_http_exchange *ex = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void)source;
    if (!ex) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (is_full(c)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    weir_buf_add(&c->out.fill, head, FRAME_HEAD_BYTES);
    if (n > 0) {
        weir_buf_add(&c->out.fill, ex->h2.pending.data + ex->h2.n_read, n);
    }
    ex->h2.n_read += n;
    ex->h2.n_framed += n;
    make_room(&ex->h2);
    add_mark(ex);
    if (s->n_updates < UINT16_MAX) {
        s->n_updates += 2; /* one for the stream, one for the connection */
    }
    return 0;
}

static ssize_t on_send(nghttp2_session *ng, const uint8_t *bytes, size_t n, int flags, void *user)
{
    struct weir_http2_session *s = user;
    (void)ng;
    (void)flags;
    if (is_full(s->connection)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    weir_buf_add(&s->connection->out.fill, bytes, n);
    return (ssize_t)n;
}

/* The response is whole: whatever the client still sends of its request is not wanted. */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        return 0;
    }
    struct weir_http_exchange *ex = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (ex) {
        ex->h2.was_sent = true;
        add_mark(ex);
        if (!ex->request.is_complete) {
            (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, ex->h2.id, NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

void weir_http2_set_output_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
}

int weir_http2_fill(struct weir_http_connection *c)
{
    int r = nghttp2_session_send(c->h2->ng);
    return r != 0 || c->out.fill.failed ? WEIR_E_IO : WEIR_OK;
}

/* ---- what the handler gives ---- */

int weir_http2_begin(struct weir_http_exchange *ex, int status, int64_t n_body)
{
    struct weir_http_connection *c = ex->connection;
    weir_str date = weir_http_date_line(&c->server->date, time(NULL));
    char status_text[8], length_text[24];
    struct field_list list;
    list.n = 0;
    int n = snprintf(status_text, sizeof(status_text), "%d", status);
    add(&list, ":status", 7, (weir_str){status_text, (size_t)n});
    add(&list, "date", 4, (weir_str){date.p + 6, date.n - 8}); /* without "Date: " and the end */
    if (n_body != WEIR_HTTP_NO_LENGTH && status != 204 && status != 304) {
        n = snprintf(length_text, sizeof(length_text), "%lld", (long long)n_body);
        add(&list, "content-length", 14, (weir_str){length_text, (size_t)n});
    }
    if (add_fields(&list, &ex->fields) < 0) {
        return WEIR_E_TOOBIG;
    }
    bool has_body = !ex->hides_body && n_body != 0;
    nghttp2_data_provider body = {.read_callback = on_read};
    int r = nghttp2_submit_response(c->h2->ng, ex->h2.id, list.nv, list.n, has_body ? &body : NULL);
    weir_buf_reset(&ex->fields); /* trailers, from now on */
    ex->is_chunked = n_body == WEIR_HTTP_NO_LENGTH;
    return r == 0 ? WEIR_OK : WEIR_E_NOMEM;
}

static void go_on(struct weir_http_exchange *ex)
{
    if (ex->h2.is_deferred && !ex->h2.is_closed) {
        ex->h2.is_deferred = false;
        (void)nghttp2_session_resume_data(ex->connection->h2->ng, ex->h2.id);
    }
}

void weir_http2_write(struct weir_http_exchange *ex, weir_str bytes)
{
    weir_buf_add_str(&ex->h2.pending, bytes);
    ex->h2.n_given += bytes.n;
    go_on(ex);
}

void weir_http2_finish(struct weir_http_exchange *ex)
{
    go_on(ex);
}
