/* SPDX-License-Identifier: Apache-2.0 */
/* Event streams: whatever the pieces, the same events; every bound. */
#include "sse.h"

#include <stdio.h>

#include "tests/support/cmocka.h"

struct seen {
    char text[4096];
    size_t n_events;
    int stop_at; /* events until on_event stops; 0: never */
};

static int on_event(void *arg, weir_str data)
{
    struct seen *s = arg;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof(s->text) - n, "[%.*s]", (int)data.n, data.n ? data.p : "");
    s->n_events++;
    return s->stop_at && (int)s->n_events == s->stop_at ? 7 : 0;
}

static int feed_pieces(const char *text, size_t piece, struct seen *seen)
{
    struct weir_sse sse;
    weir_sse_init(&sse, 1000);
    *seen = (struct seen){.n_events = 0};
    size_t n = strlen(text), used = 0;
    int r = 0;
    for (size_t at = 0; at < n && r == 0; at += piece) {
        size_t size = piece < n - at ? piece : n - at;
        r = weir_sse_feed(&sse, text + at, size, on_event, seen, &used);
        if (r == 0) {
            assert_int_equal(used, size);
        }
    }
    weir_sse_finish(&sse);
    return r;
}

/* Expected values are the standard's, worked out by hand (HTML Living Standard, 9.2.6). */
static void pieces_do_not_change_the_events(void **state)
{
    (void)state;
    static const struct {
        const char *stream, *events;
    } cases[] = {
        {"data: a\n\ndata: b\n\n", "[a][b]"},
        {"data: a\r\n\r\ndata: b\r\n\r\n", "[a][b]"},
        {"data: a\r\rdata: b\r\r", "[a][b]"},
        {"data:a\n\ndata:  b\n\n", "[a][ b]"},
        {"data: a\ndata: b\n\n", "[a\nb]"},
        {"data\n\ndata\ndata\n\n", "[][\n]"},
        {": comment\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", "[a]"},
        {"\xEF\xBB\xBF"
         "data: a\n\n",
         "[a]"},
        {"data: a\n\n\n\ndata: never ended", "[a]"},
        {"dataset: a\n\ndat: b\n\ndata : c\n\n", ""},
        {"id: 1\n\ndata: a\nid: 2\n\n", "[a]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t piece = 1; piece <= strlen(cases[i].stream); piece++) {
            struct seen seen;
            assert_int_equal(feed_pieces(cases[i].stream, piece, &seen), 0);
            assert_string_equal(seen.text, cases[i].events);
        }
    }
}

static void a_reader_that_stops_gets_the_rest_later(void **state)
{
    (void)state;
    static const char stream[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    struct seen seen = {.stop_at = 2};
    struct weir_sse sse;
    size_t used = 0;
    weir_sse_init(&sse, 1000);
    assert_int_equal(weir_sse_feed(&sse, stream, strlen(stream), on_event, &seen, &used), 7);
    assert_int_equal(used, 18);
    assert_int_equal(
        weir_sse_feed(&sse, stream + used, strlen(stream) - used, on_event, &seen, &used), 0);
    assert_string_equal(seen.text, "[a][b][c]");
    weir_sse_finish(&sse);
}

static void a_line_or_an_event_without_end_is_refused(void **state)
{
    (void)state;
    char text[3000];
    struct seen seen;
    memset(text, 'a', sizeof(text));
    memcpy(text, "data: ", 6);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(feed_pieces(text, 100, &seen), WEIR_E_TOOBIG);
    for (size_t i = 0; i + 100 < sizeof(text); i += 100) {
        memcpy(text + i, "data: ", 6);
        text[i + 99] = '\n';
    }
    assert_int_equal(feed_pieces(text, 100, &seen), WEIR_E_TOOBIG);
    assert_int_equal(seen.n_events, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_change_the_events),
        cmocka_unit_test(a_reader_that_stops_gets_the_rest_later),
        cmocka_unit_test(a_line_or_an_event_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
