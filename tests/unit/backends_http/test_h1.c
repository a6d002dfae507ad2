/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 responses: heads, bodies, interim responses, lengths, bounds; in any pieces. */
#include "h1.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

struct seen {
    struct weir_upstream_head head;
    int n_heads;
    char body[1000];
};

static void on_head(void *arg, const struct weir_upstream_head *head)
{
    struct seen *s = arg;
    s->head = *head;
    s->n_heads++;
}

static void on_body(void *arg, const char *bytes, size_t n)
{
    struct seen *s = arg;
    strncat(s->body, bytes, n);
}

static const struct weir_upstream_h1_events events = {on_head, on_body};

/* The result of the last feed; the connection is in *h. */
static int feed_pieces(struct weir_upstream_h1 *h, struct seen *seen, const char *text, size_t n,
                       size_t piece)
{
    int r = 0;
    *seen = (struct seen){.n_heads = 0};
    weir_upstream_h1_begin(h, &events, seen);
    for (size_t at = 0; at < n && r == 0 && !h->is_done; at += piece) {
        r = weir_upstream_h1_feed(h, text + at, piece < n - at ? piece : n - at);
    }
    return r;
}

static void a_response_is_read_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n"
        "\r\nHTTP/1.1 429 Slow Down\r\nContent-TYPE: text/event-stream; x=y\r\n"
        "Retry-After: 9\r\nretry-after-ms: 1500\r\nTransfer-Encoding: chunked\r\n"
        "\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        struct weir_upstream_h1 h;
        struct seen seen;
        assert_int_equal(feed_pieces(&h, &seen, text, sizeof(text) - 1, piece), 0);
        assert_true(h.is_done && h.keeps_alive);
        assert_int_equal(seen.n_heads, 1);
        assert_int_equal(seen.head.status, 429);
        assert_true(seen.head.is_sse && !seen.head.is_json && !seen.head.is_encoded);
        assert_int_equal(seen.head.retry_after_us, 1500000);
        assert_string_equal(seen.body, "abcde");
    }
}

static void what_comes_behind_a_response_ends_the_connection(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc";
    struct weir_upstream_h1 h;
    struct seen seen;
    assert_int_equal(feed_pieces(&h, &seen, text, sizeof(text) - 1, 1000), 0);
    assert_true(h.is_done && !h.keeps_alive);
    assert_string_equal(seen.body, "ab");
}

static void the_end_of_the_connection_ends_only_what_it_may(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int r;
    } cases[] = {
        {"HTTP/1.0 200 OK\r\n\r\nabc", 0},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", WEIR_E_FORMAT},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", WEIR_E_FORMAT},
        {"HTTP/1.1 200 O", WEIR_E_FORMAT},
        {"", WEIR_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_upstream_h1 h;
        struct seen seen;
        assert_int_equal(feed_pieces(&h, &seen, cases[i].text, strlen(cases[i].text), 7), 0);
        assert_false(h.is_done);
        assert_int_equal(weir_upstream_h1_eof(&h), cases[i].r);
        assert_int_equal(h.is_done, cases[i].r == 0);
        assert_false(h.keeps_alive);
    }
}

static void what_is_no_response_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t piece = 1; piece < 100; piece += 33) {
            struct weir_upstream_h1 h;
            struct seen seen;
            assert_int_equal(feed_pieces(&h, &seen, cases[i], strlen(cases[i]), piece),
                             WEIR_E_FORMAT);
            assert_non_null(h.problem);
        }
    }
}

/* Repeats `part` behind `head` until the parser refuses; gives how many bytes that took. */
static size_t refused_after(const char *head, const char *part)
{
    struct weir_upstream_h1 h;
    struct seen seen = {.n_heads = 0};
    size_t n = 0;
    weir_upstream_h1_begin(&h, &events, &seen);
    assert_int_equal(weir_upstream_h1_feed(&h, head, strlen(head)), 0);
    while (n < 10000000 && weir_upstream_h1_feed(&h, part, strlen(part)) == 0) {
        n += strlen(part);
    }
    return n;
}

static void floods_are_bounded(void **state)
{
    (void)state;
    assert_true(refused_after("HTTP/1.1 200 OK\r\nX: ", "aaaaaaaaaaaaaaaa") <= 65536);
    assert_true(refused_after("HTTP/1.1 200 ", "aaaaaaaaaaaaaaaa") <= 65536);
    assert_true(refused_after("HTTP/1.1 200 OK\r\n", "a: b\r\n") <= 210 * 6);
    assert_true(refused_after("", "HTTP/1.1 100 Continue\r\n\r\n") <= 16 * 25);
    assert_true(refused_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
                              "aaaaaaaaaaaaaaaa") <= 65536);
    assert_true(refused_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                              "a: b\r\n") <= 210 * 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_is_read_in_any_pieces),
        cmocka_unit_test(what_comes_behind_a_response_ends_the_connection),
        cmocka_unit_test(the_end_of_the_connection_ends_only_what_it_may),
        cmocka_unit_test(what_is_no_response_is_refused),
        cmocka_unit_test(floods_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
