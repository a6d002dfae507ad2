/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/scheduler/output.h"

#include <stdlib.h>

#include "engine/scheduler/delivery.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_sink.h"

/* A vocabulary of the given pieces. */
static weir_str listed_piece(const void *impl, int32_t token)
{
    return weir_str_from(((const char *const *)impl)[token]);
}

static bool no_control(const void *impl, int32_t token)
{
    (void)impl;
    (void)token;
    return false;
}

struct fixture {
    struct weir_arena arena;
    struct weir_vocabulary vocabulary;
    struct weir_stop_set stops;
    struct weir_output output;
    struct weir_delivery delivery;
    struct weir_logprob_scratch scratch;
    struct fake_sink *sink;
};

static void start(struct fixture *f, const char *const *pieces, const char *const *stops,
                  bool want_logprobs)
{
    weir_str list[WEIR_MAX_STOPS];
    uint32_t n = 0;
    for (; stops[n]; n++) {
        list[n] = weir_str_from(stops[n]);
    }
    weir_arena_init(&f->arena, 1 << 20);
    f->vocabulary = (struct weir_vocabulary){
        .impl = pieces,
        .n_vocab = 100,
        .max_piece_bytes = 32,
        .piece = listed_piece,
        .is_control = no_control,
    };
    assert_int_equal(weir_stop_set_init(&f->stops, list, n, &f->arena), 0);
    assert_int_equal(
        weir_output_init(&f->output, &f->vocabulary, &f->stops, want_logprobs, &f->arena), 0);
    weir_delivery_init(&f->delivery, 1, 0, (weir_str){NULL, 0});
    f->sink = fake_sink_create();
}

static int send(struct fixture *f, enum weir_finish finish)
{
    return weir_delivery_send(&f->delivery, &f->output, NULL, finish, &f->sink->sink, &f->scratch);
}

static bool add(struct fixture *f, int32_t token)
{
    weir_step_result r = {.n_tokens = 1, .tokens = {token}};
    f->delivery.n_uncounted++;
    return weir_output_add(&f->output, &r, 0);
}

/* Feeds tokens 0.. until a stop or the end of pieces; the text that was sent. */
static const char *run(struct fixture *f, const char *const *pieces)
{
    bool stopped = false;
    for (int32_t t = 0; pieces[t] && !stopped; t++) {
        stopped = add(f, t);
        assert_int_equal(send(f, WEIR_FINISH_NONE), 0);
    }
    weir_output_end(&f->output);
    assert_int_equal(send(f, WEIR_FINISH_STOP), 0);
    const char *text = f->sink->streams[1].choices[0].text;
    return text ? text : "";
}

static void finish(struct fixture *f)
{
    assert_int_equal(f->sink->n_violations, 0);
    assert_int_equal(f->delivery.n_uncounted, 0);
    fake_sink_destroy(f->sink);
    weir_arena_finish(&f->arena);
}

static void stop_strings_are_cut_wherever_tokens_cut_them(void **state)
{
    (void)state;
    static const struct {
        const char *pieces[8], *stops[4], *want;
    } cases[] = {
        {{"Hello", " STOP", " more"}, {"STOP"}, "Hello "},
        {{"a", "S", "T", "O", "P", "b"}, {"STOP"}, "a"},
        {{"a", "ST", "STOP", "b"}, {"STOP"}, "aST"},
        {{"aab", "aaab"}, {"aaa"}, "aab"},
        {{"abab", "abac", "x"}, {"ababac"}, "ab"},
        {{"x STO", "NE"}, {"STOP"}, "x STONE"},
        {{"x STO"}, {"STOP"}, "x STO"},
        {{"ab", "cd", "e"}, {"bcd", "cd"}, "a"},   /* complete at the same byte: the longer */
        {{"ab", "cd", "e"}, {"abcde", "bc"}, "a"}, /* the first to be complete */
        {{"\xE2\x82", "\xAC", "!"}, {"\xE2\x82\xAC"}, ""}, /* a stop inside split characters */
        {{"STOP"}, {"STOP"}, ""},
        {{"one", "two"}, {""}, "onetwo"}, /* an empty stop string is none */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        start(&f, cases[i].pieces, cases[i].stops, false);
        assert_string_equal(run(&f, cases[i].pieces), cases[i].want);
        finish(&f);
    }
}

