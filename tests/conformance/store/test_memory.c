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

static int open_store(struct weir_store **ret_store)
{
    return weir_store_memory_create(&(struct weir_store_memory_options){.now_us = now_us},
                                    ret_store);
}

static void advance(uint64_t us)
{
    atomic_fetch_add(&now, us);
}

static int last_rc;
static _Atomic uint64_t n_passed;

static void keep_rc(void *arg, const weir_store_result *r)
{
    (void)arg;
    last_rc = r->rc;
}

static void count_passed(void *arg, const weir_store_result *r)
{
    (void)arg;
    atomic_fetch_add(&n_passed, r->rc == 0);
}

static void values_are_evicted_and_limits_are_not(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.max_entries = 1600, .now_us = now_us}, &s),
        0);
    const weir_str tenant = WEIR_STR_INIT("t");
    char key[32];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof(key), "limit%d", i);
        assert_int_equal(
            s->driver->gcra_take(s, tenant, weir_str_from(key), 1, 1, 3600000000, 1, keep_rc, NULL),
            0);
        assert_int_equal(last_rc, 0);
    }
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof(key), "value%d", i);
        assert_int_equal(s->driver->set(s, tenant, weir_str_from(key), weir_str_from("v"), 0, NULL,
                                        0, keep_rc, NULL),
                         0);
        assert_int_equal(last_rc, 0);
    }
    for (int i = 0; i < 500; i++) { /* every limit is still used up */
        (void)snprintf(key, sizeof(key), "limit%d", i);
        assert_int_equal(
            s->driver->gcra_take(s, tenant, weir_str_from(key), 1, 1, 3600000000, 1, keep_rc, NULL),
            0);
        assert_int_equal(last_rc, WEIR_E_BUSY);
    }
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    assert_true(stats.n_entries <= 1600 && stats.evicted > 15000);
    int refused = 0;
    for (int i = 500; i < 5000; i++) { /* limits alone fill it: then new ones are refused */
        (void)snprintf(key, sizeof(key), "limit%d", i);
        assert_int_equal(
            s->driver->gcra_take(s, tenant, weir_str_from(key), 1, 1, 3600000000, 1, keep_rc, NULL),
            0);
        refused += last_rc == WEIR_E_NOMEM;
    }
    assert_true(refused >= 5000 - 1600 - 500);
    advance(UINT64_C(7200) * 1000000);
    assert_int_equal(
        s->driver->gcra_take(s, tenant, weir_str_from("fresh"), 1, 1, 3600000000, 1, keep_rc, NULL),
        0);
    weir_store_destroy(s);
}

static void bytes_are_bounded_too(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.max_bytes = 16 * 100000, .now_us = now_us}, &s),
        0);
    static char value[30000];
    char key[32];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(s->driver->set(s, (weir_str){NULL, 0}, weir_str_from(key),
                                        (weir_str){value, sizeof(value)}, 0, NULL, 0, keep_rc,
                                        NULL),
                         0);
        assert_int_equal(last_rc, 0);
    }
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    assert_true(stats.n_bytes <= 16 * 100000 && stats.n_entries >= 16);
    weir_store_destroy(s);
}

enum { THREADS = 4, TAKES = 3000, LIMIT = 1000 };

static void *take_many(void *arg)
{
    struct weir_store *s = arg;
    for (int i = 0; i < TAKES; i++) {
        (void)s->driver->gcra_take(s, (weir_str){NULL, 0}, weir_str_from("shared"), 1, LIMIT,
                                   UINT64_C(3600) * 1000000, LIMIT, count_passed, NULL);
    }
    return NULL;
}

static void threads_together_never_exceed_a_limit(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    assert_int_equal(open_store(&s), 0);
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

int main(void)
{
    const struct store_driver driver = {
        .open = open_store, .close = weir_store_destroy, .advance = advance};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_evicted_and_limits_are_not),
        cmocka_unit_test(bytes_are_bounded_too),
        cmocka_unit_test(threads_together_never_exceed_a_limit),
    };
    int failed = store_suite_run(&driver);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
