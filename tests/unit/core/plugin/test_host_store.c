/* SPDX-License-Identifier: Apache-2.0 */
/* weir.store/1 as plugins see it, with a store that answers when the test wants it to. */
#include "core/plugin/host_store.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "core/plugin/plugins_internal.h"
#include "core/store/store.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

enum { MAX_KEPT = 64 };

static struct weir_kit_stage stage;
static struct weir_store slow;
static struct weir_store_then kept[MAX_KEPT];
static struct weir_store_call last;
static int n_kept;

static int keep(struct weir_store *s, const struct weir_store_call *c,
                const struct weir_store_then *then)
{
    (void)s;
    last = *c;
    kept[n_kept++] = *then;
    return 0;
}

static const struct weir_store_driver slow_driver = {
    .name = "slow", .flags = WEIR_STORE_SHARED, .call = keep};

static void answer(int i)
{
    weir_store_result result = {.number = 7};
    weir_store_complete(&slow, &kept[i], &result);
}

static int set_up(void **state)
{
    (void)state;
    n_kept = 0;
    int rc = weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0});
    rc = rc < 0 ? rc : weir_store_init(&slow, &slow_driver);
    if (rc == 0) {
        weir_plugins_destroy(stage.plugins);
        rc = weir_plugins_create(&(struct weir_plugins_options){.ops = &weir_kit_request_ops,
                                                                .metrics = stage.metrics,
                                                                .store = &slow,
                                                                .main_loop = stage.loop},
                                 &stage.plugins);
    }
    return rc;
}

static int tear_down(void **state)
{
    (void)state;
    weir_kit_stage_finish(&stage);
    weir_store_finish(&slow);
    return 0;
}

static void configure(const char *plugins)
{
    struct weir_error err = {0};
    if (weir_kit_stage_configure(&stage, plugins, "{}", &err) < 0) {
        fail_msg("%s", err.message);
    }
}

#define PROBE "[" PROBE_DIR "/probe_a.so]"

static struct weir_plugin_instance *instance(void)
{
    return stage.plugins->current->links[0].instance;
}

static const weir_ext_store *store_of(const weir_host *host)
{
    return host->get_ext(host, WEIR_EXT_STORE);
}

static bool was_destroyed(const char *(*events)(void))
{
    return strstr(events(), "destroy") != NULL;
}

/* The probe's notes; its library stays loaded for the test. */
static const char *(*probe_events(void))(void)
{
    const char *(*fn)(void);
    *(void **)&fn = dlsym(instance()->lib->handle, "probe_events");
    return fn;
}

static void count(void *arg, const weir_store_result *r)
{
    assert_int_equal(r->number, 7);
    ++*(int *)arg;
}

static int get(const weir_host *host, int *done)
{
    return store_of(host)->get(host, weir_str_from("t"), weir_str_from("k"), count, done);
}

static void an_instance_lives_until_its_calls_are_done(void **state)
{
    (void)state;
    configure(PROBE);
    const char *(*events)(void) = probe_events();
    void *library = dlopen(instance()->lib->path, RTLD_NOW | RTLD_NOLOAD);
    const weir_host *host = &instance()->host;
    int done = 0;
    assert_int_equal(get(host, &done), 0);
    assert_int_equal(get(host, &done), 0);
    configure("[]");
    weir_kit_stage_turn(&stage);
    assert_false(was_destroyed(events));
    answer(0);
    weir_kit_stage_turn(&stage);
    assert_int_equal(done, 1);
    assert_false(was_destroyed(events));
    answer(1);
    assert_int_equal(done, 2);
    weir_kit_stage_turn(&stage);
    assert_true(was_destroyed(events));
    if (library) {
        (void)dlclose(library);
    }
}

static void nobody_is_told_after_the_host_has_ended(void **state)
{
    (void)state;
    configure(PROBE);
    int done = 0;
    assert_int_equal(get(&instance()->host, &done), 0);
    weir_plugins_destroy(stage.plugins);
    stage.plugins = NULL;
    answer(0);
    assert_int_equal(done, 0);
}

static void a_refused_call_holds_nobody(void **state)
{
    (void)state;
    configure(PROBE);
    const char *(*events)(void) = probe_events();
    const weir_host *host = &instance()->host;
    int done = 0;
    assert_int_equal(store_of(host)->get(host, weir_str_from("t"), weir_str_from(""), count, &done),
                     WEIR_E_ARG);
    configure("[]");
    weir_kit_stage_turn(&stage);
    assert_true(was_destroyed(events));
}

