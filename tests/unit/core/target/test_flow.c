/* SPDX-License-Identifier: Apache-2.0 */
#include "core/target/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

struct fixture {
    uv_loop_t loop;
    struct weir_inbox inbox;
    struct weir_inbox_item item;
    struct weir_flow flow;
    uint64_t n_read;
    bool ended;
    weir_outcome outcome;
};

static void nothing(struct weir_inbox_item *item)
{
    (void)item;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->item.run = nothing;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(weir_inbox_init(&f->inbox, &f->loop), 0);
    assert_int_equal(weir_flow_init(&f->flow, &f->inbox, &f->item, NULL), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    weir_flow_finish(&f->flow);
    weir_inbox_finish(&f->inbox);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static weir_chunk text_chunk(const char *text, size_t n)
{
    return (weir_chunk){.struct_size = sizeof(weir_chunk),
                        .kind = WEIR_CHUNK_TEXT,
                        .text = {text, n},
                        .n_tokens = 1};
}

static void chunks_come_out_as_they_went_in(void **state)
{
    struct fixture *f = *state;
    weir_logprob top[2] = {{7, -0.5f, WEIR_STR_INIT("ab")}, {9, -1.5f, WEIR_STR_INIT("c")}};
    weir_token_logprobs lp[2] = {{top[0], top, 2}, {top[1], NULL, 0}};
    weir_chunk in = text_chunk("hello", 5);
    in.logprobs = lp;
    in.n_logprobs = 2;
    in.tool_id = weir_str_from("call_1");
    in.tool_name = weir_str_from("f");
    assert_int_equal(weir_flow_push(&f->flow, &in), 0);
    memset(top, 0, sizeof(top));
    memset(lp, 0, sizeof(lp));

    const weir_chunk *out = weir_flow_peek(&f->flow);
    assert_non_null(out);
    assert_true(weir_str_is(out->text, "hello"));
    assert_true(weir_str_is(out->tool_id, "call_1"));
    assert_true(weir_str_is(out->tool_name, "f"));
    assert_int_equal(out->n_logprobs, 2);
    assert_int_equal(out->logprobs[0].n_top, 2);
    assert_true(weir_str_is(out->logprobs[0].top[1].bytes, "c"));
    assert_true(weir_str_is(out->logprobs[0].chosen.bytes, "ab"));
    assert_int_equal(out->logprobs[1].n_top, 0);
    assert_false(weir_flow_pop(&f->flow));
    assert_null(weir_flow_peek(&f->flow));
}

static void full_ring_says_busy_and_wakes_when_empty(void **state)
{
    struct fixture *f = *state;
    char text[1000];
    memset(text, 'x', sizeof(text));
    weir_chunk c = text_chunk(text, sizeof(text));
    int n = 0;
    while (weir_flow_push(&f->flow, &c) == 0) {
        n++;
    }
    assert_true(n > 5);
    for (int i = 0; i < n; i++) {
        assert_non_null(weir_flow_peek(&f->flow));
        assert_int_equal(weir_flow_pop(&f->flow), i == n - 1);
    }
    assert_int_equal(weir_flow_push(&f->flow, &c), 0);
}

static void order_and_bytes_survive_wrapping(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 1;
    uint64_t pushed = 0, popped = 0;
    char text[3000];
    for (int round = 0; round < 20000; round++) {
        if (rand_r(&seed) % 2) {
            int n = snprintf(text, sizeof(text), "%llu:", (unsigned long long)pushed);
            size_t len = (size_t)n + (size_t)rand_r(&seed) % 2000;
            memset(text + n, 'a' + (int)(pushed % 26), len - (size_t)n);
            weir_chunk c = text_chunk(text, len);
            pushed += weir_flow_push(&f->flow, &c) == 0;
        } else {
            const weir_chunk *c = weir_flow_peek(&f->flow);
            if (!c) {
                assert_int_equal(pushed, popped);
                continue;
            }
            int n = snprintf(text, sizeof(text), "%llu:", (unsigned long long)popped);
            assert_memory_equal(c->text.p, text, (size_t)n);
            for (size_t i = (size_t)n; i < c->text.n; i++) {
                assert_int_equal(c->text.p[i], 'a' + (int)(popped % 26));
            }
            (void)weir_flow_pop(&f->flow);
            popped++;
        }
    }
    assert_true(popped > 1000);
}

static void record_larger_than_the_ring_is_taken_when_empty(void **state)
{
    struct fixture *f = *state;
    size_t n = WEIR_FLOW_BYTES * 4;
    char *text = calloc(1, n);
    weir_chunk small = text_chunk("x", 1), large = text_chunk(text, n);
    assert_int_equal(weir_flow_push(&f->flow, &small), 0);
    assert_int_equal(weir_flow_push(&f->flow, &large), WEIR_E_BUSY);
    assert_true(weir_flow_pop(&f->flow));
    assert_int_equal(weir_flow_push(&f->flow, &large), 0);
    assert_int_equal(weir_flow_peek(&f->flow)->text.n, n);
    (void)weir_flow_pop(&f->flow);
    large.text.n = (size_t)WEIR_FLOW_MAX_RECORD_BYTES + 1;
    assert_int_equal(weir_flow_push(&f->flow, &large), WEIR_E_TOOBIG);
    free(text);
}

static void nothing_goes_in_after_the_end_or_the_reader_left(void **state)
{
    struct fixture *f = *state;
    weir_chunk c = text_chunk("x", 1);
    weir_outcome outcome = {.struct_size = sizeof(outcome),
                            .rc = WEIR_E_DEVICE,
                            .completion_tokens = 3,
                            .message = WEIR_STR_INIT("why")};
    assert_int_equal(weir_flow_push(&f->flow, &c), 0);
    weir_flow_end(&f->flow, &outcome);
    assert_int_equal(weir_flow_push(&f->flow, &c), WEIR_E_GONE);
    weir_outcome seen;
    assert_false(weir_flow_ended(&f->flow, &seen));
    (void)weir_flow_pop(&f->flow);
    assert_true(weir_flow_ended(&f->flow, &seen));
    assert_int_equal(seen.completion_tokens, 3);
    assert_true(weir_str_is(seen.message, "why"));
}

enum { THREAD_CHUNKS = 50000 };

static void *produce(void *arg)
{
    struct fixture *f = arg;
    for (uint64_t i = 0; i < THREAD_CHUNKS;) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)i);
        weir_chunk c = text_chunk(text, (size_t)n);
        if (weir_flow_push(&f->flow, &c) == 0) {
            i++;
        } else {
            (void)usleep(50);
        }
        weir_inbox_wake(&f->inbox);
    }
    weir_outcome outcome = {.struct_size = sizeof(outcome), .completion_tokens = THREAD_CHUNKS};
    weir_flow_end(&f->flow, &outcome);
    weir_inbox_wake(&f->inbox);
    return NULL;
}

