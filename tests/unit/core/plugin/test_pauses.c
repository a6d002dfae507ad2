/* SPDX-License-Identifier: Apache-2.0 */
/* Output that plugins hold back: host->pause() and on_delivered, with probes (plugins/probe.c). */
#include "core/plugin/run.h"

#include <dlfcn.h>
#include <stdio.h>

#include "core/plugin/plugins_internal.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

static struct weir_kit_stage stage;
static struct weir_kit_request req;
static uint32_t n_emitted;

static void begin(const char *a_config)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "[{%s/probe_a.so: {%s}}, {%s/probe_b.so: {}}]", PROBE_DIR,
                   a_config, PROBE_DIR);
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    struct weir_error err = {0};
    if (weir_kit_stage_configure(&stage, text, "{}", &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(weir_kit_request_init(&req, "{}"), 0);
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_kit_request_begin(&req, chain, stage.loop), 0);
    weir_plugin_chain_unref(chain);
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_DONE);
    n_emitted = 0;
}

static void end(void)
{
    weir_kit_request_finish(&req);
    assert_int_equal(weir_tickets_n_open(stage.plugins->tickets), 0);
    weir_kit_stage_turn(&stage);
    weir_kit_stage_finish(&stage);
}

static void emit(void *arg, const weir_chunk *chunk)
{
    (void)arg;
    (void)chunk;
    n_emitted++;
}

static void push(const char *text)
{
    const weir_chunk c = {.struct_size = sizeof(c),
                          .kind = WEIR_CHUNK_TEXT,
                          .text = weir_str_from(text),
                          .n_tokens = 1};
    (void)weir_plugin_run_chunk(&req.run, &c, emit, NULL);
}

static void *symbol(int i, const char *name)
{
    return dlsym(stage.plugins->current->links[i].instance->lib->handle, name);
}

static bool has_event(int i, const char *text)
{
    const char *(*fn)(void);
    *(void **)&fn = symbol(i, "probe_events");
    return strstr(fn(), text) != NULL;
}

static weir_ticket ticket(int i)
{
    weir_ticket (*fn)(void);
    *(void **)&fn = symbol(i, "probe_ticket");
    return fn();
}

static int resume(int i, const char *with)
{
    int rc = weir_tickets_resume(stage.plugins->tickets, ticket(i), 0, weir_str_from(with));
    weir_kit_stage_turn(&stage);
    return rc;
}

static void a_pause_holds_until_its_ticket_is_resumed(void **state)
{
    (void)state;
    begin("");
    push("x");
    assert_false(weir_plugin_run_is_paused(&req.run));
    push("a");
    assert_true(weir_plugin_run_is_paused(&req.run));
    assert_int_equal(n_emitted, 2); /* the owner keeps the chunk, not the host */
    assert_int_equal(req.n_unpaused, 0);

    assert_int_equal(resume(0, ""), 0);
    assert_false(weir_plugin_run_is_paused(&req.run));
    assert_int_equal(req.n_unpaused, 1);
    assert_int_equal(req.output, WEIR_PLUGIN_DONE);
    assert_true(has_event(0, "output(0,)"));
    assert_int_equal(resume(0, ""), WEIR_E_GONE);
    end();
}

static void output_goes_on_when_the_last_plugin_lets_it(void **state)
{
    (void)state;
    begin("");
    push("a and b");
    assert_int_equal(req.run.n_pauses, 2);
    assert_int_equal(resume(1, ""), 0);
    assert_int_equal(req.n_unpaused, 0);
    assert_int_equal(resume(0, ""), 0);
    assert_int_equal(req.n_unpaused, 1);
    end();
}

static void a_plugin_can_pause_again(void **state)
{
    (void)state;
    begin("");
    push("a");
    weir_ticket first = ticket(0);
    assert_int_equal(resume(0, "pause"), 0);
    assert_int_not_equal(ticket(0), first);
    assert_true(weir_plugin_run_is_paused(&req.run));
    assert_int_equal(req.n_unpaused, 0);
    assert_int_equal(resume(0, ""), 0);
    assert_int_equal(req.n_unpaused, 1);
    end();
}

static void a_denied_pause_ends_the_run_with_its_words(void **state)
{
    (void)state;
    begin("");
    push("a and b");
    assert_int_equal(resume(0, "deny-429"), 0);
    assert_int_equal(req.n_unpaused, 1);
    assert_int_equal(req.output, WEIR_PLUGIN_ANSWERED);
    assert_int_equal(req.status, 429);
    assert_true(weir_str_is(req.code, "slow_down"));
    assert_int_equal(resume(1, ""), WEIR_E_GONE); /* nobody waits for the other any more */
    assert_int_equal(req.n_unpaused, 1);
    end();
}

static void a_verdict_that_makes_no_sense_is_a_failure(void **state)
{
    (void)state;
    static const char *const odd[] = {"respond", "nonsense", "suspend", "fail"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        begin("");
        push("a");
        assert_int_equal(resume(0, odd[i]), 0);
        assert_int_equal(req.output, WEIR_PLUGIN_ANSWERED);
        assert_int_equal(req.status, 503);
        end();
        begin("on_error: open");
        push("a");
        assert_int_equal(resume(0, odd[i]), 0);
        assert_int_equal(req.output, WEIR_PLUGIN_DONE);
        end();
    }
}

static void a_pause_times_out(void **state)
{
    (void)state;
    begin("on_error: open");
    push("a");
    weir_kit_stage_advance(&stage, 99 * 1000);
    assert_int_equal(req.n_unpaused, 0);
    weir_kit_stage_advance(&stage, 2 * 1000);
    assert_int_equal(req.n_unpaused, 1); /* the probe fails on it; open goes on */
    assert_true(has_event(0, "output(-"));
    end();
}

static void a_client_that_leaves_ends_pauses(void **state)
{
    (void)state;
    begin("");
    push("a and b");
    weir_plugin_run_abandon(&req.run);
    assert_false(weir_plugin_run_is_paused(&req.run));
    assert_int_equal(resume(0, ""), WEIR_E_GONE);
    assert_int_equal(req.n_unpaused, 0);
    end();
}

static void only_the_hook_that_runs_may_pause(void **state)
{
    (void)state;
    begin("");
    const weir_host *host = &stage.plugins->current->links[0].instance->host;
    assert_int_equal(host->pause(host, weir_kit_request_handle(&req), 100), 0);
    assert_int_equal(host->pause(host, NULL, 100), 0);
    req.run.output_resumed = NULL; /* an owner that knows no pauses */
    push("a");
    assert_true(has_event(0, "NO-PAUSE"));
    assert_false(weir_plugin_run_is_paused(&req.run));
    end();
}

static void delivered_reaches_every_plugin(void **state)
{
    (void)state;
    begin("");
    weir_plugin_run_delivered(&req.run, 7);
    assert_true(has_event(0, "delivered(7)"));
    assert_true(has_event(1, "delivered(7)"));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_holds_until_its_ticket_is_resumed),
        cmocka_unit_test(output_goes_on_when_the_last_plugin_lets_it),
        cmocka_unit_test(a_plugin_can_pause_again),
        cmocka_unit_test(a_denied_pause_ends_the_run_with_its_words),
        cmocka_unit_test(a_verdict_that_makes_no_sense_is_a_failure),
        cmocka_unit_test(a_pause_times_out),
        cmocka_unit_test(a_client_that_leaves_ends_pauses),
        cmocka_unit_test(only_the_hook_that_runs_may_pause),
        cmocka_unit_test(delivered_reaches_every_plugin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
