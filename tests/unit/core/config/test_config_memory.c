/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a configuration while the n-th allocation fails, for every n until it succeeds: each
 * failure is reported, nothing is published, and (under a sanitizer) nothing leaks. */
#include <stdlib.h>

#include "core/config/config.h"
#include "tests/support/cmocka.h"

/* Allocations left until one fails; negative: none fails. The linker sends those of the code under
 * test here (-Wl,--wrap). */
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

static const char text[] = "server: {listen: ['127.0.0.1:0'], tls: {cert: a, key: b}}\n"
                           "models: {m: {targets: [{engine: {file: a.gguf}}], fallback: [n]}, n: "
                           "{targets: [{engine: {}}]}}\n"
                           "plugins: [auth, {x: {y: [1, 2]}}]\n"
                           "tenants: {t: {models: [m], keys: [{name: k, secret: abcdefgh}]}}\n";

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    bool reached = true;
    long n = 0;
    for (; reached && n < 10000; n++) {
        struct weir_findings findings;
        struct weir_config *config = NULL;
        weir_findings_init(&findings, "t.yaml");
        countdown = n;
        int r = weir_config_parse(weir_str_from(text), &findings, false, &config);
        reached = countdown < 0;
        countdown = -1;
        /* Some allocations only serve a better message; without them loading may still succeed. */
        assert_true(r == 0 || reached);
        assert_true((r == 0) == (config != NULL));
        weir_config_unref(config);
        weir_findings_finish(&findings);
    }
    assert_false(reached);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
