/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas' sets around one store, on a clock that the test moves. */
#include "circuit_set.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

enum { S = 1000000, N_REPLICAS = 2, N_CIRCUITS = 4, TICK_US = 100000 };

struct replica {
    weir_host host; /* first: the set holds it */
    struct circuit_set *set;
    void (*tick)(void *arg);
    void *tick_arg;
    weir_store_message heard;
    void *heard_arg;
    int64_t permits[N_CIRCUITS];
    bool is_wanted;
    char log[8192];
};

static struct {
    uint64_t now_us;
    bool is_lost;
    struct {
        char key[200], value[64];
    } values[8];
    uint64_t leased_until_us[8];
    char leases[8][200];
    uint32_t n_published, n_calls, n_leases;
    struct replica replicas[N_REPLICAS];
} world;

/* ---- the store: it answers at once, or says that it is gone ---- */

static void answer(weir_store_done done, void *arg, int32_t rc, const char *value)
{
    const weir_store_result result = {.struct_size = sizeof(result),
                                      .rc = rc,
                                      .value = weir_str_from(value),
                                      .retry_after_us = 3 * S};
    world.n_calls++;
    done(arg, world.is_lost ? &(weir_store_result){.rc = WEIR_E_IO} : &result);
}

static int find(weir_str key, bool makes)
{
    int at = -1;
    for (int i = 7; i >= 0; i--) {
        if (weir_str_is(key, world.values[i].key)) {
            return i;
        }
        at = world.values[i].key[0] ? at : i;
    }
    assert_true(at >= 0);
    return makes ? at : -1;
}

static int get(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done, void *arg)
{
    (void)h;
    (void)tenant;
    int i = find(key, false);
    answer(done, arg, i < 0 ? WEIR_E_NOTFOUND : 0, i < 0 ? NULL : world.values[i].value);
    return 0;
}

static int set(const weir_host *h, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
               const weir_str *tags, uint32_t n_tags, weir_store_done done, void *arg)
{
    (void)h;
    (void)tenant;
    (void)tags;
    (void)n_tags;
    assert_true(ttl_ms > 0);
    if (!world.is_lost) {
        int i = find(key, true);
        (void)snprintf(world.values[i].key, 200, "%.*s", (int)key.n, key.p);
        (void)snprintf(world.values[i].value, 64, "%.*s", (int)value.n, value.p);
    }
    answer(done, arg, 0, NULL);
    return 0;
}

static int drop(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done, void *arg)
{
    (void)h;
    (void)tenant;
    int i = find(key, false);
    if (i >= 0 && !world.is_lost) {
        world.values[i].key[0] = '\0';
    }
    answer(done, arg, 0, NULL);
    return 0;
}

static int take(const weir_host *h, weir_str tenant, const weir_store_limit *levels,
                uint32_t n_levels, weir_store_done done, void *arg)
{
    (void)h;
    (void)tenant;
    assert_int_equal(n_levels, 1);
    assert_int_equal(levels->limit, 1);
    uint32_t i = 0;
    while (i < 7 && world.leases[i][0] && !weir_str_is(levels->key, world.leases[i])) {
        i++;
    }
    (void)snprintf(world.leases[i], 200, "%.*s", (int)levels->key.n, levels->key.p);
    bool is_free = world.now_us >= world.leased_until_us[i];
    if (is_free && !world.is_lost) {
        world.leased_until_us[i] = world.now_us + levels->period_us;
        world.n_leases++;
    }
    answer(done, arg, is_free ? 0 : WEIR_E_BUSY, NULL);
    return 0;
}

static int publish(const weir_host *h, weir_str channel, weir_str message, weir_store_done done,
                   void *arg)
{
    (void)h;
    (void)channel;
    world.n_published++;
    answer(done, arg, 0, NULL);
    for (int i = 0; i < N_REPLICAS && !world.is_lost; i++) {
        if (world.replicas[i].heard) {
            world.replicas[i].heard(world.replicas[i].heard_arg, message, 0);
        }
    }
    return 0;
}

static int subscribe(const weir_host *h, weir_str channel, weir_store_message fn, void *arg)
{
    struct replica *r = (struct replica *)(uintptr_t)h;
    (void)channel;
    r->heard = fn;
    r->heard_arg = arg;
    return 0;
}

