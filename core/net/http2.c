/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 connection from its preface to GOAWAY: deadlines, budget, drain. */
#include "core/net/http2.h"

#include <stdlib.h>

enum {
    BUDGET = 1000, /* frames that only make work, at once */
    BUDGET_PER_S = 100,
    DRAIN_GRACE_MS = 1000, /* requests that are on their way when we say that we stop */
    STREAM_WINDOW_BYTES = 256 * 1024,
    CONNECTION_WINDOW_BYTES = 1024 * 1024,
    SETTINGS_NO_RFC7540_PRIORITIES_ID = 9
};

static uint64_t now_ms(const struct weir_http_connection *c)
{
    return uv_now(c->server->loop);
}

void weir_http2_end_session(struct weir_http2_session *s, uint32_t error_code)
{
    if (s->is_over) {
        return;
    }
    s->is_over = true;
    if (nghttp2_session_terminate_session(s->ng, error_code) != 0) {
        s->connection->is_aborted = true;
    }
    weir_http_server_mark_dirty(s->connection);
}

bool weir_http2_spend(struct weir_http2_session *s, uint32_t cost)
{
    uint64_t now = now_ms(s->connection);
    uint64_t earned = (now - s->budget_ms) * BUDGET_PER_S / 1000;
    if (earned > 0) {
        s->budget = earned > BUDGET - s->budget ? BUDGET : s->budget + (uint32_t)earned;
        s->budget_ms = now;
    }
    if (cost > s->budget) {
        weir_http2_end_session(s, NGHTTP2_ENHANCE_YOUR_CALM);
        return false;
    }
    s->budget -= cost;
    return true;
}

void weir_http2_drop(struct weir_http_exchange *ex, enum weir_http_end why)
{
    struct weir_http_connection *c = ex->connection;
    struct weir_http2_session *s = c->h2;
    weir_http_exchange_end(ex, why);
    LIST_REMOVE(ex, h2.all);
    s->n_exchanges--;
    s->n_body_bytes -= ex->request.body.len;
    c->n_requests++;
    if (s->n_exchanges == 0) {
        s->idle_deadline_ms = now_ms(c) + c->server->limits.keepalive_timeout_ms;
    }
    weir_http_server_give_exchange(c->server, ex);
}

void weir_http2_reset(struct weir_http_exchange *ex, uint32_t error_code)
{
    struct weir_http_connection *c = ex->connection;
    if (ex->h2.is_closed || ex->h2.is_aborted) {
        return;
    }
    ex->h2.is_aborted = true;
    if (nghttp2_submit_rst_stream(c->h2->ng, NGHTTP2_FLAG_NONE, ex->h2.id, error_code) != 0) {
        c->is_aborted = true;
    }
    weir_http_server_mark_dirty(c);
}

/* ---- opening and closing ---- */

static int make_session(struct weir_http2_session *s)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int r = nghttp2_session_callbacks_new(&callbacks);
    r = r != 0 ? r : nghttp2_option_new(&option);
    if (r == 0) {
        weir_http2_set_input_callbacks(callbacks);
        weir_http2_set_output_callbacks(callbacks);
        nghttp2_option_set_no_closed_streams(option, 1);
        r = nghttp2_session_server_new2(&s->ng, callbacks, s, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return r;
}

static int submit_settings(struct weir_http2_session *s)
{
    const struct weir_http_limits *limits = &s->connection->server->limits;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->max_head_bytes},
        {SETTINGS_NO_RFC7540_PRIORITIES_ID, 1}, /* keeps no tree of what clients invent */
    };
    int r = nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, settings,
                                    sizeof(settings) / sizeof(settings[0]));
    return r != 0 ? r
                  : nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0,
                                                          CONNECTION_WINDOW_BYTES);
}

