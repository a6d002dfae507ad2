/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pieces.h"

#include <pthread.h>
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

static void take_and_give(void)
{
    unsigned char *pieces[PIECES];
    for (size_t n = 0; n < SIZES; n += n < 200 ? 1 : 67) {
        for (int i = 0; i < PIECES; i++) {
            pieces[i] = weir_pieces_take(n);
            use(pieces[i], n, i);
        }
        for (int i = 0; i < PIECES; i++) {
            for (size_t k = 0; k < n; k++) { /* nobody else has it */
                assert_int_equal(pieces[i][k], i);
            }
            weir_pieces_give(pieces[i], n);
        }
    }
    weir_pieces_give(NULL, 100);
}

static void who_did_not_begin_gets_libcs(void **state)
{
    (void)state;
    take_and_give();
    weir_pieces_end(); /* nothing to end */
}

static void what_was_given_back_is_taken_again(void **state)
{
    (void)state;
    weir_pieces_begin();
    weir_pieces_begin();
    take_and_give();
    void *first = weir_pieces_take(100);
    weir_pieces_give(first, 100);
    void *again = weir_pieces_take(128); /* of the same 64 bytes */
    assert_true(WEIR_HEAP_IS_SANITIZED || again == first);
    void *larger = weir_pieces_take(129);
    assert_ptr_not_equal(larger, again);
    weir_pieces_give(larger, 129);
    weir_pieces_give(again, 128);
    weir_pieces_end();
    take_and_give();
    weir_pieces_begin();
    take_and_give();
    weir_pieces_end();
}

static void *give(void *piece)
{
    weir_pieces_begin();
    weir_pieces_give(piece, 500);
    void *again = weir_pieces_take(500);
    use(again, 500, 1);
    weir_pieces_give(again, 500);
    weir_pieces_end();
    return NULL;
}

static void another_thread_may_give_it_back(void **state)
{
    (void)state;
    pthread_t thread;
    weir_pieces_begin();
    void *piece = weir_pieces_take(500);
    assert_int_equal(pthread_create(&thread, NULL, give, piece), 0);
    pthread_join(thread, NULL);
    weir_pieces_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_did_not_begin_gets_libcs),
        cmocka_unit_test(what_was_given_back_is_taken_again),
        cmocka_unit_test(another_thread_may_give_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