static void the_extension_hands_every_operation_over(void **state)
{
    (void)state;
    configure(PROBE);
    const weir_host *h = &instance()->host;
    const weir_ext_store *s = store_of(h);
    assert_int_equal(s->flags, WEIR_STORE_SHARED | WEIR_STORE_DURABLE);
    const weir_str t = WEIR_STR_INIT("t"), k = WEIR_STR_INIT("k"), i = WEIR_STR_INIT("i"),
                   v = WEIR_STR_INIT("v");
    const weir_store_limit level = {k, 1, 2, 3, 4};
    const weir_store_hold hold = {k, 1, 2};
    int done = 0, expected = 0;
#define HANDED(function, ...)                                                                      \
    assert_int_equal(s->function(h, __VA_ARGS__, count, &done), 0);                                \
    assert_int_equal(last.op, expected++);                                                         \
    assert_ptr_equal(last.owner, instance()->store_owner)
    HANDED(take, t, &level, 1);
    HANDED(give, t, &level, 1);
    HANDED(reserve, t, &hold, 1, i, 9, WEIR_STORE_KEEP);
    assert_true(weir_str_is(last.id, "i") && last.number == 9 && last.flags == WEIR_STORE_KEEP);
    HANDED(settle, t, &hold, 1, i);
    HANDED(get, t, k);
    HANDED(set, t, k, v, 9, &i, 1);
    assert_true(weir_str_is(last.value, "v") && last.number == 9 && last.n == 1);
    HANDED(invalidate, t, k);
    HANDED(remove, t, k);
    HANDED(add, t, k, -5, 9);
    assert_true(last.delta == -5 && last.number == 9);
    HANDED(put, t, k, i, v, 9);
    assert_true(weir_str_is(last.id, "i") && weir_str_is(last.value, "v") && last.number == 9);
    HANDED(find, t, k, i);
    HANDED(list, t, k, i, 5);
    assert_true(weir_str_is(last.id, "i") && last.n == 5);
    HANDED(append, t, k, i, v);
    HANDED(read, t, k, 9, 5);
    assert_true(last.number == 9 && last.n == 5);
    HANDED(job_put, t, k, i, v, 9);
    HANDED(job_claim, t, k, 5, 9);
    assert_true(last.number == 9 && last.n == 5);
    HANDED(job_ack, t, k, i);
    HANDED(publish, k, v);
    HANDED(erase, t);
    assert_int_equal(expected, WEIR_STORE_N_OPS);
    for (int n = 0; n < n_kept; n++) {
        answer(n);
    }
    assert_int_equal(done, WEIR_STORE_N_OPS);
}

static void hear(void *arg, weir_str message, int lost)
{
    assert_true(weir_str_is(message, "m") && !lost);
    ++*(int *)arg;
}

static void messages_come_on_the_main_loop_and_end_with_the_instance(void **state)
{
    (void)state;
    configure(PROBE);
    const weir_host *h = &instance()->host;
    int heard = 0;
    assert_int_equal(store_of(h)->subscribe(h, weir_str_from("c"), hear, &heard), WEIR_E_ARG);
    instance()->defining = true; /* as inside instance_create */
    for (int i = 0; i < WEIR_INSTANCE_MAX_SUBSCRIPTIONS; i++) {
        assert_int_equal(store_of(h)->subscribe(h, weir_str_from("c"), hear, &heard), 0);
    }
    assert_int_equal(store_of(h)->subscribe(h, weir_str_from("c"), hear, &heard), WEIR_E_NOMEM);
    instance()->defining = false;
    weir_store_messages_add(&slow.messages, weir_str_from("c"), weir_str_from("m"));
    assert_int_equal(heard, 0);
    weir_kit_stage_turn(&stage);
    assert_int_equal(heard, WEIR_INSTANCE_MAX_SUBSCRIPTIONS);
    configure("[]");
    weir_kit_stage_turn(&stage);
    weir_store_messages_add(&slow.messages, weir_str_from("c"), weir_str_from("m"));
    weir_kit_stage_turn(&stage);
    assert_int_equal(heard, WEIR_INSTANCE_MAX_SUBSCRIPTIONS);
    assert_int_equal(slow.messages.n_subscriptions, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_instance_lives_until_its_calls_are_done, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_told_after_the_host_has_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_call_holds_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_extension_hands_every_operation_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(messages_come_on_the_main_loop_and_end_with_the_instance,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
