/* SPDX-License-Identifier: Apache-2.0 */
#include "h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "lane.h"
#include "link.h"

enum {
    MAX_STREAMS = 256,          /* of a session, whatever the peer allows */
    STREAM_WINDOW = 256 * 1024, /* bounds what a paused job holds back */
    SESSION_WINDOW = 16 << 20,
    MAX_HEAD_BYTES = 64 * 1024,
    MAX_INTERIM = 16,
    MAX_BODY_BYTES = 64 << 20
};

struct stream {
    struct stream *next, *prev;
    struct weir_upstream_job *job; /* NULL: it has left */
    struct weir_buf body;          /* of the request */
    size_t n_sent;
    struct weir_upstream_head head;
    bool has_head, is_paused;
    uint32_t n_interim;
    size_t n_head_bytes;
    size_t n_unused; /* bytes that the window does not count as used up yet */
};

struct weir_upstream_h2 {
    struct weir_upstream_link *link;
    nghttp2_session *session;
    struct stream *streams;
    uint32_t n_streams;
    bool is_feeding; /* nghttp2 must not be asked to send out of its own callbacks */
    char problem[120];
};

static void drop_stream(struct stream *s)
{
    weir_buf_finish(&s->body);
    free(s);
}

static void free_stream(struct weir_upstream_h2 *h, struct stream *s)
{
    *(s->prev ? &s->prev->next : &h->streams) = s->next;
    if (s->next) {
        s->next->prev = s->prev;
    }
    h->n_streams--;
    drop_stream(s);
}

static struct stream *find(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- what nghttp2 tells ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    struct stream *s = find(session, frame->hd.stream_id);
    if (s && !s->has_head) {
        weir_upstream_head_begin(&s->head, 0);
    }
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
    (void)flags;
    (void)arg;
    struct stream *s = find(session, frame->hd.stream_id);
    if (!s) {
        return 0;
    }
    s->n_head_bytes += n_name + n_value + 32;
    if (s->n_head_bytes > MAX_HEAD_BYTES) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    }
    weir_str n = {(const char *)name, n_name}, v = {(const char *)value, n_value};
    if (s->has_head) {
        return 0; /* trailers */
    }
    if (weir_str_is(n, ":status")) { /* three digits: nghttp2 has checked */
        s->head.status = (uint32_t)strtoul(v.p, NULL, 10);
    } else {
        weir_upstream_head_add(&s->head, n, v);
    }
    return 0;
}

static void take_head(struct weir_upstream_h2 *h, struct stream *s, int32_t id)
{
    if (s->head.status < 200) {
        if (++s->n_interim > MAX_INTERIM) {
            (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id,
                                            NGHTTP2_ENHANCE_YOUR_CALM);
        }
        return;
    }
    s->has_head = true;
    if (s->job) {
        weir_upstream_job_head(s->job, &s->head);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct weir_upstream_h2 *h = arg;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        struct stream *s = find(session, frame->hd.stream_id);
        if (s && !s->has_head) {
            take_head(h, s, frame->hd.stream_id);
        }
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        h->link->is_last = true;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *arg)
{
    (void)flags;
    (void)arg;
    struct stream *s = find(session, id);
    if (s && s->job) {
        weir_upstream_job_body(s->job, (const char *)bytes, n);
    }
    if (s && s->job) {
        weir_upstream_job_keep(s->job);
    }
    (void)nghttp2_session_consume_connection(session, n);
    if (s && s->is_paused) {
        s->n_unused += n;
    } else {
        (void)nghttp2_session_consume_stream(session, id, n);
    }
    return 0;
}

static void fail_closed(struct weir_upstream_h2 *h, struct weir_upstream_job *job,
                        uint32_t error_code)
{
    struct weir_upstream_failure why;
    if (error_code == NGHTTP2_REFUSED_STREAM && weir_upstream_lane_again(h->link->lane, job)) {
        return;
    }
    bool sent = error_code != NGHTTP2_REFUSED_STREAM;
    weir_upstream_fail_link(&why, sent, "reset", "The model's server has reset the request: %s.",
                            nghttp2_http2_strerror(error_code));
    weir_upstream_job_fail(job, &why);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *arg)
{
    struct weir_upstream_h2 *h = arg;
    struct stream *s = find(session, id);
    if (!s) {
        return 0;
    }
    struct weir_upstream_job *job = s->job;
    bool is_whole = error_code == NGHTTP2_NO_ERROR && s->has_head;
    free_stream(h, s);
    h->link->is_busy = h->n_streams > 0;
    if (job) {
        job->link = NULL;
        if (is_whole) {
            weir_upstream_job_end(job);
        } else {
            fail_closed(h, job, error_code);
        }
    }
    if (h->link->state == WEIR_LINK_OPEN && !h->link->is_last) {
        weir_upstream_lane_idle(h->link->lane, h->link);
    }
    return 0;
}

static int on_error(nghttp2_session *session, int code, const char *text, size_t n, void *arg)
{
    (void)session;
    (void)code;
    struct weir_upstream_h2 *h = arg;
    (void)snprintf(h->problem, sizeof(h->problem), "broken HTTP/2 (%.*s)", (int)(n < 80 ? n : 80),
                   text);
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)id;
    (void)arg;
    struct stream *s = source->ptr;
    size_t left = s->body.len - s->n_sent, n = left < cap ? left : cap;
    if (n) {
        memcpy(to, s->body.data + s->n_sent, n);
    }
    s->n_sent += n;
    if (n == left) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        weir_buf_finish(&s->body);
        s->n_sent = 0;
    }
    return (ssize_t)n;
}

