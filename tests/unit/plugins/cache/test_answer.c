/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

#define STR(text) ((weir_str)WEIR_STR_INIT(text))

static const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES] = {1, 2, 3};

static const weir_logprob top[] = {{.token = 7, .logprob = -0.5f, .bytes = WEIR_STR_INIT("a")},
                                   {.token = -1, .logprob = -2.0f, .bytes = {NULL, 0}}};
static const weir_token_logprobs probs[] = {
    {.chosen = {.token = 7, .logprob = -0.5f, .bytes = WEIR_STR_INIT("a")}, .top = top, .n_top = 2},
    {.chosen = {.token = 8, .logprob = -0.25f, .bytes = WEIR_STR_INIT("\xc3")}}};
static const weir_chunk chunks[] = {
    {.kind = WEIR_CHUNK_TEXT,
     .text = WEIR_STR_INIT("ab"),
     .n_tokens = 2,
     .logprobs = probs,
     .n_logprobs = 2},
    {.kind = WEIR_CHUNK_TOOL_CALL,
     .choice = 1,
     .tool_index = 3,
     .tool_id = WEIR_STR_INIT("call_1"),
     .tool_name = WEIR_STR_INIT("f"),
     .text = WEIR_STR_INIT("{")},
    {.kind = WEIR_CHUNK_FINISH, .finish = WEIR_FINISH_STOP, .n_tokens = 1},
    {.kind = WEIR_CHUNK_FINISH, .choice = 1, .finish = WEIR_FINISH_TOOL_CALLS}};
enum { N = sizeof(chunks) / sizeof(chunks[0]) };

static struct answer *make(void)
{
    struct answer_writer w = {.max_bytes = 64 * 1024};
    for (int i = 0; i < N; i++) {
        assert_int_equal(answer_add(&w, &chunks[i]), 0);
    }
    struct answer *a = answer_finish(&w, digest, 5, 11, 3);
    assert_non_null(a);
    assert_null(w.room.a);
    return a;
}

static void assert_str(weir_str a, weir_str b)
{
    assert_true(weir_str_eq(a, b));
}

static void assert_same(const weir_chunk *a, const weir_chunk *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->choice, b->choice);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_int_equal(a->tool_index, b->tool_index);
    assert_str(a->text, b->text);
    assert_str(a->tool_id, b->tool_id);
    assert_str(a->tool_name, b->tool_name);
    assert_int_equal(a->n_logprobs, b->n_logprobs);
    for (uint32_t i = 0; i < a->n_logprobs; i++) {
        const weir_token_logprobs *x = &a->logprobs[i], *y = &b->logprobs[i];
        assert_int_equal(x->chosen.token, y->chosen.token);
        assert_true(x->chosen.logprob == y->chosen.logprob);
        assert_str(x->chosen.bytes, y->chosen.bytes);
        assert_int_equal(x->n_top, y->n_top);
        for (uint32_t k = 0; k < x->n_top; k++) {
            assert_int_equal(x->top[k].token, y->top[k].token);
            assert_true(x->top[k].logprob == y->top[k].logprob);
            assert_str(x->top[k].bytes, y->top[k].bytes);
        }
    }
}

static void an_answer_comes_back_as_it_was(void **state)
{
    (void)state;
    struct answer *a = make(), *b = NULL;
    assert_int_equal(answer_read((weir_str){a->bytes, a->n}, digest, &b), 0);
    assert_int_equal(b->made_us, 5);
    assert_int_equal(b->prompt_tokens, 11);
    assert_int_equal(b->completion_tokens, 3);
    assert_int_equal(b->n_chunks, N);
    weir_chunk *list = NULL;
    assert_int_equal(answer_chunks(b, &list), 0);
    for (int i = 0; i < N; i++) {
        assert_same(&list[i], &chunks[i]);
    }
    free(list);
    answer_unref(b);
    answer_unref(a);
}

static void anothers_answer_is_not_found(void **state)
{
    (void)state;
    const uint8_t other[WEIR_ANSWER_DIGEST_BYTES] = {1, 2, 4};
    struct answer *a = make(), *b = NULL;
    assert_int_equal(answer_read((weir_str){a->bytes, a->n}, other, &b), WEIR_E_NOTFOUND);
    answer_unref(a);
}

/* Every cut and every changed byte is refused, or read as an answer that is whole. */
static void foreign_bytes_are_checked(void **state)
{
    (void)state;
    struct answer *a = make();
    for (size_t n = 0; n < a->n; n++) {
        char *cut = malloc(n + 1);
        memcpy(cut, a->bytes, n);
        struct answer *b = NULL;
        if (answer_read((weir_str){cut, n}, digest, &b) == 0) {
            weir_chunk *list = NULL;
            assert_int_equal(answer_chunks(b, &list), WEIR_E_FORMAT);
            answer_unref(b);
        }
        free(cut);
    }
    for (size_t i = 0; i < a->n; i++) {
        for (int v = 0; v < 256; v += 15) {
            char *changed = malloc(a->n);
            memcpy(changed, a->bytes, a->n);
            changed[i] = (char)v;
            struct answer *b = NULL;
            weir_chunk *list = NULL;
            if (answer_read((weir_str){changed, a->n}, digest, &b) == 0 &&
                answer_chunks(b, &list) == 0) {
                for (uint32_t k = 0; k < b->n_chunks; k++) {
                    assert_true(list[k].choice < WEIR_MAX_CHOICES);
                    assert_true(list[k].text.n <= a->n);
                }
            }
            free(list);
            answer_unref(b);
            free(changed);
        }
    }
    answer_unref(a);
}

static void there_is_a_largest_answer(void **state)
{
    (void)state;
    struct answer_writer w = {.max_bytes = 256};
    const weir_chunk piece = {.kind = WEIR_CHUNK_TEXT,
                              .text = STR("0123456789012345678901234567890123")};
    int rc = 0, n = 0;
    while ((rc = answer_add(&w, &piece)) == 0) {
        n++;
    }
    assert_int_equal(rc, WEIR_E_TOOBIG);
    assert_int_equal(n, 3);
    answer_drop(&w);
    const weir_chunk huge = {.kind = WEIR_CHUNK_TEXT, .text = {"", SIZE_MAX - 64}};
    assert_int_equal(answer_add(&w, &huge), WEIR_E_TOOBIG);
    assert_null(answer_finish(&w, digest, 1, 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_back_as_it_was),
        cmocka_unit_test(anothers_answer_is_not_found),
        cmocka_unit_test(foreign_bytes_are_checked),
        cmocka_unit_test(there_is_a_largest_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
