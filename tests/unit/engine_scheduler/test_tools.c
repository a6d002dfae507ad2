/* SPDX-License-Identifier: Apache-2.0 */
/* Tool calls from sampled tokens to chunks, with readers that are full. */
#include "engine/scheduler/tool_stream.h"

#include <yyjson.h>

#include "engine/scheduler/delivery.h"
#include "rig.h"
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

static const char TEMPLATE[] = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}Calls stand "
                               "in <tool_call></tool_call>.\n"
                               "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";

static const char CHOICE_OF_TWO[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"paint\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"colour\":{\"enum\":[\"red\",\"blue\"]}},\"required\":[\"colour\"],"
    "\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"wait\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{},\"additionalProperties\":false}}}]";

static weir_generation forced_call(enum weir_tool_choice choice, const char *name)
{
    weir_generation g = rig_completion("", 600);
    g.kind = WEIR_GENERATION_CHAT;
    g.messages_json = weir_str_from("[{\"role\":\"user\",\"content\":\"Do it.\"}]");
    g.tools_json = weir_str_from(CHOICE_OF_TWO);
    g.tool_choice = choice;
    g.tool_name = weir_str_from(name);
    g.n = 4;
    g.sampling.temperature = 1;
    return g;
}

/* The fake backend has no idea of tools: what comes out is the grammar's doing. */
static void a_forced_call_is_a_call_whatever_the_model_wants(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.chat_template = TEMPLATE;
    rig_open(&r);
    weir_generation any = forced_call(WEIR_TOOLS_REQUIRED, NULL);
    weir_generation named = forced_call(WEIR_TOOLS_NAMED, "paint");
    weir_ticket tickets[] = {rig_add(&r, &any), rig_add(&r, &named)};
    rig_run(&r, 5000);
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < 4; i++) {
            const struct fake_choice *c = &r.sink->streams[tickets[t]].choices[i];
            assert_int_equal(c->finish, WEIR_FINISH_TOOL_CALLS);
            assert_int_equal(c->n_calls, 1);
            assert_true(strcmp(c->tool_name, "paint") == 0 ||
                        (t == 0 && strcmp(c->tool_name, "wait") == 0));
            yyjson_doc *doc = yyjson_read(c->arguments, c->arguments_len, 0);
            assert_true(yyjson_is_obj(yyjson_doc_get_root(doc)));
            yyjson_doc_free(doc);
        }
    }
    rig_close(&r);
}

static void a_call_of_an_unknown_tool_is_refused(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    r.chat_template = TEMPLATE;
    rig_open(&r);
    weir_generation g = forced_call(WEIR_TOOLS_NAMED, "fly");
    struct weir_prompt *prompt = NULL;
    weir_refusal refusal = {0};
    assert_int_equal(weir_prepare(&r.view, &g, &prompt, &refusal), WEIR_E_ARG);
    assert_string_equal(refusal.param, "tool_choice");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_come_out_as_calls_also_to_a_slow_reader),
        cmocka_unit_test(without_parallel_calls_the_answer_ends_with_the_first),
        cmocka_unit_test(an_answer_without_calls_is_text),
        cmocka_unit_test(a_forced_call_is_a_call_whatever_the_model_wants),
        cmocka_unit_test(a_call_of_an_unknown_tool_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
