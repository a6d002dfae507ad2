/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pieces.h"

#include <stdint.h>
#include <string.h>

#include "base/heap.h"
#include "tests/support/cmocka.h"

enum { SIZES = 2100, PIECES = 200 };

static void use(unsigned char *p, size_t n, int value)
{
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 16, 0);
    memset(p, value, n);
}

static void take_and_give(struct weir_pieces *kept)
{
    unsigned char *pieces[PIECES];
    for (size_t n = 0; n < SIZES; n += n < 200 ? 1 : 67) {
        for (int i = 0; i < PIECES; i++) {
            pieces[i] = weir_pieces_take(kept, n);
            use(pieces[i], n, i);
        }
        for (int i = 0; i < PIECES; i++) {
            for (size_t k = 0; k < n; k++) { /* nobody else has it */
                assert_int_equal(pieces[i][k], i);
            }
            weir_pieces_give(kept, pieces[i], n);
        }
    }
    weir_pieces_give(kept, NULL, 100);
}

static void who_keeps_none_gets_libcs(void **state)
{
    (void)state;
    take_and_give(NULL);
}

static void what_was_given_back_is_taken_again(void **state)
{
    (void)state;
    struct weir_pieces kept = {0};
    take_and_give(&kept);
    void *first = weir_pieces_take(&kept, 100);
    weir_pieces_give(&kept, first, 100);
    void *again = weir_pieces_take(&kept, 128); /* of the same 64 bytes */
    assert_true(WEIR_HEAP_IS_SANITIZED || again == first);
    void *larger = weir_pieces_take(&kept, 129);
    assert_ptr_not_equal(larger, again);
    weir_pieces_give(&kept, larger, 129);
    weir_pieces_give(&kept, again, 128);
    weir_pieces_finish(&kept);
    take_and_give(&kept);
    weir_pieces_finish(&kept);
}

static void another_one_may_get_it_back(void **state)
{
    (void)state;
    struct weir_pieces one = {0}, other = {0};
    void *piece = weir_pieces_take(&one, 500);
    weir_pieces_give(&other, piece, 500);
    void *again = weir_pieces_take(&other, 512);
    use(again, 512, 1);
    weir_pieces_give(NULL, again, 512);
    weir_pieces_finish(&one);
    weir_pieces_finish(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_keeps_none_gets_libcs),
        cmocka_unit_test(what_was_given_back_is_taken_again),
        cmocka_unit_test(another_one_may_get_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
