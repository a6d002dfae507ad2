/* SPDX-License-Identifier: Apache-2.0 */
/* Which hooks are timed, by which clock, and what time plugins are told. */
#include <unistd.h>

#include "core/plugin/plugins_internal.h"
#include "core/plugin/run.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

static void no_wake(void *arg)
{
    (void)arg;
}

static struct weir_plugin_loop *make_loop(void)
{
    struct weir_plugin_loop *loop = NULL;
    assert_int_equal(weir_plugin_loop_create(weir_plugin_clock_system, no_wake, NULL, &loop), 0);
    return loop;
}

static void those_that_are_timed_stand_for_all(void **state)
{
    (void)state;
    enum { N_FIRST = 256, N = 160000 };
    struct weir_plugin_loop *loop = make_loop();
    for (int i = 0; i < N_FIRST; i++) {
        assert_int_equal(weir_plugin_loop_draw(loop), 1);
    }
    uint64_t sum = 0;
    uint32_t n_between = 0, longest = 0;
    bool varies = false;
    for (int i = 0; i < N; i++) {
        uint32_t weight = weir_plugin_loop_draw(loop);
        sum += weight;
        n_between = weight ? 0 : n_between + 1;
        longest = n_between > longest ? n_between : longest;
        varies |= weight && i % 16 == 3;
    }
    assert_in_range(sum, N - N / 20, N + N / 20);
    assert_in_range(longest, 16, 30);
    assert_true(varies);
    weir_plugin_loop_destroy(loop);
}

static void a_turn_has_one_time(void **state)
{
    (void)state;
    struct weir_plugin_loop *loop = make_loop();
    assert_null(weir_plugin_loop_own());
    weir_plugin_loop_adopt(loop);
    assert_ptr_equal(weir_plugin_loop_own(), loop);
    uint64_t now_us = weir_plugin_loop_turn_us(loop), wall_us = weir_plugin_loop_turn_wall_us(loop);
    (void)usleep(2000);
    assert_int_equal(weir_plugin_loop_turn_us(loop), now_us);
    assert_int_equal(weir_plugin_loop_turn_wall_us(loop), wall_us);
    weir_plugin_loop_turned(loop);
    assert_true(weir_plugin_loop_turn_us(loop) >= now_us + 2000);
    assert_true(weir_plugin_loop_turn_wall_us(loop) > wall_us);
    weir_plugin_loop_destroy(loop); /* its thread is its own again */
    assert_null(weir_plugin_loop_own());
}

/* Also of a request whose hooks are not timed. */
static void a_hook_that_overruns_is_seen(void **state)
{
    (void)state;
    char text[300];
    struct weir_kit_stage stage;
    struct weir_kit_request req;
    struct weir_error err = {0};
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    (void)snprintf(text, sizeof(text), "[%s/probe_a.so]", PROBE_DIR);
    assert_int_equal(weir_kit_stage_configure(&stage, text, "{}", &err), 0);
    struct weir_plugin_loop *loop = make_loop();
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    struct weir_plugin_guard *g = &chain->links[0].instance->guard;
    bool seen[2] = {false, false}; /* not timed, timed */
    for (int i = 0; i < 1000 && !(seen[0] && seen[1]); i++) {
        assert_int_equal(weir_kit_request_init(&req, "{}"), 0);
        assert_int_equal(weir_kit_request_begin(&req, chain, loop), 0);
        bool is_timed = req.run.weight > 0;
        if (!seen[is_timed]) {
            weir_kit_request_header(&req, "x-a-body", "doze");
        }
        uint64_t overruns = g->overruns, ns = weir_plugin_guard_ns(g, WEIR_HOOK_BODY);
        uint64_t calls = weir_plugin_guard_calls(g, WEIR_HOOK_BODY);
        (void)weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS);
        (void)weir_plugin_run_phase(&req.run, WEIR_PHASE_BODY);
        assert_int_equal(weir_plugin_guard_calls(g, WEIR_HOOK_BODY), calls + 1);
        assert_int_equal(weir_plugin_guard_ns(g, WEIR_HOOK_BODY) > ns, is_timed);
        if (!seen[is_timed]) {
            assert_int_equal(g->overruns, overruns + 1);
        }
        seen[is_timed] = true;
        weir_kit_request_finish(&req);
    }
    assert_true(seen[0] && seen[1]);
    weir_plugin_chain_unref(chain);
    weir_kit_stage_turn(&stage);
    weir_kit_stage_finish(&stage);
    weir_plugin_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_are_timed_stand_for_all),
        cmocka_unit_test(a_turn_has_one_time),
        cmocka_unit_test(a_hook_that_overruns_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
