/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/reply.h"

#include <stdlib.h>
#include <yyjson.h>

#include "tests/support/cmocka.h"

static void init(struct weir_reply *r, struct weir_arena *arena, uint32_t kind, bool stream,
                 uint32_t n)
{
    weir_arena_init(arena, 1 << 20);
    *r = (struct weir_reply){.kind = kind,
                             .stream = stream,
                             .include_usage = stream,
                             .id = WEIR_STR_INIT("id-1"),
                             .model = WEIR_STR_INIT("m\"x"),
                             .created_s = 5,
                             .n_choices = n,
                             .max_bytes = 1000};
    assert_int_equal(weir_reply_init(r, arena), 0);
}

static weir_chunk text(uint32_t choice, const char *s)
{
    return (weir_chunk){.struct_size = sizeof(weir_chunk),
                        .kind = WEIR_CHUNK_TEXT,
                        .choice = choice,
                        .text = weir_str_from(s),
                        .n_tokens = 1};
}

static weir_chunk end(uint32_t choice, uint32_t finish)
{
    return (weir_chunk){.struct_size = sizeof(weir_chunk),
                        .kind = WEIR_CHUNK_FINISH,
                        .choice = choice,
                        .finish = finish};
}

static const weir_outcome outcome = {
    .struct_size = sizeof(outcome), .prompt_tokens = 7, .cached_tokens = 4, .completion_tokens = 3};

static const char *str_at(yyjson_doc *doc, const char *pointer)
{
    return yyjson_get_str(yyjson_doc_ptr_get(doc, pointer));
}

static void whole_chat_answer_has_choices_and_usage(void **state)
{
    (void)state;
    struct weir_reply r;
    struct weir_arena arena;
    struct weir_buf out;
    weir_buf_init(&out, 10000);
    init(&r, &arena, WEIR_GENERATION_CHAT, false, 2);
    weir_chunk chunks[] = {text(0, "Hel"), text(1, "A"), text(0, "lo \"x\""),
                           end(1, WEIR_FINISH_LENGTH), end(0, WEIR_FINISH_STOP)};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(weir_reply_add(&r, &chunks[i], &out), 0);
    }
    assert_int_equal(out.len, 0);
    assert_int_equal(weir_reply_end(&r, &outcome, &out), 0);

    yyjson_doc *doc = yyjson_read(out.data, out.len, 0);
    assert_non_null(doc);
    assert_string_equal(str_at(doc, "/object"), "chat.completion");
    assert_string_equal(str_at(doc, "/model"), "m\"x");
    assert_string_equal(str_at(doc, "/choices/0/message/content"), "Hello \"x\"");
    assert_string_equal(str_at(doc, "/choices/0/finish_reason"), "stop");
    assert_string_equal(str_at(doc, "/choices/1/finish_reason"), "length");
    assert_int_equal(yyjson_get_uint(yyjson_doc_ptr_get(doc, "/usage/total_tokens")), 10);
    assert_int_equal(
        yyjson_get_uint(yyjson_doc_ptr_get(doc, "/usage/prompt_tokens_details/cached_tokens")), 4);
    yyjson_doc_free(doc);
    weir_buf_finish(&out);
    weir_reply_finish(&r);
    weir_arena_finish(&arena);
}

static void whole_answer_carries_tool_calls(void **state)
{
    (void)state;
    struct weir_reply r;
    struct weir_arena arena;
    struct weir_buf out;
    weir_buf_init(&out, 10000);
    init(&r, &arena, WEIR_GENERATION_CHAT, false, 1);
    weir_chunk call = {.struct_size = sizeof(call), .kind = WEIR_CHUNK_TOOL_CALL};
    static const char *const ids[] = {"call_1", "call_2"};
    for (uint32_t i = 0; i < 2; i++) {
        call.tool_index = i;
        call.tool_id = weir_str_from(ids[i]);
        call.tool_name = weir_str_from("f");
        call.text = weir_str_from("{\"a\"");
        assert_int_equal(weir_reply_add(&r, &call, &out), 0);
        call.tool_id = call.tool_name = (weir_str){NULL, 0};
        call.text = weir_str_from(":1}");
        assert_int_equal(weir_reply_add(&r, &call, &out), 0);
    }
    weir_chunk finish = end(0, WEIR_FINISH_TOOL_CALLS);
    assert_int_equal(weir_reply_add(&r, &finish, &out), 0);
    assert_int_equal(weir_reply_end(&r, &outcome, &out), 0);

    yyjson_doc *doc = yyjson_read(out.data, out.len, 0);
    assert_non_null(doc);
    assert_true(yyjson_is_null(yyjson_doc_ptr_get(doc, "/choices/0/message/content")));
    assert_string_equal(str_at(doc, "/choices/0/message/tool_calls/1/id"), "call_2");
    assert_string_equal(str_at(doc, "/choices/0/message/tool_calls/0/function/arguments"),
                        "{\"a\":1}");
    assert_string_equal(str_at(doc, "/choices/0/finish_reason"), "tool_calls");
    yyjson_doc_free(doc);
    weir_buf_finish(&out);
    weir_reply_finish(&r);
    weir_arena_finish(&arena);
}

