/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that are slow, silent, or gone. */
#include "core/net/http_server.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http_fixture.h"
#include "tests/support/cmocka.h"

#define GET_HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_ROOT "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define SHORT_MS 40

static void slow_header_gets_408_and_silence_gets_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.header_timeout_ms = SHORT_MS;
    fixture_start(&f);
    struct client *slow = fixture_connect(&f);
    struct client *silent = fixture_connect(&f);

    client_send_text(slow, "GET / HTTP/1.1\r\nHost: a\r\nX-");
    RUN_UNTIL(&f, slow->has_end && silent->has_end);
    assert_true(client_has(slow, "HTTP/1.1 408 "));
    assert_int_equal(silent->received.len, 0);
    assert_int_equal(f.n_headers, 0);
    assert_int_equal(f.n_closed, 0);
    fixture_finish(&f);
}

static void slow_body_gets_408_and_ends_the_exchange(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.body_idle_timeout_ms = SHORT_MS;
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    RUN_UNTIL(&f, c->has_end);
    assert_true(client_has(c, "HTTP/1.1 408 "));
    assert_int_equal(f.n_headers, 1);
    assert_int_equal(f.n_requests, 0);
    assert_int_equal(f.n_closed, 1);
    assert_int_equal(f.last_end, WEIR_HTTP_END_REJECTED);
    fixture_finish(&f);
}

static void dripping_body_gets_408_by_its_mean_rate(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.body_grace_ms = SHORT_MS;
    f.limits.min_body_bytes_per_s = 1000000;
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    RUN_UNTIL(&f, f.n_headers == 1);
    fixture_arm(&f);
    while (!c->has_end && !f.guard_fired) {
        client_send_text(c, "x");
        uv_run(&f.loop, UV_RUN_ONCE);
    }
    assert_true(client_has(c, "HTTP/1.1 408 "));
    assert_int_equal(f.last_end, WEIR_HTTP_END_REJECTED);
    fixture_finish(&f);
}

static void bad_chunk_after_on_headers_rejects_the_exchange(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    RUN_UNTIL(&f, f.n_headers == 1);
    client_send_text(c, "xyz\r\n");
    RUN_UNTIL(&f, c->has_end);
    assert_true(client_has(c, "HTTP/1.1 400 "));
    assert_int_equal(f.n_closed, 1);
    assert_int_equal(f.last_end, WEIR_HTTP_END_REJECTED);
    fixture_finish(&f);
}

static void idle_connection_is_closed_silently(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.keepalive_timeout_ms = SHORT_MS;
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, GET_ROOT);
    RUN_UNTIL(&f, c->has_end);
    assert_int_equal(client_count(c, "HTTP/1.1 "), 1);
    assert_true(client_has(c, "HTTP/1.1 200 "));
    fixture_finish(&f);
}

/* Streams until the server says that the client is slow. */
static size_t fill(struct fixture *f)
{
    static char piece[10000];
    size_t n = 0;
    int r;
    do {
        r = weir_http_stream_write(f->held, (weir_str){piece, sizeof(piece)});
        assert_true(r >= 0);
        n += sizeof(piece);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    } while (r == 0 && f->held);
    return n;
}

static void stalled_reader_pauses_the_producer_and_is_ended(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.write_stall_timeout_ms = SHORT_MS;
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);
    client_stop_reading(c);

    assert_int_equal(weir_http_stream_begin(f.held, 200), 0);
    (void)fill(&f);
    assert_true(weir_http_pending_bytes(f.held) > f.limits.pending_high_bytes);
    RUN_UNTIL(&f, f.n_closed == 1);
    assert_int_equal(f.last_end, WEIR_HTTP_END_STALLED);
    assert_int_equal(weir_http_server_stats(f.server)->n_stalled, 1);
    fixture_finish(&f);
}

