/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include "tests/support/cmocka.h"

enum { N = 3 * WEIR_RANDOM_BLOCK };

static void numbers_differ_over_blocks_and_owners(void **state)
{
    (void)state;
    static struct weir_random owners[2];
    static uint64_t seen[2 * N];
    for (size_t i = 0; i < 2 * N; i++) {
        seen[i] = weir_random_u64(&owners[i % 2]);
        for (size_t k = 0; k < i; k++) {
            assert_true(seen[k] != seen[i]);
        }
    }
}

static void what_was_given_out_is_forgotten(void **state)
{
    (void)state;
    struct weir_random r = {0};
    uint64_t number = weir_random_u64(&r);
    for (size_t i = 0; i < WEIR_RANDOM_BLOCK; i++) {
        assert_true(r.block[i] != number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_differ_over_blocks_and_owners),
        cmocka_unit_test(what_was_given_out_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