/* Reads the event at *at and moves behind it. */
static yyjson_doc *next_event(const char **at)
{
    assert_memory_equal(*at, "data: ", 6);
    const char *stop = strstr(*at, "\n\n");
    assert_non_null(stop);
    yyjson_doc *doc = yyjson_read(*at + 6, (size_t)(stop - *at - 6), 0);
    *at = stop + 2;
    return doc;
}

static void stream_opens_with_the_role_and_ends_with_done(void **state)
{
    (void)state;
    struct weir_reply r;
    struct weir_arena arena;
    struct weir_buf out;
    weir_buf_init(&out, 10000);
    init(&r, &arena, WEIR_GENERATION_CHAT, true, 1);
    weir_chunk a = text(0, "A"), empty = text(0, ""), z = end(0, WEIR_FINISH_STOP);
    assert_int_equal(weir_reply_add(&r, &a, &out), 0);
    assert_int_equal(weir_reply_add(&r, &empty, &out), 0);
    assert_int_equal(weir_reply_add(&r, &z, &out), 0);
    assert_int_equal(weir_reply_end(&r, &outcome, &out), 0);

    const char *at = out.data;
    yyjson_doc *doc = next_event(&at);
    assert_string_equal(str_at(doc, "/choices/0/delta/role"), "assistant");
    assert_true(yyjson_is_null(yyjson_doc_ptr_get(doc, "/usage")));
    yyjson_doc_free(doc);
    doc = next_event(&at);
    assert_string_equal(str_at(doc, "/choices/0/delta/content"), "A");
    yyjson_doc_free(doc);
    doc = next_event(&at);
    assert_string_equal(str_at(doc, "/choices/0/finish_reason"), "stop");
    yyjson_doc_free(doc);
    doc = next_event(&at);
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/choices")), 0);
    assert_int_equal(yyjson_get_uint(yyjson_doc_ptr_get(doc, "/usage/prompt_tokens")), 7);
    yyjson_doc_free(doc);
    assert_string_equal(at, "data: [DONE]\n\n");
    weir_buf_finish(&out);
    weir_reply_finish(&r);
    weir_arena_finish(&arena);
}

static void completion_logprobs_come_in_columns(void **state)
{
    (void)state;
    struct weir_reply r;
    struct weir_arena arena;
    struct weir_buf out;
    weir_buf_init(&out, 10000);
    init(&r, &arena, WEIR_GENERATION_COMPLETION, false, 1);
    r.want_logprobs = true;
    weir_logprob top[] = {{1, -0.25f, WEIR_STR_INIT("\xC3\xA9")}, {2, -2, WEIR_STR_INIT("b")}};
    weir_token_logprobs lp = {.chosen = top[0], .top = top, .n_top = 2};
    weir_chunk c = text(0, "\xC3\xA9");
    c.logprobs = &lp;
    c.n_logprobs = 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_reply_add(&r, &c, &out), 0);
    }
    assert_int_equal(weir_reply_end(&r, &outcome, &out), 0);
    yyjson_doc *doc = yyjson_read(out.data, out.len, 0);
    assert_non_null(doc);
    assert_string_equal(str_at(doc, "/choices/0/logprobs/tokens/1"), "\xC3\xA9");
    assert_int_equal(yyjson_get_uint(yyjson_doc_ptr_get(doc, "/choices/0/logprobs/text_offset/1")),
                     1);
    assert_true(yyjson_get_real(yyjson_doc_ptr_get(doc, "/choices/0/logprobs/token_logprobs/0")) ==
                -0.25);
    yyjson_doc_free(doc);
    weir_buf_finish(&out);
    weir_reply_finish(&r);
    weir_arena_finish(&arena);
}

