/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_fail.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

/* Allocations left until one fails; negative: none fails. */
static long countdown = -1;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool is_time_to_fail(void)
{
    return countdown >= 0 && countdown-- == 0;
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

size_t alloc_fail_each(alloc_fail_attempt *attempt, void *arg, size_t max)
{
    assert_true(attempt(arg) >= 0);
    for (size_t n = 0; n <= max; n++) {
        countdown = (long)n;
        int r = attempt(arg);
        bool failed_one = countdown < 0;
        countdown = -1;
        if (!failed_one) {
            assert_true(r >= 0);
            return n;
        }
    }
    fail_msg("more than %zu allocations", max);
    return 0;
}
