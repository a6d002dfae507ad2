/* SPDX-License-Identifier: Apache-2.0 */
/* Settings, and the request that is written from them and a generation. */
#include "request_text.h"

#include <stdio.h>
#include <yyjson.h>

#include "tests/support/cmocka.h"

static int read_settings(struct weir_upstream_settings *s, const char *json, struct weir_error *err)
{
    return weir_upstream_settings_read(s, weir_str_from(json), err);
}

static weir_generation plain_chat(void)
{
    return (weir_generation){
        .struct_size = sizeof(weir_generation),
        .kind = WEIR_GENERATION_CHAT,
        .messages_json = WEIR_STR_INIT("[{\"role\":\"user\",\"content\":\"x\"}]"),
        .n = 1,
        .parallel_tool_calls = 1,
        .sampling = {.temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1}};
}

static void expect_body(const weir_generation *g, uint32_t max_tokens, const char *expected)
{
    struct weir_upstream_settings s;
    struct weir_buf b;
    weir_buf_init(&b, 100000);
    assert_int_equal(read_settings(&s, "{\"url\":\"http://h/v1\",\"model\":\"m\\\"1\"}", NULL), 0);
    weir_upstream_write_body(&b, &s, g, max_tokens);
    assert_false(b.failed);
    yyjson_doc *got = yyjson_read(b.data, b.len, 0),
               *want = yyjson_read(expected, strlen(expected), 0);
    assert_non_null(got);
    assert_non_null(want);
    if (!yyjson_equals(yyjson_doc_get_root(got), yyjson_doc_get_root(want))) {
        fail_msg("got %s", b.data);
    }
    yyjson_doc_free(got);
    yyjson_doc_free(want);
    weir_buf_finish(&b);
    weir_upstream_settings_finish(&s);
}

static void defaults_are_left_to_the_upstream(void **state)
{
    (void)state;
    weir_generation g = plain_chat();
    expect_body(&g, 0,
                "{\"model\":\"m\\\"1\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
}

static void every_field_goes_out(void **state)
{
    (void)state;
    static const weir_logit_bias bias[] = {{5, -1.5f}, {6, 2}};
    weir_generation g = plain_chat();
    g.stream = 1;
    g.n = 2;
    g.tools_json = weir_str_from("[{\"type\":\"function\"}]");
    g.tool_choice = WEIR_TOOLS_NAMED;
    g.tool_name = weir_str_from("f");
    g.parallel_tool_calls = 0;
    g.format = WEIR_FORMAT_JSON;
    g.want_logprobs = 1;
    g.n_top = 3;
    g.stop[0] = weir_str_from("a\nb");
    g.n_stop = 1;
    g.ignore_eos = 1;
    g.user = weir_str_from("eve");
    g.seed_given = 1;
    g.template_args_json = weir_str_from("{\"k\":1}");
    g.sampling = (weir_sampling){.temperature = 0,
                                 .top_p = 0.5f,
                                 .typical_p = 0.25f,
                                 .min_p = 0.125f,
                                 .repetition_penalty = 1.5f,
                                 .presence_penalty = -1,
                                 .frequency_penalty = 2,
                                 .top_k = 40,
                                 .bias = bias,
                                 .n_bias = 2,
                                 .seed = 9};
    expect_body(
        &g, 100,
        "{\"model\":\"m\\\"1\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{"
        "\"type\":\"function\"}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"
        "\"f\"}"
        "},\"parallel_tool_calls\":false,\"response_format\":{\"type\":\"json_object\"},"
        "\"chat_template_kwargs\":{\"k\":1},\"max_tokens\":100,\"n\":2,\"temperature\":0,"
        "\"top_p\":0.5,\"typical_p\":0.25,\"min_p\":0.125,\"repetition_penalty\":1.5,"
        "\"presence_penalty\":-1,\"frequency_penalty\":2,\"top_k\":40,\"seed\":9,\"logit_bias\":{"
        "\"5\":-1.5,\"6\":2},\"stop\":[\"a\\nb\"],\"logprobs\":true,\"top_logprobs\":3,"
        "\"ignore_eos\":true,\"user\":\"eve\",\"stream\":true,\"stream_options\":{"
        "\"include_usage\":true}}");
}

static void completions_take_text_or_tokens(void **state)
{
    (void)state;
    static const int32_t tokens[] = {1, 2, 3};
    weir_generation g = plain_chat();
    g.kind = WEIR_GENERATION_COMPLETION;
    g.prompt = weir_str_from("once");
    g.echo = 1;
    g.want_logprobs = 1;
    expect_body(&g, 16,
                "{\"model\":\"m\\\"1\",\"prompt\":\"once\",\"echo\":true,\"max_tokens\":16,"
                "\"logprobs\":0}");
    g.prompt_tokens = tokens;
    g.n_prompt_tokens = 3;
    g.echo = g.want_logprobs = 0;
    expect_body(&g, 16, "{\"model\":\"m\\\"1\",\"prompt\":[1,2,3],\"max_tokens\":16}");
}

static void urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *authority, *path;
        int port;
        bool tls, address;
    } good[] = {
        {"http://h", "h", "h", "/chat/completions", 80, false, false},
        {"https://h.example/v1/", "h.example", "h.example", "/v1/chat/completions", 443, true,
         false},
        {"http://10.0.0.1:8000/a/v1", "10.0.0.1", "10.0.0.1:8000", "/a/v1/chat/completions", 8000,
         false, true},
        {"http://[::1]:81/v1", "::1", "[::1]:81", "/v1/chat/completions", 81, false, true},
        {"http://[::1]", "::1", "[::1]", "/chat/completions", 80, false, true},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct weir_upstream_settings s;
        char json[200];
        snprintf(json, sizeof(json), "{\"url\":\"%s\",\"model\":\"m\"}", good[i].url);
        assert_int_equal(read_settings(&s, json, NULL), 0);
        assert_string_equal(s.host, good[i].host);
        assert_string_equal(s.authority, good[i].authority);
        assert_string_equal(s.paths[WEIR_GENERATION_CHAT], good[i].path);
        assert_int_equal(s.port, good[i].port);
        assert_int_equal(s.is_tls, good[i].tls);
        assert_int_equal(s.is_address, good[i].address);
        weir_upstream_settings_finish(&s);
    }
    static const char *const bad[] = {
        "{\"url\":\"http://\",\"model\":\"m\"}",
        "{\"url\":\"http://h:0\",\"model\":\"m\"}",
        "{\"url\":\"http://h:70000\",\"model\":\"m\"}",
        "{\"url\":\"http://h:8x\",\"model\":\"m\"}",
        "{\"url\":\"http://u:p@h\",\"model\":\"m\"}",
        "{\"url\":\"http://h/?q\",\"model\":\"m\"}",
        "{\"url\":\"http://h/a b\",\"model\":\"m\"}",
        "{\"url\":\"http://[::1\",\"model\":\"m\"}",
        "{\"url\":\"ftp://h\",\"model\":\"m\"}",
        "{\"url\":\"http://h\",\"model\":\"m\",\"tls\":{}}",
        "{\"url\":\"https://h\",\"model\":\"m\",\"tls\":{\"cert\":\"c\"}}",
        "{\"url\":\"http://h\",\"model\":\"m\",\"api_key_file\":\"/no/such/file\"}",
        "{\"url\":\"http://h\",\"model\":\"m\",\"api_key_env\":\"NO_SUCH_VARIABLE\"}",
        "{\"url\":\"http://h\",\"model\":\"m\",\"timeouts\":{\"connect\":\"soon\"}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_upstream_settings s;
        struct weir_error err = {0};
        assert_int_equal(read_settings(&s, bad[i], &err), WEIR_E_ARG);
        assert_true(strlen(err.message) > 10);
    }
}

