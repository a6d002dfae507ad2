/* SPDX-License-Identifier: Apache-2.0 */
/* A request body and its answer while memory runs out. */
#include <stdlib.h>

#include "core/api/api_request.h"
#include "core/api/json_body.h"
#include "core/api/reply.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

static const char body[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}],"
    "\"logit_bias\":{\"5\":-100,\"7\":3},\"stop\":[\"a\",\"b\"],\"n\":2,\"stream\":true,"
    "\"stream_options\":{\"include_usage\":true}}";

static int parse_request(void *arg)
{
    (void)arg;
    yyjson_doc *doc = NULL;
    struct weir_error err;
    int r = weir_json_body_parse(weir_str_from(body), NULL, &doc, &err);
    if (r < 0) {
        return r;
    }
    struct weir_arena arena;
    struct weir_api_request request = {0};
    weir_refusal refusal = {0};
    weir_arena_init(&arena, 1 << 20);
    r = weir_api_request_parse(yyjson_doc_get_root(doc), WEIR_GENERATION_CHAT, &arena, &request,
                               &refusal);
    weir_arena_finish(&arena);
    yyjson_doc_free(doc);
    return r;
}

static int add_chunks(struct weir_reply *reply, struct weir_buf *out)
{
    static const weir_chunk chunks[] = {
        {.struct_size = sizeof(weir_chunk),
         .kind = WEIR_CHUNK_TEXT,
         .text = WEIR_STR_INIT("Hello \"x\""),
         .n_tokens = 2},
        {.struct_size = sizeof(weir_chunk), .kind = WEIR_CHUNK_FINISH, .finish = WEIR_FINISH_STOP},
    };
    static const weir_outcome outcome = {
        .struct_size = sizeof(outcome), .prompt_tokens = 7, .completion_tokens = 2};
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        int r = weir_reply_add(reply, &chunks[i], out);
        if (r < 0) {
            return r;
        }
    }
    return weir_reply_end(reply, &outcome, out);
}

static int write_reply(void *arg)
{
    struct weir_arena arena;
    struct weir_buf out;
    weir_arena_init(&arena, 1 << 20);
    weir_buf_init(&out, 1 << 16);
    struct weir_reply reply = {.kind = WEIR_GENERATION_CHAT,
                               .stream = *(const bool *)arg,
                               .include_usage = true,
                               .id = WEIR_STR_INIT("id-1"),
                               .model = WEIR_STR_INIT("m"),
                               .n_choices = 1,
                               .max_bytes = 1000};
    int r = weir_reply_init(&reply, &arena);
    if (r == 0) {
        r = add_chunks(&reply, &out);
        weir_reply_finish(&reply);
    }
    if (r == 0 && out.failed) {
        r = WEIR_E_NOMEM;
    }
    weir_buf_finish(&out);
    weir_arena_finish(&arena);
    return r;
}

static void a_request_is_read_or_refused_whole(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(parse_request, NULL, 1000) > 0);
}

static void an_answer_is_written_or_given_up_whole(void **state)
{
    (void)state;
    for (int stream = 0; stream < 2; stream++) {
        bool is_stream = stream;
        assert_true(alloc_fail_each(write_reply, &is_stream, 1000) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_or_refused_whole),
        cmocka_unit_test(an_answer_is_written_or_given_up_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
