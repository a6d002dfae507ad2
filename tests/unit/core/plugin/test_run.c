/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on their way through a chain of probes (plugins/probe.c). */
#include "core/plugin/run.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "core/plugin/plugins_internal.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

static struct weir_kit_stage stage;
static struct weir_kit_request req;
static char chain_text[2048];

static const char *two_probes(const char *a_config)
{
    (void)snprintf(chain_text, sizeof(chain_text), "[{%s/probe_a.so: {%s}}, {%s/probe_b.so: {}}]",
                   PROBE_DIR, a_config, PROBE_DIR);
    return chain_text;
}

static void begin_with(const char *a_config, const char *header, const char *value)
{
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    struct weir_error err = {0};
    if (weir_kit_stage_configure(&stage, two_probes(a_config), "{}", &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(weir_kit_request_init(&req, "{}"), 0);
    if (header) {
        weir_kit_request_header(&req, header, value);
    }
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_kit_request_begin(&req, chain, stage.loop), 0);
    weir_plugin_chain_unref(chain);
}

static void *symbol(int i, const char *name)
{
    return dlsym(stage.plugins->current->links[i].instance->lib->handle, name);
}

static const char *events(int i)
{
    const char *(*fn)(void);
    *(void **)&fn = symbol(i, "probe_events");
    return fn();
}

static weir_ticket ticket(int i)
{
    weir_ticket (*fn)(void);
    *(void **)&fn = symbol(i, "probe_ticket");
    return fn();
}

static const weir_host *host(int i)
{
    return &stage.plugins->current->links[i].instance->host;
}

static void end(void)
{
    weir_kit_request_finish(&req);
    weir_kit_stage_turn(&stage);
    weir_kit_stage_finish(&stage);
}

static void every_phase_visits_every_plugin_and_completes_once(void **state)
{
    (void)state;
    begin_with("", NULL, NULL);
    for (int phase = WEIR_PHASE_HEADERS; phase <= WEIR_PHASE_ADMIT; phase++) {
        assert_int_equal(weir_plugin_run_phase(&req.run, (enum weir_phase)phase), WEIR_PLUGIN_DONE);
    }
    const weir_usage usage = {.struct_size = sizeof(usage)};
    weir_plugin_run_complete(&req.run, &usage);
    weir_plugin_run_complete(&req.run, &usage);
    assert_string_equal(events(0), "create headers body route admit complete ");
    assert_string_equal(events(1), "create headers body route admit complete ");
    end();
}

static void a_denial_skips_the_plugins_behind_it(void **state)
{
    (void)state;
    begin_with("", "x-a-headers", "deny-429");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_ANSWERED);
    assert_int_equal(req.status, 429);
    assert_true(weir_str_is(req.code, "slow_down"));
    assert_string_equal(events(1), "create ");
    end();
}

static void a_denial_without_words_is_403(void **state)
{
    (void)state;
    begin_with("", "x-a-headers", "deny");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_ANSWERED);
    assert_int_equal(req.status, 403);
    end();
}

static void a_plugin_can_answer_itself(void **state)
{
    (void)state;
    begin_with("", "x-b-headers", "respond");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_ANSWERED);
    assert_true(req.is_respond);
    assert_true(weir_str_is(req.text, "cached"));
    end();
}

static void a_failure_closes_unless_told_to_be_open(void **state)
{
    (void)state;
    begin_with("", "x-a-headers", "fail");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_ANSWERED);
    assert_int_equal(req.status, 503);
    end();

    begin_with("on_error: open", "x-a-headers", "nonsense");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_DONE);
    assert_string_equal(events(1), "create headers ");
    end();
}

struct recorder {
    pthread_t thread;
    struct weir_plugin_guard *guard;
    uint32_t loop_number;
};

static void *record(void *arg)
{
    const struct recorder *r = arg;
    for (uint64_t i = 0; i < 10000; i++) {
        uint32_t weight = i % 10 == 0 ? 10 : 0; /* one of ten is timed */
        weir_plugin_guard_count(r->guard, weir_guard_lane_of(r->loop_number), WEIR_HOOK_CHUNK, 3,
                                weight);
    }
    return NULL;
}

