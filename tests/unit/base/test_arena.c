/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "tests/support/cmocka.h"

static void alloc_is_aligned_and_zeroed(void **state)
{
    (void)state;
    struct weir_arena a;
    weir_arena_init(&a, 1 << 20);

    for (size_t n = 0; n < 5000; n += 37) {
        unsigned char *p = weir_arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(p[i], 0);
            p[i] = 0xAA;
        }
    }

    weir_arena_finish(&a);
    assert_int_equal(a.used_bytes, 0);
}

static void limit_is_never_exceeded(void **state)
{
    (void)state;
    struct weir_arena a;
    weir_arena_init(&a, 10000);

    while (weir_arena_alloc(&a, 100)) {
        assert_true(a.used_bytes <= 10000);
    }
    assert_null(weir_arena_alloc(&a, SIZE_MAX - 4));
    assert_null(weir_arena_array(&a, SIZE_MAX / 2, 3));

    weir_arena_finish(&a);
}

static void reset_reuses_memory(void **state)
{
    (void)state;
    struct weir_arena a;
    weir_arena_init(&a, 4096);

    for (int round = 0; round < 100; round++) {
        assert_non_null(weir_arena_alloc(&a, 1000));
        weir_arena_reset(&a);
    }

    weir_arena_finish(&a);
}

static void printf_formats(void **state)
{
    (void)state;
    struct weir_arena a;
    weir_arena_init(&a, 4096);

    weir_str s = weir_arena_printf(&a, "%s-%d", "x", 42);
    assert_string_equal(s.p, "x-42");
    assert_int_equal(s.n, 4);

    weir_arena_finish(&a);
}

static void a_piece_grows_in_place_while_it_is_the_newest(void **state)
{
    (void)state;
    struct weir_arena a;
    weir_arena_init(&a, 1 << 20);

    char *first = weir_arena_take(&a, 100);
    memset(first, 'a', 100);
    assert_ptr_equal(weir_arena_resize(&a, first, 100, 500), first);
    assert_ptr_equal(weir_arena_resize(&a, first, 500, 50), first);
    char *second = weir_arena_take(&a, 100);
    assert_ptr_equal(second, first + 64); /* what was given back is used */
    memset(second, 'b', 100);

    char *moved = weir_arena_resize(&a, first, 50, 200); /* no longer the newest */
    assert_ptr_not_equal(moved, first);
    assert_memory_equal(moved, first, 50);
    char *far = weir_arena_resize(&a, moved, 200, 100000); /* more than the block has */
    assert_memory_equal(far, first, 50);
    assert_ptr_equal(weir_arena_resize(&a, second, 100, 10), second);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(second[i], 'b');
    }
    assert_null(weir_arena_resize(&a, far, 100000, 2 << 20));

    weir_arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alloc_is_aligned_and_zeroed),
        cmocka_unit_test(limit_is_never_exceeded),
        cmocka_unit_test(reset_reuses_memory),
        cmocka_unit_test(printf_formats),
        cmocka_unit_test(a_piece_grows_in_place_while_it_is_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
