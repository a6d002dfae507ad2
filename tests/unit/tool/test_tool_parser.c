/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tool/tool_parser.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

/* What came out, one letter per run of events: C content, S name, A arguments, E end. Calls of
 * another id or index than expected show as `!`. */
struct log {
    struct weir_buf text;
    char last;
    unsigned n_started;
};

static int record(void *ctx, const struct weir_tool_event *e)
{
    struct log *log = ctx;
    static const char letters[] = "CSAE";
    char letter = letters[e->kind];
    if (e->kind == WEIR_TOOL_EVENT_START) {
        weir_buf_add_text(&log->text, e->index == log->n_started++ && e->id.n ? "" : "!");
    } else if (e->kind != WEIR_TOOL_EVENT_CONTENT) {
        weir_buf_add_text(&log->text, e->index == log->n_started - 1 ? "" : "!");
    }
    if (letter != log->last || letter == 'S') {
        weir_buf_printf(&log->text, "%s%c:", log->text.len ? "|" : "", letter);
    }
    log->last = letter;
    weir_buf_add_str(&log->text, letter == 'S' ? e->name : e->text);
    return 0;
}

static const char TOOLS[] = "[{\"function\":{\"name\":\"get\"}},{\"function\":{\"name\":\"now\"}}]";

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Feeds pieces of 1 to max_piece bytes. */
static void parse(const char *format, weir_str output, size_t max_piece, uint32_t random,
                  struct log *log)
{
    yyjson_doc *tools = yyjson_read(TOOLS, strlen(TOOLS), 0);
    assert_non_null(tools);
    *log = (struct log){0};
    weir_buf_init(&log->text, 1 << 20);
    struct weir_tool_parser p;
    weir_tool_parser_init(&p, weir_tool_format_find(weir_str_from(format)),
                          yyjson_doc_get_root(tools), 7,
                          (struct weir_tool_sink){.emit = record, .ctx = log});
    for (size_t at = 0; at < output.n;) {
        size_t n = 1 + next_random(&random) % max_piece;
        n = n < output.n - at ? n : output.n - at;
        assert_int_equal(weir_tool_parser_feed(&p, (weir_str){output.p + at, n}), 0);
        at += n;
    }
    assert_int_equal(weir_tool_parser_end(&p), 0);
    weir_tool_parser_finish(&p);
    yyjson_doc_free(tools);
    assert_false(log->text.failed);
}

static const char *text_of(const struct log *log)
{
    return log->text.data ? log->text.data : "";
}

