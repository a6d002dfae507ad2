/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/heap.h"

struct heap {
    size_t n_bytes;
    bool is_large; /* its pages may be */
};

/* What the kernel says of the mapping around `memory`. */
static struct heap look(const void *memory)
{
    struct heap h = {0};
    char line[512];
    uintptr_t from, to, at = (uintptr_t)memory;
    bool is_it = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
            is_it = at >= from && at < to;
            h.n_bytes = is_it ? to - from : h.n_bytes;
        } else if (is_it && strncmp(line, "VmFlags:", 8) == 0) {
            h.is_large = strstr(line, " hg") != NULL;
        }
    }
    (void)fclose(f);
    return h;
}

static void *use_heap(void *arg)
{
    struct heap *h = arg;
    void *kept = malloc(4096);
    assert_non_null(kept);
    struct weir_heaps heaps = {.n = 0};
    weir_heap_use_large_pages(&heaps, kept);
    weir_heap_use_large_pages(&heaps, kept);
    assert_int_equal(heaps.n, 1);
    *h = look(kept);
    free(kept);
    return NULL;
}

static bool has_large_pages(void)
{
    return access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0;
}

static void a_threads_heap_is_one_piece_of_large_pages(void **state)
{
    (void)state;
    struct heap h = {0};
    pthread_t thread;
    if (WEIR_HEAP_IS_SANITIZED) {
        skip();
    }
    assert_int_equal(pthread_create(&thread, NULL, use_heap, &h), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
#ifdef __GLIBC__
    assert_true(h.n_bytes >= 32u << 20);
#endif
    assert_int_equal(h.is_large, has_large_pages());
}

int main(void)
{
    weir_heap_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_threads_heap_is_one_piece_of_large_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