static void chunks_hold_whole_characters(void **state)
{
    (void)state;
    static const struct {
        const char *pieces[8], *want;
    } cases[] = {
        {{"h\xC3", "\xA9", "llo"}, "h\xC3\xA9llo"},
        {{"\xF0", "\x9F", "\x98", "\x80"}, "\xF0\x9F\x98\x80"},
        {{"a\xC3", "b"},
         "a\xEF\xBF\xBD"
         "b"},
        {{"\xFF", "\x80"}, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {{"end\xE2\x82"}, "end\xEF\xBF\xBD"},
        {{"\xE2\x82\xAC, \xF0", "\x9F\x98\x80!"}, "\xE2\x82\xAC, \xF0\x9F\x98\x80!"},
    };
    static const char *const no_stops[] = {NULL};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        start(&f, cases[i].pieces, no_stops, false);
        assert_string_equal(run(&f, cases[i].pieces), cases[i].want);
        finish(&f);
    }
}

static void logprobs_travel_with_their_text(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a", "b", "",  "c", "d", "e",
                                         "f", "g", "h", "i", "j", NULL};
    static const char *const stops[] = {"bcdefghij!", NULL};
    struct fixture f;
    start(&f, pieces, stops, true);
    const struct fake_choice *choice = &f.sink->streams[1].choices[0];

    (void)add(&f, 0);
    assert_int_equal(send(&f, WEIR_FINISH_NONE), 0);
    assert_int_equal(choice->n_logprobs, 1);
    for (int32_t t = 1; pieces[t]; t++) {
        (void)add(&f, t);
        assert_int_equal(send(&f, WEIR_FINISH_NONE), 0);
    }
    assert_int_equal(choice->n_logprobs, 1); /* the rest may be the stop string */
    assert_int_equal(choice->n_tokens, 1);
    f.sink->streams[1].refuse_every = 2;
    weir_output_end(&f.output);
    int r = send(&f, WEIR_FINISH_LENGTH);
    while (r == WEIR_E_BUSY) {
        assert_true(choice->n_tokens <= 11);
        r = send(&f, WEIR_FINISH_LENGTH);
    }
    assert_int_equal(r, 0);
    assert_int_equal(choice->n_logprobs, 11);
    assert_string_equal(choice->logprob_bytes, "abcdefghij");
    assert_int_equal(choice->n_tokens, 11);
    finish(&f);
}

static void logprobs_of_a_stop_string_are_not_sent(void **state)
{
    (void)state;
    static const char *const pieces[] = {"x", "yS", "TO", "P", NULL};
    static const char *const stops[] = {"STOP", NULL};
    struct fixture f;
    start(&f, pieces, stops, true);
    assert_string_equal(run(&f, pieces), "xy");
    const struct fake_choice *choice = &f.sink->streams[1].choices[0];
    assert_string_equal(choice->logprob_bytes, "xyS"); /* whole tokens that began before it */
    assert_int_equal(choice->n_tokens, 4);             /* but all were sampled */
    finish(&f);
}

static void many_tokens_without_text_fit(void **state)
{
    (void)state;
    static const char *const pieces[] = {"", "text", NULL};
    static const char *const no_stops[] = {NULL};
    struct fixture f;
    start(&f, pieces, no_stops, true);
    for (int i = 0; i < 500; i++) {
        (void)add(&f, 0);
        assert_int_equal(send(&f, WEIR_FINISH_NONE), 0);
    }
    (void)add(&f, 1);
    weir_output_end(&f.output);
    assert_int_equal(send(&f, WEIR_FINISH_LENGTH), 0);
    assert_int_equal(f.sink->streams[1].choices[0].n_logprobs, 501);
    assert_string_equal(f.sink->streams[1].choices[0].text, "text");
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_strings_are_cut_wherever_tokens_cut_them),
        cmocka_unit_test(chunks_hold_whole_characters),
        cmocka_unit_test(logprobs_travel_with_their_text),
        cmocka_unit_test(logprobs_of_a_stop_string_are_not_sent),
        cmocka_unit_test(many_tokens_without_text_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
