/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/api_request.h"

#include "tests/support/cmocka.h"

#define CHAT(extra) "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" extra "}"

struct parsed {
    struct weir_arena arena;
    yyjson_doc *doc;
    struct weir_api_request request;
    weir_refusal refusal;
    int rc;
};

static void parse(struct parsed *p, uint32_t kind, const char *text)
{
    *p = (struct parsed){0};
    weir_arena_init(&p->arena, 1 << 20);
    p->doc = yyjson_read(text, strlen(text), 0);
    assert_non_null(p->doc);
    p->rc = weir_api_request_parse(yyjson_doc_get_root(p->doc), kind, &p->arena, &p->request,
                                   &p->refusal);
}

static void finish(struct parsed *p)
{
    yyjson_doc_free(p->doc);
    weir_arena_finish(&p->arena);
}

static void every_parameter_is_read(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, WEIR_GENERATION_CHAT,
          CHAT(",\"temperature\":0.5,\"top_k\":40,\"logit_bias\":{\"5\":-100},\"seed\":-3,\"n\":2,"
               "\"max_completion_tokens\":64,\"stop\":[\"a\",\"b\"],\"stream\":true,"
               "\"stream_options\":{\"include_usage\":true},\"logprobs\":true,\"top_logprobs\":5"));
    const weir_generation *g = &p.request.generation;
    assert_int_equal(p.rc, 0);
    assert_true(g->sampling.temperature == 0.5f);
    assert_int_equal(g->sampling.top_k, 40);
    assert_int_equal(g->sampling.n_bias, 1);
    assert_int_equal(g->sampling.bias[0].token, 5);
    assert_true(g->sampling.seed == (uint64_t)-3);
    assert_int_equal(g->n, 2);
    assert_int_equal(g->max_tokens, 64);
    assert_int_equal(g->n_stop, 2);
    assert_true(p.request.stream && p.request.include_usage);
    assert_int_equal(g->n_top, 5);
    assert_true(weir_str_is(g->messages_json, "[{\"role\":\"user\",\"content\":\"hi\"}]"));
    finish(&p);
}

static void what_is_left_out_of_sampling_is_the_models(void **state)
{
    (void)state;
    const weir_sampling models = {.struct_size = sizeof(models),
                                  .temperature = 0.25f,
                                  .top_p = 0.5f,
                                  .top_k = 40,
                                  .min_p = 0.125f,
                                  .typical_p = 0.75f,
                                  .repetition_penalty = 1.5f,
                                  .presence_penalty = -1,
                                  .frequency_penalty = 2};
    struct parsed p;
    parse(&p, WEIR_GENERATION_CHAT, CHAT(",\"seed\":7,\"logit_bias\":{\"5\":1},\"top_p\":null"));
    weir_sampling s = weir_api_request_sampling(&p.request, &models);
    assert_int_equal(p.request.generation.sampling_given, 0);
    assert_true(s.temperature == 0.25f && s.top_p == 0.5f && s.top_k == 40 && s.min_p == 0.125f);
    assert_true(s.typical_p == 0.75f && s.repetition_penalty == 1.5f);
    assert_true(s.presence_penalty == -1 && s.frequency_penalty == 2);
    assert_true(s.seed == 7 && s.n_bias == 1);
    finish(&p);
    parse(&p, WEIR_GENERATION_CHAT,
          CHAT(",\"temperature\":1,\"top_p\":1,\"top_k\":-1,\"min_p\":0,\"typical_p\":1,"
               "\"repetition_penalty\":1,\"presence_penalty\":0,\"frequency_penalty\":0"));
    s = weir_api_request_sampling(&p.request, &models);
    assert_true(s.temperature == 1 && s.top_p == 1 && s.top_k == 0 && s.min_p == 0);
    assert_true(s.typical_p == 1 && s.repetition_penalty == 1);
    assert_true(s.presence_penalty == 0 && s.frequency_penalty == 0);
    finish(&p);
}

