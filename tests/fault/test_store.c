/* SPDX-License-Identifier: Apache-2.0 */
/* The memory store while memory runs out: an operation is done or refused, and counts once. */
#include <stdlib.h>

#include "core/store/memory.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

static const weir_str tenant = WEIR_STR_INIT("t");

static void keep(void *arg, const weir_store_result *r)
{
    *(weir_store_result *)arg = *r;
}

/* The call's answer in *ret. */
static int ask(struct weir_store *s, enum weir_store_op op, weir_str key,
               struct weir_store_call call, weir_store_result *ret)
{
    call.op = op;
    call.tenant = tenant;
    call.key = key;
    return weir_store_call(s, &call, keep, ret);
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
    int (*operate)(struct weir_store *s, weir_str key, weir_store_result *ret);
};

static int set(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    const weir_str tags[] = {WEIR_STR_INIT("red"), WEIR_STR_INIT("round")};
    return ask(s, WEIR_STORE_SET, key,
               (struct weir_store_call){.value = WEIR_STR_INIT("a value"), .tags = tags, .n = 2},
               ret);
}

static int add(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    return ask(s, WEIR_STORE_ADD, key, (struct weir_store_call){.delta = 1}, ret);
}

static int take(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    const weir_store_limit level = {key, 1, 10, 1000000, 10};
    return ask(s, WEIR_STORE_TAKE, (weir_str){NULL, 0},
               (struct weir_store_call){.levels = &level, .n = 1}, ret);
}

static int reserve(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    const weir_store_hold hold = {key, 5, 100};
    return ask(
        s, WEIR_STORE_RESERVE, (weir_str){NULL, 0},
        (struct weir_store_call){.id = WEIR_STR_INIT("id"), .holds = &hold, .n = 1, .number = 1000},
        ret);
}

static int put(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    return ask(s, WEIR_STORE_PUT, weir_str_from("things"),
               (struct weir_store_call){.id = key, .value = WEIR_STR_INIT("a record")}, ret);
}

static int append(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    return ask(s, WEIR_STORE_APPEND, weir_str_from("log"),
               (struct weir_store_call){.id = key, .value = WEIR_STR_INIT("an entry")}, ret);
}

static int put_job(struct weir_store *s, weir_str key, weir_store_result *ret)
{
    return ask(s, WEIR_STORE_JOB_PUT, weir_str_from("queue"),
               (struct weir_store_call){.id = key, .value = WEIR_STR_INIT("a job")}, ret);
}

static int operate(void *arg)
{
    const struct attempt *a = arg;
    struct weir_store *s = NULL; /* a new one: others have memory for small entries */
    weir_store_result result = {0};
    int r = weir_store_memory_create(&(struct weir_store_memory_options){0}, &s);
    r = r < 0 ? r : a->operate(s, weir_str_from("key"), &result);
    weir_store_destroy(s);
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
    static int (*const operations[])(struct weir_store *, weir_str, weir_store_result *) = {
        set, add, take, reserve, put, append, put_job};
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        struct attempt a = {.operate = operations[i]};
        size_t made = alloc_fail_each(create, NULL, 1000);
        assert_true(alloc_fail_each(operate, &a, 1000) > made);
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
        int r = ask(s, WEIR_STORE_SET, weir_str_from("k"),
                    (struct weir_store_call){.value = WEIR_STR_INIT("new")}, &result);
        bool failed = alloc_fail_off() && (r < 0 || result.rc < 0);
        assert_int_equal(
            ask(s, WEIR_STORE_GET, weir_str_from("k"), (struct weir_store_call){.n = 0}, &result),
            0);
        assert_true(failed || result.rc == 0);
        assert_int_equal(ask(s, WEIR_STORE_INVALIDATE, weir_str_from("red"),
                             (struct weir_store_call){.n = 0}, &result),
                         0);
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
