/* SPDX-License-Identifier: Apache-2.0 */
/* Output on its way through on_chunk, with the chunk_redact example. */
#include "core/plugin/run.h"

#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

struct collected {
    struct weir_buf text, arguments;
    uint32_t finish, n_finish, n_tokens;
    uint64_t next_seq;
    char order[256]; /* t: text, c: call, f: finish */
};

static struct weir_kit_stage stage;
static struct weir_kit_request req;
static struct collected got;

static void collect(void *arg, const weir_chunk *c)
{
    struct collected *g = arg;
    assert_int_equal(c->seq, g->next_seq++);
    assert_int_equal(c->flags, 0);
    size_t n = strlen(g->order);
    if (n + 1 < sizeof(g->order)) {
        g->order[n] = c->kind == WEIR_CHUNK_TEXT ? 't' : c->kind == WEIR_CHUNK_FINISH ? 'f' : 'c';
    }
    g->n_tokens += c->n_tokens;
    weir_buf_add_str(c->kind == WEIR_CHUNK_TOOL_CALL ? &g->arguments : &g->text, c->text);
    if (c->kind == WEIR_CHUNK_FINISH) {
        g->finish = c->finish;
        g->n_finish++;
    }
}

static void begin(const char *plugins)
{
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    struct weir_error err = {0};
    if (weir_kit_stage_configure(&stage, plugins, "{}", &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void begin_request(void)
{
    assert_int_equal(weir_kit_request_init(&req, "{}"), 0);
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_kit_request_begin(&req, chain, stage.loop), 0);
    weir_plugin_chain_unref(chain);
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_DONE);
    got = (struct collected){0};
    weir_buf_init(&got.text, 1 << 20);
    weir_buf_init(&got.arguments, 1 << 20);
}

static void end_request(void)
{
    weir_kit_request_finish(&req);
    weir_buf_finish(&got.text);
    weir_buf_finish(&got.arguments);
}

static enum weir_plugin_chunk_outcome push(uint32_t kind, const char *text, size_t n)
{
    const weir_chunk c = {.struct_size = sizeof(c),
                          .kind = kind,
                          .text = {text, n},
                          .n_tokens = kind == WEIR_CHUNK_TEXT ? 1 : 0,
                          .finish = kind == WEIR_CHUNK_FINISH ? WEIR_FINISH_STOP : 0};
    return weir_plugin_run_chunk(&req.run, &c, collect, &got);
}

static void a_word_is_redacted_wherever_it_is_cut(void **state)
{
    (void)state;
    static const char in[] = "a secret: sesecret secre, secretsecret s";
    static const char out[] = "a ******: se****** secre, ************ s";
    begin("[chunk_redact]");
    size_t n = sizeof(in) - 1;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = i; j <= n; j += 3) {
            begin_request();
            assert_int_equal(push(WEIR_CHUNK_TEXT, in, i), WEIR_PLUGIN_CHUNK_OK);
            assert_int_equal(push(WEIR_CHUNK_TEXT, in + i, j - i), WEIR_PLUGIN_CHUNK_OK);
            assert_int_equal(push(WEIR_CHUNK_TEXT, in + j, n - j), WEIR_PLUGIN_CHUNK_OK);
            assert_int_equal(push(WEIR_CHUNK_FINISH, NULL, 0), WEIR_PLUGIN_CHUNK_OK);
            assert_string_equal(got.text.data, out);
            assert_int_equal(got.n_tokens, 3);
            assert_int_equal(got.finish, WEIR_FINISH_STOP);
            end_request();
        }
    }
    weir_kit_stage_finish(&stage);
}

static void a_false_start_of_the_word_is_let_out(void **state)
{
    (void)state;
    begin("[{chunk_redact: {word: abc}}]");
    begin_request();
    static const char *const pieces[] = {"x", "a", "b", "a", "b", "c", "a"};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        push(WEIR_CHUNK_TEXT, pieces[i], 1);
    }
    push(WEIR_CHUNK_FINISH, NULL, 0);
    assert_string_equal(got.text.data, "xab***a");
    end_request();
    weir_kit_stage_finish(&stage);
}

static void held_text_goes_out_before_a_tool_call(void **state)
{
    (void)state;
    begin("[chunk_redact]");
    begin_request();
    push(WEIR_CHUNK_TEXT, "look: se", 8);
    const weir_chunk call = {.struct_size = sizeof(call),
                             .kind = WEIR_CHUNK_TOOL_CALL,
                             .tool_id = WEIR_STR_INIT("call_1"),
                             .tool_name = WEIR_STR_INIT("find"),
                             .text = WEIR_STR_INIT("{\"q\":\"sec")};
    weir_plugin_run_chunk(&req.run, &call, collect, &got);
    push(WEIR_CHUNK_TOOL_CALL, "ret\"}", 5);
    push(WEIR_CHUNK_FINISH, NULL, 0);
    assert_string_equal(got.text.data, "look: se");
    assert_string_equal(got.arguments.data, "{\"q\":\"******\"}");
    assert_string_equal(got.order, "tcf");
    end_request();
    weir_kit_stage_finish(&stage);
}

static void holding_back_too_much_ends_the_choice(void **state)
{
    (void)state;
    /* A word of one letter more than is ever sent keeps the whole output back. */
    begin("[{chunk_redact: {word: "
          "sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssx}}]");
    begin_request();
    char piece[1024];
    memset(piece, 's', sizeof(piece));
    enum weir_plugin_chunk_outcome outcome = WEIR_PLUGIN_CHUNK_OK;
    for (int i = 0; i < 65 && outcome == WEIR_PLUGIN_CHUNK_OK; i++) {
        outcome = push(WEIR_CHUNK_TEXT, piece, sizeof(piece));
    }
    assert_int_equal(outcome, WEIR_PLUGIN_CHUNK_ENDED);
    assert_int_equal(got.text.len, 0);
    assert_int_equal(got.finish, WEIR_FINISH_FILTER);
    assert_int_equal(push(WEIR_CHUNK_TEXT, "more", 4), WEIR_PLUGIN_CHUNK_ENDED);
    assert_int_equal(push(WEIR_CHUNK_FINISH, NULL, 0), WEIR_PLUGIN_CHUNK_ENDED);
    assert_int_equal(got.n_finish, 1);
    end_request();
    weir_kit_stage_finish(&stage);
}

static void without_chunk_hooks_chunks_pass_untouched(void **state)
{
    (void)state;
    begin("[header_stamp]");
    begin_request();
    assert_true(weir_str_is(weir_kit_request_sent(&req, "X-Served-By"), "weir"));
    push(WEIR_CHUNK_TEXT, "secret", 6);
    assert_string_equal(got.text.data, "secret");
    end_request();
    weir_kit_stage_finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_redacted_wherever_it_is_cut),
        cmocka_unit_test(a_false_start_of_the_word_is_let_out),
        cmocka_unit_test(held_text_goes_out_before_a_tool_call),
        cmocka_unit_test(holding_back_too_much_ends_the_choice),
        cmocka_unit_test(without_chunk_hooks_chunks_pass_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