/* Loops of their own, and several for which there is no lane. */
static void hooks_of_all_loops_are_counted(void **state)
{
    (void)state;
    static struct weir_plugin_guard g;
    struct recorder all[] = {{.loop_number = 0},
                             {.loop_number = 1},
                             {.loop_number = WEIR_GUARD_LANES - 1},
                             {.loop_number = WEIR_GUARD_LANES},
                             {.loop_number = UINT32_MAX}};
    enum { N = sizeof(all) / sizeof(all[0]) };
    assert_int_equal(weir_plugin_guard_init(&g, (struct weir_plugin_limits){0}), 0);
    for (int i = 0; i < N; i++) {
        all[i].guard = &g;
        assert_int_equal(pthread_create(&all[i].thread, NULL, record, &all[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(all[i].thread, NULL);
    }
    assert_int_equal(weir_plugin_guard_calls(&g, WEIR_HOOK_CHUNK), N * 10000);
    assert_int_equal(weir_plugin_guard_ns(&g, WEIR_HOOK_CHUNK), N * 30000);
    assert_int_equal(weir_plugin_guard_calls(&g, WEIR_HOOK_BODY), 0);
    weir_plugin_guard_finish(&g);
}

static void repeated_failures_quarantine_and_the_plugin_is_tried_again(void **state)
{
    (void)state;
    begin_with("on_error: open", "x-a-headers", "fail");
    for (int i = 0; i < 8; i++) {
        assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_DONE);
    }
    struct weir_plugin_guard *g = &stage.plugins->current->links[0].instance->guard;
    assert_int_equal(weir_plugin_guard_calls(g, WEIR_HOOK_HEADERS), 5);
    assert_int_equal(g->quarantines, 1);
    weir_kit_stage_advance(&stage, 31 * 1000000);
    for (int i = 0; i < 3; i++) { /* one more failure is enough now */
        assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_DONE);
    }
    assert_int_equal(weir_plugin_guard_calls(g, WEIR_HOOK_HEADERS), 6);
    assert_int_equal(g->quarantines, 2);
    end();
}

static void *resume_elsewhere(void *arg)
{
    (void)arg;
    const weir_host *h = host(0);
    char data[] = "continue";
    assert_int_equal(h->resume(h, ticket(0), 0, (weir_str){data, 4}), 0);
    memset(data, 'X', sizeof(data)); /* the host must have copied */
    assert_int_equal(h->resume(h, ticket(0), 0, weir_str_from("again")), WEIR_E_GONE);
    return NULL;
}

static void a_suspended_phase_goes_on_where_it_stopped(void **state)
{
    (void)state;
    begin_with("", "x-a-headers", "suspend");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_SUSPENDED);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, resume_elsewhere, NULL), 0);
    while (req.n_resumed == 0 && weir_kit_stage_wait(&stage, 5000)) {
    }
    pthread_join(thread, NULL);
    assert_int_equal(req.n_resumed, 1);
    assert_int_equal(req.outcome, WEIR_PLUGIN_DONE);
    assert_string_equal(events(0), "create headers resume(0,cont) ");
    assert_string_equal(events(1), "create headers ");
    end();
}

static void a_suspension_may_suspend_again_and_then_deny(void **state)
{
    (void)state;
    begin_with("", "x-a-body", "suspend");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_BODY), WEIR_PLUGIN_SUSPENDED);
    weir_ticket first = ticket(0);
    assert_int_equal(host(0)->resume(host(0), first, 0, weir_str_from("suspend")), 0);
    weir_kit_stage_turn(&stage);
    assert_int_equal(req.n_resumed, 0);
    assert_int_equal(host(0)->resume(host(0), first, 0, weir_str_from("deny")), WEIR_E_GONE);
    assert_int_equal(host(0)->resume(host(0), ticket(0), 0, weir_str_from("deny")), 0);
    weir_kit_stage_turn(&stage);
    assert_int_equal(req.outcome, WEIR_PLUGIN_ANSWERED);
    assert_int_equal(req.status, 403);
    end();
}

static void a_suspension_ends_by_timeout(void **state)
{
    (void)state;
    begin_with("", "x-a-admit", "suspend");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_ADMIT), WEIR_PLUGIN_SUSPENDED);
    weir_kit_stage_advance(&stage, 99 * 1000);
    assert_int_equal(req.n_resumed, 0);
    weir_kit_stage_advance(&stage, 2 * 1000);
    assert_int_equal(req.n_resumed, 1);
    assert_int_equal(req.status, 503); /* the probe fails on it, closed */
    assert_int_equal(host(0)->resume(host(0), ticket(0), 0, weir_str_from("x")), WEIR_E_GONE);
    end();
}

