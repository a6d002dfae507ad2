/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream's JSON as chunks: every field, every type that is wrong, readers that are full. */
#include "answer.h"

#include <stdio.h>

#include "tests/support/cmocka.h"

struct rig {
    struct weir_upstream_answer a;
    struct weir_upstream_failure failure;
    struct weir_arena arena;
    char seen[4096];
    int busy_at; /* the chunk (from 1) that is refused once */
    int n;
};

static int emit(void *arg, const weir_chunk *c)
{
    struct rig *r = arg;
    if (++r->n == r->busy_at) {
        r->busy_at = 0;
        r->n--;
        return WEIR_E_BUSY;
    }
    size_t n = strlen(r->seen);
    snprintf(r->seen + n, sizeof(r->seen) - n, "%u/%u#%llu:%.*s,%.*s,%.*s;%u;%u|", c->choice,
             c->kind, (unsigned long long)c->seq, (int)c->text.n, c->text.n ? c->text.p : "",
             (int)c->tool_id.n, c->tool_id.n ? c->tool_id.p : "", (int)c->tool_name.n,
             c->tool_name.n ? c->tool_name.p : "", c->finish, c->n_tokens);
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        n = strlen(r->seen);
        snprintf(r->seen + n, sizeof(r->seen) - n, "<%.*s %.2f %u>",
                 (int)c->logprobs[i].chosen.bytes.n, c->logprobs[i].chosen.bytes.p,
                 (double)c->logprobs[i].chosen.logprob, c->logprobs[i].n_top);
    }
    return 0;
}

static void open_rig(struct rig *r, uint32_t kind, bool stream, uint32_t n_choices)
{
    *r = (struct rig){.a = {.kind = kind, .stream = stream, .n_choices = n_choices, .emit = emit}};
    weir_arena_init(&r->arena, 1 << 20);
    r->a.arg = r;
    r->a.arena = &r->arena;
    r->a.failure = &r->failure;
}

static int read_text(struct rig *r, const char *json)
{
    return weir_upstream_answer_read(&r->a, weir_str_from(json));
}

static void close_rig(struct rig *r)
{
    weir_arena_finish(&r->arena);
}

static void a_chat_stream_becomes_chunks(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, WEIR_GENERATION_CHAT, true, 2);
    assert_int_equal(read_text(&r, "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
                                   "\"content\":\"\"}}]}"),
                     0);
    assert_string_equal(r.seen, "");
    assert_int_equal(read_text(&r,
                               "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\\u00e9\"}},"
                               "{\"delta\":{\"content\":\"b\"},\"finish_reason\":null}]}"),
                     0);
    assert_int_equal(read_text(&r, "{\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":"
                                   "\"length\"}],\"usage\":null}"),
                     0);
    assert_false(weir_upstream_answer_is_whole(&r.a));
    assert_int_equal(read_text(&r, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"c\"},"
                                   "\"finish_reason\":\"content_filter\"}]}"),
                     0);
    assert_true(weir_upstream_answer_is_whole(&r.a));
    assert_string_equal(r.seen, "1/1#0:a\xC3\xA9,,;0;1|0/1#0:b,,;0;1|1/3#1:,,;2;0|"
                                "0/1#1:c,,;0;1|0/3#2:,,;4;0|");
    assert_int_equal(read_text(&r, "{\"choices\":[],\"usage\":{\"prompt_tokens\":7,"
                                   "\"completion_tokens\":3,\"prompt_tokens_details\":{"
                                   "\"cached_tokens\":4}}}"),
                     0);
    assert_true(r.a.has_usage);
    assert_int_equal(r.a.prompt_tokens, 7);
    assert_int_equal(r.a.completion_tokens, 3);
    assert_int_equal(r.a.cached_tokens, 4);
    assert_int_equal(r.a.n_counted, 3);
    close_rig(&r);
}

static void a_whole_chat_answer_becomes_chunks(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, WEIR_GENERATION_CHAT, false, 1);
    assert_int_equal(
        read_text(&r, "{\"choices\":[{\"index\":0,\"message\":{\"content\":null,\"tool_calls\":[{"
                      "\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                      "\"arguments\":\"{}\"}},{\"id\":\"c2\",\"function\":{\"name\":\"g\","
                      "\"arguments\":\"\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{"
                      "\"prompt_tokens\":1,\"completion_tokens\":9}}"),
        0);
    assert_string_equal(r.seen, "0/2#0:{},c1,f;0;9|0/2#1:,c2,g;0;0|0/3#2:,,;3;0|");
    close_rig(&r);
}

static void embeddings_become_items_of_an_array(void **state)
{
    (void)state;
    struct rig r;
    static const char two[] =
        "{\"data\":[{\"index\":1,\"embedding\":[0.5,-1],\"more\":3},{\"index\":0,\"embedding\":"
        "\"AAA=\"}],\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4}}";
    open_rig(&r, WEIR_GENERATION_EMBEDDING, false, 1);
    r.a.n_inputs = 2;
    assert_int_equal(read_text(&r, two), 0);
    assert_string_equal(
        r.seen, "0/4#0:{\"object\":\"embedding\",\"index\":1,\"embedding\":[0.5,-1]},,;0;0|"
                "0/4#1:,{\"object\":\"embedding\",\"index\":0,\"embedding\":\"AAA=\"},,;0;0|"
                "0/3#2:,,;1;0|");
    assert_true(weir_upstream_answer_is_whole(&r.a));
    assert_int_equal(r.a.prompt_tokens, 4);
    close_rig(&r);
    for (int at = 1; at <= 3; at++) { /* a reader that is full at any of them */
        open_rig(&r, WEIR_GENERATION_EMBEDDING, false, 1);
        r.a.n_inputs = 2;
        r.busy_at = at;
        assert_int_equal(read_text(&r, two), WEIR_E_BUSY);
        assert_int_equal(read_text(&r, two), 0);
        assert_int_equal(r.n, 3);
        close_rig(&r);
    }
}

