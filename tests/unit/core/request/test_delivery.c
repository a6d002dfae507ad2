/* SPDX-License-Identifier: Apache-2.0 */
#include "core/request/delivery.h"

#include "tests/support/cmocka.h"

static void tokens_count_when_the_last_byte_of_their_piece_is_taken(void **state)
{
    (void)state;
    struct weir_delivery d = {0};
    assert_false(weir_delivery_taken(&d, UINT64_MAX));
    weir_delivery_note(&d, 100, 3);
    weir_delivery_note(&d, 250, 7);
    assert_false(weir_delivery_taken(&d, 99));
    assert_int_equal(d.n_delivered, 0);
    assert_true(weir_delivery_taken(&d, 100));
    assert_int_equal(d.n_delivered, 3);
    assert_false(weir_delivery_taken(&d, 249));
    assert_true(weir_delivery_taken(&d, 1000));
    assert_int_equal(d.n_delivered, 7);
    assert_int_equal(d.n, 0);
}

static void a_piece_without_tokens_is_no_news(void **state)
{
    (void)state;
    struct weir_delivery d = {0};
    weir_delivery_note(&d, 10, 4);
    weir_delivery_note(&d, 20, 4);
    assert_true(weir_delivery_taken(&d, 10));
    assert_false(weir_delivery_taken(&d, 20));
    assert_int_equal(d.n, 0);
}

static void pieces_beyond_the_bound_count_late_but_count(void **state)
{
    (void)state;
    struct weir_delivery d = {0};
    for (uint64_t i = 1; i <= 1000; i++) {
        weir_delivery_note(&d, i * 10, i);
        assert_true(d.n <= WEIR_DELIVERY_PIECES);
    }
    uint64_t last = 0;
    for (uint64_t at = 0; at < 10000; at += 10) { /* never early, never back */
        (void)weir_delivery_taken(&d, at);
        assert_true(d.n_delivered * 10 <= at && d.n_delivered >= last);
        last = d.n_delivered;
    }
    assert_true(weir_delivery_taken(&d, 10000));
    assert_int_equal(d.n_delivered, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_count_when_the_last_byte_of_their_piece_is_taken),
        cmocka_unit_test(a_piece_without_tokens_is_no_news),
        cmocka_unit_test(pieces_beyond_the_bound_count_late_but_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