static const struct {
    const char *format, *output, *expected;
} cases[] = {
    {"hermes", "Hello", "C:Hello"},
    {"hermes", "", ""},
    {"hermes", " \n ", "C: \n "},
    {"hermes", "a < b <tool", "C:a < b <tool"},
    {"hermes", "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": 1}}\n</tool_call>",
     "S:get|A:{\"a\": 1}|E:"},
    {"hermes", "\n\n<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>\n", "S:get|A:{}|E:"},
    {"hermes", "Sure.\n<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>",
     "C:Sure.\n|S:get|A:{}|E:"},
    {"hermes",
     "<tool_call>{\"name\":\"get\",\"arguments\":{\"s\":\"}{\\\"\\\\\"}}</tool_call>\n"
     "<tool_call>\n{\"name\":\"now\",\"arguments\":{\"l\":[{},[1]]}}\n</tool_call> done",
     "S:get|A:{\"s\":\"}{\\\"\\\\\"}|E:|S:now|A:{\"l\":[{},[1]]}|E:|C: done"},
    {"hermes", "<tool_call>{\"arguments\":{\"a\":2},\"name\":\"get\"}</tool_call>",
     "S:get|A:{\"a\":2}|E:"},
    {"hermes", "<tool_call>{\"name\":\"now\"}</tool_call>", "S:now|A:{}|E:"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"a\\\":3}\"}</tool_call>",
     "S:get|A:{\"a\":3}|E:"},
    {"hermes",
     "<tool_call>{\"id\":7,\"name\":\"get\",\"arguments\":{\"a\":1},\"x\":[1,{}]}</tool_call>",
     "S:get|A:{\"a\":1}|E:"},
    {"hermes", "<tool_call>{\"name\":\"other\",\"arguments\":{}}</tool_call>", "S:other|A:{}|E:"},
    {"hermes", "<tool_call>not json</tool_call>", "C:<tool_call>not json</tool_call>"},
    {"hermes", "<tool_call>{\"nam\":1}</tool_call>", "C:<tool_call>{\"nam\":1}</tool_call>"},
    {"hermes", "<tool_call>{\"name\":5}", "C:<tool_call>{\"name\":5}"},
    {"hermes", "<tool_call>{\"name\":\"get\",", "C:<tool_call>{\"name\":\"get\","},
    {"hermes", "<tool_call><tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>",
     "C:<tool_call>|S:get|A:{}|E:"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{\"a\":", "S:get|A:{\"a\":"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_c", "S:get|A:{}|E:"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{}}x", "S:get|A:{}|E:|C:x"},
    {"hermes", "<tool_call>{\"name\":\"get\",\"arguments\":{}]</tool_call>",
     "S:get|A:{}|C:]</tool_call>"},
    {"hermes", "{\"name\":\"get\",\"arguments\":{}}", "C:{\"name\":\"get\",\"arguments\":{}}"},
    {"hermes",
     "Gr\xc3\xbc\xc3\x9f <tool_call>{\"name\":\"get\",\"arguments\":{\"s\":\"\xe4\xb8\x96\"}}",
     "C:Gr\xc3\xbc\xc3\x9f |S:get|A:{\"s\":\"\xe4\xb8\x96\"}|E:"},
    {"mistral", "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {\"a\": 1}}]",
     "S:get|A:{\"a\": 1}|E:"},
    {"mistral",
     "[TOOL_CALLS][{\"name\":\"get\",\"arguments\":{}}, {\"name\":\"now\",\"arguments\":{}}]",
     "S:get|A:{}|E:|S:now|A:{}|E:"},
    {"mistral", "[TOOL_CALLS]get[ARGS]{\"a\": 1}", "S:get|A:{\"a\": 1}|E:"},
    {"mistral", "[TOOL_CALLS]get[ARGS]{\"a\":[1]}[TOOL_CALLS]now[CALL_ID]abc[ARGS]{}",
     "S:get|A:{\"a\":[1]}|E:|S:now|A:{}|E:"},
    {"mistral", "[TOOL_CALLS]\nnothing\n", "C:[TOOL_CALLS]\nnothing\n"},
    {"mistral", "[TOO", "C:[TOO"},
    {"mistral", "[1, 2]", "C:[1, 2]"},
    {"mistral", "[TOOL_CALLS][]", "C:[TOOL_CALLS][]"},
    {"llama", "{\"name\": \"get\", \"parameters\": {\"a\": 1}}", "S:get|A:{\"a\": 1}|E:"},
    {"llama", "<|python_tag|>{\"name\": \"get\", \"parameters\": {}}", "S:get|A:{}|E:"},
    {"llama", " {\"type\": \"function\", \"name\": \"get\", \"parameters\": {}}", "S:get|A:{}|E:"},
    {"llama", "{\"name\": \"get\", \"parameters\": {}}; {\"name\": \"now\", \"parameters\": {}}",
     "S:get|A:{}|E:|S:now|A:{}|E:"},
    {"llama", "{\"name\": \"get\", \"parameters\": {}}\n{\"name\": \"now\", \"parameters\": {}};",
     "S:get|A:{}|E:|S:now|A:{}|E:"},
    {"llama", "{\"name\": \"Bob\", \"parameters\": {}}",
     "C:{\"name\": \"Bob\", \"parameters\": {}}"},
    {"llama", "{\"answer\": 42}", "C:{\"answer\": 42}"},
    {"llama", "text {\"name\": \"get\", \"parameters\": {}}",
     "C:text {\"name\": \"get\", \"parameters\": {}}"},
    {"llama", "{\"name\": \"get\", \"parameters\": {}}; ok", "S:get|A:{}|E:|C:; ok"},
    {"granite", "<|tool_call|>[{\"name\":\"get\",\"arguments\":{}}]", "S:get|A:{}|E:"},
    {"nemotron", "<TOOLCALL>[{\"name\":\"get\",\"arguments\":{}}]</TOOLCALL>", "S:get|A:{}|E:"},
    {"json", "[{\"name\":\"get\",\"arguments\":{}},{\"name\":\"now\",\"arguments\":{}}]",
     "S:get|A:{}|E:|S:now|A:{}|E:"},
    {"json", "{\"name\":\"get\",\"arguments\":{\"a\":1}}", "S:get|A:{\"a\":1}|E:"},
    {"json", "[1]", "C:[1]"},
};
enum { N_CASES = sizeof(cases) / sizeof(*cases) };

static void calls_and_content_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct log log;
        parse(cases[i].format, weir_str_from(cases[i].output), 1000000, 1, &log);
        assert_string_equal(text_of(&log), cases[i].expected);
        weir_buf_finish(&log.text);
    }
}

static void the_result_does_not_depend_on_the_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        for (uint32_t seed = 1; seed < 60; seed++) {
            struct log log;
            parse(cases[i].format, weir_str_from(cases[i].output), seed < 5 ? 1 : seed / 4, seed,
                  &log);
            assert_string_equal(text_of(&log), cases[i].expected);
            weir_buf_finish(&log.text);
        }
    }
}

