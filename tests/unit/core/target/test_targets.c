/* SPDX-License-Identifier: Apache-2.0 */
#include "core/target/targets.h"

#include "core/target/model.h"
#include "tests/support/cmocka.h"

enum { N_TARGETS = 2 };

static int fake_open(void *arg, const weir_sink *sink, void **ret_impl, struct weir_error *err)
{
    (void)arg, (void)sink, (void)err;
    static char nothing;
    *ret_impl = &nothing;
    return 0;
}

static void fake_close(void *target)
{
    (void)target;
}

static void status(void *target, weir_target_status *s)
{
    (void)target;
    s->state = WEIR_TARGET_READY;
    for (int i = 0; i < WEIR_CLASS_COUNT; i++) {
        s->max_sequences[i] = 8;
    }
}

static const weir_backend_stream backend = {
    .struct_size = sizeof(backend), .close = fake_close, .status = status};

static void called(void *arg, struct weir_queue_entry *e)
{
    (void)arg, (void)e;
}

static struct weir_model *make_model(const char *name)
{
    const struct weir_model_config config = {
        .name = name, .queue_limit = 4, .balance = {.load_bound = 2}, .called = called};
    struct weir_model *m = NULL;
    assert_int_equal(weir_model_create(&config, &m), 0);
    for (int i = 0; i < N_TARGETS; i++) {
        struct weir_target_config target = {.name = i ? "m/1" : "m/0",
                                            .backend = &backend,
                                            .open = fake_open,
                                            .weight = 1,
                                            .max_flows = 8};
        const struct weir_target_terms terms = {.endpoint = i ? NULL : "10.0.0.1:80",
                                                .is_upstream = i == 0};
        assert_int_equal(weir_model_add_target(m, &target, &terms, NULL), 0);
    }
    return m;
}

struct watcher {
    struct weir_targets_watch watch;
    int n_opened;
    weir_attempt last;
};

static void opened(void *arg)
{
    ((struct watcher *)arg)->n_opened++;
}

static void ended(void *arg, const weir_attempt *a)
{
    ((struct watcher *)arg)->last = *a;
}

static struct weir_model *list[2];
static struct weir_targets *targets;

static int begin(void **state)
{
    (void)state;
    list[0] = make_model("a");
    list[1] = make_model("b");
    return weir_targets_create(&targets);
}

static int end(void **state)
{
    (void)state;
    weir_targets_destroy(targets);
    weir_model_destroy(list[0]);
    weir_model_destroy(list[1]);
    return 0;
}

static void watch(struct watcher *w)
{
    *w = (struct watcher){.watch = {.opened = opened, .ended = ended, .arg = w}};
    assert_int_equal(weir_targets_watch(targets, &w->watch), 0);
}

static void open_models(void)
{
    weir_targets_open(targets, &(struct weir_models){.list = list, .n = 2});
}

static enum weir_health_state state_of(uint32_t target)
{
    weir_model_refresh(list[target / N_TARGETS]);
    return weir_health_state(weir_model_health(list[target / N_TARGETS]), target % N_TARGETS);
}

static void watchers_know_when_they_are_there(void **state)
{
    struct watcher early, late;
    weir_target_info info;
    (void)state;
    watch(&early);
    assert_int_equal(early.n_opened, 0);
    assert_int_equal(weir_targets_get(targets, 0, &info), WEIR_E_NOTFOUND);
    open_models();
    assert_int_equal(early.n_opened, 1);
    watch(&late);
    assert_int_equal(late.n_opened, 1);
    assert_int_equal(early.n_opened, 1);
    assert_int_equal(weir_targets_get(targets, 2, &info), 0);
    assert_int_equal(info.model, 2);
    assert_true(weir_str_is(info.name, "m/0"));
    assert_true(weir_str_is(info.endpoint, "10.0.0.1:80"));
    assert_int_equal(info.flags, WEIR_TARGET_UPSTREAM);
    uint64_t n_asked = info.n_asked;
    (void)weir_model_choose(list[1], NULL, 1, NULL);
    assert_int_equal(weir_targets_get(targets, 3, &info), 0);
    assert_int_equal(info.model, 2);
    assert_int_equal(info.flags, 0);
    assert_int_equal(info.endpoint.n, 0);
    assert_int_equal(info.n_asked, n_asked + 1);
    assert_int_equal(weir_targets_get(targets, 4, &info), WEIR_E_NOTFOUND);
    weir_targets_unwatch(targets, &early.watch);
    weir_targets_unwatch(targets, &late.watch);
}

static void attempts_are_told_by_number(void **state)
{
    struct watcher w;
    weir_attempt a = {.struct_size = sizeof(a), .result = WEIR_ATTEMPT_BAD};
    (void)state;
    weir_targets_tell(targets, list[1], 1, &a); /* nobody listens */
    watch(&w);
    weir_targets_tell(targets, list[1], 1, &a); /* nor is there anything */
    assert_int_equal(w.last.result, 0);
    open_models();
    weir_targets_tell(targets, list[1], 1, &a);
    assert_int_equal(w.last.target, 3);
    assert_int_equal(w.last.result, WEIR_ATTEMPT_BAD);
    weir_targets_unwatch(targets, &w.watch);
}

static void the_strictest_word_holds(void **state)
{
    struct watcher one, other;
    (void)state;
    open_models();
    watch(&one);
    watch(&other);
    assert_int_equal(state_of(1), WEIR_HEALTH_READY);
    assert_int_equal(weir_targets_permit(targets, &one.watch, 1, 0), 0);
    assert_int_equal(weir_targets_permit(targets, &other.watch, 1, 2), 0);
    assert_int_equal(state_of(1), WEIR_HEALTH_OPEN);
    assert_int_equal(state_of(0), WEIR_HEALTH_READY);
    assert_int_equal(weir_targets_permit(targets, &one.watch, 1, WEIR_PERMIT_ALL), 0);
    assert_int_equal(state_of(1), WEIR_HEALTH_HALF_OPEN);
    assert_int_equal(weir_targets_permit(targets, &one.watch, 1, 0), 0);
    weir_targets_unwatch(targets, &one.watch); /* and its word with it */
    assert_int_equal(state_of(1), WEIR_HEALTH_HALF_OPEN);
    weir_targets_unwatch(targets, &other.watch);
    assert_int_equal(state_of(1), WEIR_HEALTH_READY);
}

static void wrong_numbers_are_refused(void **state)
{
    struct watcher w;
    (void)state;
    watch(&w);
    assert_int_equal(weir_targets_permit(targets, &w.watch, 0, 0), WEIR_E_NOTFOUND);
    open_models();
    assert_int_equal(weir_targets_permit(targets, &w.watch, 4, 0), WEIR_E_NOTFOUND);
    assert_int_equal(weir_targets_permit(targets, &w.watch, 0, -2), WEIR_E_ARG);
    assert_int_equal(weir_targets_permit(targets, &w.watch, 0, UINT32_MAX), WEIR_E_ARG);
    weir_targets_close(targets);
    assert_int_equal(weir_targets_permit(targets, &w.watch, 0, 0), WEIR_E_NOTFOUND);
    weir_targets_unwatch(targets, &w.watch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(watchers_know_when_they_are_there),
        TEST(attempts_are_told_by_number),
        TEST(the_strictest_word_holds),
        TEST(wrong_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