static const weir_ext_store store = {.struct_size = sizeof(store),
                                     .flags = WEIR_STORE_SHARED,
                                     .get = get,
                                     .set = set,
                                     .remove = drop,
                                     .take = take,
                                     .publish = publish,
                                     .subscribe = subscribe};

/* ---- the host ---- */

static void *alloc(const weir_host *h, size_t n)
{
    (void)h;
    return malloc(n);
}

static void release(const weir_host *h, void *p)
{
    (void)h;
    free(p);
}

static uint64_t now_us(const weir_host *h)
{
    (void)h;
    return world.now_us;
}

static uint64_t wall_us(const weir_host *h)
{
    (void)h;
    return UINT64_C(1767225600000000) + world.now_us;
}

static void write_log(const weir_host *h, int level, weir_req *req, weir_str message)
{
    struct replica *r = (struct replica *)(uintptr_t)h;
    size_t n = strlen(r->log);
    (void)level;
    (void)req;
    (void)snprintf(r->log + n, sizeof(r->log) - n, "%.*s\n", (int)message.n, message.p);
}

static int post(const weir_host *h, void (*fn)(void *arg), void *arg)
{
    (void)h;
    fn(arg);
    return 0;
}

static uint64_t timer_start(const weir_host *h, uint64_t delay_ms, uint64_t repeat_ms,
                            void (*fn)(void *arg), void *arg)
{
    struct replica *r = (struct replica *)(uintptr_t)h;
    (void)delay_ms;
    (void)repeat_ms;
    r->tick = fn;
    r->tick_arg = arg;
    return 1;
}

static int timer_stop(const weir_host *h, uint64_t id)
{
    struct replica *r = (struct replica *)(uintptr_t)h;
    (void)id;
    r->tick = NULL;
    return 0;
}

static const void *get_ext(const weir_host *h, const char *id)
{
    (void)h;
    (void)id;
    return NULL;
}

/* ---- the owner ---- */

static void permit(void *arg, uint32_t index, int64_t n)
{
    ((struct replica *)arg)->permits[index] = n;
}

static bool is_wanted(void *arg, uint32_t index)
{
    (void)index;
    return ((struct replica *)arg)->is_wanted;
}

static void begin(struct replica *r, uint32_t max_open_percent)
{
    *r = (struct replica){.host = {.struct_size = sizeof(weir_host),
                                   .get_ext = get_ext,
                                   .alloc = alloc,
                                   .free = release,
                                   .log = write_log,
                                   .now_us = now_us,
                                   .wall_us = wall_us,
                                   .post = post,
                                   .timer_start = timer_start,
                                   .timer_stop = timer_stop},
                          .is_wanted = true};
    const struct circuit_set_config config = {.host = &r->host,
                                              .store = &store,
                                              .settings = {.failure_threshold = 3,
                                                           .window_us = 10 * S,
                                                           .open_us = 10 * S,
                                                           .max_open_us = 120 * S,
                                                           .trial_requests = 1},
                                              .max_open_percent = max_open_percent,
                                              .prefix = "",
                                              .permit = permit,
                                              .is_wanted = is_wanted,
                                              .arg = r};
    assert_int_equal(circuit_set_create(&config, &r->set), 0);
    for (uint32_t i = 0; i < N_CIRCUITS; i++) {
        const char *const names[N_CIRCUITS] = {"a/0", "a/1", "b/0", "b/1"};
        r->permits[i] = -1;
        assert_int_equal(circuit_set_add(r->set, i / 2 * 2, names[i], names[i], true), 0);
    }
}

static void finish(struct replica *r)
{
    circuit_set_destroy(r->set);
    r->set = NULL;
    r->heard = NULL;
}

static int begin_all(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.now_us = 1000 * (uint64_t)S;
    for (int i = 0; i < N_REPLICAS; i++) {
        begin(&world.replicas[i], 50);
    }
    return 0;
}

static int finish_all(void **state)
{
    (void)state;
    for (int i = 0; i < N_REPLICAS; i++) {
        finish(&world.replicas[i]);
    }
    return 0;
}