static void wrong_chat_requests_name_the_parameter(void **state)
{
    (void)state;
    static const struct {
        const char *body, *param;
    } cases[] = {
        {"{}", "messages"},
        {"{\"messages\":[]}", "messages"},
        {"{\"messages\":{}}", "messages"},
        {"{\"messages\":[1]}", "messages[0]"},
        {"{\"messages\":[{\"role\":\"x\",\"content\":\"\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"zip\":1}]}", "messages[0].zip"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         "messages[0].content[0].type"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"}]}", "messages[0].tool_call_id"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[{}]}]}",
         "messages[0].tool_calls"},
        {CHAT(",\"frobnicate\":1"), "frobnicate"},
        {CHAT(",\"prompt\":\"x\""), "prompt"},
        {CHAT(",\"temperature\":2.1"), "temperature"},
        {CHAT(",\"temperature\":\"1\""), "temperature"},
        {CHAT(",\"top_p\":-0.1"), "top_p"},
        {CHAT(",\"top_k\":1.5"), "top_k"},
        {CHAT(",\"top_k\":-2"), "top_k"},
        {CHAT(",\"n\":0"), "n"},
        {CHAT(",\"n\":65"), "n"},
        {CHAT(",\"n\":18446744073709551616"), "n"},
        {CHAT(",\"max_tokens\":0"), "max_tokens"},
        {CHAT(",\"max_tokens\":-5"), "max_tokens"},
        {CHAT(",\"max_tokens\":1e30"), "max_tokens"},
        {CHAT(",\"max_tokens\":5,\"max_completion_tokens\":6"), "max_tokens"},
        {CHAT(",\"stop\":\"\""), "stop"},
        {CHAT(",\"stop\":[1]"), "stop"},
        {CHAT(",\"logit_bias\":{\"x\":1}"), "logit_bias"},
        {CHAT(",\"logit_bias\":{\"-1\":1}"), "logit_bias"},
        {CHAT(",\"logit_bias\":{\"1\":101}"), "logit_bias"},
        {CHAT(",\"top_logprobs\":3"), "top_logprobs"},
        {CHAT(",\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs"},
        {CHAT(",\"stream_options\":{\"include_usage\":true}"), "stream_options"},
        {CHAT(",\"stream\":true,\"stream_options\":{\"x\":1}"), "stream_options.x"},
        {CHAT(",\"functions\":[]"), "functions"},
        {CHAT(",\"audio\":{}"), "audio"},
        {CHAT(",\"modalities\":[\"audio\"]"), "modalities"},
        {CHAT(",\"store\":true"), "store"},
        {CHAT(",\"tools\":[{\"type\":\"function\"}]"), "tools[0]"},
        {CHAT(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]"),
         "tools[0].function.name"},
        {CHAT(",\"tool_choice\":\"required\""), "tool_choice"},
        {CHAT(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{"
              "\"type\":\"function\",\"function\":{\"name\":\"g\"}}"),
         "tool_choice"},
        {CHAT(",\"response_format\":{\"type\":\"xml\"}"), "response_format.type"},
        {CHAT(",\"response_format\":{\"type\":\"json_schema\"}"), "response_format.json_schema"},
        {CHAT(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\"}}"),
         "response_format.json_schema.schema"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed p;
        parse(&p, WEIR_GENERATION_CHAT, cases[i].body);
        assert_int_equal(p.rc, WEIR_E_ARG);
        assert_int_equal(p.refusal.status, 400);
        assert_string_equal(p.refusal.param, cases[i].param);
        assert_true(p.refusal.message[0] != '\0');
        finish(&p);
    }
}

static void developer_becomes_system(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, WEIR_GENERATION_CHAT,
          "{\"messages\":[{\"role\":\"developer\",\"content\":\"a\"},"
          "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}]}");
    assert_int_equal(p.rc, 0);
    assert_true(weir_str_is(p.request.generation.messages_json,
                            "[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\","
                            "\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}]"));
    finish(&p);
}