/* ---- life ---- */

static int make_session(struct weir_upstream_h2 *h)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return WEIR_E_NOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
    int r = nghttp2_option_new(&option);
    if (r == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        r = nghttp2_session_client_new2(&h->session, callbacks, h, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return r == 0 ? 0 : WEIR_E_NOMEM;
}

int weir_upstream_h2_create(struct weir_upstream_link *link, struct weir_upstream_h2 **ret_h2)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEAD_BYTES}};
    struct weir_upstream_h2 *h = calloc(1, sizeof(*h));
    if (!h) {
        return WEIR_E_NOMEM;
    }
    h->link = link;
    (void)snprintf(h->problem, sizeof(h->problem), "broken HTTP/2");
    int r = make_session(h);
    if (r == 0 && (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, 3) != 0 ||
                   nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                         SESSION_WINDOW) != 0)) {
        r = WEIR_E_NOMEM;
    }
    if (r < 0) {
        weir_upstream_h2_destroy(h);
        return r;
    }
    *ret_h2 = h;
    return 0;
}

void weir_upstream_h2_destroy(struct weir_upstream_h2 *h)
{
    if (!h) {
        return;
    }
    nghttp2_session_del(h->session);
    for (struct stream *s = h->streams, *next; s; s = next) {
        next = s->next;
        drop_stream(s);
    }
    free(h);
}

/* ---- requests ---- */

bool weir_upstream_h2_has_room(const struct weir_upstream_h2 *h)
{
    uint32_t max =
        nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return h->n_streams < (max < MAX_STREAMS ? max : MAX_STREAMS) &&
           nghttp2_session_check_request_allowed(h->session) != 0;
}

static void add_nv(nghttp2_nv *list, size_t *n, const char *name, weir_str value)
{
    if (value.n) {
        list[(*n)++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                                    .value = (uint8_t *)(uintptr_t)value.p,
                                    .namelen = strlen(name),
                                    .valuelen = value.n};
    }
}