int weir_http2_open(struct weir_http_connection *c)
{
    struct weir_http2_session *s = calloc(1, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    const struct weir_http_limits *limits = &c->server->limits;
    *s = (struct weir_http2_session){
        .connection = c,
        .budget = BUDGET,
        .budget_ms = now_ms(c),
        .head_deadline_ms = now_ms(c) + limits->header_timeout_ms,
        .idle_deadline_ms = now_ms(c) + limits->keepalive_timeout_ms,
    };
    LIST_INIT(&s->exchanges);
    if (make_session(s) != 0 || submit_settings(s) != 0) {
        weir_http2_session_destroy(s);
        return WEIR_E_NOMEM;
    }
    c->h2 = s;
    c->protocol = &weir_http2;
    c->state = WEIR_HTTP_RUN;
    if (c->server->is_draining) {
        weir_http2.drain(c);
    }
    weir_http_server_mark_dirty(c);
    return WEIR_OK;
}

void weir_http2_session_destroy(struct weir_http2_session *s)
{
    if (s) {
        nghttp2_session_del(s->ng);
        free(s);
    }
}

/* Its stream may be open still: nghttp2 must forget the exchange. */
static void drop_open(struct weir_http_exchange *ex, enum weir_http_end why)
{
    if (!ex->h2.is_closed) {
        (void)nghttp2_session_set_stream_user_data(ex->connection->h2->ng, ex->h2.id, NULL);
    }
    weir_http2_drop(ex, why);
}

static void drop_all(struct weir_http_connection *c, enum weir_http_end why)
{
    struct weir_http_exchange *ex, *next;
    for (ex = c->h2->exchanges.lh_first; ex; ex = next) {
        next = ex->h2.all.le_next;
        drop_open(ex, why);
    }
}

/* ---- what happens to a connection ---- */

static void take_input(struct weir_http_connection *c, const char *bytes, size_t n)
{
    struct weir_http2_session *s = c->h2;
    if (s->is_over) {
        weir_http_connection_read_away(c, n);
        return;
    }
    ssize_t used = nghttp2_session_mem_recv(s->ng, (const uint8_t *)bytes, n);
    if (used < 0) {
        weir_http2_end_session(s, used == NGHTTP2_ERR_NOMEM ? NGHTTP2_INTERNAL_ERROR
                                                            : NGHTTP2_PROTOCOL_ERROR);
    }
    weir_http_server_mark_dirty(c); /* acknowledgements and windows */
}

static void take_end(struct weir_http_connection *c, bool is_error)
{
    (void)is_error;
    weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
}

/* nghttp2 ends a session by itself when the client breaks the protocol, and after GOAWAY. */
static bool is_ended(const struct weir_http2_session *s)
{
    return !nghttp2_session_want_read(s->ng) && !nghttp2_session_want_write(s->ng);
}

static bool is_finished(const struct weir_http2_session *s)
{
    return s->n_exchanges == 0 && (s->is_over || s->said_last) &&
           !nghttp2_session_want_write(s->ng) && weir_http_output_pending(&s->connection->out) == 0;
}

static void sent(struct weir_http_connection *c)
{
    struct weir_http2_session *s = c->h2;
    uint64_t position = weir_http_output_taken(&c->out);
    s->is_over = s->is_over || is_ended(s);
    struct weir_http_exchange *ex, *next;
    for (ex = s->exchanges.lh_first; ex; ex = next) {
        next = ex->h2.all.le_next;
        if (weir_http2_note_taken(ex, position)) {
            weir_http_exchange_sent(ex);
        }
        if (ex->h2.is_closed && ex->h2.n_marks == 0) {
            weir_http2_drop(ex, WEIR_HTTP_END_DONE);
        } else if (s->is_over && !ex->h2.is_closed) {
            drop_open(ex, WEIR_HTTP_END_ABORTED);
        }
    }
    if (s->n_exchanges == 0) {
        weir_http_output_trim(&c->out);
    }
    if (is_finished(s)) {
        weir_http_connection_linger(c);
    }
}

static void check_exchange(struct weir_http_exchange *ex, uint64_t now)
{
    struct weir_http2_stream *h2 = &ex->h2;
    const struct weir_http_limits *limits = &ex->connection->server->limits;
    if (h2->is_closed || h2->is_aborted) {
        return;
    }
    if (ex->reply == WEIR_HTTP_REPLY_NONE) {
        if (ex->is_announced && !ex->request.is_complete &&
            weir_http_body_is_slow(ex, h2->body_start_ms, h2->body_last_ms, now) &&
            weir_http_exchange_reject(ex, WEIR_HTTP_BODY_TIMEOUT) < 0) {
            weir_http2_reset(ex, NGHTTP2_INTERNAL_ERROR);
        }
        return;
    }
    bool waits = h2->n_given > h2->n_taken || h2->n_marks > 0;
    if (!waits || h2->n_taken != h2->n_taken_seen || h2->stall_start_ms == 0) {
        h2->n_taken_seen = h2->n_taken;
        h2->stall_start_ms = now;
    } else if (now - h2->stall_start_ms > limits->write_stall_timeout_ms) {
        weir_http2_reset(ex, NGHTTP2_CANCEL);
        weir_http_exchange_end(ex, WEIR_HTTP_END_STALLED);
    }
}

static void tick(struct weir_http_connection *c, uint64_t now)
{
    struct weir_http2_session *s = c->h2;
    if (weir_http_output_stalled_ms(&c->out, now) > c->server->limits.write_stall_timeout_ms) {
        weir_http_connection_close(c, WEIR_HTTP_END_STALLED);
        return;
    }
    struct weir_http_exchange *ex, *next;
    for (ex = s->exchanges.lh_first; ex; ex = next) {
        next = ex->h2.all.le_next;
        check_exchange(ex, now);
    }
    if (s->head_deadline_ms && now >= s->head_deadline_ms) {
        weir_http2_end_session(s, NGHTTP2_ENHANCE_YOUR_CALM);
    } else if (s->n_exchanges == 0 && now >= s->idle_deadline_ms) {
        weir_http2_end_session(s, NGHTTP2_NO_ERROR);
    } else if (s->drain_ms && !s->said_last && now >= s->drain_ms) {
        s->said_last = true;
        (void)nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(s->ng),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        weir_http_server_mark_dirty(c);
    }
}

/* Says that we stop, and a little later from which stream on nothing was looked at, so that no
 * request on its way is lost (RFC 9113 §6.8). Streams that run are not cut. */
static void drain(struct weir_http_connection *c)
{
    struct weir_http2_session *s = c->h2;
    if (s->is_over || s->drain_ms) {
        return;
    }
    s->drain_ms = now_ms(c) + DRAIN_GRACE_MS;
    if (nghttp2_submit_shutdown_notice(s->ng) != 0) {
        c->is_aborted = true;
    }
    weir_http_server_mark_dirty(c);
}

static void refuse(struct weir_http_connection *c, enum weir_http_problem problem)
{
    (void)problem;
    weir_http2_end_session(c->h2, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- an exchange's response ---- */

static void give_up(struct weir_http_exchange *ex)
{
    weir_http2_reset(ex, NGHTTP2_INTERNAL_ERROR);
}

static bool is_broken(const struct weir_http_exchange *ex)
{
    return ex->h2.is_aborted || ex->h2.pending.failed || ex->connection->is_aborted ||
           (ex->h2.is_closed && !ex->h2.was_sent);
}

static size_t room(const struct weir_http_exchange *ex)
{
    uint64_t waiting = ex->h2.n_given - ex->h2.n_taken;
    size_t max = ex->connection->server->limits.max_pending_bytes;
    return waiting < max ? max - (size_t)waiting : 0;
}

static size_t pending(const struct weir_http_exchange *ex)
{
    return (size_t)(ex->h2.n_given - ex->h2.n_taken);
}

static uint64_t given(const struct weir_http_exchange *ex)
{
    return ex->h2.n_given;
}

static uint64_t taken(const struct weir_http_exchange *ex)
{
    return ex->h2.n_taken;
}

const struct weir_http_protocol weir_http2 = {
    .take_input = take_input,
    .take_end = take_end,
    .fill = weir_http2_fill,
    .sent = sent,
    .tick = tick,
    .drain = drain,
    .refuse = refuse,
    .close = drop_all,
    .begin = weir_http2_begin,
    .write = weir_http2_write,
    .end = weir_http2_finish,
    .abort = give_up,
    .is_broken = is_broken,
    .room = room,
    .pending = pending,
    .given = given,
    .taken = taken,
};
