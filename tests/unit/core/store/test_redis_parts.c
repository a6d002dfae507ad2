/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the Redis driver that need no server: keys, replies, breaker. */
#include <stdio.h>

#include "core/store/redis/breaker.h"
#include "core/store/redis/op.h"
#include "tests/support/cmocka.h"

static struct weir_redis_scripts scripts;
static struct weir_redis_room room;
static void *last_reply; /* what a result points to */

static int set_up(void **state)
{
    (void)state;
    return weir_redis_scripts_init(&scripts);
}

static int tear_down(void **state)
{
    (void)state;
    weir_redis_scripts_finish(&scripts);
    freeReplyObject(last_reply);
    return 0;
}

static void base_is(weir_str tenant, const char *expected)
{
    struct weir_buf b;
    weir_buf_init(&b, 4096);
    weir_redis_key_base(&b, weir_str_from("weir"), tenant);
    assert_int_equal(b.len, strlen(expected));
    assert_memory_equal(b.data, expected, b.len);
    weir_buf_finish(&b);
}

static void every_tenant_has_a_hash_tag_of_its_own(void **state)
{
    (void)state;
    base_is(weir_str_from("acme"), "weir:{acme}:");
    base_is(weir_str_from(""), "weir:{%}:");
    base_is(weir_str_from("%"), "weir:{%25}:");
    base_is(weir_str_from("a}b{c"), "weir:{a%7Db%7Bc}:");
    base_is((weir_str){"a:b", 3}, "weir:{a:b}:");
}

/* The op of a call, ready to read replies with. */
static struct weir_redis_op op_of(const struct weir_store_call *c)
{
    struct weir_redis_op op = {.then.op = c->op};
    weir_buf_init(&op.command, 1 << 20);
    assert_int_equal(weir_redis_encode(&op, &scripts, weir_str_from("weir"), c), 0);
    return op;
}

/* Reads `bytes` as the reply to the call. */
static int decode(const struct weir_store_call *c, const char *bytes,
                  enum weir_redis_answer *ret_answer, weir_store_result *ret_result)
{
    struct weir_redis_op op = op_of(c);
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    freeReplyObject(last_reply);
    last_reply = NULL;
    *ret_result = (weir_store_result){0};
    assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    *ret_answer = weir_redis_decode(&op, &scripts, weir_str_from("weir"), reply, &room, ret_result);
    last_reply = reply;
    redisReaderFree(reader);
    weir_buf_finish(&op.command);
    return ret_result->rc;
}

static const weir_store_limit level = {WEIR_STR_INIT("l"), 1, 1, 1000000, 1};
static const weir_store_hold hold = {WEIR_STR_INIT("b"), 1, 1};

static const weir_str tag = WEIR_STR_INIT("g");

static struct weir_store_call call_of(enum weir_store_op op)
{
    struct weir_store_call c = {.op = op,
                                .tenant = WEIR_STR_INIT("t"),
                                .key = WEIR_STR_INIT("k"),
                                .id = WEIR_STR_INIT("i"),
                                .n = 1,
                                .number = 1};
    if (op == WEIR_STORE_TAKE || op == WEIR_STORE_GIVE) {
        c.levels = &level;
    } else if (op == WEIR_STORE_RESERVE || op == WEIR_STORE_SETTLE) {
        c.holds = &hold;
    } else if (op == WEIR_STORE_GET || op == WEIR_STORE_SET) {
        c.tags = &tag;
    }
    return c;
}

