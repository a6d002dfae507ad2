/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_server.h"

#include <stdio.h>

#include "corpus.h"
#include "http_fixture.h"
#include "tests/support/cmocka.h"

#define GET_HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_ROOT "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static void check_case(const struct corpus_case *one)
{
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    if (one->n_bytes > 0) {
        client_send(c, one->bytes, one->n_bytes);
    }
    RUN_UNTIL(&f, client_count(c, "HTTP/1.1 ") == one->n_answers || c->has_end);
    for (size_t i = 0; i < one->n_answers; i++) {
        char line[32];
        (void)snprintf(line, sizeof(line), "HTTP/1.1 %d ", one->answers[i]);
        if (!client_has(c, line)) {
            fail_msg("%s: no %s in: %s", one->name, line, c->received.data);
        }
    }
    if (one->n_answers > 0 && one->answers[one->n_answers - 1] >= 400) {
        RUN_UNTIL(&f, c->has_end);
        assert_false(c->was_reset);
        assert_int_equal(client_count(c, "HTTP/1.1 "), one->n_answers);
        assert_true(client_has(c, "\"type\":\"invalid_request_error\""));
    }
    fixture_finish(&f);
    assert_int_equal(f.n_closed, f.n_headers);
}

static void corpus_gets_the_answers_in_its_names_over_a_socket(void **state)
{
    (void)state;
    struct corpus corpus = corpus_load(CORPUS_DIR);
    for (size_t i = 0; i < corpus.n_cases; i++) {
        check_case(&corpus.cases[i]);
    }
    corpus_finish(&corpus);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, GET_HOLD
                     "GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_UNTIL(&f, f.held);
    assert_int_equal(f.n_headers, 1);
    assert_int_equal(weir_http_respond(f.held, 200, weir_str_from("first\n")), WEIR_OK);
    RUN_UNTIL(&f, client_count(c, "HTTP/1.1 200") == 3);

    const char *first = strstr(c->received.data, "first");
    const char *second = strstr(c->received.data, "GET /2");
    const char *third = strstr(c->received.data, "GET /3");
    assert_true(first && first < second && second < third);
    assert_int_equal(f.n_closed, 3);
    assert_int_equal(f.last_end, WEIR_HTTP_END_DONE);
    fixture_finish(&f);
}

static void many_pipelined_requests_in_one_packet_are_all_answered(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    struct weir_buf all;
    weir_buf_init(&all, 1 << 20);
    for (int i = 0; i < N; i++) {
        weir_buf_add_text(&all, GET_ROOT);
    }

    client_send(c, all.data, all.len);
    weir_buf_finish(&all);
    RUN_UNTIL(&f, f.n_closed == N);
    RUN_UNTIL(&f, client_count(c, "HTTP/1.1 200") == N);
    fixture_finish(&f);
}

static void early_answer_keeps_the_connection_when_the_body_is_there(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET_ROOT);
    RUN_UNTIL(&f, client_has(c, "HTTP/1.1 200"));
    assert_true(client_has(c, "HTTP/1.1 401"));
    assert_int_equal(f.n_requests, 1);
    fixture_finish(&f);
}

static void early_answer_reaches_a_client_that_is_still_sending(void **state)
{
    (void)state;
    static char body[200000];
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    RUN_UNTIL(&f, f.n_headers == 1);
    client_send(c, body, sizeof(body));
    RUN_UNTIL(&f, c->has_end);
    assert_false(c->was_reset);
    assert_true(client_has(c, "HTTP/1.1 401 Unauthorized\r\n"));
    assert_true(client_has(c, "Connection: close\r\n"));
    assert_int_equal(f.n_requests, 0);
    assert_int_equal(f.n_closed, 1);
    fixture_finish(&f);
}

static void continue_is_sent_only_for_a_body_that_will_be_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.max_body_bytes = 10;
    fixture_start(&f);
    struct client *good = fixture_connect(&f);
    struct client *early = fixture_connect(&f);
    struct client *large = fixture_connect(&f);

    client_send_text(good, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                           "Content-Length: 3\r\n\r\n");
    RUN_UNTIL(&f, client_has(good, "HTTP/1.1 100 Continue\r\n\r\n"));
    client_send_text(good, "abc");
    RUN_UNTIL(&f, client_has(good, "POST / 3"));
    client_send_text(early, "POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                            "Content-Length: 3\r\n\r\n");
    RUN_UNTIL(&f, early->has_end);
    assert_false(client_has(early, " 100 "));
    client_send_text(large, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                            "Content-Length: 11\r\n\r\n");
    RUN_UNTIL(&f, large->has_end);
    assert_true(client_has(large, "HTTP/1.1 413 "));
    assert_false(client_has(large, " 100 "));
    fixture_finish(&f);
}