static void paused_producer_goes_on_when_the_client_reads_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, "GET /hold HTTP/1.0\r\n\r\n");
    RUN_UNTIL(&f, f.held);
    client_stop_reading(c);

    assert_int_equal(weir_http_stream_begin(f.held, 200), 0);
    size_t n = fill(&f);
    assert_int_equal(f.n_writable, 0);
    client_start_reading(c);
    RUN_UNTIL(&f, f.n_writable == 1);
    assert_true(weir_http_pending_bytes(f.held) <= f.limits.pending_low_bytes);
    assert_int_equal(weir_http_stream_end(f.held), 0);
    RUN_UNTIL(&f, c->has_end);
    assert_int_equal(f.last_end, WEIR_HTTP_END_DONE);
    const char *body = strstr(c->received.data, "\r\n\r\n") + 4;
    assert_int_equal(c->received.len - (size_t)(body - c->received.data), n);
    fixture_finish(&f);
}

static void taken_bytes_are_those_that_the_kernel_took(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);
    assert_int_equal(weir_http_stream_begin(f.held, 200), 0);
    assert_int_equal(weir_http_stream_write(f.held, (weir_str){"piece", 5}), 0);
    uint64_t given = weir_http_given_bytes(f.held);
    assert_int_equal(weir_http_taken_bytes(f.held), 0);
    RUN_UNTIL(&f, f.taken == given);

    client_stop_reading(c);
    (void)fill(&f);
    assert_true(f.taken < f.given);
    assert_int_equal(f.given - f.taken, weir_http_pending_bytes(f.held));
    client_start_reading(c);
    RUN_UNTIL(&f, f.taken == f.given);
    RUN_UNTIL(&f, c->received.len == f.taken);

    client_stop_reading(c);
    (void)fill(&f);
    client_close(c); /* what the kernel had not taken stays untaken */
    RUN_UNTIL(&f, f.n_closed == 1);
    assert_int_equal(f.last_end, WEIR_HTTP_END_CLIENT_GONE);
    assert_true(f.taken < f.given);
    fixture_finish(&f);
}

static void pending_bytes_have_a_hard_bound(void **state)
{
    (void)state;
    static char piece[100000];
    struct fixture f;
    fixture_init(&f);
    f.limits.max_pending_bytes = 250000;
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);

    assert_int_equal(weir_http_respond(f.held, 200, (weir_str){piece, 250000}), WEIR_E_TOOBIG);
    assert_int_equal(weir_http_stream_begin(f.held, 200), 0);
    weir_str bytes = {piece, sizeof(piece)};
    assert_true(weir_http_stream_write(f.held, bytes) >= 0);
    assert_true(weir_http_stream_write(f.held, bytes) >= 0);
    assert_int_equal(weir_http_stream_write(f.held, bytes), WEIR_E_TOOBIG);
    assert_int_equal(weir_http_stream_end(f.held), 0);
    RUN_UNTIL(&f, f.n_closed == 1 && client_has(c, "\r\n0\r\n\r\n"));
    fixture_finish(&f);
}

static void client_that_leaves_ends_its_exchange_at_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_HOLD GET_ROOT);
    RUN_UNTIL(&f, f.held);
    struct weir_http_exchange *ex = f.held;
    assert_int_equal(weir_http_stream_begin(ex, 200), 0);

    client_close(c);
    RUN_UNTIL(&f, f.n_closed == 1);
    assert_int_equal(f.last_end, WEIR_HTTP_END_CLIENT_GONE);
    assert_int_equal(f.n_headers, 1);
    fixture_finish(&f);
    assert_int_equal(f.n_closed, 1);
}

static void client_that_leaves_behind_a_full_pipeline_is_noticed(void **state)
{
    (void)state;
    static char flood[100000]; /* more than one read, less than the kernel takes */
    memset(flood, 'x', sizeof(flood));
    struct fixture f;
    fixture_init(&f);
    f.limits.max_pipelined_bytes = 1000;
    f.limits.linger_timeout_ms = SHORT_MS; /* makes the tick short */
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);
    client_send(c, flood, sizeof(flood));
    uint64_t before;
    do {
        before = weir_http_server_stats(f.server)->in_bytes;
        uv_run(&f.loop, UV_RUN_NOWAIT);
    } while (weir_http_server_stats(f.server)->in_bytes != before || before < 1000);
    assert_true(before < sizeof(flood));

    client_close(c);
    RUN_UNTIL(&f, f.n_closed == 1);
    assert_int_equal(f.last_end, WEIR_HTTP_END_CLIENT_GONE);
    fixture_finish(&f);
}

