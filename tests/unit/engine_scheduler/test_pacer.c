/* SPDX-License-Identifier: Apache-2.0 */
/* The pacer on machines that are made up: what a step costs is known, so what it should ask for is.
 */
#include "engine/scheduler/pacer.h"

#include "tests/support/cmocka.h"

/* A step's time: decode_us with rows alone, token_us more for each prompt token. */
struct machine {
    double decode_us, token_us;
};

static uint64_t cost(const struct machine *m, uint32_t n_prompt_tokens)
{
    return (uint64_t)(m->decode_us + m->token_us * n_prompt_tokens);
}

/* One step as the scheduler makes it, a stream beside a long prompt; returns its time. */
static uint64_t step(struct weir_pacer *p, const struct machine *m)
{
    uint32_t n = weir_pacer_prompt_tokens(p, 1);
    uint64_t took_us = cost(m, n);
    weir_pacer_record(p, 1, n, took_us);
    return took_us;
}

static void run(struct weir_pacer *p, const struct machine *m, int n_steps)
{
    for (int i = 0; i < n_steps; i++) {
        (void)step(p, m);
    }
}

static void it_asks_for_a_pure_step_before_it_guesses(void **state)
{
    (void)state;
    struct weir_pacer p = {0};
    assert_int_equal(weir_pacer_prompt_tokens(&p, 1), 0);
    weir_pacer_record(&p, 1, 0, 2000);
    assert_true(weir_pacer_prompt_tokens(&p, 1) > 0);
    assert_int_equal(weir_pacer_prompt_tokens(&p, 16), 0); /* that many rows were never measured */
}

static void a_mixed_step_stays_below_three_pure_ones(void **state)
{
    (void)state;
    const struct machine machines[] = {{2000, 100}, {2000, 5}, {500, 400}, {90000, 1000}};
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
        const struct machine *m = &machines[i];
        struct weir_pacer p = {0};
        run(&p, m, 200);
        for (int n = 0; n < 400; n++) {
            uint64_t took_us = step(&p, m);
            assert_true((double)took_us < 3 * m->decode_us);
        }
        uint32_t n = weir_pacer_prompt_tokens(&p, 1);
        n = n ? n : p.last_tokens;
        assert_true((double)cost(m, n) > 1.5 * m->decode_us); /* and is not timid */
    }
}

static void it_follows_a_cost_that_grows(void **state)
{
    (void)state;
    struct machine m = {2000, 50};
    struct weir_pacer p = {0};
    run(&p, &m, 100);
    for (int n = 0; n < 1000; n++) { /* the prompt's attention: ten times as much in the end */
        m.token_us += 0.45;
        assert_true((double)step(&p, &m) < 3 * m.decode_us);
    }
}

static void a_late_step_does_not_make_the_next_ones_long(void **state)
{
    (void)state;
    const struct machine m = {2000, 100};
    struct weir_pacer p = {0};
    run(&p, &m, 200);
    uint32_t before = weir_pacer_prompt_tokens(&p, 1);
    before = before ? before : p.last_tokens;
    weir_pacer_record(&p, 1, 0, 40000); /* the system had the processor */
    for (int n = 0; n < 60; n++) {
        assert_true((double)step(&p, &m) < 3 * m.decode_us);
        assert_true(p.last_tokens <= before * 2);
    }
}

static void a_prompt_alone_fills_the_time_that_is_asked_for(void **state)
{
    (void)state;
    const struct machine m = {0, 80};
    struct weir_pacer p = {0};
    assert_true(weir_pacer_tokens_in(&p, 20000) > 0);
    for (int n = 0; n < 50; n++) {
        uint32_t tokens = weir_pacer_tokens_in(&p, 20000);
        weir_pacer_record(&p, 0, tokens, cost(&m, tokens));
    }
    assert_in_range(weir_pacer_tokens_in(&p, 20000), 240, 260);
    assert_true(weir_pacer_tokens_in(&p, 1) >= 1);
}

static void a_chunk_in_pieces_is_cut_by_what_its_tokens_cost(void **state)
{
    (void)state;
    struct weir_pacer p = {0};
    assert_int_equal(weir_pacer_piece_us(&p, 1), 0); /* as short as it can be */
    uint32_t first = weir_pacer_prefill_tokens(&p, 1);
    assert_in_range(first, 1, 32);
    for (int i = 0; i < 20; i++) {
        weir_pacer_record(&p, 1, 0, 4000);
    }
    uint32_t piece_us = weir_pacer_piece_us(&p, 1);
    assert_in_range(piece_us, 2000, 4000);
    weir_pacer_record_prefill(&p, first, (uint64_t)first * 100);
    assert_in_range(weir_pacer_prefill_tokens(&p, 1), 8 * piece_us / 100, 32 * piece_us / 100);
    for (int i = 0; i < 20; i++) {
        weir_pacer_record_prefill(&p, 16, (uint64_t)16 * 5000);
    }
    assert_true(weir_pacer_prefill_tokens(&p, 1) <= first); /* far into the prompt */
}

static void a_piece_makes_up_for_the_step_before_it(void **state)
{
    (void)state;
    struct weir_pacer p = {0};
    for (int i = 0; i < 20; i++) {
        weir_pacer_record(&p, 1, 0, 4000);
    }
    uint32_t usual_us = weir_pacer_piece_us(&p, 1);
    weir_pacer_record(&p, 1, 0, 5000);
    assert_in_range(weir_pacer_piece_us(&p, 1), usual_us - 1000, usual_us - 800);
    weir_pacer_record(&p, 1, 0, 8000);
    assert_int_equal(weir_pacer_piece_us(&p, 1), 0);
    assert_true(weir_pacer_prefill_tokens(&p, 1) >= 1);
    weir_pacer_record(&p, 1, 0, 3000);
    assert_true(weir_pacer_piece_us(&p, 1) >= usual_us);
    for (int i = 0; i < 40; i++) { /* no longer late, but slow */
        weir_pacer_record(&p, 1, 0, 8000);
    }
    assert_true(weir_pacer_piece_us(&p, 1) > usual_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_in_pieces_is_cut_by_what_its_tokens_cost),
        cmocka_unit_test(a_piece_makes_up_for_the_step_before_it),
        cmocka_unit_test(it_asks_for_a_pure_step_before_it_guesses),
        cmocka_unit_test(a_mixed_step_stays_below_three_pure_ones),
        cmocka_unit_test(it_follows_a_cost_that_grows),
        cmocka_unit_test(a_late_step_does_not_make_the_next_ones_long),
        cmocka_unit_test(a_prompt_alone_fills_the_time_that_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
