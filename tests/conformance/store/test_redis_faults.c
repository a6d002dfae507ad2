/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis driver when the server is slow, hung, gone, full, flushed, a replica, or strange. Every
 * operation must complete once and soon, and things must be well again afterwards. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "tests/support/cmocka.h"

static struct redis_server server;
static struct redis_store store;
static char url[128];

/* A machine under load may lose a second here and there; a hang would lose all. */
enum { TIMEOUT_MS = 100, SOON_US = 5 * 1000000 };

static struct weir_store_redis_options options(void)
{
    struct weir_store_redis_options o = redis_store_options(url);
    o.timeout_ms = TIMEOUT_MS;
    return o;
}

static int set_up(void **state)
{
    (void)state;
    redis_server_start(&server, "", false);
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%u", server.port);
    struct weir_store_redis_options o = options();
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_store_close(&store);
    redis_server_stop(&server);
    return 0;
}

/* For what must not time out, however slow the machine is. */
static void be_patient(void)
{
    struct weir_store_redis_options o = options();
    redis_store_close(&store);
    o.timeout_ms = 20000;
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
}

static void all_completed_once_and_soon(const struct load *l)
{
    assert_int_equal(l->n_done, l->n_started);
    assert_int_equal(l->n_twice, 0);
    assert_int_equal(l->n_other, 0);
    if (l->longest_us > SOON_US) {
        fail_msg("an operation took %llu us", (unsigned long long)l->longest_us);
    }
}

/* Load before, during and after `ms` of a fault that `fault` begins and `end` ends. */
static void survive(struct load *l, void (*fault)(void), void (*end)(void), uint64_t ms)
{
    *l = (struct load){.store = store.store, .width = 20};
    load_run(l, &store, 200);
    assert_true(l->n_ok > 0);
    fault();
    load_run(l, &store, ms);
    if (end) {
        end();
    }
    redis_store_run(&store, 200, NULL); /* let it notice */
    redis_store_wait(&store, true);
    uint64_t well_us = redis_store_now_us();
    load_run(l, &store, 500);
    for (int i = 0; i < 50 && l->ok_us < well_us; i++) { /* tries are a second apart */
        load_run(l, &store, 100);
    }
    load_finish(l, &store);
    all_completed_once_and_soon(l);
    assert_true(l->ok_us > well_us);
}

static void pause_it(void)
{
    redis_server_tell(&server, "CLIENT PAUSE 3000 ALL");
}

static void a_slow_store_costs_a_few_timeouts_and_then_nothing(void **state)
{
    (void)state;
    struct load l;
    survive(&l, pause_it, NULL, 2000);
    assert_true(l.n_timeout >= 5);
    assert_true(l.n_away > l.n_timeout); /* most were refused without a wait */
    assert_true(l.n_timeout < 200);
    assert_non_null(strstr(store.notices, "! "));
}

static void stop_it(void)
{
    redis_server_signal(&server, SIGSTOP);
}

static void continue_it(void)
{
    redis_server_signal(&server, SIGCONT);
}

static void a_hung_store_is_left_alone_until_it_is_back(void **state)
{
    (void)state;
    struct load l;
    survive(&l, stop_it, continue_it, 3000);
    assert_true(l.n_away > l.n_timeout);
    assert_true(l.n_timeout < 200);
}

static void kill_it(void)
{
    redis_server_kill(&server);
}

static void start_it(void)
{
    redis_server_restart(&server);
}

static void a_store_that_is_gone_is_found_again(void **state)
{
    (void)state;
    struct load l;
    survive(&l, kill_it, start_it, 2000);
    assert_true(l.n_away > 0);
    assert_true(l.n_timeout <= 40); /* what was on its way */
}

static void kill_connections(void)
{
    (void)redis_server_do(&server, "CLIENT KILL TYPE normal SKIPME yes");
}

static void lost_connections_come_back(void **state)
{
    (void)state;
    struct load l;
    survive(&l, kill_connections, NULL, 100);
}

static void sleep_it(void)
{
    redis_server_tell(&server, "DEBUG SLEEP 2");
}

static void a_store_that_sleeps_wakes_up(void **state)
{
    (void)state;
    struct load l;
    survive(&l, sleep_it, NULL, 1500);
    assert_true(l.n_timeout + l.n_away > 0);
}