static void embeddings_of_other_inputs_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"data\":null}",
        "{\"data\":[]}",
        "{\"data\":[{\"embedding\":[1]}]}",
        "{\"data\":[{\"embedding\":[1]},{\"embedding\":[1]},{\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":0,\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":2,\"embedding\":[1]}]}",
        "{\"data\":[{\"index\":-1,\"embedding\":[1]},{\"index\":0,\"embedding\":[1]}]}",
        "{\"data\":[{\"embedding\":[1]},{\"embedding\":[\"1\"]}]}",
        "{\"data\":[{\"embedding\":[1]},{\"embedding\":[]}]}",
        "{\"data\":[{\"embedding\":[1]},{\"embedding\":\"\"}]}",
        "{\"data\":[{\"embedding\":[1]},7]}",
        "{\"choices\":[]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rig r;
        open_rig(&r, WEIR_GENERATION_EMBEDDING, false, 1);
        r.a.n_inputs = 2;
        assert_int_equal(read_text(&r, bad[i]), WEIR_E_FORMAT);
        assert_true(r.failure.message[0]);
        close_rig(&r);
    }
}

static void logprobs_of_both_shapes_are_read(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, WEIR_GENERATION_CHAT, true, 1);
    assert_int_equal(
        read_text(&r, "{\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"logprobs\":{\"content\":[{"
                      "\"token\":\"Hi\",\"logprob\":-0.5,\"bytes\":[72,105],\"top_logprobs\":[{"
                      "\"token\":\"x\",\"logprob\":-1}]}]}}]}"),
        0);
    assert_string_equal(r.seen, "0/1#0:Hi,,;0;1|<Hi -0.50 1>");
    close_rig(&r);
    open_rig(&r, WEIR_GENERATION_COMPLETION, false, 1);
    assert_int_equal(
        read_text(&r, "{\"choices\":[{\"text\":\"ab\",\"logprobs\":{\"tokens\":[\"a\",\"b\"],"
                      "\"token_logprobs\":[null,-2],\"top_logprobs\":[null,{\"b\":-2,\"c\":-3}],"
                      "\"text_offset\":[0,1]}}]}"),
        0);
    assert_string_equal(r.seen, "0/1#0:ab,,;0;2|<a 0.00 0><b -2.00 2>0/3#1:,,;1;0|");
    close_rig(&r);
}

static void a_full_reader_gets_each_chunk_once(void **state)
{
    (void)state;
    static const char json[] =
        "{\"choices\":[{\"delta\":{\"content\":\"a\",\"tool_calls\":[{\"index\":0,"
        "\"function\":{\"name\":\"f\"}}]},\"finish_reason\":\"stop\"}]}";
    for (int at = 1; at <= 3; at++) {
        struct rig r;
        open_rig(&r, WEIR_GENERATION_CHAT, true, 1);
        r.busy_at = at;
        assert_int_equal(read_text(&r, json), WEIR_E_BUSY);
        assert_int_equal(read_text(&r, json), 0);
        assert_string_equal(r.seen, "0/1#0:a,,;0;1|0/2#1:,,f;0;1|0/3#2:,,;1;0|");
        assert_int_equal(r.a.n_counted, 2);
        close_rig(&r);
    }
}

static void what_has_the_wrong_shape_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"choices\":{}}",
        "{\"choices\":[7]}",
        "{\"choices\":[{\"index\":1,\"delta\":{}}]}",
        "{\"choices\":[{\"index\":-1,\"delta\":{}}]}",
        "{\"choices\":[{\"index\":\"0\",\"delta\":{}}]}",
        "{\"choices\":[{\"delta\":[]}]}",
        "{\"choices\":[{\"delta\":{\"content\":7}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}",
        "{\"choices\":[{\"delta\":{},\"finish_reason\":7}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":{}}}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[7]}}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":4000000000,\"function\":{}}]}}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":[]}}]}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":7}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{}]}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":{\"tokens\":[\"a\"]}}]}",
        "{\"choices\":[],\"usage\":7}",
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":-1}}",
        "{\"choices\":[],\"usage\":{\"completion_tokens\":1e30}}",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        open_rig(&r, WEIR_GENERATION_CHAT, true, 1);
        assert_int_equal(read_text(&r, cases[i]), WEIR_E_FORMAT);
        assert_string_equal(r.failure.code, "upstream_bad_answer");
        assert_int_equal(r.failure.status, 502);
        close_rig(&r);
    }
}

static void an_error_in_place_of_an_answer_is_told(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, WEIR_GENERATION_CHAT, true, 1);
    assert_int_equal(read_text(&r, "{\"error\":{\"message\":\"on fire\",\"code\":null}}"),
                     WEIR_E_FORMAT);
    assert_string_equal(r.failure.code, "upstream_error");
    assert_int_equal(read_text(&r, "{\"object\":\"error\",\"message\":\"too long\",\"code\":400}"),
                     WEIR_E_FORMAT);
    assert_int_equal(r.failure.status, 400);
    assert_string_equal(r.failure.message, "too long");
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_stream_becomes_chunks),
        cmocka_unit_test(a_whole_chat_answer_becomes_chunks),
        cmocka_unit_test(embeddings_become_items_of_an_array),
        cmocka_unit_test(embeddings_of_other_inputs_are_refused),
        cmocka_unit_test(logprobs_of_both_shapes_are_read),
        cmocka_unit_test(a_full_reader_gets_each_chunk_once),
        cmocka_unit_test(what_has_the_wrong_shape_is_refused),
        cmocka_unit_test(an_error_in_place_of_an_answer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
