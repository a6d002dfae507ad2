/* SPDX-License-Identifier: Apache-2.0 */
/* The memory driver: the suite of all drivers, then its own bounds and threads. */
#include "core/store/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"
#include "tests/support/cmocka.h"

static _Atomic uint64_t now = 1000000;

static uint64_t now_us(void *arg)
{
    (void)arg;
    return atomic_load(&now);
}

static uint64_t read_clock(void)
{
    return atomic_load(&now);
}

static int open_store(struct weir_store **ret_store)
{
    return weir_store_memory_create(&(struct weir_store_memory_options){.now_us = now_us},
                                    ret_store);
}

static void advance(uint64_t us)
{
    atomic_fetch_add(&now, us);
}

static _Atomic uint64_t n_passed;

static void keep_rc(void *arg, const weir_store_result *r)
{
    int *rc = arg;
    *rc = r->rc;
}

static void keep_left(void *arg, const weir_store_result *r)
{
    uint64_t *left = arg;
    assert_int_equal(r->rc, 0);
    *left = (uint64_t)r->left[0].units;
}

static void count_passed(void *arg, const weir_store_result *r)
{
    (void)arg;
    atomic_fetch_add(&n_passed, r->rc == 0);
}

static int call(struct weir_store *s, const struct weir_store_call *c)
{
    int rc = WEIR_E_INTERNAL;
    assert_int_equal(weir_store_call(s, c, keep_rc, &rc), 0);
    return rc;
}

/* One unit of an hour's limit of one. */
static int take(struct weir_store *s, const char *tenant, const char *key)
{
    const weir_store_limit level = {weir_str_from(key), 1, 1, 3600000000, 1};
    return call(
        s, &(struct weir_store_call){
               .op = WEIR_STORE_TAKE, .tenant = weir_str_from(tenant), .levels = &level, .n = 1});
}

static int set(struct weir_store *s, const char *tenant, const char *key, weir_str value)
{
    return call(s, &(struct weir_store_call){.op = WEIR_STORE_SET,
                                             .tenant = weir_str_from(tenant),
                                             .key = weir_str_from(key),
                                             .value = value});
}

static void only_values_are_evicted(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.max_entries = 1600, .now_us = now_us}, &s),
        0);
    char key[32];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof(key), "limit%d", i);
        assert_int_equal(take(s, "t", key), 0);
    }
    for (int i = 0; i < 20000; i++) { /* of many tenants, so of all shards */
        char tenant[32];
        (void)snprintf(tenant, sizeof(tenant), "t%d", i % 100);
        (void)snprintf(key, sizeof(key), "value%d", i);
        assert_int_equal(set(s, tenant, key, weir_str_from("v")), 0);
    }
    for (int i = 0; i < 500; i++) { /* every limit is still used up */
        (void)snprintf(key, sizeof(key), "limit%d", i);
        assert_int_equal(take(s, "t", key), WEIR_E_BUSY);
    }
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    assert_true(stats.n_entries <= 1600 && stats.evicted > 15000);
    int refused = 0;
    for (int i = 500; i < 5000; i++) { /* limits alone fill it: then new ones are refused */
        (void)snprintf(key, sizeof(key), "limit%d", i);
        refused += take(s, "t", key) == WEIR_E_NOMEM;
    }
    assert_int_equal(refused, 5000 - 1600);
    advance(UINT64_C(7200) * 1000000);
    for (int i = 0; i < 1000; i++) { /* what has expired makes room */
        (void)snprintf(key, sizeof(key), "limit%d", i);
        (void)take(s, "t", key);
    }
    assert_int_equal(take(s, "t", "fresh"), 0);
    weir_store_destroy(s);
}

static void bytes_are_bounded_too(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.max_bytes = 1600000, .now_us = now_us}, &s),
        0);
    static char value[30000];
    char key[32];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(set(s, "", key, (weir_str){value, sizeof(value)}), 0);
    }
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    assert_true(stats.n_bytes <= 1600000 && stats.n_entries >= 50);
    /* Records push values out, and are refused when they alone fill it. */
    int written = 0;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "r%d", i);
        written += call(s, &(struct weir_store_call){.op = WEIR_STORE_PUT,
                                                     .key = WEIR_STR_INIT("c"),
                                                     .id = weir_str_from(key),
                                                     .value = {value, sizeof(value)}}) == 0;
    }
    assert_true(written > 45 && written < 54);
    weir_store_memory_get_stats(s, &stats);
    assert_true(stats.n_bytes <= 1600000);
    assert_int_equal(call(s, &(struct weir_store_call){.op = WEIR_STORE_ERASE}), 0);
    weir_store_memory_get_stats(s, &stats);
    assert_int_equal(stats.n_entries, 0);
    assert_int_equal(stats.n_bytes, 0);
    weir_store_destroy(s);
}

