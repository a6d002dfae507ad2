/* SPDX-License-Identifier: Apache-2.0 */
/* Tool calls from sampled tokens to chunks, with readers that are full. */
#include "engine/scheduler/tool_stream.h"

#include <yyjson.h>

#include "engine/scheduler/delivery.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_sink.h"

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

static const char TOOLS[] = "[{\"type\":\"function\",\"function\":{\"name\":\"weather\","
                            "\"parameters\":{\"type\":\"object\"}}}]";

struct fixture {
    struct weir_arena arena;
    struct weir_vocabulary vocabulary;
    struct weir_stop_set stops;
    struct weir_output output;
    struct weir_tool_stream tools;
    struct weir_delivery delivery;
    struct fake_sink *sink;
    yyjson_doc *list;
};

static void start(struct fixture *f, const char *const *pieces, bool parallel)
{
    weir_arena_init(&f->arena, 1 << 20);
    f->vocabulary = (struct weir_vocabulary){
        .impl = pieces,
        .n_vocab = 100,
        .max_piece_bytes = 64,
        .piece = listed_piece,
        .is_control = no_control,
    };
    f->list = yyjson_read(TOOLS, sizeof(TOOLS) - 1, 0);
    assert_int_equal(weir_stop_set_init(&f->stops, NULL, 0, &f->arena), 0);
    assert_int_equal(weir_output_init(&f->output, &f->vocabulary, &f->stops, false, &f->arena), 0);
    assert_int_equal(weir_tool_stream_init(&f->tools,
                                           weir_tool_format_find(weir_str_from("hermes")),
                                           yyjson_doc_get_root(f->list), 1, parallel, &f->arena),
                     0);
    weir_delivery_init(&f->delivery, 1, 0, (weir_str){NULL, 0});
    f->sink = fake_sink_create();
}

static void send(struct fixture *f, enum weir_finish finish)
{
    int r = WEIR_E_BUSY;
    while (r == WEIR_E_BUSY) {
        r = weir_delivery_send(&f->delivery, &f->output, &f->tools, finish, &f->sink->sink, NULL);
    }
    assert_int_equal(r, 0);
}

static const struct fake_choice *run(struct fixture *f, const char *const *pieces)
{
    for (int32_t t = 0; pieces[t] && !f->tools.complete; t++) {
        weir_step_result r = {.n_tokens = 1, .tokens = {t}};
        f->delivery.n_uncounted++;
        assert_false(weir_output_add(&f->output, &r, 0));
        assert_int_equal(weir_tool_stream_feed(&f->tools, &f->output, false), 0);
        send(f, WEIR_FINISH_NONE);
    }
    weir_output_end(&f->output);
    assert_int_equal(weir_tool_stream_feed(&f->tools, &f->output, true), 0);
    send(f, weir_tool_stream_has_calls(&f->tools) ? WEIR_FINISH_TOOL_CALLS : WEIR_FINISH_STOP);
    return &f->sink->streams[1].choices[0];
}

static void stop(struct fixture *f)
{
    assert_int_equal(f->sink->n_violations, 0);
    assert_int_equal(f->delivery.n_uncounted, 0);
    fake_sink_destroy(f->sink);
    weir_tool_stream_finish(&f->tools);
    yyjson_doc_free(f->list);
    weir_arena_finish(&f->arena);
}

static const char *const two_calls[] = {"Let me",
                                        " look.",
                                        "<tool",
                                        "_call>\n{\"na",
                                        "me\": \"weather\", \"argum",
                                        "ents\": {\"city\": ",
                                        "\"Oslo\"}}\n</tool_call>",
                                        "\n<tool_call>\n{\"name\": \"weather\", \"arguments\": ",
                                        "{\"city\": \"Rome\"}}",
                                        "\n</tool_call>",
                                        NULL};

static void calls_come_out_as_calls_also_to_a_slow_reader(void **state)
{
    (void)state;
    for (uint32_t refuse_every = 0; refuse_every < 4; refuse_every += 2) {
        struct fixture f;
        start(&f, two_calls, true);
        f.sink->streams[1].refuse_every = refuse_every;
        const struct fake_choice *c = run(&f, two_calls);
        assert_string_equal(c->text, "Let me look.");
        assert_int_equal(c->n_calls, 2);
        assert_string_equal(c->tool_name, "weather");
        assert_string_equal(c->arguments, "{\"city\": \"Oslo\"}{\"city\": \"Rome\"}");
        assert_int_equal(c->finish, WEIR_FINISH_TOOL_CALLS);
        assert_int_equal(c->n_tokens, 10);
        stop(&f);
    }
}

static void without_parallel_calls_the_answer_ends_with_the_first(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, two_calls, false);
    const struct fake_choice *c = run(&f, two_calls);
    assert_int_equal(c->n_calls, 1);
    assert_string_equal(c->arguments, "{\"city\": \"Oslo\"}");
    assert_int_equal(c->n_tokens, 7); /* nothing is sampled behind it */
    stop(&f);
}

static void an_answer_without_calls_is_text(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a <tool", " is", " a thing", NULL};
    struct fixture f;
    start(&f, pieces, true);
    const struct fake_choice *c = run(&f, pieces);
    assert_string_equal(c->text, "a <tool is a thing");
    assert_int_equal(c->finish, WEIR_FINISH_STOP);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_come_out_as_calls_also_to_a_slow_reader),
        cmocka_unit_test(without_parallel_calls_the_answer_ends_with_the_first),
        cmocka_unit_test(an_answer_without_calls_is_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