static void make_replica(void)
{
    (void)redis_server_do(&server, "REPLICAOF 127.0.0.1 1");
}

static void make_master(void)
{
    (void)redis_server_do(&server, "REPLICAOF NO ONE");
}

static void a_replica_is_not_written_to(void **state)
{
    (void)state;
    struct load l;
    survive(&l, make_replica, make_master, 1500);
    assert_true(l.n_away > 0);
    assert_non_null(strstr(store.notices, "it is a replica"));
}

static void forget_scripts(void)
{
    for (int i = 0; i < 20; i++) {
        (void)redis_server_do(&server, "SCRIPT FLUSH");
    }
}

static void forgotten_scripts_are_loaded_again(void **state)
{
    (void)state;
    be_patient();
    struct load l = {.store = store.store, .width = 20};
    for (int i = 0; i < 20; i++) {
        forget_scripts();
        load_run(&l, &store, 20);
    }
    load_finish(&l, &store);
    all_completed_once_and_soon(&l);
    assert_int_equal(l.n_timeout + l.n_away, 0);
    assert_int_equal(l.n_ok + l.n_refused, l.n_done);
}

static void a_flushed_store_begins_anew(void **state)
{
    (void)state;
    be_patient();
    struct load l = {.store = store.store, .width = 20};
    for (int i = 0; i < 10; i++) {
        load_run(&l, &store, 20);
        (void)redis_server_do(&server, "FLUSHALL");
    }
    load_finish(&l, &store);
    all_completed_once_and_soon(&l);
    assert_int_equal(l.n_ok + l.n_refused, l.n_done);
    assert_int_equal(redis_store_get(&store, "never"), WEIR_E_NOTFOUND);
}

static void a_full_store_refuses_writes_and_goes_on_reading(void **state)
{
    (void)state;
    be_patient();
    assert_int_equal(redis_store_set(&store, "k", "v"), 0);
    (void)redis_server_do(&server, "CONFIG SET maxmemory-policy noeviction");
    (void)redis_server_do(&server, "CONFIG SET maxmemory 1");
    assert_int_equal(redis_store_set(&store, "k2", "v"), WEIR_E_NOMEM);
    assert_int_equal(redis_store_get(&store, "k"), 0);
    const weir_store_limit level = {WEIR_STR_INIT("l"), 1, 1, 1000000, 1};
    const struct weir_store_call take = {.op = WEIR_STORE_TAKE, .levels = &level, .n = 1};
    assert_int_equal(redis_store_call(&store, &take, NULL), WEIR_E_NOMEM);
    const weir_store_hold hold = {WEIR_STR_INIT("b"), 1, 1};
    const struct weir_store_call reserve = {
        .op = WEIR_STORE_RESERVE, .id = WEIR_STR_INIT("r"), .holds = &hold, .n = 1, .number = 1000};
    assert_int_equal(redis_store_call(&store, &reserve, NULL), WEIR_E_NOMEM);
    (void)redis_server_do(&server, "CONFIG SET maxmemory 0");
    assert_int_equal(redis_store_set(&store, "k2", "v"), 0);
    assert_int_equal(redis_store_call(&store, &take, NULL), 0);
    assert_int_equal(redis_store_call(&store, &reserve, NULL), 0); /* nothing had happened */
}

