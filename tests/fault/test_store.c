/* SPDX-License-Identifier: Apache-2.0 */
/* The memory store when an allocation fails: the operation says so, and nothing is lost or leaked.
 */
#include "core/store/memory.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

static void keep_rc(void *arg, const weir_store_result *r)
{
    *(int *)arg = r->rc;
}

static void on_message(void *arg, weir_str message, int lost)
{
    (void)arg;
    (void)message;
    (void)lost;
}

static int call(struct weir_store *s, const struct weir_store_call *c)
{
    int rc = 0;
    int refused = weir_store_call(s, c, keep_rc, &rc);
    return refused < 0 ? refused : rc;
}

/* Every operation that writes or answers with bytes. */
static int do_all(struct weir_store *s)
{
    static const weir_str k = WEIR_STR_INIT("k"), v = WEIR_STR_INIT("value");
    static const weir_store_limit level = {WEIR_STR_INIT("l"), 1, 10, 1000000, 10};
    static const weir_store_hold holds[2] = {{WEIR_STR_INIT("a"), 1, 10},
                                             {WEIR_STR_INIT("b"), 1, 10}};
    const struct weir_store_call calls[] = {
        {.op = WEIR_STORE_TAKE, .levels = &level, .n = 1},
        {.op = WEIR_STORE_RESERVE, .id = k, .holds = holds, .n = 2, .number = 1000},
        {.op = WEIR_STORE_SETTLE, .id = k, .holds = holds, .n = 2},
        {.op = WEIR_STORE_SET, .key = k, .value = v, .tags = &k, .n = 1},
        {.op = WEIR_STORE_GET, .key = k},
        {.op = WEIR_STORE_ADD, .key = k, .delta = 1},
        {.op = WEIR_STORE_PUT, .key = k, .id = k, .value = v, .number = WEIR_STORE_ANY_VERSION},
        {.op = WEIR_STORE_FIND, .key = k, .id = k},
        {.op = WEIR_STORE_LIST, .key = k, .n = 10},
        {.op = WEIR_STORE_APPEND, .key = k, .id = k, .value = v},
        {.op = WEIR_STORE_READ, .key = k, .n = 10},
        {.op = WEIR_STORE_JOB_PUT, .key = k, .id = k, .value = v},
        {.op = WEIR_STORE_JOB_CLAIM, .key = k, .n = 10, .number = 1000},
        {.op = WEIR_STORE_PUBLISH, .key = k, .value = v},
    };
    int worst = 0;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int rc = call(s, &calls[i]); /* on after a failure: the store must still be usable */
        worst = rc < worst && rc != WEIR_E_NOTFOUND ? rc : worst;
    }
    return worst;
}

static int use(void *arg)
{
    (void)arg;
    struct weir_store *s = NULL;
    int rc = weir_store_memory_create(&(struct weir_store_memory_options){0}, &s);
    if (rc < 0) {
        return rc;
    }
    struct weir_store_subscription *subscription = NULL;
    rc = weir_store_subscribe(s, weir_str_from("k"), on_message, NULL, &subscription);
    int used = do_all(s);
    weir_store_turn(s);
    int erased = call(s, &(struct weir_store_call){.op = WEIR_STORE_ERASE});
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    bool sane = stats.n_entries <= 2; /* the log and its id */
    weir_store_destroy(s);
    return !sane ? WEIR_E_INTERNAL - 1 : rc < 0 ? rc : used < 0 ? used : erased;
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(use, NULL, 200) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failed_allocation_is_survived)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
