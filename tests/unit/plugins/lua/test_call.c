/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait for the store: suspended, resumed, left, detached; budgets over suspensions; what
 * a call allocates. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/lua_stage.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

enum { MAX_WAITING = 512 };

static struct lua_stage stage;
static struct waiting {
    weir_store_done done;
    void *arg;
} queue[MAX_WAITING];
static size_t n_queue, n_woken;
static struct lua_call *woken_call;

static int later(weir_store_done done, void *arg)
{
    assert_true(n_queue < MAX_WAITING);
    queue[n_queue++] = (struct waiting){done, arg};
    return 0;
}

static int get_later(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done,
                     void *arg)
{
    (void)h;
    (void)tenant;
    (void)key;
    return later(done, arg);
}

static int add_later(const weir_host *h, weir_str tenant, weir_str key, int64_t delta,
                     uint64_t ttl_ms, weir_store_done done, void *arg)
{
    (void)h;
    (void)tenant;
    (void)key;
    (void)delta;
    (void)ttl_ms;
    return later(done, arg);
}

static void answer(int rc, const char *value, int64_t number)
{
    assert_true(n_queue > 0);
    const weir_store_result result = {
        .struct_size = sizeof(result), .rc = rc, .number = number, .value = weir_str_from(value)};
    struct waiting w = queue[0];
    memmove(queue, queue + 1, --n_queue * sizeof(queue[0]));
    w.done(w.arg, &result);
}

static void woken(struct lua_call *call)
{
    if (!lua_call_was_orphan(call)) {
        woken_call = call;
        n_woken++;
    }
}

static void begin(const char *script)
{
    char error[LUA_SANDBOX_ERROR_BYTES];
    if (lua_stage_init(&stage, weir_str_from(script), "@test", error) < 0) {
        fail_msg("%s", error);
    }
    stage.store.get = get_later;
    stage.store.add = add_later;
    stage.services.woken = woken;
    n_queue = n_woken = 0;
    woken_call = NULL;
}

static int start(enum lua_hook hook, struct lua_call **call)
{
    static const weir_usage usage = {
        .struct_size = sizeof(usage), .http_status = 200, .model = WEIR_STR_INIT("m")};
    char error[LUA_SANDBOX_ERROR_BYTES];
    return lua_stage_run(&stage, hook, NULL, hook == LUA_ON_COMPLETE ? &usage : NULL, call, error);
}

static struct lua_sandbox *sandbox(void)
{
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_sandbox *s = NULL;
    assert_int_equal(lua_version_take(stage.version, &s, error), 0);
    return s;
}

static void a_call_goes_on_with_what_the_store_said(void **state)
{
    (void)state;
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call;
    begin("function on_request(req)\n"
          "  local v, e = weir.kv.get('a')\n"
          "  local n, f = weir.kv.add('b', 1)\n"
          "  return weir.deny(400, tostring(v) .. tostring(e) .. tostring(n) .. tostring(f))\n"
          "end");
    assert_int_equal(start(LUA_ON_REQUEST, &call), LUA_RUN_SUSPENDED);
    assert_int_equal(lua_sandbox_n_runs(sandbox()), 1);
    answer(0, "text", 0);
    assert_ptr_equal(woken_call, call);
    assert_int_equal(lua_call_resume(call, error), LUA_RUN_SUSPENDED);
    answer(WEIR_E_TIMEOUT, "", 0);
    assert_int_equal(lua_call_resume(call, error), LUA_RUN_DONE);
    assert_int_equal(call->verdict, LUA_VERDICT_DENY);
    assert_string_equal(call->said->message, "textnilniltimeout");
    lua_call_end(call);
    assert_int_equal(lua_sandbox_n_runs(sandbox()), 0);
    lua_stage_finish(&stage);
}

static void many_calls_wait_in_one_state(void **state)
{
    (void)state;
    enum { N = 100 };
    struct lua_call *calls[N];
    char error[LUA_SANDBOX_ERROR_BYTES];
    begin("function on_request(req)\n"
          "  local mine = weir.hash(weir.kv.get('a'))\n"
          "  for i = 1, 100 do mine = mine end\n"
          "  return weir.deny(400, tostring(mine == weir.hash(weir.kv.get('b'))))\n"
          "end");
    for (int i = 0; i < N; i++) {
        assert_int_equal(start(LUA_ON_REQUEST, &calls[i]), LUA_RUN_SUSPENDED);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            char value[16];
            (void)snprintf(value, sizeof(value), "v%d", i);
            answer(0, value, 0);
            assert_ptr_equal(woken_call, calls[i]);
            assert_int_equal(lua_call_resume(calls[i], error),
                             round == 0 ? LUA_RUN_SUSPENDED : LUA_RUN_DONE);
        }
    }
    for (int i = 0; i < N; i++) {
        assert_string_equal(calls[i]->said->message, "true");
        lua_call_end(calls[i]);
    }
    lua_stage_finish(&stage);
}