/* Random mixtures of what calls consist of: whole and cut in pieces they give the same. */
static void garbled_output_is_read_alike_in_any_pieces(void **state)
{
    (void)state;
    static const char *const parts[] = {"<tool_call>",
                                        "</tool_call>",
                                        "[TOOL_CALLS]",
                                        "[ARGS]",
                                        "<|python_tag|>",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        ":",
                                        ";",
                                        "\"",
                                        "\\",
                                        "\"name\"",
                                        "\"get\"",
                                        "\"arguments\"",
                                        "\"parameters\"",
                                        " ",
                                        "\n",
                                        "x",
                                        "get",
                                        "1",
                                        "{\"name\":\"get\",\"arguments\":{",
                                        "null",
                                        "<tool",
                                        "[TOOL"};
    static const char *const names[] = {"hermes", "mistral", "llama", "nemotron", "json"};
    uint32_t random = 12345;
    for (int round = 0; round < 3000; round++) {
        struct weir_buf output;
        weir_buf_init(&output, 10000);
        for (uint32_t n = next_random(&random) % 20; n > 0; n--) {
            weir_buf_add_text(&output,
                              parts[next_random(&random) % (sizeof(parts) / sizeof(*parts))]);
        }
        const char *format = names[next_random(&random) % 5];
        struct log whole, cut;
        parse(format, weir_buf_view(&output), 1000000, 1, &whole);
        parse(format, weir_buf_view(&output), 1 + next_random(&random) % 4, random, &cut);
        assert_string_equal(text_of(&whole), text_of(&cut));
        assert_null(strchr(text_of(&whole), '!'));
        weir_buf_finish(&whole.text);
        weir_buf_finish(&cut.text);
        weir_buf_finish(&output);
    }
}

static int count_bytes(void *ctx, const struct weir_tool_event *e)
{
    *(size_t *)ctx += e->text.n;
    return 0;
}

static void plain_text_is_not_held_back(void **state)
{
    (void)state;
    size_t n_out = 0;
    struct weir_tool_parser p;
    weir_tool_parser_init(&p, weir_tool_format_find(weir_str_from("hermes")), NULL, 1,
                          (struct weir_tool_sink){.emit = count_bytes, .ctx = &n_out});

    assert_int_equal(weir_tool_parser_feed(&p, weir_str_from("abc")), 0);
    assert_int_equal(n_out, 3);
    assert_int_equal(weir_tool_parser_feed(&p, weir_str_from("d <to")), 0);
    assert_int_equal(n_out, 5); /* "<to" may become a marker */
    assert_int_equal(weir_tool_parser_feed(&p, weir_str_from("p")), 0);
    assert_int_equal(n_out, 9);

    weir_tool_parser_finish(&p);
}

static void arguments_stream_as_they_come(void **state)
{
    (void)state;
    size_t n_out = 0;
    struct weir_tool_parser p;
    weir_tool_parser_init(&p, weir_tool_format_find(weir_str_from("hermes")), NULL, 1,
                          (struct weir_tool_sink){.emit = count_bytes, .ctx = &n_out});

    const char *head = "<tool_call>{\"name\":\"get\",\"arguments\":";
    assert_int_equal(weir_tool_parser_feed(&p, weir_str_from(head)), 0);
    assert_int_equal(n_out, 0);
    assert_int_equal(weir_tool_parser_feed(&p, weir_str_from("{\"a\"")), 0);
    assert_int_equal(n_out, 4);

    weir_tool_parser_finish(&p);
}

static void an_endless_head_becomes_content(void **state)
{
    (void)state;
    size_t n_out = 0, n_in = 0;
    struct weir_tool_parser p;
    weir_tool_parser_init(&p, weir_tool_format_find(weir_str_from("hermes")), NULL, 1,
                          (struct weir_tool_sink){.emit = count_bytes, .ctx = &n_out});

    weir_str piece = weir_str_from("<tool_call>{\"x\":\"");
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(weir_tool_parser_feed(&p, piece), 0);
        n_in += piece.n;
        piece = weir_str_from("0123456789");
    }
    assert_int_equal(weir_tool_parser_end(&p), 0);
    assert_int_equal(n_out, n_in);

    weir_tool_parser_finish(&p);
}

static int refuse(void *ctx, const struct weir_tool_event *e)
{
    (void)ctx;
    (void)e;
    return WEIR_E_BUSY;
}

static void a_refusing_sink_stops_the_parser(void **state)
{
    (void)state;
    struct weir_tool_parser p;
    weir_tool_parser_init(&p, weir_tool_format_find(weir_str_from("hermes")), NULL, 1,
                          (struct weir_tool_sink){.emit = refuse});

    assert_int_equal(weir_tool_parser_feed(&p, weir_str_from("abc")), WEIR_E_BUSY);
    assert_int_equal(weir_tool_parser_feed(&p, weir_str_from("abc")), WEIR_E_BUSY);

    weir_tool_parser_finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_and_content_are_told_apart),
        cmocka_unit_test(the_result_does_not_depend_on_the_pieces),
        cmocka_unit_test(garbled_output_is_read_alike_in_any_pieces),
        cmocka_unit_test(plain_text_is_not_held_back),
        cmocka_unit_test(arguments_stream_as_they_come),
        cmocka_unit_test(an_endless_head_becomes_content),
        cmocka_unit_test(a_refusing_sink_stops_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