static void stream_is_chunked_for_http11_and_ends_with_the_connection_for_http10(void **state)
{
    (void)state;
    static const struct {
        const char *request, *end;
        bool closes;
    } cases[] = {
        {GET_HOLD, "\r\n\r\n2\r\nab\r\nb\r\n0123456789a\r\n0\r\n\r\n", false},
        {"GET /hold HTTP/1.0\r\n\r\n", "\r\n\r\nab0123456789a", true},
        {"GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "\r\n\r\nab0123456789a", true},
        {"HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        fixture_init(&f);
        fixture_start(&f);
        struct client *c = fixture_connect(&f);
        client_send_text(c, cases[i].request);
        RUN_UNTIL(&f, f.held);
        struct weir_http_exchange *ex = f.held;
        assert_int_equal(weir_http_stream_begin(ex, 200), 0);
        assert_int_equal(weir_http_stream_write(ex, weir_str_from("ab")), 0);
        assert_int_equal(weir_http_stream_write(ex, weir_str_from("")), 0);
        assert_int_equal(weir_http_stream_write(ex, weir_str_from("0123456789a")), 0);
        assert_int_equal(weir_http_stream_end(ex), 0);
        assert_int_equal(weir_http_stream_end(ex), WEIR_E_ARG);
        RUN_UNTIL(&f, f.n_closed == 1 && client_has(c, cases[i].end));
        if (cases[i].closes) {
            RUN_UNTIL(&f, c->has_end);
            assert_true(client_has(c, "Connection: close"));
        }
        size_t n_end = strlen(cases[i].end);
        assert_memory_equal(c->received.data + c->received.len - n_end, cases[i].end, n_end);
        fixture_finish(&f);
    }
}

static void response_without_body_has_none(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_UNTIL(&f, f.n_closed == 1 && client_has(c, "\r\n\r\n"));
    assert_true(client_has(c, "Content-Length: 9\r\n"));
    assert_false(client_has(c, "HEAD / 0"));
    weir_buf_reset(&c->received);
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);
    assert_int_equal(weir_http_respond(f.held, 204, weir_str_from("")), 0);
    RUN_UNTIL(&f, client_has(c, "HTTP/1.1 204 No Content\r\n"));
    assert_false(client_has(c, "Content-Length"));
    fixture_finish(&f);
}

static void header_fields_that_http_cannot_carry_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, GET_HOLD);
    RUN_UNTIL(&f, f.held);
    struct weir_http_exchange *ex = f.held;

    assert_int_equal(weir_http_add_header(ex, weir_str_from("X"), weir_str_from("a\r\nB: c")),
                     WEIR_E_ARG);
    assert_int_equal(weir_http_add_header(ex, weir_str_from("X Y"), weir_str_from("a")),
                     WEIR_E_ARG);
    assert_int_equal(weir_http_add_header(ex, weir_str_from(""), weir_str_from("a")), WEIR_E_ARG);
    static const char *const ours[] = {"content-length", "Connection", "DATE", "Transfer-Encoding"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        assert_int_equal(weir_http_add_header(ex, weir_str_from(ours[i]), weir_str_from("1")),
                         WEIR_E_ARG);
    }
    assert_int_equal(weir_http_respond(ex, 199, weir_str_from("")), WEIR_E_ARG);
    assert_int_equal(weir_http_stream_write(ex, weir_str_from("x")), WEIR_E_ARG);
    assert_int_equal(
        weir_http_add_header(ex, weir_str_from("X-Good"), weir_str_from("caf\xC3\xA9")), WEIR_OK);
    assert_int_equal(weir_http_respond(ex, 200, weir_str_from("ok")), WEIR_OK);
    assert_int_equal(weir_http_respond(ex, 200, weir_str_from("ok")), WEIR_E_ARG);
    assert_int_equal(weir_http_add_header(ex, weir_str_from("X-Late"), weir_str_from("a")),
                     WEIR_E_ARG);
    RUN_UNTIL(&f, client_has(c, "X-Good: caf\xC3\xA9\r\n\r\nok"));
    fixture_finish(&f);
}

static void write_problem(void *user, struct weir_http_exchange *ex,
                          const struct weir_http_problem_info *problem, struct weir_buf *ret_body)
{
    (void)user;
    assert_int_equal(weir_http_n_headers(ex), 0);
    (void)weir_http_add_header(ex, weir_str_from("X-Request-Id"), weir_str_from("r1"));
    weir_buf_printf(ret_body, "%d %s", problem->status, problem->code);
}