static int settle(struct weir_store *s, const char *tenant, const char *key, const char *id)
{
    const weir_store_hold hold = {weir_str_from(key), 1, 1000000};
    return call(s, &(struct weir_store_call){.op = WEIR_STORE_SETTLE,
                                             .tenant = weir_str_from(tenant),
                                             .id = weir_str_from(id),
                                             .holds = &hold,
                                             .n = 1});
}

static uint64_t budget_left(struct weir_store *s, const char *tenant, const char *key)
{
    const weir_store_hold hold = {weir_str_from(key), 0, 1000000};
    uint64_t left = 0;
    const struct weir_store_call look = {.op = WEIR_STORE_RESERVE,
                                         .tenant = weir_str_from(tenant),
                                         .id = WEIR_STR_INIT("look"),
                                         .holds = &hold,
                                         .n = 1,
                                         .number = 1000};
    assert_int_equal(weir_store_call(s, &look, keep_left, &left), 0);
    return left;
}

static void settled_ids_leave_room_for_others(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    struct weir_store_memory_stats stats;
    char id[32], key[32];
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.max_bytes = 400 * 1024, .now_us = now_us}, &s),
        0);
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(id, sizeof(id), "%d.id", i); /* no two are in one group */
        assert_int_equal(settle(s, i % 2 ? "t" : "u", "budget", id), 0);
    }
    assert_int_equal(budget_left(s, "t", "budget"), 1000000 - 10000); /* each is counted */
    assert_int_equal(settle(s, "t", "budget", id), 0);                /* the last: known still */
    assert_int_equal(budget_left(s, "t", "budget"), 1000000 - 10000);
    weir_store_memory_get_stats(s, &stats);
    /* Half of the room, and what the tables of two shards are larger than it was asked. */
    assert_true(stats.n_bytes <= 400 * 1024 / 2 + 64 * 1024 && stats.forgotten > 5000);
    assert_true(stats.forgotten < 20000 - 2000); /* by far the most of half of the room is used */
    for (int i = 0; i < 700; i++) {              /* what is not evicted finds room */
        (void)snprintf(key, sizeof(key), "limit%d", i);
        assert_int_equal(take(s, "t", key), 0);
    }
    advance(UINT64_C(61) * 1000000);
    for (int i = 0; i < 2000; i++) { /* each insertion looks at a few buckets */
        (void)snprintf(key, sizeof(key), "v%d", i);
        assert_int_equal(set(s, i % 2 ? "t" : "u", key, weir_str_from("v")), 0);
    }
    weir_store_memory_get_stats(s, &stats);
    assert_true(stats.expired >= 700);
    assert_int_equal(settle(s, "t", "budget", "19999.id"), 0); /* forgotten: counts again */
    assert_int_equal(budget_left(s, "t", "budget"), 1000000 - 10001);
    weir_store_destroy(s);
}

static void everything_that_ends_gives_its_bytes_back(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(open_store(&s), 0);
    static const weir_str id = WEIR_STR_INIT("id"), key = WEIR_STR_INIT("key");
    const weir_store_hold hold = {key, 5, 100};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call(s, &(struct weir_store_call){.op = WEIR_STORE_PUT,
                                                           .key = key,
                                                           .id = id,
                                                           .value = id,
                                                           .number = WEIR_STORE_ANY_VERSION}),
                         0);
        assert_int_equal(call(s,
                              &(struct weir_store_call){
                                  .op = WEIR_STORE_JOB_PUT, .key = key, .id = id, .value = key}),
                         0);
        assert_int_equal(
            call(s,
                 &(struct weir_store_call){
                     .op = WEIR_STORE_RESERVE, .id = id, .holds = &hold, .n = 1, .number = 1000}),
            0);
        assert_int_equal(set(s, "", "value", key), 0);
    }
    assert_int_equal(call(s, &(struct weir_store_call){.op = WEIR_STORE_PUT,
                                                       .key = key,
                                                       .id = id,
                                                       .number = WEIR_STORE_ANY_VERSION}),
                     0);
    assert_int_equal(
        call(s, &(struct weir_store_call){.op = WEIR_STORE_JOB_ACK, .key = key, .id = id}), 0);
    assert_int_equal(
        call(s, &(struct weir_store_call){.op = WEIR_STORE_REMOVE, .key = WEIR_STR_INIT("value")}),
        0);
    advance(UINT64_C(41) * 24 * 3600 * 1000000); /* the budget with its reservation */
    for (int i = 0; i < 200; i++) {
        assert_int_equal(set(s, "", "value", key), 0); /* each looks at a few buckets */
    }
    assert_int_equal(
        call(s, &(struct weir_store_call){.op = WEIR_STORE_REMOVE, .key = WEIR_STR_INIT("value")}),
        0);
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    assert_int_equal(stats.n_entries, 0);
    assert_int_equal(stats.n_bytes, 0);
    weir_store_destroy(s);
}