static void too_many_waiting_calls_are_refused(void **state)
{
    (void)state;
    static struct lua_call *calls[LUA_SANDBOX_MAX_RUNS + 1];
    begin("function on_request(req) weir.kv.get('a') end");
    for (int i = 0; i < LUA_SANDBOX_MAX_RUNS; i++) {
        assert_int_equal(start(LUA_ON_REQUEST, &calls[i]), LUA_RUN_SUSPENDED);
    }
    assert_int_equal(start(LUA_ON_REQUEST, &calls[LUA_SANDBOX_MAX_RUNS]), WEIR_E_BUSY);
    for (int i = 0; i < LUA_SANDBOX_MAX_RUNS; i++) {
        lua_call_end(calls[i]);
        answer(0, "x", 0); /* frees the orphan */
    }
    assert_int_equal(n_woken, 0);
    lua_stage_finish(&stage);
}

/* The client leaves: the call ends now, its operation later. */
static void a_call_that_is_left_is_freed_by_its_operation(void **state)
{
    (void)state;
    struct lua_call *call;
    begin("function on_request(req) weir.kv.get('a') error('never') end");
    assert_int_equal(start(LUA_ON_REQUEST, &call), LUA_RUN_SUSPENDED);
    lua_call_end(call);
    assert_int_equal(lua_sandbox_n_runs(sandbox()), 0);
    answer(0, "x", 0);
    assert_int_equal(n_woken, 0);
    lua_stage_finish(&stage);
}

static void a_detached_call_reads_what_the_request_was(void **state)
{
    (void)state;
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call;
    begin("function on_complete(req, usage)\n"
          "  local before = req.user .. usage.model\n"
          "  weir.kv.get('a')\n"
          "  weir.log(before .. req.user .. req.model .. usage.model .. usage.status .. \n"
          "    req.max_tokens .. tostring(req.header('x')) .. tostring(req.json('/a')))\n"
          "  weir.ctx.x = 1 weir.tag('a', 'b')\n"
          "end");
    lua_stage_field(&stage, WEIR_FIELD_USER, weir_str_from("jane"));
    assert_int_equal(start(LUA_ON_COMPLETE, &call), LUA_RUN_SUSPENDED);
    assert_int_equal(lua_call_detach(call), 0);
    lua_stage_request(&stage); /* the request is gone, another one came */
    answer(0, "x", 0);
    assert_int_equal(lua_call_resume(call, error), LUA_RUN_DONE);
    lua_call_end(call);
    assert_int_equal(stage.n_logs, 1);
    assert_true(weir_str_is(stage.logs[0].text, "janemjanemm2001000nilnil"));
    lua_stage_finish(&stage);
}

/* The budget is the call's, not the stretch's. */
static void budgets_carry_over_suspensions(void **state)
{
    (void)state;
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call;
    begin("function on_request(req)\n"
          "  for i = 1, 10 do for k = 1, 10000 do end weir.kv.get('a') end\n"
          "end");
    int rc = start(LUA_ON_REQUEST, &call), rounds = 0;
    while (rc == LUA_RUN_SUSPENDED) {
        answer(0, "x", 0);
        rc = lua_call_resume(call, error);
        rounds++;
    }
    assert_int_equal(rc, WEIR_E_TIMEOUT);
    assert_true(rounds >= 3 && rounds < 10);
    lua_call_end(call);
    lua_stage_finish(&stage);
}