static void errors_of_the_server_have_a_meaning(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        int rc;
        enum weir_redis_answer answer;
    } cases[] = {
        {"-NOSCRIPT No matching script.\r\n", 0, WEIR_REDIS_LOAD},
        {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", WEIR_E_NOMEM,
         WEIR_REDIS_ANSWERED},
        {"-MISCONF Redis is configured to save RDB snapshots\r\n", WEIR_E_NOMEM,
         WEIR_REDIS_ANSWERED},
        {"-READONLY You can't write against a read only replica.\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-LOADING Redis is loading the dataset in memory\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-MASTERDOWN Link with MASTER is down\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-CLUSTERDOWN The cluster is down\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-MOVED 3999 127.0.0.1:6381\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-ASK 3999 127.0.0.1:6381\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-NOAUTH Authentication required.\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-NOREPLICAS Not enough good replicas to write.\r\n", WEIR_E_IO, WEIR_REDIS_AWAY},
        {"-BUSY Redis is busy running a script.\r\n", WEIR_E_IO, WEIR_REDIS_ANSWERED},
        {"-WRONGTYPE Operation against a key\r\n", WEIR_E_INTERNAL, WEIR_REDIS_ANSWERED},
        {"-ERR anything\r\n", WEIR_E_INTERNAL, WEIR_REDIS_ANSWERED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum weir_redis_answer answer;
        weir_store_result result;
        const struct weir_store_call c = call_of(WEIR_STORE_TAKE);
        assert_int_equal(decode(&c, cases[i].reply, &answer, &result), cases[i].rc);
        assert_int_equal(answer, cases[i].answer);
    }
}

static void replies_of_another_shape_are_errors(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "+OK\r\n",
        "$-1\r\n",
        "$3\r\nabc\r\n",
        "$20\r\n00000000000000009999\r\n",
        "$21\r\n000000000000000001999\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n$1\r\nx\r\n",
        "*2\r\n:1\r\n$1\r\nx\r\n",
        "*2\r\n:-1\r\n:-1\r\n",
        "*3\r\n:0\r\n:7\r\n:1\r\n",
        "*3\r\n$1\r\na\r\n$1\r\nb\r\n:1\r\n",
        "*4\r\n:0\r\n:1\r\n:2\r\n:3\r\n",
        ":-9223372036854775808\r\n",
    };
    for (int op = 0; op < WEIR_STORE_N_OPS; op++) {
        for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
            enum weir_redis_answer answer;
            weir_store_result result;
            const struct weir_store_call c = call_of((enum weir_store_op)op);
            (void)decode(&c, replies[i], &answer, &result);
            /* Whatever is made of it points only to what is there: the sanitizers look. */
            for (uint32_t k = 0; k < result.n_items; k++) {
                assert_true(result.items[k].key.n <= 64);
            }
            assert_true(result.refused_by < WEIR_STORE_MAX_LEVELS);
        }
    }
    enum weir_redis_answer answer;
    weir_store_result result;
    struct weir_store_call c = call_of(WEIR_STORE_GET);
    assert_int_equal(decode(&c, "$17\r\n00000000000000001\r\n", &answer, &result), WEIR_E_INTERNAL);
    assert_int_equal(decode(&c, "$21\r\n000000000000000101999\r\n", &answer, &result),
                     WEIR_E_INTERNAL);
    assert_int_equal(decode(&c, "$20\r\n000000000000000700xy\r\n", &answer, &result), 0);
    assert_int_equal(result.number, 7);
    assert_true(weir_str_is(result.value, "xy"));
    assert_int_equal(decode(&c, "*3\r\n$-1\r\n$1\r\n5\r\n$-1\r\n", &answer, &result),
                     WEIR_E_NOTFOUND);
    assert_int_equal(result.number, 5);
    assert_int_equal(
        decode(&c, "*2\r\n$20\r\n000000000000000700xy\r\n$2\r\n12\r\n", &answer, &result), 0);
    assert_int_equal(result.number, 12);
    assert_int_equal(decode(&c, "*2\r\n$-1\r\n$1\r\nx\r\n", &answer, &result), WEIR_E_INTERNAL);
    assert_int_equal(decode(&c, "*2\r\n$-1\r\n$17\r\n11111111111111111\r\n", &answer, &result),
                     WEIR_E_INTERNAL);
}

