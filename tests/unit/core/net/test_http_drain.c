/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a server, and what it costs while it lives. */
#include "core/net/http_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_fixture.h"
#include "tests/support/cmocka.h"

#define GET_HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_ROOT "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* The linker sends the calls of the server here (--wrap). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static size_t n_allocations;
static size_t failing; /* the number of the allocation that fails; 0: none */

static bool fails(void)
{
    return ++n_allocations == failing;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

static int connect_blocking(const struct fixture *f)
{
    struct sockaddr_in address;
    assert_int_equal(uv_ip4_addr("127.0.0.1", f->port, &address), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void drain_finishes_what_runs_and_closes_what_is_idle(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *idle = fixture_connect(&f);
    struct client *running = fixture_connect(&f);
    client_send_text(idle, GET_ROOT);
    client_send_text(running, GET_HOLD);
    RUN_UNTIL(&f, f.held && client_has(idle, "HTTP/1.1 200"));

    weir_http_server_drain(f.server);
    weir_http_server_drain(f.server);
    RUN_UNTIL(&f, idle->has_end);
    assert_false(running->has_end);
    assert_false(f.is_drained);
    assert_int_equal(weir_http_respond(f.held, 200, weir_str_from("done\n")), 0);
    RUN_UNTIL(&f, running->has_end);
    assert_true(client_has(running, "Connection: close\r\n"));
    assert_true(client_has(running, "done\n"));
    client_close(running);
    RUN_UNTIL(&f, f.is_drained);
    assert_true(weir_http_server_is_empty(f.server));
    fixture_finish(&f);
}

static void drain_still_answers_a_request_that_has_arrived(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_ROOT);
    RUN_UNTIL(&f, client_has(c, "HTTP/1.1 200"));
    uv_os_fd_t fd;
    assert_int_equal(uv_fileno((uv_handle_t *)&c->tcp, &fd), 0);
    assert_int_equal(write(fd, GET_ROOT, sizeof(GET_ROOT) - 1), sizeof(GET_ROOT) - 1);

    weir_http_server_drain(f.server);
    RUN_UNTIL(&f, c->has_end);
    assert_int_equal(client_count(c, "HTTP/1.1 200"), 2);
    fixture_finish(&f);
}

static void drain_still_takes_connections_that_the_kernel_has_made(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    int fd = connect_blocking(&f);
    assert_int_equal(write(fd, GET_ROOT, sizeof(GET_ROOT) - 1), sizeof(GET_ROOT) - 1);

    weir_http_server_drain(f.server);
    RUN_UNTIL(&f, f.n_closed == 1);
    char reply[1000] = "";
    assert_true(read(fd, reply, sizeof(reply) - 1) > 0);
    assert_memory_equal(reply, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(reply, "Connection: close\r\n"));
    assert_int_equal(close(fd), 0);
    RUN_UNTIL(&f, f.is_drained);
    fixture_finish(&f);
}

static void drain_of_an_empty_server_is_reported_from_the_loop(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    weir_http_server_drain(f.server);
    assert_false(f.is_drained);
    RUN_UNTIL(&f, f.is_drained);
    fixture_finish(&f);
}

static void destroy_ends_every_exchange(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *a = fixture_connect(&f);
    struct client *b = fixture_connect(&f);
    client_send_text(a, GET_HOLD);
    client_send_text(b, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    RUN_UNTIL(&f, f.held && f.n_headers == 2);
    assert_int_equal(weir_http_stream_begin(f.held, 200), 0);

    fixture_finish(&f);
    assert_int_equal(f.n_closed, 2);
    assert_int_equal(f.last_end, WEIR_HTTP_END_ABORTED);
}

static void steady_keep_alive_allocates_nothing(void **state)
{
    (void)state;
    enum { WARM_UP = 10, N = 10000 };
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    uv_os_fd_t fd;
    assert_int_equal(uv_fileno((uv_handle_t *)&c->tcp, &fd), 0);
    static const char post[] = "POST /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n"
                               "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n"
                               "{\"model\":\"m\"}";

    size_t before = 0;
    for (size_t i = 0; i < WARM_UP + N; i++) {
        if (i == WARM_UP) {
            before = n_allocations;
        }
        weir_buf_reset(&c->received);
        assert_int_equal(write(fd, post, sizeof(post) - 1), sizeof(post) - 1);
        RUN_UNTIL(&f, client_has(c, "POST /v1/x 13\n") && f.n_closed == i + 1);
    }
    assert_int_equal(n_allocations - before, 0);
    assert_int_equal(weir_http_server_stats(f.server)->n_requests, WARM_UP + N);
    assert_int_equal(weir_http_server_stats(f.server)->n_accepted, 1);
    fixture_finish(&f);
}

/* One request with a body, an answer or not. The client makes no allocation. */
static void exchange_while_failing(struct fixture *f, size_t nth)
{
    static const char post[40000] = "POST / HTTP/1.1\r\nHost: a\r\nX-Long: 0123456789\r\n"
                                    "Content-Length: 30000\r\n\r\n";
    size_t n_post = strlen(post) + 30000;
    int fd = connect_blocking(f);
    failing = n_allocations + nth;
    assert_int_equal(write(fd, post, n_post), n_post);
    char reply[1000];
    ssize_t n;
    fixture_arm(f);
    do {
        uv_run(&f->loop, UV_RUN_NOWAIT);
        n = recv(fd, reply, sizeof(reply), MSG_DONTWAIT);
    } while (n < 0 && errno == EAGAIN && !f->guard_fired);
    failing = 0;
    assert_false(f->guard_fired);
    assert_int_equal(close(fd), 0);
}

static void failing_allocation_harms_its_own_request_only(void **state)
{
    (void)state;
    enum { MORE_THAN_ONE_REQUEST_MAKES = 12 };
    for (size_t nth = 1; nth < MORE_THAN_ONE_REQUEST_MAKES; nth++) {
        struct fixture f;
        fixture_init(&f);
        fixture_start(&f);

        exchange_while_failing(&f, nth);
        RUN_UNTIL(&f, weir_http_server_is_empty(f.server));
        assert_int_equal(f.n_closed, f.n_headers);
        struct client *c = fixture_connect(&f);
        client_send_text(c, GET_ROOT);
        RUN_UNTIL(&f, client_has(c, "HTTP/1.1 200"));
        fixture_finish(&f);
    }
}

static void several_servers_share_one_address(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    static const struct weir_http_handler handler = {0};
    struct weir_http_server *second;
    struct weir_error err;
    char address[32];
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", f.port);

    assert_int_equal(weir_http_server_create(&f.loop, &f.limits, &handler, NULL, &second), 0);
    uint16_t port;
    assert_int_equal(weir_http_server_listen(second, address, &port, &err), 0);
    assert_int_equal(port, f.port);
    weir_http_server_destroy(second);
    fixture_finish(&f);
}

static void unix_socket_and_ipv6_are_listened_on(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct weir_error err;
    char dir[] = "/tmp/weir-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char address[64];
    (void)snprintf(address, sizeof(address), "unix:%s/s", dir);

    assert_int_equal(weir_http_server_listen(f.server, address, NULL, &err), 0);
    uint16_t port = 0;
    int r = weir_http_server_listen(f.server, "[::1]:0", &port, &err);
    assert_true(r == WEIR_OK ? port > 0 : r == WEIR_E_IO); /* a host may have no IPv6 */
    assert_int_equal(weir_http_server_listen(f.server, "unix:/nowhere/s", NULL, &err), WEIR_E_IO);
    assert_int_equal(weir_http_server_listen(f.server, "here:80", NULL, &err), WEIR_E_ARG);
    fixture_finish(&f);
    assert_int_equal(rmdir(dir), 0); /* the socket file has gone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drain_finishes_what_runs_and_closes_what_is_idle),
        cmocka_unit_test(drain_still_answers_a_request_that_has_arrived),
        cmocka_unit_test(drain_still_takes_connections_that_the_kernel_has_made),
        cmocka_unit_test(drain_of_an_empty_server_is_reported_from_the_loop),
        cmocka_unit_test(destroy_ends_every_exchange),
        cmocka_unit_test(steady_keep_alive_allocates_nothing),
        cmocka_unit_test(failing_allocation_harms_its_own_request_only),
        cmocka_unit_test(several_servers_share_one_address),
        cmocka_unit_test(unix_socket_and_ipv6_are_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