static int32_t submit(struct weir_upstream_h2 *h, struct stream *s, const weir_generation *g)
{
    const struct weir_upstream_settings *c = &h->link->lane->upstream->settings;
    nghttp2_nv list[12];
    size_t n = 0;
    char bearer[WEIR_UPSTREAM_MAX_KEY + 16] = "", length[24];
    if (c->key) {
        (void)snprintf(bearer, sizeof(bearer), "Bearer %s", c->key);
    }
    (void)snprintf(length, sizeof(length), "%zu", s->body.len);
    add_nv(list, &n, ":method", weir_str_from("POST"));
    add_nv(list, &n, ":scheme", weir_str_from(c->is_tls ? "https" : "http"));
    add_nv(list, &n, ":authority", weir_str_from(c->authority));
    add_nv(list, &n, ":path", weir_str_from(c->paths[g->kind]));
    add_nv(list, &n, "content-type", weir_str_from("application/json"));
    add_nv(list, &n, "content-length", weir_str_from(length));
    add_nv(list, &n, "accept", weir_str_from(g->stream ? "text/event-stream" : "application/json"));
    add_nv(list, &n, "user-agent", weir_str_from("weir"));
    add_nv(list, &n, "authorization", weir_str_from(bearer));
    add_nv(list, &n, "x-request-id", g->request_id);
    add_nv(list, &n, "traceparent", g->traceparent);
    nghttp2_data_provider body = {.source = {.ptr = s}, .read_callback = read_body};
    return nghttp2_submit_request(h->session, NULL, list, n, &body, s);
}

void weir_upstream_h2_take(struct weir_upstream_h2 *h, struct weir_upstream_job *job, weir_str body)
{
    struct stream *s = calloc(1, sizeof(*s));
    int32_t id = -1;
    if (s) {
        weir_buf_init(&s->body, MAX_BODY_BYTES);
        weir_buf_add_str(&s->body, body);
        s->next = h->streams;
        if (s->next) {
            s->next->prev = s;
        }
        h->streams = s;
        h->n_streams++;
        id = s->body.failed ? -1 : submit(h, s, job->g);
    }
    if (id < 0) { /* told by the next tick: nothing may end inside this call */
        if (s) {
            free_stream(h, s);
        }
        job->link = NULL;
        job->is_lost = true;
        return;
    }
    s->job = job;
    job->stream = id;
    h->link->is_busy = true;
}

void weir_upstream_h2_leave(struct weir_upstream_h2 *h, struct weir_upstream_job *job)
{
    struct stream *s = find(h->session, job->stream);
    if (s && s->job == job) {
        s->job = NULL;
        /* A stream that has said that it is whole is let run to its end; both ways it closes. */
        if (job->failure.rc < 0) {
            (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, job->stream,
                                            NGHTTP2_CANCEL);
        } else {
            weir_upstream_h2_pause(h, job, false);
        }
    }
}

void weir_upstream_h2_pause(struct weir_upstream_h2 *h, struct weir_upstream_job *job, bool paused)
{
    struct stream *s = find(h->session, job->stream);
    if (!s) {
        return;
    }
    s->is_paused = paused;
    if (!paused && s->n_unused) {
        (void)nghttp2_session_consume_stream(h->session, job->stream, s->n_unused);
        s->n_unused = 0;
    }
}

/* ---- bytes ---- */

int weir_upstream_h2_feed(struct weir_upstream_h2 *h, const char *bytes, size_t n)
{
    h->is_feeding = true;
    ssize_t used = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes, n);
    h->is_feeding = false;
    if (used < 0) {
        return WEIR_E_FORMAT;
    }
    bool is_over =
        !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
    if (is_over || (h->link->is_last && h->n_streams == 0)) {
        weir_upstream_link_close(h->link);
    }
    return 0;
}

int weir_upstream_h2_fill(struct weir_upstream_h2 *h, struct weir_buf *out)
{
    const uint8_t *bytes;
    ssize_t n;
    if (h->is_feeding) {
        return 0;
    }
    while ((n = nghttp2_session_mem_send(h->session, &bytes)) > 0) {
        weir_buf_add(out, bytes, (size_t)n);
    }
    return n < 0 || out->failed ? UV_ENOBUFS : 0;
}

void weir_upstream_h2_fail(struct weir_upstream_h2 *h, const struct weir_upstream_failure *why)
{
    for (struct stream *s = h->streams; s; s = s->next) { /* streams go with the session */
        struct weir_upstream_job *job = s->job;
        s->job = NULL;
        if (job) {
            job->link = NULL;
            weir_upstream_job_fail(job, why);
        }
    }
}

const char *weir_upstream_h2_problem(const struct weir_upstream_h2 *h)
{
    return h->problem;
}