static void the_breaker_opens_after_failures_in_a_row(void **state)
{
    (void)state;
    enum { THRESHOLD = 3, PERCENT_NEVER = 101 };
    struct weir_redis_breaker b;
    struct weir_redis_window w = {0};
    const struct weir_store_redis_breaker rules = {.failure_threshold = THRESHOLD,
                                                   .failure_percent = PERCENT_NEVER};
    weir_redis_breaker_init(&b, &rules);
    assert_int_equal(weir_redis_breaker_state(&b), WEIR_REDIS_STARTING);
    assert_true(weir_redis_breaker_enter(&b, WEIR_REDIS_CLOSED));
    assert_false(weir_redis_breaker_enter(&b, WEIR_REDIS_CLOSED));
    for (int round = 0; round < 30; round++) { /* a success in between starts anew */
        for (int i = 0; i < THRESHOLD - 1; i++) {
            assert_false(weir_redis_breaker_failed(&b, &w, 1000));
        }
        weir_redis_breaker_succeeded(&b, &w);
    }
    for (int i = 0; i < THRESHOLD - 1; i++) {
        assert_false(weir_redis_breaker_failed(&b, &w, 1000));
    }
    assert_true(weir_redis_breaker_failed(&b, &w, 1000));
    assert_false(weir_redis_breaker_failed(&b, &w, 1000)); /* one is told, once */
    assert_int_equal(weir_redis_breaker_state(&b), WEIR_REDIS_OPEN);
    weir_redis_breaker_succeeded(&b, &w); /* only a probe closes it */
    assert_int_equal(weir_redis_breaker_state(&b), WEIR_REDIS_OPEN);
    assert_true(weir_redis_breaker_enter(&b, WEIR_REDIS_HALF_OPEN));
    assert_true(weir_redis_breaker_enter(&b, WEIR_REDIS_CLOSED));
    assert_int_equal(b.n_entered[WEIR_REDIS_OPEN], 1);
    assert_int_equal(b.n_entered[WEIR_REDIS_CLOSED], 2);
}

/* One failure for each `n_good` operations that succeed; true: it opened. */
static bool opens(struct weir_redis_breaker *b, struct weir_redis_window *w, int n_good, int rounds,
                  uint64_t every_us)
{
    static uint64_t now_us = 1;
    for (int i = 0; i < rounds; i++) {
        now_us += every_us;
        if (weir_redis_breaker_failed(b, w, now_us)) {
            return true;
        }
        for (int k = 0; k < n_good; k++) {
            weir_redis_breaker_succeeded(b, w);
        }
    }
    return false;
}

static void the_breaker_opens_when_a_part_of_a_window_fails(void **state)
{
    (void)state;
    struct weir_redis_breaker b;
    struct weir_redis_window w = {0};
    const struct weir_store_redis_breaker rules = {
        .failure_percent = 25, .min_operations = 40, .window_ms = 1000};
    weir_redis_breaker_init(&b, &rules);
    (void)weir_redis_breaker_enter(&b, WEIR_REDIS_CLOSED);
    assert_false(opens(&b, &w, 4, 100, 10));     /* a fifth fails */
    assert_false(opens(&b, &w, 1, 500, 100000)); /* half, but never 40 in a second */
    assert_true(opens(&b, &w, 2, 40, 10));       /* a third */
    (void)weir_redis_breaker_enter(&b, WEIR_REDIS_CLOSED);
    assert_false(opens(&b, &w, 1, 19, 10)); /* a new window */
}

static void waits_grow_and_differ(void **state)
{
    (void)state;
    static const uint64_t ms[] = {1000, 2000, 4000, 8000, 8000, 8000};
    struct weir_redis_breaker b;
    weir_redis_breaker_init(&b, &(struct weir_store_redis_breaker){0});
    for (unsigned n = 0; n < 6; n++) {
        uint64_t least = UINT64_MAX, most = 0;
        for (uint32_t r = 0; r < 2000; r += 7) {
            uint64_t wait = weir_redis_backoff_ms(&b, n, r);
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        assert_true(least >= ms[n] && most <= ms[n] + ms[n] / 4 && most > least + ms[n] / 5);
    }
    weir_redis_breaker_init(&b,
                            &(struct weir_store_redis_breaker){.open_ms = 50, .max_open_ms = 20});
    assert_int_equal(weir_redis_backoff_ms(&b, 100, 0), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tenant_has_a_hash_tag_of_its_own),
        cmocka_unit_test(errors_of_the_server_have_a_meaning),
        cmocka_unit_test(replies_of_another_shape_are_errors),
        cmocka_unit_test(the_breaker_opens_after_failures_in_a_row),
        cmocka_unit_test(the_breaker_opens_when_a_part_of_a_window_fails),
        cmocka_unit_test(waits_grow_and_differ),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