static void consume(struct weir_inbox_item *item)
{
    struct fixture *f = (struct fixture *)(void *)((char *)item - offsetof(struct fixture, item));
    const weir_chunk *c;
    while ((c = weir_flow_peek(&f->flow)) != NULL) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)f->n_read);
        if ((size_t)n == c->text.n && memcmp(text, c->text.p, c->text.n) == 0) {
            f->n_read++;
        }
        (void)weir_flow_pop(&f->flow);
    }
    if (weir_flow_ended(&f->flow, &f->outcome)) {
        f->ended = true;
        uv_stop(&f->loop);
    }
}

static void another_thread_delivers_everything_in_order(void **state)
{
    struct fixture *f = *state;
    f->item.run = consume;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, f), 0);
    while (!f->ended) {
        (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f->n_read, THREAD_CHUNKS);
    assert_int_equal(f->outcome.completion_tokens, THREAD_CHUNKS);
}

static void abandoning_between_peek_and_pop_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    weir_chunk in = text_chunk("hello", 5);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weir_flow_push(&f->flow, &in), 0);
    }
    assert_non_null(weir_flow_peek(&f->flow));
    weir_flow_abandon(&f->flow);
    assert_false(weir_flow_pop(&f->flow));
    assert_null(weir_flow_peek(&f->flow));
    weir_flow_end(&f->flow, &(weir_outcome){.rc = WEIR_E_CANCELLED});
    assert_true(weir_flow_ended(&f->flow, &f->outcome));
}

static void stop_loop(struct weir_inbox_item *item)
{
    struct fixture *f = (struct fixture *)(void *)((char *)item - offsetof(struct fixture, item));
    f->n_read++;
    uv_stop(&f->loop);
}

/* A reader that was paused when the end came, and whose client leaves then. */
static void abandoning_after_the_end_tells_the_end_again(void **state)
{
    struct fixture *f = *state;
    f->item.run = stop_loop;
    weir_chunk in = text_chunk("hello", 5);
    assert_int_equal(weir_flow_push(&f->flow, &in), 0);
    weir_flow_end(&f->flow,
                  &(weir_outcome){.struct_size = sizeof(weir_outcome), .completion_tokens = 1});
    weir_inbox_wake(&f->inbox);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->n_read, 1);
    assert_false(weir_flow_ended(&f->flow, &f->outcome));

    weir_flow_abandon(&f->flow);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->n_read, 2);
    assert_true(weir_flow_ended(&f->flow, &f->outcome));
    assert_int_equal(f->outcome.completion_tokens, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(chunks_come_out_as_they_went_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_ring_says_busy_and_wakes_when_empty, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(order_and_bytes_survive_wrapping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(record_larger_than_the_ring_is_taken_when_empty, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_goes_in_after_the_end_or_the_reader_left, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_thread_delivers_everything_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(abandoning_between_peek_and_pop_leaves_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(abandoning_after_the_end_tells_the_end_again, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