static void head_stands_right_before_the_body(void **state)
{
    (void)state;
    struct weir_upstream_settings s;
    struct weir_buf b;
    size_t n_before;
    weir_buf_init(&b, 100000);
    assert_int_equal(read_settings(&s, "{\"url\":\"http://h/v1\",\"model\":\"m\"}", NULL), 0);
    weir_generation g = plain_chat();
    for (int i = 0; i < 3; i++) {
        g.stream = i == 1;
        g.request_id = weir_str_from(i == 1 ? "" : "req-7");
        g.traceparent = weir_str_from(i == 2 ? "00-aa-bb-01" : "");
        weir_buf_reset(&b);
        weir_upstream_write_request(&b, &s, &g, 0, &n_before);
        assert_false(b.failed);
        const char *request = b.data + n_before, *body = strstr(request, "\r\n\r\n") + 4;
        char length[64];
        (void)snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n\r\n{", strlen(body));
        assert_int_equal(strncmp(request, "POST /v1/chat/completions HTTP/1.1\r\n", 36), 0);
        assert_non_null(strstr(request, length));
        assert_int_equal(strstr(request, "\r\nx-request-id: req-7\r\n") != NULL, i != 1);
        assert_int_equal(strstr(request, "\r\ntraceparent: 00-aa-bb-01\r\n") != NULL, i == 2);
        assert_int_equal(strstr(request, "\r\nAccept: text/event-stream\r\n") != NULL, i == 1);
    }
    weir_buf_finish(&b);
    weir_buf_init(&b, 200); /* too small */
    weir_upstream_write_request(&b, &s, &g, 0, &n_before);
    assert_true(b.failed);
    assert_int_equal(n_before, 0);
    weir_buf_finish(&b);
    weir_upstream_settings_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_left_to_the_upstream), cmocka_unit_test(every_field_goes_out),
        cmocka_unit_test(completions_take_text_or_tokens),   cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(head_stands_right_before_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