static void answers_over_the_limit_fail(void **state)
{
    (void)state;
    struct weir_reply r;
    struct weir_arena arena;
    struct weir_buf out;
    weir_buf_init(&out, 10000);
    init(&r, &arena, WEIR_GENERATION_CHAT, false, 1);
    char big[1001];
    memset(big, 'x', 1000);
    big[1000] = '\0';
    weir_chunk a = text(0, big), b = text(0, "y"), other = text(1, "y");
    assert_int_equal(weir_reply_add(&r, &a, &out), 0);
    assert_int_equal(weir_reply_add(&r, &b, &out), WEIR_E_TOOBIG);
    assert_int_equal(weir_reply_add(&r, &other, &out), WEIR_E_ARG);
    weir_buf_finish(&out);
    weir_reply_finish(&r);
    weir_arena_finish(&arena);
}

static void the_next_reply_uses_the_memory_of_the_last(void **state)
{
    (void)state;
    struct weir_arena arena;
    struct weir_reply r;
    struct weir_buf out;
    weir_buf_init(&out, 100000);
    init(&r, &arena, WEIR_GENERATION_CHAT, false, 1);
    weir_chunk chunk = text(0, "some words");
    assert_int_equal(weir_reply_add(&r, &chunk, &out), 0);
    weir_reply_recycle(&r);
    char *kept = r.spare.data;
    assert_non_null(kept);

    assert_int_equal(weir_reply_init(&r, &arena), 0);
    assert_int_equal(weir_reply_add(&r, &chunk, &out), 0);
    assert_int_equal(weir_reply_end(&r, &outcome, &out), 0);
    assert_non_null(strstr(out.data, "\"content\":\"some words\""));
    weir_reply_recycle(&r);
    assert_ptr_equal(r.spare.data, kept);

    weir_reply_finish(&r);
    weir_buf_finish(&out);
    weir_arena_finish(&arena);
}

/* A whole answer; free(). */
static char *answer_of(weir_str model, uint32_t kind, uint64_t created_s,
                       struct weir_reply_frame *frame)
{
    struct weir_reply r;
    struct weir_arena arena;
    struct weir_buf out;
    weir_buf_init(&out, 10000);
    init(&r, &arena, kind, false, 1);
    r.model = model;
    r.created_s = created_s;
    r.frame = frame;
    weir_chunk chunks[] = {text(0, "A"), end(0, WEIR_FINISH_STOP)};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(weir_reply_add(&r, &chunks[i], &out), 0);
    }
    assert_int_equal(weir_reply_end(&r, &outcome, &out), 0);
    weir_reply_finish(&r);
    weir_arena_finish(&arena);
    return weir_buf_take(&out, NULL);
}

static void answers_are_the_same_with_a_frame(void **state)
{
    (void)state;
    static char long_name[300];
    memset(long_name, 'm', sizeof(long_name));
    static const struct {
        const char *model;
        uint32_t kind;
        uint64_t created_s;
    } cases[] = {
        {"one", WEIR_GENERATION_CHAT, 5},       {"one", WEIR_GENERATION_CHAT, 5},
        {"two", WEIR_GENERATION_CHAT, 5},       {"two", WEIR_GENERATION_CHAT, 6},
        {"two", WEIR_GENERATION_COMPLETION, 6}, {NULL, WEIR_GENERATION_COMPLETION, 6},
        {NULL, WEIR_GENERATION_COMPLETION, 6},  {"two", WEIR_GENERATION_COMPLETION, 6},
        {"twofold", WEIR_GENERATION_CHAT, 6},   {"\"", WEIR_GENERATION_CHAT, 6},
    };
    struct weir_reply_frame frame = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_str model = cases[i].model ? weir_str_from(cases[i].model)
                                        : (weir_str){long_name, sizeof(long_name)};
        char *with = answer_of(model, cases[i].kind, cases[i].created_s, &frame);
        char *without = answer_of(model, cases[i].kind, cases[i].created_s, NULL);
        assert_string_equal(with, without);
        free(with);
        free(without);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_chat_answer_has_choices_and_usage),
        cmocka_unit_test(whole_answer_carries_tool_calls),
        cmocka_unit_test(stream_opens_with_the_role_and_ends_with_done),
        cmocka_unit_test(completion_logprobs_come_in_columns),
        cmocka_unit_test(answers_over_the_limit_fail),
        cmocka_unit_test(the_next_reply_uses_the_memory_of_the_last),
        cmocka_unit_test(answers_are_the_same_with_a_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