static void records_logs_and_budgets_have_no_time_that_loses_them(void **state)
{
    (void)state;
    be_patient();
    const weir_str t = WEIR_STR_INIT("acme"), k = WEIR_STR_INIT("k");
    const weir_store_hold hold = {k, 1, 10};
    const struct weir_store_call calls[] = {
        {.op = WEIR_STORE_PUT, .tenant = t, .key = k, .id = k, .value = k},
        {.op = WEIR_STORE_APPEND, .tenant = t, .key = k, .id = k, .value = k},
        {.op = WEIR_STORE_JOB_PUT, .tenant = t, .key = k, .id = k, .value = k},
        {.op = WEIR_STORE_RESERVE, .tenant = t, .id = k, .holds = &hold, .n = 1, .number = 1000},
    };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(redis_store_call(&store, &calls[i], NULL), 0);
    }
    static const char *const for_ever[] = {"r:k", "n:k", "L:k", "j:k", "h:k"};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(redis_server_do(&server, "PTTL weir:{acme}:%s", for_ever[i])->integer, -1);
    }
    const long long day_ms = 24LL * 3600 * 1000;
    static const char *const forty_days[] = {"i:001:k:k", "b:k", "o:k"};
    for (size_t i = 0; i < 3; i++) {
        long long ms = redis_server_do(&server, "PTTL weir:{acme}:%s", forty_days[i])->integer;
        assert_true(ms > 39 * day_ms && ms <= 40 * day_ms);
    }
    /* Every key of a call lies in the tenant's slot. */
    redisReply *all = redis_server_do(&server, "KEYS *");
    for (size_t i = 0; i < all->elements; i++) {
        const char *key = all->element[i]->str;
        assert_true(strcmp(key, "weir:schema") == 0 || strncmp(key, "weir:{acme}:", 12) == 0);
    }
}

static void count_done(void *arg, const weir_store_result *r)
{
    int *const counts = arg;
    counts[r->rc == WEIR_E_IO]++;
}

static const struct weir_store_call get_k = {.op = WEIR_STORE_GET, .key = WEIR_STR_INIT("k")};

static void too_many_operations_are_refused_at_once(void **state)
{
    (void)state;
    be_patient();
    int counts[2] = {0};
    for (int i = 0; i < 1500; i++) {
        assert_int_equal(weir_store_call(store.store, &get_k, count_done, counts), 0);
    }
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[1], 500); /* max_in_flight is 1000 */
    for (int i = 0; i < 100 && counts[0] < 1000; i++) {
        redis_store_run(&store, 100, NULL);
    }
    assert_int_equal(counts[0], 1000);
}

static void a_forced_detach_completes_what_is_under_way(void **state)
{
    (void)state;
    struct redis_store other;
    struct weir_store_redis_options o = options();
    o.timeout_ms = 60000;
    redis_store_close(&store); /* one store per thread is attached */
    redis_store_open(&other, &o);
    redis_store_wait(&other, true);
    redis_store_run(&other, 100, NULL);
    redis_server_signal(&server, SIGSTOP);
    int counts[2] = {0};
    for (int i = 0; i < 10; i++) {
        assert_int_equal(weir_store_call(other.store, &get_k, count_done, counts), 0);
    }
    redis_store_run(&other, 50, NULL);
    assert_false(weir_store_detach(other.store, false));
    assert_int_equal(counts[0] + counts[1], 0);
    assert_true(weir_store_detach(other.store, true));
    assert_int_equal(counts[0] + counts[1], 10);
    redis_server_signal(&server, SIGCONT);
    redis_store_close(&other);
    redis_store_open(&store, &o);
}

static void a_thread_that_did_not_attach_is_refused(void **state)
{
    (void)state;
    int counts[2] = {0};
    assert_true(weir_store_detach(store.store, true));
    assert_int_equal(weir_store_call(store.store, &get_k, count_done, counts), WEIR_E_ARG);
    assert_int_equal(counts[0] + counts[1], 0);
}

static void data_of_another_schema_are_not_touched(void **state)
{
    (void)state;
    redis_store_close(&store);
    (void)redis_server_do(&server, "SET weir:schema 99");
    struct weir_store_redis_options o = options();
    redis_store_open(&store, &o);
    redis_store_run(&store, 500, NULL);
    assert_false(weir_store_is_up(store.store));
    assert_non_null(strstr(store.notices, "schema 99"));
    assert_int_equal(redis_store_set(&store, "k", "v"), WEIR_E_IO);
    (void)redis_server_do(&server, "SET weir:schema 1");
    redis_store_wait(&store, true);
    assert_int_equal(redis_store_set(&store, "k", "v"), 0);
}

static void a_store_that_comes_late_is_used(void **state)
{
    (void)state;
    redis_store_close(&store);
    redis_server_kill(&server);
    struct weir_store_redis_options o = options();
    redis_store_open(&store, &o);
    assert_int_equal(redis_store_set(&store, "k", "v"), WEIR_E_IO);
    redis_server_restart(&server);
    redis_store_wait(&store, true);
    assert_int_equal(redis_store_set(&store, "k", "v"), 0);
    assert_non_null(strstr(store.notices, "cannot use"));
    assert_non_null(strstr(store.notices, "using 127.0.0.1:"));
    assert_int_equal(store.n_notices, 2); /* changes only */
}