static void pass(uint64_t us)
{
    for (uint64_t end_us = world.now_us + us; world.now_us < end_us;) {
        world.now_us += TICK_US;
        for (int i = 0; i < N_REPLICAS; i++) {
            if (world.replicas[i].tick) {
                world.replicas[i].tick(world.replicas[i].tick_arg);
            }
        }
    }
}

static void note(struct replica *r, uint32_t index, bool is_good, int n)
{
    for (int i = 0; i < n; i++) {
        circuit_set_note(r->set, index, is_good, world.now_us);
    }
}

/* ---- tests ---- */

static void the_others_hear_of_it_at_once(void **state)
{
    struct replica *a = &world.replicas[0], *b = &world.replicas[1];
    (void)state;
    note(a, 0, false, 3);
    assert_int_equal(a->permits[0], 0);
    assert_int_equal(b->permits[0], 0);
    assert_int_equal(b->permits[1], -1);
    assert_non_null(strstr(a->log, "a/0: circuit open (too many failures)"));
    assert_non_null(strstr(b->log, "a/0: circuit open (another replica's word)"));
    assert_int_equal(circuit_set_permits(b->set, 0), 0);
    assert_int_equal(circuit_set_permits(b->set, 99), -1);
}

static void who_comes_later_reads_it(void **state)
{
    struct replica *a = &world.replicas[0], *b = &world.replicas[1];
    (void)state;
    finish(b);
    note(a, 0, false, 3);
    pass(4 * S);
    begin(b, 50);
    assert_int_equal(b->permits[0], 0);
    pass(59 * S / 10);
    assert_null(strstr(b->log, "half_open")); /* its time is the first one's */
    pass(S / 5);
    assert_non_null(strstr(b->log, "a/0: circuit half_open"));
}

static void one_replica_tries_it_and_all_follow(void **state)
{
    struct replica *a = &world.replicas[0], *b = &world.replicas[1];
    (void)state;
    note(a, 0, false, 3);
    pass(10 * S + TICK_US);
    assert_int_equal(a->permits[0] + b->permits[0], 1);
    assert_int_equal(world.n_leases, 1);
    struct replica *tries = a->permits[0] ? a : b, *waits;
    note(tries, 0, false, 1);
    assert_int_equal(a->permits[0], 0);
    assert_int_equal(b->permits[0], 0);
    assert_non_null(strstr(tries->log, "circuit open (the trial failed)"));
    pass(19 * S);
    assert_int_equal(a->permits[0] + b->permits[0], 0); /* twice as long */
    pass(S + 2 * TICK_US);
    tries = a->permits[0] ? a : b, waits = tries == a ? b : a;
    assert_int_equal(tries->permits[0], 1);
    note(tries, 0, true, 1);
    assert_int_equal(tries->permits[0], -1);
    assert_int_equal(waits->permits[0], -1);
    assert_non_null(strstr(tries->log, "circuit closed (the trial went well)"));
    note(a, 0, false, 3); /* as long as the first time */
    pass(10 * S + TICK_US);
    assert_int_equal(a->permits[0] + b->permits[0], 1);
}

static void a_trial_goes_to_those_who_want_it(void **state)
{
    struct replica *a = &world.replicas[0], *b = &world.replicas[1];
    (void)state;
    a->is_wanted = b->is_wanted = false;
    note(a, 0, false, 3);
    pass(60 * S);
    assert_int_equal(world.n_leases, 0);
    b->is_wanted = true;
    pass(TICK_US);
    assert_int_equal(b->permits[0], 1);
    pass(9 * S);
    assert_int_equal(b->permits[0], 1);
    b->is_wanted = false; /* nobody came: the other may have it */
    a->is_wanted = true;
    pass(2 * S);
    assert_int_equal(b->permits[0], 0);
    assert_int_equal(a->permits[0], 1);
}

static void a_refused_trial_is_not_asked_for_all_the_time(void **state)
{
    struct replica *a = &world.replicas[0];
    (void)state;
    note(a, 0, false, 3);
    pass(10 * S + TICK_US);
    uint32_t calls = world.n_calls;
    pass(5 * S); /* one replica tries it; the other asks once a second */
    assert_in_range(world.n_calls - calls, 4, 6);
}