static void ignore_request(void *user, struct weir_http_exchange *ex)
{
    (void)user;
    weir_http_abort(ex);
}

static void bad_request_is_answered_in_the_words_of_the_handler(void **state)
{
    (void)state;
    static const struct weir_http_handler handler = {
        .on_request = ignore_request,
        .on_problem = write_problem,
    };
    struct fixture f;
    struct weir_error err;
    fixture_init(&f);
    assert_int_equal(weir_http_server_create(&f.loop, &f.limits, &handler, &f, &f.server), 0);
    assert_int_equal(weir_http_server_listen(f.server, ":0", &f.port, &err), 0);
    struct client *c = fixture_connect(&f);

    client_send_text(c, "GET / HTTP/1.1\r\nX: y\r\n\r\n");
    RUN_UNTIL(&f, c->has_end);
    assert_true(client_has(c, "HTTP/1.1 400 Bad Request\r\n"));
    assert_true(client_has(c, "X-Request-Id: r1\r\n\r\n400 bad_host"));
    fixture_finish(&f);
}

static void request_is_seen_in_its_parts(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    fixture_start(&f);
    struct client *c = fixture_connect(&f);
    client_send_text(c, "POST /hold?x=1 HTTP/1.1\r\nHost: a:1\r\nX-One: 1\r\nx-one: 2\r\n"
                        "Content-Length: 3\r\n\r\nabc");
    RUN_UNTIL(&f, f.held);
    struct weir_http_exchange *ex = f.held;

    weir_str name, value;
    weir_http_header_at(ex, 2, &name, &value);
    assert_true(weir_str_is(name, "x-one") && weir_str_is(value, "2"));
    assert_int_equal(weir_http_n_headers(ex), 4);
    assert_true(weir_str_is(weir_http_header(ex, "X-ONE"), "1"));
    assert_true(weir_str_is(weir_http_header(ex, "X-Two"), ""));
    assert_true(weir_str_is(weir_http_method(ex), "POST"));
    assert_true(weir_str_is(weir_http_query(ex), "x=1"));
    assert_true(weir_str_is(weir_http_authority(ex), "a:1"));
    assert_true(weir_str_is(weir_http_peer(ex), "127.0.0.1"));
    assert_string_equal(weir_http_body(ex).p, "abc");
    assert_int_equal(weir_http_respond(ex, 200, weir_str_from("")), WEIR_OK);
    RUN_UNTIL(&f, f.n_closed == 1);
    fixture_finish(&f);
}

static void requests_per_connection_are_bounded(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.max_requests_per_connection = 2;
    fixture_start(&f);
    struct client *c = fixture_connect(&f);

    client_send_text(c, GET_ROOT GET_ROOT GET_ROOT);
    RUN_UNTIL(&f, c->has_end);
    assert_int_equal(client_count(c, "HTTP/1.1 200"), 2);
    assert_int_equal(client_count(c, "Connection: close"), 1);
    fixture_finish(&f);
}

static void connections_beyond_the_limit_are_told_so(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.limits.max_connections = 1;
    fixture_start(&f);
    struct client *first = fixture_connect(&f);
    client_send_text(first, GET_ROOT);
    RUN_UNTIL(&f, client_has(first, "HTTP/1.1 200"));

    struct client *second = fixture_connect(&f);
    RUN_UNTIL(&f, second->has_end);
    assert_true(client_has(second, "HTTP/1.1 503 "));
    client_close(second);
    client_close(first);
    RUN_UNTIL(&f, weir_http_server_is_empty(f.server));
    struct client *third = fixture_connect(&f);
    client_send_text(third, GET_ROOT);
    RUN_UNTIL(&f, client_has(third, "HTTP/1.1 200"));
    fixture_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corpus_gets_the_answers_in_its_names_over_a_socket),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(many_pipelined_requests_in_one_packet_are_all_answered),
        cmocka_unit_test(early_answer_keeps_the_connection_when_the_body_is_there),
        cmocka_unit_test(early_answer_reaches_a_client_that_is_still_sending),
        cmocka_unit_test(continue_is_sent_only_for_a_body_that_will_be_read),
        cmocka_unit_test(stream_is_chunked_for_http11_and_ends_with_the_connection_for_http10),
        cmocka_unit_test(response_without_body_has_none),
        cmocka_unit_test(header_fields_that_http_cannot_carry_are_refused),
        cmocka_unit_test(bad_request_is_answered_in_the_words_of_the_handler),
        cmocka_unit_test(request_is_seen_in_its_parts),
        cmocka_unit_test(requests_per_connection_are_bounded),
        cmocka_unit_test(connections_beyond_the_limit_are_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