static void a_client_that_leaves_takes_its_ticket_along(void **state)
{
    (void)state;
    begin_with("", "x-a-headers", "suspend");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_SUSPENDED);
    assert_int_equal(host(0)->resume(host(0), ticket(0), 0, weir_str_from("late")), 0);
    weir_plugin_run_abandon(&req.run); /* behind the resume, before the loop saw it */
    weir_kit_stage_turn(&stage);
    assert_int_equal(req.n_resumed, 0);
    assert_int_equal(weir_tickets_n_open(stage.plugins->tickets), 0);
    assert_int_equal(host(0)->resume(host(0), ticket(0), 0, weir_str_from("x")), WEIR_E_GONE);
    weir_kit_request_finish(&req);
    assert_non_null(strstr(events(0), "complete"));
    weir_kit_stage_finish(&stage);
}

static void a_ticket_of_a_hook_that_did_not_suspend_is_void(void **state)
{
    (void)state;
    begin_with("", "x-a-headers", "no-suspend");
    assert_int_equal(weir_plugin_run_phase(&req.run, WEIR_PHASE_HEADERS), WEIR_PLUGIN_DONE);
    assert_int_equal(host(0)->resume(host(0), ticket(0), 0, weir_str_from("x")), WEIR_E_GONE);
    end();
}

static void fields_may_be_set_when_and_as_stated_only(void **state)
{
    (void)state;
    begin_with("", NULL, NULL);
    const weir_host *h = host(0);
    weir_req *r = weir_kit_request_handle(&req);
    req.run.phase = WEIR_PHASE_HEADERS;
    assert_int_equal(h->req_set(h, r, WEIR_FIELD_TENANT, weir_str_from("acme")), 0);
    assert_int_equal(h->req_set(h, r, WEIR_FIELD_TENANT, weir_str_from("evil")), WEIR_E_ARG);
    assert_int_equal(h->req_set(h, r, WEIR_FIELD_CLASS, weir_str_from("vip")), WEIR_E_ARG);
    assert_int_equal(h->req_set_num(h, r, WEIR_NUMBER_MAX_TOKENS, 101), WEIR_E_ARG);
    assert_int_equal(h->req_set_num(h, r, WEIR_NUMBER_MAX_TOKENS, 50), 0);
    req.run.phase = WEIR_PHASE_ADMIT;
    assert_int_equal(h->req_set(h, r, WEIR_FIELD_MODEL, weir_str_from("other")), WEIR_E_ARG);
    assert_int_equal(h->req_set(h, r, WEIR_FIELD_KEY_ID, weir_str_from("k")), WEIR_E_ARG);
    assert_int_equal(h->set_header(h, r, weir_str_from("x y"), weir_str_from("v")), WEIR_E_ARG);
    assert_int_equal(h->set_header(h, r, weir_str_from("x"), weir_str_from("a\r\nb: c")),
                     WEIR_E_ARG);
    assert_int_equal(h->deny(h, r, 403, (weir_str){0}, (weir_str){0}, (weir_str){0}), WEIR_E_ARG);
    req.run.phase = 0;
    end();
}

static void count_chunk(void *arg, const weir_chunk *chunk)
{
    (void)chunk;
    ++*(uint32_t *)arg;
}

static void a_plugin_that_has_seen_enough_sees_no_more_chunks(void **state)
{
    (void)state;
    begin_with("", NULL, NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; i < 10; i++) {
        const weir_chunk c = {.struct_size = sizeof(c),
                              .kind = WEIR_CHUNK_TEXT,
                              .choice = i % 2,
                              .n_tokens = i >= 3,
                              .text = WEIR_STR_INIT("more")};
        assert_int_equal(weir_plugin_run_chunk(&req.run, &c, count_chunk, &n),
                         WEIR_PLUGIN_CHUNK_OK);
    }
    assert_int_equal(n, 10);
    assert_string_equal(events(0), "create chunk chunk chunk chunk ");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_of_all_loops_are_counted),
        cmocka_unit_test(every_phase_visits_every_plugin_and_completes_once),
        cmocka_unit_test(a_denial_skips_the_plugins_behind_it),
        cmocka_unit_test(a_denial_without_words_is_403),
        cmocka_unit_test(a_plugin_can_answer_itself),
        cmocka_unit_test(a_failure_closes_unless_told_to_be_open),
        cmocka_unit_test(repeated_failures_quarantine_and_the_plugin_is_tried_again),
        cmocka_unit_test(a_suspended_phase_goes_on_where_it_stopped),
        cmocka_unit_test(a_suspension_may_suspend_again_and_then_deny),
        cmocka_unit_test(a_suspension_ends_by_timeout),
        cmocka_unit_test(a_client_that_leaves_takes_its_ticket_along),
        cmocka_unit_test(a_ticket_of_a_hook_that_did_not_suspend_is_void),
        cmocka_unit_test(fields_may_be_set_when_and_as_stated_only),
        cmocka_unit_test(a_plugin_that_has_seen_enough_sees_no_more_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
