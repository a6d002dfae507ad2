/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fixture.h"

#include <signal.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

enum { GUARD_MS = 10000, MAX_RECEIVED_BYTES = 64 << 20 };

static void on_headers(void *user, struct weir_http_exchange *ex)
{
    struct fixture *f = user;
    f->n_headers++;
    if (weir_str_is(weir_http_path(ex), "/early")) {
        (void)weir_http_respond(ex, 401, weir_str_from("no\n"));
    }
}

static void on_request(void *user, struct weir_http_exchange *ex)
{
    struct fixture *f = user;
    f->n_requests++;
    weir_str path = weir_http_path(ex);
    if (weir_str_is(path, "/hold")) {
        f->held = ex;
        return;
    }
    weir_str method = weir_http_method(ex);
    weir_str text = weir_arena_printf(weir_http_arena(ex), "%.*s %.*s %zu\n", (int)method.n,
                                      method.p, (int)path.n, path.p, weir_http_body(ex).n);
    (void)weir_http_respond(ex, 200, text);
}

static void on_writable(void *user, struct weir_http_exchange *ex)
{
    struct fixture *f = user;
    (void)ex;
    f->n_writable++;
}

static void on_taken(void *user, struct weir_http_exchange *ex)
{
    struct fixture *f = user;
    if (f->held == ex) {
        f->given = weir_http_given_bytes(ex);
        f->taken = weir_http_taken_bytes(ex);
    }
}

static void on_closed(void *user, struct weir_http_exchange *ex, enum weir_http_end why)
{
    struct fixture *f = user;
    on_taken(user, ex);
    f->n_closed++;
    f->last_end = why;
    if (f->held == ex) {
        f->held = NULL;
    }
}

static void on_drained(void *user)
{
    struct fixture *f = user;
    f->is_drained = true;
}

void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(uv_timer_init(&f->loop, &f->guard), 0);
    weir_http_limits_init(&f->limits);
}

void fixture_start(struct fixture *f)
{
    static const struct weir_http_handler handler = {
        .on_headers = on_headers,
        .on_request = on_request,
        .on_writable = on_writable,
        .on_sent = on_taken,
        .on_closed = on_closed,
        .on_drained = on_drained,
    };
    struct weir_error err;
    assert_int_equal(weir_http_server_create(&f->loop, &f->limits, &handler, f, &f->server), 0);
    assert_int_equal(weir_http_server_listen(f->server, "127.0.0.1:0", &f->port, &err), 0);
}

static void on_guard(uv_timer_t *guard)
{
    struct fixture *f = (struct fixture *)((char *)guard - offsetof(struct fixture, guard));
    f->guard_fired = true;
}

void fixture_arm(struct fixture *f)
{
    uv_update_time(&f->loop);
    assert_int_equal(uv_timer_start(&f->guard, on_guard, GUARD_MS, 0), 0);
}

void fixture_finish(struct fixture *f)
{
    weir_http_server_destroy(f->server);
    for (size_t i = 0; i < f->n_clients; i++) {
        client_close(&f->clients[i]);
        weir_buf_finish(&f->clients[i].received);
    }
    uv_close((uv_handle_t *)&f->guard, NULL);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_null(f->held);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct client *c = handle->data;
    char *to = weir_buf_reserve(&c->received, suggested);
    *ret_buf = uv_buf_init(to, to ? (unsigned)suggested : 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    (void)buf;
    if (n > 0) {
        weir_buf_commit(&c->received, (size_t)n);
    } else if (n < 0) {
        c->has_end = true;
        c->was_reset = n != UV_EOF;
        (void)uv_read_stop(stream);
    }
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct client *c = connect->data;
    c->is_connected = status == 0;
    if (c->is_connected) {
        client_start_reading(c);
    }
}

struct client *fixture_connect(struct fixture *f)
{
    struct sockaddr_in address;
    assert_true(f->n_clients < FIXTURE_MAX_CLIENTS);
    struct client *c = &f->clients[f->n_clients++];
    *c = (struct client){.fixture = f, .is_open = true};
    weir_buf_init(&c->received, MAX_RECEIVED_BYTES);
    assert_int_equal(uv_tcp_init(&f->loop, &c->tcp), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", f->port, &address), 0);
    c->tcp.data = c;
    c->connect.data = c;
    assert_int_equal(uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&address, on_connect),
                     0);
    RUN_UNTIL(f, c->is_connected);
    return c;
}

struct sending {
    uv_write_t write;
    char bytes[];
};

static void on_sent(uv_write_t *write, int status)
{
    (void)status;
    free(write);
}

void client_send(struct client *c, const void *bytes, size_t n)
{
    struct sending *s = malloc(sizeof(*s) + n);
    assert_non_null(s);
    memcpy(s->bytes, bytes, n);
    uv_buf_t buf = uv_buf_init(s->bytes, (unsigned)n);
    assert_int_equal(uv_write(&s->write, (uv_stream_t *)&c->tcp, &buf, 1, on_sent), 0);
}

void client_send_text(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

void client_close(struct client *c)
{
    if (c->is_open) {
        c->is_open = false;
        uv_close((uv_handle_t *)&c->tcp, NULL);
    }
}

void client_stop_reading(struct client *c)
{
    (void)uv_read_stop((uv_stream_t *)&c->tcp);
}

void client_start_reading(struct client *c)
{
    assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
}

size_t client_count(const struct client *c, const char *text)
{
    size_t n = 0;
    size_t n_text = strlen(text);
    if (c->received.len == 0) {
        return 0;
    }
    const char *p = c->received.data;
    const char *end = p + c->received.len;
    while ((p = memmem(p, (size_t)(end - p), text, n_text)) != NULL) {
        n++;
        p += n_text;
    }
    return n;
}

bool client_has(const struct client *c, const char *text)
{
    return client_count(c, text) > 0;
}
