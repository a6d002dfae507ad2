/* SPDX-License-Identifier: Apache-2.0 */
/* Where a ladder stands, in virtual time. */
#include "core/request/shedding.h"

#include "core/request/streams.h"
#include "tests/support/cmocka.h"

enum { SECOND = 1000000, HOLD = 5 * SECOND };

static const struct weir_config_shed_ladder ladder = {
    .steps =
        {
            {.has_wait = true, .wait_us = 2 * SECOND, .action = WEIR_SHED_MAX_TOKENS},
            {.has_wait = true, .wait_us = 5 * SECOND, .action = WEIR_SHED_FALLBACK},
            {.has_wait = true,
             .wait_us = 10 * SECOND,
             .has_fill = true,
             .fill = 0.8,
             .action = WEIR_SHED_REJECT},
        },
    .n_steps = 3,
};

static void move(struct weir_shed_position *p, double wait_s, double fill, double now_s)
{
    weir_shed_position_move(p, &ladder, HOLD, (uint64_t)(wait_s * SECOND), fill,
                            (uint64_t)(now_s * SECOND));
}

static void it_is_climbed_at_once_as_far_as_needed(void **state)
{
    (void)state;
    struct weir_shed_position p = {0};
    move(&p, 1.9, 0.1, 1);
    assert_int_equal(p.level, 0);
    move(&p, 2, 0.1, 2);
    assert_int_equal(p.level, 1);
    move(&p, 12, 0.1, 3);
    assert_int_equal(p.level, 3);
    struct weir_shed_position by_fill = {0};
    move(&by_fill, 0, 0.9, 1);
    assert_int_equal(by_fill.level, 3);
}

static void it_is_left_one_step_at_a_time_when_it_stays_better(void **state)
{
    (void)state;
    struct weir_shed_position p = {0};
    move(&p, 12, 0.1, 1);
    move(&p, 0, 0, 2);
    move(&p, 0, 0, 6.9);
    assert_int_equal(p.level, 3);
    move(&p, 0, 0, 7);
    assert_int_equal(p.level, 2);
    move(&p, 0, 0, 11.9);
    assert_int_equal(p.level, 2);
    move(&p, 0, 0, 12);
    assert_int_equal(p.level, 1);
    move(&p, 0, 0, 17);
    assert_int_equal(p.level, 0);
    move(&p, 0, 0, 100);
    assert_int_equal(p.level, 0);
}

static void near_the_threshold_it_does_not_flap(void **state)
{
    (void)state;
    struct weir_shed_position p = {0};
    uint32_t moves = 0;
    for (int i = 0; i < 2000; i++) { /* 100 s of a wait that swings about 2 s */
        uint32_t before = p.level;
        move(&p, i % 2 ? 2.2 : 1.5, 0.1, 1 + i * 0.05);
        moves += p.level != before;
    }
    assert_int_equal(moves, 1);
    assert_int_equal(p.level, 1);
    for (int i = 0; i < 2000; i++) { /* mostly good, but never for long enough */
        move(&p, i % 80 == 0 ? 1.6 : 0.5, 0.1, 200 + i * 0.05);
    }
    assert_int_equal(p.level, 1);
}

static void a_shorter_ladder_or_one_without_conditions_is_taken_over(void **state)
{
    (void)state;
    struct weir_shed_position p = {.level = 3};
    const struct weir_config_shed_ladder none = {.n_steps = 0};
    weir_shed_position_move(&p, &none, HOLD, 0, 0, SECOND);
    assert_int_equal(p.level, 0);
    const struct weir_config_shed_ladder always = {.steps = {{.action = WEIR_SHED_FALLBACK}},
                                                   .n_steps = 1};
    for (uint64_t t = 2; t < 100; t++) {
        weir_shed_position_move(&p, &always, HOLD, 0, 0, t * SECOND);
        assert_int_equal(p.level, 1);
    }
}

static void streams_are_counted_by_tenant(void **state)
{
    (void)state;
    struct weir_streams *s = NULL;
    assert_int_equal(weir_streams_create(&s), 0);
    assert_int_equal(weir_streams_take(s, 1, 2), 0);
    assert_int_equal(weir_streams_take(s, 1, 2), 0);
    assert_int_equal(weir_streams_take(s, 1, 2), WEIR_E_BUSY);
    assert_int_equal(weir_streams_take(s, 257, 1), 0); /* the same bucket */
    assert_int_equal(weir_streams_take(s, 257, 1), WEIR_E_BUSY);
    weir_streams_give(s, 1);
    assert_int_equal(weir_streams_take(s, 1, 2), 0);
    weir_streams_give(s, 1);
    weir_streams_give(s, 1);
    weir_streams_destroy(s); /* one is left: the process ends */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_climbed_at_once_as_far_as_needed),
        cmocka_unit_test(it_is_left_one_step_at_a_time_when_it_stays_better),
        cmocka_unit_test(near_the_threshold_it_does_not_flap),
        cmocka_unit_test(a_shorter_ladder_or_one_without_conditions_is_taken_over),
        cmocka_unit_test(streams_are_counted_by_tenant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
