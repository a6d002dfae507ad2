/* SPDX-License-Identifier: Apache-2.0 */
/* The memory store while memory runs out: an operation is done or refused, and counts once. */
#include <stdio.h>
#include <stdlib.h>

#include "core/store/memory.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

static const weir_str tenant = WEIR_STR_INIT("t");

static void keep(void *arg, const weir_store_result *r)
{
    *(weir_store_result *)arg = *r;
}

static int create(void *arg)
{
    (void)arg;
    struct weir_store *s = NULL;
    int r = weir_store_memory_create(&(struct weir_store_memory_options){0}, &s);
    weir_store_destroy(s);
    return r;
}

struct attempt {
    struct weir_store *store;
    int (*operate)(struct weir_store *s, weir_str key, weir_store_result *ret);
    unsigned n; /* a new key for each */
};

static int set(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    const weir_str tags[] = {WEIR_STR_INIT("red"), WEIR_STR_INIT("round")};
    return s->driver->set(s, tenant, key, weir_str_from("a value"), 0, tags, 2, keep, ret);
}

static int add(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    return s->driver->add(s, tenant, key, 1, 0, keep, ret);
}

static int take(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    return s->driver->gcra_take(s, tenant, key, 1, 10, 1000000, 10, keep, ret);
}

static int reserve(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    return s->driver->reserve(s, tenant, key, weir_str_from("id"), 5, 100, 1000, keep, ret);
}

static int operate(void *arg)
{
    struct attempt *a = arg;
    char key[32];
    weir_store_result result = {0};
    (void)snprintf(key, sizeof(key), "key%u", a->n++);
    int r = a->operate(a->store, weir_str_from(key), &result);
    return r < 0 ? r : result.rc;
}

static void a_store_is_made_or_not(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(create, NULL, 1000) > 0);
}

static void an_operation_is_done_or_refused(void **state)
{
    (void)state;
    static int (*const operations[])(struct weir_store *, weir_str,
                                     weir_store_result *) = {set, add, take, reserve};
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        struct attempt a = {.operate = operations[i]};
        assert_int_equal(weir_store_memory_create(&(struct weir_store_memory_options){0}, &a.store),
                         0);
        assert_true(alloc_fail_each(operate, &a, 1000) > 0);
        weir_store_destroy(a.store);
    }
}

static void a_refused_value_leaves_the_old_one_or_none(void **state)
{
    (void)state;
    struct weir_store *s = NULL;
    weir_store_result result = {0};
    assert_int_equal(weir_store_memory_create(&(struct weir_store_memory_options){0}, &s), 0);
    for (size_t n = 0; n < 10; n++) {
        assert_int_equal(set(s, weir_str_from("k"), &result), 0);
        alloc_fail_after(n);
        int r = s->driver->set(s, tenant, weir_str_from("k"), weir_str_from("new"), 0, NULL, 0,
                               keep, &result);
        bool failed = alloc_fail_off() && (r < 0 || result.rc < 0);
        assert_int_equal(s->driver->get(s, tenant, weir_str_from("k"), keep, &result), 0);
        assert_true(failed || result.rc == 0);
        assert_int_equal(s->driver->invalidate(s, tenant, weir_str_from("red"), keep, &result), 0);
    }
    weir_store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_made_or_not),
        cmocka_unit_test(an_operation_is_done_or_refused),
        cmocka_unit_test(a_refused_value_leaves_the_old_one_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
