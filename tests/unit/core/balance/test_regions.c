/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "core/balance/regions.h"
#include "tests/support/cmocka.h"

enum { S = 1000000 };

static const struct weir_regions_config usual = {
    .min_healthy_percent = 50, .leave_after_ms = 5000, .return_after_ms = 30000};

static struct weir_balance *b;
static _Atomic uint32_t loads[WEIR_BALANCE_MAX_TARGETS];

/* Two targets each at home in "east", in "west" and in "north". */
static int set_up(void **state)
{
    (void)state;
    struct weir_balance_config config = {.load_bound = 1.25, .home_region = "east"};
    assert_int_equal(weir_balance_create(&config, loads, &b), 0);
    static const char *const where[] = {NULL, "east", "west", "west", "north", "north"};
    for (uint32_t i = 0; i < 6; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m/%u", i);
        assert_int_equal(weir_balance_add(b, name, 100, where[i]), 0);
        weir_balance_set_share(b, i, WEIR_BALANCE_FULL_SHARE);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    weir_balance_destroy(b);
    return 0;
}

static bool tick(uint64_t now_us)
{
    uint32_t region;
    return weir_regions_tick(b, &usual, now_us, &region);
}

static uint32_t region(uint64_t excluded)
{
    struct weir_balance_ask ask = {.excluded = excluded};
    uint32_t i = weir_balance_choose(b, &ask, S);
    return i == WEIR_BALANCE_NONE ? i : b->targets[i].region;
}

static void home_comes_first_then_the_order_of_the_file(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(region(0), 0);
        assert_int_equal(region(3), 1);
        assert_int_equal(region(15), 2);
    }
    assert_int_equal(region(63), WEIR_BALANCE_NONE);
}

static void checks_tell_which_is_nearer(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        weir_regions_note_rtt(b, 0, 50000); /* the home region stays the first */
        weir_regions_note_rtt(b, 2, 20000);
        weir_regions_note_rtt(b, 4, 18000); /* not clearly nearer */
    }
    (void)tick(S);
    assert_int_equal(region(3), 1);
    for (int i = 0; i < 100; i++) {
        weir_regions_note_rtt(b, 4, 5000);
    }
    (void)tick(S);
    assert_int_equal(region(3), 2);
    assert_int_equal(region(0), 0);
}

static void a_failing_region_is_left_and_taken_back_late(void **state)
{
    (void)state;
    (void)tick(S);
    weir_balance_set_share(b, 0, 0); /* half of it is enough */
    assert_false(tick(2 * S) || tick(60 * S));
    struct weir_regions_config strict = usual;
    strict.min_healthy_percent = 70;
    uint32_t which = 9;
    assert_false(weir_regions_tick(b, &strict, 100 * S, &which));
    assert_int_equal(region(0), 0); /* not at once */
    assert_true(weir_regions_tick(b, &strict, 105 * S, &which));
    assert_int_equal(which, 0);
    assert_int_equal(region(0), 1);
    weir_balance_set_share(b, 0, WEIR_BALANCE_FULL_SHARE);
    assert_false(weir_regions_tick(b, &strict, 110 * S, &which));
    weir_balance_set_share(b, 0, 0); /* it flaps: the time begins anew */
    assert_false(weir_regions_tick(b, &strict, 139 * S, &which));
    weir_balance_set_share(b, 0, WEIR_BALANCE_FULL_SHARE);
    assert_false(weir_regions_tick(b, &strict, 141 * S, &which));
    assert_int_equal(region(0), 1);
    assert_true(weir_regions_tick(b, &strict, 171 * S, &which));
    assert_int_equal(region(0), 0);
}

static void nothing_usable_at_home_goes_elsewhere_at_once(void **state)
{
    (void)state;
    weir_balance_set_share(b, 0, 0);
    weir_balance_set_share(b, 1, 0);
    assert_int_equal(region(0), 1);
    for (uint32_t i = 0; i < 3; i++) { /* all are left: what is usable is used all the same */
        atomic_store(&b->regions[i].is_out, true);
    }
    assert_int_equal(region(0), 1);
}

static void a_list_of_regions_names_targets(void **state)
{
    (void)state;
    const weir_str names[] = {WEIR_STR_INIT("west"), WEIR_STR_INIT("south"), WEIR_STR_INIT("east")};
    assert_int_equal(weir_balance_in_regions(b, names, 3), 15);
    assert_int_equal(weir_balance_in_regions(b, names + 1, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(home_comes_first_then_the_order_of_the_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(checks_tell_which_is_nearer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failing_region_is_left_and_taken_back_late, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_usable_at_home_goes_elsewhere_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_list_of_regions_names_targets, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