static void client_that_only_ends_its_half_still_gets_a_ready_answer(void **state)
{
    (void)state;
    static char body[3000000];
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    uv_shutdown_t shutdown;
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);
    client_stop_reading(c);

    assert_int_equal(weir_http_respond(f.held, 200, (weir_str){body, sizeof(body)}), 0);
    assert_int_equal(uv_shutdown(&shutdown, (uv_stream_t *)&c->tcp, NULL), 0);
    for (int i = 0; i < 10; i++) {
        uv_run(&f.loop, UV_RUN_NOWAIT);
    }
    client_start_reading(c);
    RUN_UNTIL(&f, c->has_end);
    assert_true(c->received.len > sizeof(body));
    assert_int_equal(f.last_end, WEIR_HTTP_END_DONE);
    fixture_finish(&f);
}

static void aborted_stream_is_cut_without_its_last_chunk(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);
    assert_int_equal(weir_http_stream_begin(f.held, 200), 0);
    RUN_UNTIL(&f, client_has(c, "\r\n\r\n"));

    weir_http_abort(f.held);
    assert_int_equal(weir_http_stream_write(f.held, weir_str_from("x")), WEIR_E_GONE);
    assert_int_equal(f.n_closed, 0);
    RUN_UNTIL(&f, c->has_end);
    assert_int_equal(f.last_end, WEIR_HTTP_END_ABORTED);
    assert_false(client_has(c, "0\r\n\r\n"));
    fixture_finish(&f);
}

/* Waiting for one in the kernel, it would learn nothing. */
static void client_that_finds_no_descriptor_left_is_dropped_at_once(void **state)
{
    enum { MAX_TAKEN = 256 };
    (void)state;
    int taken[MAX_TAKEN], n = 0;
    struct rlimit limit, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = MAX_TAKEN;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *before = fixture_connect(&f);
    client_send_text(before, GET_ROOT);
    RUN_UNTIL(&f, client_has(before, "HTTP/1.1 200 "));
    while (n < MAX_TAKEN && (taken[n] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0) {
        n++;
    }
    assert_in_range(n, 1, MAX_TAKEN - 1);
    (void)close(taken[--n]); /* for the client's own end */
    struct client *late = fixture_connect(&f);
    RUN_UNTIL(&f, late->has_end);
    while (n > 0) {
        (void)close(taken[--n]);
    }
    struct client *after = fixture_connect(&f);
    client_send_text(after, GET_ROOT);
    client_send_text(before, GET_ROOT);
    RUN_UNTIL(&f, client_has(after, "HTTP/1.1 200 ") && client_count(before, "HTTP/1.1 ") == 2);
    fixture_finish(&f);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_header_gets_408_and_silence_gets_nothing),
        cmocka_unit_test(slow_body_gets_408_and_ends_the_exchange),
        cmocka_unit_test(dripping_body_gets_408_by_its_mean_rate),
        cmocka_unit_test(bad_chunk_after_on_headers_rejects_the_exchange),
        cmocka_unit_test(idle_connection_is_closed_silently),
        cmocka_unit_test(stalled_reader_pauses_the_producer_and_is_ended),
        cmocka_unit_test(paused_producer_goes_on_when_the_client_reads_again),
        cmocka_unit_test(taken_bytes_are_those_that_the_kernel_took),
        cmocka_unit_test(pending_bytes_have_a_hard_bound),
        cmocka_unit_test(client_that_leaves_ends_its_exchange_at_once),
        cmocka_unit_test(client_that_leaves_behind_a_full_pipeline_is_noticed),
        cmocka_unit_test(client_that_only_ends_its_half_still_gets_a_ready_answer),
        cmocka_unit_test(aborted_stream_is_cut_without_its_last_chunk),
        cmocka_unit_test(client_that_finds_no_descriptor_left_is_dropped_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
