/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 connection over arbitrary bytes behind a good preface, in pieces whose size the first
 * byte gives. Properties: every exchange that was announced ends exactly once, nothing is used
 * after it was given back (a sanitizer tells), and the server's memory goes with it. */
#include <stdlib.h>

#include "core/net/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct counts {
    size_t n_headers, n_closed;
};

/* The path decides how the handler behaves. */
static void on_headers(void *user, struct weir_http_exchange *ex)
{
    struct counts *counts = user;
    counts->n_headers++;
    if (weir_str_is(weir_http_path(ex), "/early")) {
        (void)weir_http_respond(ex, 401, weir_str_from("early"));
    }
}

static void on_request(void *user, struct weir_http_exchange *ex)
{
    (void)user;
    weir_str path = weir_http_path(ex);
    if (weir_str_is(path, "/abort")) {
        weir_http_abort(ex);
    } else if (weir_str_is(path, "/stream")) {
        (void)weir_http_add_header(ex, weir_str_from("X-Name"), weir_str_from("value"));
        (void)weir_http_stream_begin(ex, 200);
        (void)weir_http_stream_write(ex, weir_http_body(ex));
        (void)weir_http_add_trailer(ex, weir_str_from("X-Trailer"), weir_str_from("value"));
        (void)weir_http_stream_end(ex);
    } else if (!weir_str_is(path, "/hold")) {
        (void)weir_http_respond(ex, 200, weir_http_body(ex));
    }
}

static void on_closed(void *user, struct weir_http_exchange *ex, enum weir_http_end why)
{
    struct counts *counts = user;
    (void)ex;
    (void)why;
    counts->n_closed++;
}

static struct weir_http_connection *open_connection(struct weir_http_server *s)
{
    struct weir_http_connection *c = weir_http_server_take_connection(s);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* connected to nobody */
    const struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    if (!c || fd < 0 || weir_http_connection_open(c, fd, &peer) < 0) {
        abort();
    }
    c->is_decided = true;
    if (weir_http2_open(c) < 0) {
        abort();
    }
    return c;
}

/* In place of a flush: there is no socket, and the kernel takes all. */
static void take_output(struct weir_http_connection *c)
{
    if (c->state >= WEIR_HTTP_LINGER) {
        return;
    }
    if (c->is_aborted || weir_http2_fill(c) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_ABORTED);
        return;
    }
    c->out.n_taken = weir_http_output_given(&c->out);
    weir_buf_reset(&c->out.fill);
    c->protocol->sent(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const struct weir_http_handler handler = {
        .on_headers = on_headers, .on_request = on_request, .on_closed = on_closed};
    struct counts counts = {0};
    struct weir_http_limits limits;
    struct weir_http_server *s;
    uv_loop_t loop = {0}; /* uv_loop_init() keeps its data */
    weir_http_limits_init(&limits);
    limits.max_head_bytes = 2000;
    limits.max_target_bytes = 300;
    limits.max_headers = 20;
    limits.max_body_bytes = 5000;
    limits.max_streams = 8;
    if (size == 0 || uv_loop_init(&loop) < 0 ||
        weir_http_server_create(&loop, &limits, &handler, &counts, &s) < 0) {
        return 0;
    }
    struct weir_http_connection *c = open_connection(s);
    c->protocol->take_input(c, preface, sizeof(preface) - 1);
    size_t piece = 1 + (size_t)data[0] * 4;
    for (size_t at = 1; at < size && c->state < WEIR_HTTP_LINGER; at += piece) {
        size_t n = piece < size - at ? piece : size - at;
        c->protocol->take_input(c, (const char *)data + at, n);
        take_output(c);
    }
    weir_http_server_destroy(s);
    if (uv_run(&loop, UV_RUN_DEFAULT) != 0 || uv_loop_close(&loop) != 0 ||
        counts.n_headers != counts.n_closed) {
        abort();
    }
    return 0;
}
