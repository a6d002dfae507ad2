/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_fail.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

/* Allocations left until one fails; negative: none fails. Relaxed: it orders nothing else. */
static atomic_long countdown = -1;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool is_time_to_fail(void)
{
    return atomic_load_explicit(&countdown, memory_order_relaxed) >= 0 &&
           atomic_fetch_sub_explicit(&countdown, 1, memory_order_relaxed) == 0;
}

void *__wrap_malloc(size_t n)
{
    return is_time_to_fail() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_time_to_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return is_time_to_fail() ? NULL : __real_realloc(p, n);
}

void alloc_fail_after(size_t n)
{
    atomic_store_explicit(&countdown, (long)n, memory_order_relaxed);
}

bool alloc_fail_off(void)
{
    return atomic_exchange_explicit(&countdown, -1, memory_order_relaxed) < 0;
}

size_t alloc_fail_each(alloc_fail_attempt *attempt, void *arg, size_t max)
{
    assert_true(attempt(arg) >= 0);
    for (size_t n = 0; n <= max; n++) {
        alloc_fail_after(n);
        int r = attempt(arg);
        if (!alloc_fail_off()) {
            assert_true(r >= 0);
            return n;
        }
    }
    fail_msg("more than %zu allocations", max);
    return 0;
}