struct ear {
    int heard, lost;
};

static void on_message(void *arg, weir_str message, int lost)
{
    struct ear *e = arg;
    (void)message;
    e->heard += !lost;
    e->lost += lost;
}

static void after_a_lost_connection_messages_may_be_missing(void **state)
{
    (void)state;
    struct ear e = {0};
    struct weir_store_subscription *subscription = NULL;
    assert_int_equal(
        weir_store_subscribe(store.store, weir_str_from("keys"), on_message, &e, &subscription), 0);
    redis_store_run(&store, 5000, &e.lost); /* what was said before is not known */
    assert_int_equal(e.lost, 1);
    const struct weir_store_call publish = {.op = WEIR_STORE_PUBLISH, .key = WEIR_STR_INIT("keys")};
    assert_int_equal(redis_store_call(&store, &publish, NULL), 0);
    redis_store_run(&store, 5000, &e.heard);
    assert_int_equal(e.heard, 1);
    e = (struct ear){0};
    (void)redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    redis_store_run(&store, 10000, &e.lost);
    assert_int_equal(e.lost, 1);
    assert_int_equal(redis_store_call(&store, &publish, NULL), 0);
    redis_store_run(&store, 5000, &e.heard);
    assert_int_equal(e.heard, 1);
    assert_true(weir_store_is_up(store.store));
}

static void other_installations_on_the_server_do_not_meet(void **state)
{
    (void)state;
    be_patient();
    assert_int_equal(redis_store_set(&store, "k", "v"), 0);
    redis_store_close(&store);
    struct weir_store_redis_options o = options();
    o.timeout_ms = 20000;
    o.prefix = "staging";
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    assert_int_equal(redis_store_get(&store, "k"), WEIR_E_NOTFOUND);
}

static void an_invalidation_of_very_many_goes_in_steps(void **state)
{
    (void)state;
    be_patient();
    const weir_str tag = WEIR_STR_INIT("tag");
    int counts[2] = {0};
    for (int i = 0; i < 1300; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(weir_store_call(store.store,
                                         &(struct weir_store_call){.op = WEIR_STORE_SET,
                                                                   .key = weir_str_from(key),
                                                                   .value = weir_str_from("v"),
                                                                   .tags = &tag,
                                                                   .n = 1},
                                         count_done, counts),
                         0);
        if (i % 100 == 99) {
            redis_store_run(&store, 30, NULL);
        }
    }
    for (int i = 0; i < 100 && counts[0] < 1300; i++) {
        redis_store_run(&store, 100, NULL);
    }
    assert_int_equal(counts[0], 1300);
    int64_t n = 0;
    assert_int_equal(
        redis_store_call(&store, &(struct weir_store_call){.op = WEIR_STORE_INVALIDATE, .key = tag},
                         &n),
        0);
    assert_int_equal(n, 1300);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    if (!redis_server_is_installed()) {
        (void)printf("skipped: redis-server is not installed\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        TEST(a_slow_store_costs_a_few_timeouts_and_then_nothing),
        TEST(a_hung_store_is_left_alone_until_it_is_back),
        TEST(a_store_that_is_gone_is_found_again),
        TEST(lost_connections_come_back),
        TEST(a_store_that_sleeps_wakes_up),
        TEST(a_replica_is_not_written_to),
        TEST(forgotten_scripts_are_loaded_again),
        TEST(a_flushed_store_begins_anew),
        TEST(a_full_store_refuses_writes_and_goes_on_reading),
        TEST(records_logs_and_budgets_have_no_time_that_loses_them),
        TEST(too_many_operations_are_refused_at_once),
        TEST(a_forced_detach_completes_what_is_under_way),
        TEST(a_thread_that_did_not_attach_is_refused),
        TEST(data_of_another_schema_are_not_touched),
        TEST(a_store_that_comes_late_is_used),
        TEST(after_a_lost_connection_messages_may_be_missing),
        TEST(other_installations_on_the_server_do_not_meet),
        TEST(an_invalidation_of_very_many_goes_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