static void the_cap_counts_a_group(void **state)
{
    struct replica *a = &world.replicas[0];
    (void)state;
    note(a, 0, false, 3);
    note(a, 1, false, 3);
    assert_int_equal(a->permits[0], 0);
    assert_int_equal(a->permits[1], -1);
    note(a, 3, false, 3); /* another group */
    assert_int_equal(a->permits[3], 0);
    pass(10 * S + TICK_US); /* half open: it still counts */
    note(a, 1, false, 3);
    assert_int_equal(a->permits[1], -1);
}

static void without_the_store_it_works_alone_and_tells_later(void **state)
{
    struct replica *a = &world.replicas[0], *b = &world.replicas[1];
    (void)state;
    world.is_lost = true;
    note(a, 0, false, 3);
    pass(5 * S);
    assert_int_equal(a->permits[0], 0);
    assert_int_equal(b->permits[0], -1);
    world.is_lost = false;
    pass(TICK_US);
    assert_int_equal(b->permits[0], 0);
    world.is_lost = true;
    pass(6 * S);
    assert_int_equal(a->permits[0], 1); /* each tries on its own */
    assert_int_equal(b->permits[0], 1);
    note(a, 0, true, 1);
    assert_int_equal(a->permits[0], -1);
    assert_int_equal(b->permits[0], 1);
    world.is_lost = false;
    pass(TICK_US);
    assert_int_equal(b->permits[0], -1);
}

static void what_was_missed_is_read(void **state)
{
    struct replica *a = &world.replicas[0], *b = &world.replicas[1];
    (void)state;
    weir_store_message heard = b->heard;
    b->heard = NULL; /* no message comes */
    note(a, 0, false, 3);
    assert_int_equal(b->permits[0], -1);
    heard(b->heard_arg, (weir_str){NULL, 0}, 1);
    assert_int_equal(b->permits[0], 0);
    heard(b->heard_arg, weir_str_from("circuit/none of ours"), 0);
}

static void foreign_values_do_no_harm(void **state)
{
    struct replica *a = &world.replicas[0];
    static const char *const values[] = {"", "x", "1", "99999999999999999999999 7",
                                         "18446744073709551615 4294967295"};
    (void)state;
    (void)snprintf(world.values[0].key, sizeof(world.values[0].key), "circuit/a/0");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        (void)snprintf(world.values[0].value, sizeof(world.values[0].value), "%s", values[i]);
        a->heard(a->heard_arg, weir_str_from("circuit/a/0"), 0);
        assert_int_equal(a->permits[0], i < 3 ? -1 : 0);
    }
    pass(120 * S + TICK_US); /* never longer than max_open */
    assert_int_equal(a->permits[0], 1);
    note(a, 0, false, 1);
    assert_int_equal(a->permits[0], 0);
}

static void too_long_names_are_refused(void **state)
{
    char name[CIRCUIT_KEY_BYTES + 1];
    (void)state;
    memset(name, 'x', sizeof(name));
    name[CIRCUIT_KEY_BYTES] = '\0';
    struct circuit_set *s = world.replicas[0].set;
    assert_int_equal(circuit_set_add(s, 0, name, "k", true), WEIR_E_TOOBIG);
    assert_int_equal(circuit_set_add(s, 0, "n", name, true), WEIR_E_TOOBIG);
    for (int i = N_CIRCUITS; i < CIRCUIT_SET_MAX; i++) {
        assert_int_equal(circuit_set_add(s, 0, "n", "k", false), 0);
    }
    assert_int_equal(circuit_set_add(s, 0, "n", "k", false), WEIR_E_TOOBIG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_all, finish_all)
    const struct CMUnitTest tests[] = {
        TEST(the_others_hear_of_it_at_once),
        TEST(who_comes_later_reads_it),
        TEST(one_replica_tries_it_and_all_follow),
        TEST(a_trial_goes_to_those_who_want_it),
        TEST(a_refused_trial_is_not_asked_for_all_the_time),
        TEST(the_cap_counts_a_group),
        TEST(without_the_store_it_works_alone_and_tells_later),
        TEST(what_was_missed_is_read),
        TEST(foreign_values_do_no_harm),
        TEST(too_long_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
