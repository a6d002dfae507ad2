/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_parser.h"

#include <stdio.h>

#include "corpus.h"
#include "tests/support/cmocka.h"

/* What a sequence of bytes was understood as. */
struct reading {
    int answers[CORPUS_MAX_ANSWERS];
    size_t n_answers;
    struct weir_buf text; /* every request, written out */
};

static void write_request(struct weir_buf *b, const struct weir_http_request *r)
{
    weir_buf_printf(b, "%.*s|%.*s|%.*s|%.*s|1.%d|%d\n", (int)r->method.n, r->method.p,
                    (int)r->target.path.n, r->target.path.p, (int)r->target.query.n,
                    r->target.query.p, (int)r->authority.n, r->authority.p, r->version_minor,
                    r->keep_alive);
    for (size_t i = 0; i < r->n_fields; i++) {
        weir_buf_add_str(b, r->fields[i].name);
        weir_buf_add_char(b, '=');
        weir_buf_add_str(b, r->fields[i].value);
        weir_buf_add_char(b, '\n');
    }
    weir_buf_add_str(b, weir_buf_view(&r->body));
    weir_buf_add_char(b, '\n');
}

static void add_answer(struct reading *r, int status)
{
    if (r->n_answers < CORPUS_MAX_ANSWERS) {
        r->answers[r->n_answers++] = status;
    }
}

/* Takes one event; false when nothing more will be read. */
static bool take_event(struct reading *ret, struct weir_http_parser *p, enum weir_http_parsed what)
{
    struct weir_http_request *request = p->request;
    if (what == WEIR_HTTP_PARSED_BAD) {
        add_answer(ret, weir_http_problem_info(p->problem)->status);
        return false;
    }
    if (what == WEIR_HTTP_PARSED_ALL) {
        bool goes_on = request->keep_alive;
        add_answer(ret, 200);
        write_request(&ret->text, request);
        weir_http_request_reset(request);
        weir_http_parser_begin(p, request);
        return goes_on;
    }
    return true;
}

/* Feeds the bytes in pieces of n_piece. */
static void read_all(const char *bytes, size_t n, size_t n_piece, struct reading *ret)
{
    struct weir_http_limits limits;
    weir_http_limits_init(&limits);
    struct weir_http_request request;
    assert_int_equal(weir_http_request_init(&request, &limits), WEIR_OK);
    struct weir_http_parser p;
    weir_http_parser_init(&p, &limits);
    weir_http_parser_begin(&p, &request);

    *ret = (struct reading){0};
    weir_buf_init(&ret->text, 1 << 20);
    size_t at = 0;
    bool goes_on = true;
    while (goes_on && at < n) {
        size_t end = at + n_piece < n ? at + n_piece : n;
        enum weir_http_parsed what;
        do {
            size_t used;
            what = weir_http_parser_feed(&p, bytes + at, end - at, &used);
            assert_true(used <= end - at);
            at += used;
            goes_on = take_event(ret, &p, what);
        } while (goes_on && (at < end || what == WEIR_HTTP_PARSED_HEAD));
    }
    if (request.expects_continue && goes_on) {
        add_answer(ret, 100);
    }
    weir_http_request_finish(&request);
}

static void check_answers(const struct corpus_case *c, const struct reading *r, size_t n_piece)
{
    bool is_same = r->n_answers == c->n_answers &&
                   memcmp(r->answers, c->answers, sizeof(*r->answers) * r->n_answers) == 0;
    if (!is_same) {
        fail_msg("%s in pieces of %zu: %zu answers, first %d", c->name, n_piece, r->n_answers,
                 r->n_answers ? r->answers[0] : 0);
    }
}

static void corpus_gets_the_answers_in_its_names_however_it_is_split(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 7, 61, 4096};
    struct corpus corpus = corpus_load(CORPUS_DIR);
    assert_true(corpus.n_cases >= 80);

    for (size_t i = 0; i < corpus.n_cases; i++) {
        const struct corpus_case *c = &corpus.cases[i];
        struct reading whole;
        read_all(c->bytes, c->n_bytes, SIZE_MAX / 2, &whole);
        check_answers(c, &whole, c->n_bytes);
        for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
            struct reading split;
            read_all(c->bytes, c->n_bytes, pieces[k], &split);
            check_answers(c, &split, pieces[k]);
            assert_true(weir_str_eq(weir_buf_view(&split.text), weir_buf_view(&whole.text)));
            weir_buf_finish(&split.text);
        }
        weir_buf_finish(&whole.text);
    }
    corpus_finish(&corpus);
}

static void check_text(const char *bytes, const char *text)
{
    struct reading r;
    read_all(bytes, strlen(bytes), 5, &r);
    assert_string_equal(r.text.data, text);
    weir_buf_finish(&r.text);
}

static void request_is_read_into_its_parts(void **state)
{
    (void)state;
    check_text("POST /a%20b?x=1&y HTTP/1.1\r\nHost: h:80\r\nX-Empty:\r\nX-Pad: \t v w \r\n"
               "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
               "POST|/a%20b|x=1&y|h:80|1.1|1\n"
               "Host=h:80\nX-Empty=\nX-Pad=v w\nTransfer-Encoding=chunked\nabcde\n");
    check_text("GET http://H/p HTTP/1.1\r\nHost: h\r\n\r\n", "GET|/p||h|1.1|1\nHost=h\n\n");
    check_text("GET / HTTP/1.0\r\n\r\n", "GET|/|||1.0|0\n\n");
}

static void body_is_refused_at_its_limit(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum weir_http_problem problem;
    } cases[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n12345678", WEIR_HTTP_OK},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", WEIR_HTTP_BODY_TOO_LARGE},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n",
         WEIR_HTTP_BODY_TOO_LARGE},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n1\r\n",
         WEIR_HTTP_BODY_TOO_LARGE},
    };
    struct weir_http_limits limits;
    weir_http_limits_init(&limits);
    limits.max_body_bytes = 8;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_http_request request;
        assert_int_equal(weir_http_request_init(&request, &limits), WEIR_OK);
        struct weir_http_parser p;
        weir_http_parser_init(&p, &limits);
        weir_http_parser_begin(&p, &request);
        size_t n = strlen(cases[i].bytes);
        size_t at = 0;
        enum weir_http_parsed what;
        do {
            size_t used;
            what = weir_http_parser_feed(&p, cases[i].bytes + at, n - at, &used);
            at += used;
        } while (what == WEIR_HTTP_PARSED_HEAD);
        assert_int_equal(p.problem, cases[i].problem);
        weir_http_request_finish(&request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corpus_gets_the_answers_in_its_names_however_it_is_split),
        cmocka_unit_test(request_is_read_into_its_parts),
        cmocka_unit_test(body_is_refused_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