static void a_fresh_tenant_is_small(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(open_store(&s), 0);
    const weir_store_hold hold = {WEIR_STR_INIT("month"), 5, 100};
    assert_int_equal(take(s, "acme", "rps"), 0);
    assert_int_equal(take(s, "acme", "tpm"), 0);
    assert_int_equal(call(s, &(struct weir_store_call){.op = WEIR_STORE_RESERVE,
                                                       .tenant = WEIR_STR_INIT("acme"),
                                                       .id = WEIR_STR_INIT("r"),
                                                       .holds = &hold,
                                                       .n = 1,
                                                       .number = 1000}),
                     0);
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    assert_true(stats.n_bytes <= 4096);
    weir_store_destroy(s);
}

enum { THREADS = 4, TAKES = 3000, LIMIT = 1000 };

static void *take_many(void *arg)
{
    const weir_store_limit level = {WEIR_STR_INIT("shared"), 1, LIMIT, UINT64_C(3600) * 1000000,
                                    LIMIT};
    struct weir_store *s = arg;
    for (int i = 0; i < TAKES; i++) {
        (void)weir_store_call(
            s, &(struct weir_store_call){.op = WEIR_STORE_TAKE, .levels = &level, .n = 1},
            count_passed, NULL);
        int rc = 0;
        char tenant[16], key[16];
        (void)snprintf(tenant, sizeof(tenant), "t%d", i % 40); /* evictions across shards */
        (void)snprintf(key, sizeof(key), "v%d", i);
        (void)weir_store_call(s,
                              &(struct weir_store_call){.op = WEIR_STORE_SET,
                                                        .tenant = weir_str_from(tenant),
                                                        .key = weir_str_from(key)},
                              keep_rc, &rc);
    }
    return NULL;
}

static void threads_together_never_exceed_a_limit(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.max_entries = 500, .now_us = now_us}, &s),
        0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, s), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(n_passed, LIMIT);
    weir_store_destroy(s);
}

struct heard {
    int messages, lost;
};

static void on_message(void *arg, weir_str message, int lost)
{
    (void)message;
    struct heard *h = arg;
    h->messages += !lost;
    h->lost += lost;
}

static void too_many_messages_are_dropped_and_it_is_said(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    struct weir_store_subscription *subscription = NULL;
    struct heard heard = {0};
    assert_int_equal(open_store(&s), 0);
    assert_int_equal(weir_store_subscribe(s, weir_str_from("c"), on_message, &heard, &subscription),
                     0);
    for (int i = 0; i < WEIR_STORE_MAX_WAITING + 10; i++) {
        assert_int_equal(
            call(s, &(struct weir_store_call){.op = WEIR_STORE_PUBLISH, .key = WEIR_STR_INIT("c")}),
            0);
    }
    assert_int_equal(heard.messages, 0); /* only out of turn() */
    weir_store_turn(s);
    assert_int_equal(heard.messages, WEIR_STORE_MAX_WAITING);
    assert_int_equal(heard.lost, 1);
    weir_store_destroy(s);
}

int main(void)
{
    const struct store_driver driver = {
        .open = open_store, .close = weir_store_destroy, .advance = advance, .now_us = read_clock};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_values_are_evicted),
        cmocka_unit_test(bytes_are_bounded_too),
        cmocka_unit_test(settled_ids_leave_room_for_others),
        cmocka_unit_test(everything_that_ends_gives_its_bytes_back),
        cmocka_unit_test(a_fresh_tenant_is_small),
        cmocka_unit_test(threads_together_never_exceed_a_limit),
        cmocka_unit_test(too_many_messages_are_dropped_and_it_is_said),
    };
    int failed = store_suite_run(&driver);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