static void completions_take_text_or_tokens(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, WEIR_GENERATION_COMPLETION, "{\"prompt\":[1,2,3],\"echo\":true,\"logprobs\":2}");
    assert_int_equal(p.rc, 0);
    assert_int_equal(p.request.generation.n_prompt_tokens, 3);
    assert_int_equal(p.request.generation.prompt_tokens[2], 3);
    assert_int_equal(p.request.generation.want_logprobs, 1);
    assert_int_equal(p.request.generation.max_tokens, 16); /* the API's default */
    finish(&p);
    parse(&p, WEIR_GENERATION_COMPLETION, "{\"prompt\":[\"one\"],\"max_tokens\":3}");
    assert_int_equal(p.rc, 0);
    assert_true(weir_str_is(p.request.generation.prompt, "one"));
    finish(&p);
    static const char *const bad[] = {"{\"prompt\":[\"a\",\"b\"]}", "{\"prompt\":[1,\"b\"]}",
                                      "{\"prompt\":5}", "{\"prompt\":[]}", "{\"prompt\":[-1]}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        parse(&p, WEIR_GENERATION_COMPLETION, bad[i]);
        assert_int_equal(p.rc, WEIR_E_ARG);
        assert_string_equal(p.refusal.param, "prompt");
        finish(&p);
    }
}

static void embeddings_take_texts_or_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *body, *input;
        uint32_t n;
    } good[] = {{"{\"input\":\"a\"}", "\"a\"", 1},
                {"{\"input\":[1,2]}", "[1,2]", 1},
                {"{\"input\":[\"a\",\"b\"]}", "[\"a\",\"b\"]", 2},
                {"{\"input\":[[1],[2,3],\"a\"]}", "[[1],[2,3],\"a\"]", 3}};
    struct parsed p;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        parse(&p, WEIR_GENERATION_EMBEDDING, good[i].body);
        assert_int_equal(p.rc, 0);
        assert_true(weir_str_is(p.request.generation.input_json, good[i].input));
        assert_int_equal(p.request.generation.n_inputs, good[i].n);
        finish(&p);
    }
    parse(&p, WEIR_GENERATION_EMBEDDING,
          "{\"input\":\"a\",\"encoding_format\":\"base64\",\"dimensions\":256,\"user\":\"u\"}");
    assert_int_equal(p.rc, 0);
    assert_int_equal(p.request.generation.is_base64, 1);
    assert_int_equal(p.request.generation.dimensions, 256);
    assert_true(weir_str_is(p.request.user, "u"));
    finish(&p);
    static const char *const bad[] = {"{}",
                                      "{\"input\":null}",
                                      "{\"input\":\"\"}",
                                      "{\"input\":[]}",
                                      "{\"input\":[[]]}",
                                      "{\"input\":[\"a\",[]]}",
                                      "{\"input\":[\"a\",1]}",
                                      "{\"input\":[1,\"a\"]}",
                                      "{\"input\":[4294967296]}",
                                      "{\"input\":7}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        parse(&p, WEIR_GENERATION_EMBEDDING, bad[i]);
        assert_int_equal(p.rc, WEIR_E_ARG);
        assert_string_equal(p.refusal.param, "input");
        finish(&p);
    }
}

static void a_seed_that_is_not_given_is_left_to_the_caller(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, WEIR_GENERATION_CHAT, CHAT(""));
    assert_int_equal(p.rc, 0);
    assert_false(p.request.seed_given);
    assert_true(p.request.generation.sampling.seed == 0);
    finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_is_read),
        cmocka_unit_test(what_is_left_out_of_sampling_is_the_models),
        cmocka_unit_test(wrong_chat_requests_name_the_parameter),
        cmocka_unit_test(developer_becomes_system),
        cmocka_unit_test(completions_take_text_or_tokens),
        cmocka_unit_test(embeddings_take_texts_or_tokens),
        cmocka_unit_test(a_seed_that_is_not_given_is_left_to_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