/* One that runs out of budget ends its state for new calls; those that wait in it end well. */
static void a_spent_state_lets_waiting_calls_end(void **state)
{
    (void)state;
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *waiting, *hostile;
    begin("local calls = 0\n"
          "function on_request(req)\n"
          "  calls = calls + 1\n"
          "  if req.user == 'evil' then while true do end end\n"
          "  weir.kv.get('a')\n"
          "  return weir.deny(400, tostring(calls))\n"
          "end");
    assert_int_equal(start(LUA_ON_REQUEST, &waiting), LUA_RUN_SUSPENDED);
    struct lua_sandbox *first = sandbox();
    lua_stage_field(&stage, WEIR_FIELD_USER, weir_str_from("evil"));
    assert_int_equal(start(LUA_ON_REQUEST, &hostile), WEIR_E_TIMEOUT);
    assert_ptr_not_equal(sandbox(), first);
    answer(0, "x", 0);
    assert_int_equal(lua_call_resume(waiting, error), LUA_RUN_DONE);
    assert_string_equal(waiting->said->message, "2");
    lua_call_end(waiting); /* the first state goes with it */
    lua_stage_finish(&stage);
}

static void a_callback_of_a_library_cannot_wait(void **state)
{
    (void)state;
    struct lua_call *call;
    begin("function on_request(req) ('x'):gsub('x', function() weir.kv.get('a') end) end");
    assert_int_equal(start(LUA_ON_REQUEST, &call), WEIR_E_FORMAT);
    assert_int_equal(n_queue, 0);
    lua_stage_finish(&stage);
}

/* ---- what a call allocates ---- */

static int call_often(void *arg)
{
    struct lua_call *call;
    for (int i = 0; i < 10; i++) {
        int rc = start(*(enum lua_hook *)arg, &call);
        if (rc < 0) {
            return rc;
        }
        assert_int_equal(call->version->limits.allocated_bytes - call->run.budget.allocated_bytes,
                         0);
        lua_call_end(call);
    }
    return 0;
}

static void a_call_allocates_one_block_and_nothing_in_the_state(void **state)
{
    (void)state;
    enum lua_hook hook = LUA_ON_REQUEST;
    begin("local limit = 100\n"
          "function on_request(req)\n"
          "  if req.prompt_tokens > limit and req.model == 'm' and req.stream then\n"
          "    return weir.deny(400)\n"
          "  end\n"
          "  weir.set('max_tokens', 500)\n"
          "end");
    struct lua_call *first; /* makes the state and its coroutine */
    assert_int_equal(start(hook, &first), LUA_RUN_DONE);
    lua_call_end(first);
    assert_int_equal(alloc_fail_each(call_often, &hook, 10), 10);
    lua_stage_finish(&stage);
}

static int run_all(void *arg)
{
    (void)arg;
    struct lua_version *v = NULL;
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call = NULL;
    int rc = lua_version_create(
        weir_str_from("function on_request(req)\n"
                      "  weir.ctx.a = 'b' weir.tag('c', 'd')\n"
                      "  return weir.deny(400, ('x'):rep(10):gsub('x', 'yy'))\n"
                      "end\n"
                      "function on_complete(req, usage) weir.kv.get('a') weir.log('x') end"),
        "@test", 1, &stage.version->limits, &v, error);
    if (rc < 0) {
        return rc;
    }
    struct lua_version *was = stage.version;
    stage.version = v;
    rc = start(LUA_ON_REQUEST, &call);
    lua_call_end(call);
    if (rc >= 0) {
        rc = start(LUA_ON_COMPLETE, &call);
        rc = rc == LUA_RUN_SUSPENDED ? lua_call_detach(call) : rc;
        if (rc == 0) {
            answer(0, "value", 0);
            rc = lua_call_resume(call, error);
        }
        lua_call_end(call);
        while (n_queue) {
            answer(0, "x", 0);
        }
    }
    stage.version = was;
    lua_version_unref(&v);
    lua_notes_destroy(stage.notes);
    stage.notes = NULL;
    return rc;
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    begin("function on_request(req) end");
    (void)alloc_fail_each(run_all, NULL, 4000);
    lua_stage_finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_goes_on_with_what_the_store_said),
        cmocka_unit_test(many_calls_wait_in_one_state),
        cmocka_unit_test(too_many_waiting_calls_are_refused),
        cmocka_unit_test(a_call_that_is_left_is_freed_by_its_operation),
        cmocka_unit_test(a_detached_call_reads_what_the_request_was),
        cmocka_unit_test(budgets_carry_over_suspensions),
        cmocka_unit_test(a_spent_state_lets_waiting_calls_end),
        cmocka_unit_test(a_callback_of_a_library_cannot_wait),
        cmocka_unit_test(a_call_allocates_one_block_and_nothing_in_the_state),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
