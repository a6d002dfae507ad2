/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis driver with many loops, and with a replica and three Sentinels when the master dies. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "tests/support/cmocka.h"

/* ---- many loops ---- */

enum { LOOPS = 4, TAKES = 2000, LIMIT = 1500 };

struct crew {
    struct weir_store *store;
    _Atomic uint64_t n_passed, n_done, n_failed;
    atomic_bool stop;
    int budget; /* calls of one thread */
};

struct worker {
    struct crew *crew;
    pthread_t thread;
    uv_loop_t loop;
    int n_started, n_done;
};

static void on_taken(void *arg, const weir_store_result *r)
{
    struct worker *w = arg;
    w->n_done++;
    atomic_fetch_add(&w->crew->n_done, 1);
    atomic_fetch_add(&w->crew->n_passed, r->rc == 0);
    atomic_fetch_add(&w->crew->n_failed, r->rc != 0 && r->rc != WEIR_E_BUSY);
}

static void on_step(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    /* So long a period that nothing comes back while the test runs. */
    const weir_store_limit level = {WEIR_STR_INIT("shared"), 1, LIMIT,
                                    UINT64_C(366) * 24 * 3600 * 1000000, LIMIT};
    const struct weir_store_call take = {.op = WEIR_STORE_TAKE, .levels = &level, .n = 1};
    while (w->n_started < w->crew->budget && w->n_started - w->n_done < 50) {
        w->n_started++;
        assert_int_equal(weir_store_call(w->crew->store, &take, on_taken, w), 0);
    }
    if (w->n_done == w->crew->budget && weir_store_detach(w->crew->store, false)) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    uv_timer_t step;
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(weir_store_attach(w->crew->store, &w->loop, false), 0);
    (void)uv_timer_init(&w->loop, &step);
    step.data = w;
    (void)uv_timer_start(&step, on_step, 1, 1);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    return NULL;
}

static void loops_together_never_exceed_a_limit(void **state)
{
    (void)state;
    struct redis_server server = {0};
    struct redis_store stores[2]; /* of two processes, as it were: here two main loops */
    redis_server_start(&server, "", false);
    char url[128];
    (void)snprintf(url, sizeof(url), "redis+unix://%s", server.socket);
    struct weir_store_redis_options o = redis_store_options(url);
    o.timeout_ms = 20000;
    struct crew crews[2];
    struct worker workers[2][LOOPS];
    for (int i = 0; i < 2; i++) {
        redis_store_open(&stores[i], &o);
        redis_store_wait(&stores[i], true);
        crews[i] = (struct crew){.store = stores[i].store, .budget = TAKES / LOOPS};
        for (int k = 0; k < LOOPS; k++) {
            workers[i][k] = (struct worker){.crew = &crews[i]};
            assert_int_equal(pthread_create(&workers[i][k].thread, NULL, work, &workers[i][k]), 0);
        }
    }
    for (int i = 0; i < 2; i++) {
        while (atomic_load(&crews[i].n_done) < TAKES) {
            redis_store_run(&stores[i], 10, NULL);
        }
        for (int k = 0; k < LOOPS; k++) {
            pthread_join(workers[i][k].thread, NULL);
        }
    }
    assert_int_equal(crews[0].n_failed + crews[1].n_failed, 0);
    assert_int_equal(crews[0].n_passed + crews[1].n_passed, LIMIT);
    redis_store_close(&stores[0]);
    redis_store_close(&stores[1]);
    redis_server_stop(&server);
}

static void loops_survive_a_restart_together(void **state)
{
    (void)state;
    struct redis_server server = {0};
    struct redis_store store;
    redis_server_start(&server, "", false);
    char url[128];
    (void)snprintf(url, sizeof(url), "redis+unix://%s", server.socket);
    struct weir_store_redis_options o = redis_store_options(url);
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    struct crew crew = {.store = store.store, .budget = 3000};
    struct worker workers[LOOPS];
    for (int k = 0; k < LOOPS; k++) {
        workers[k] = (struct worker){.crew = &crew};
        assert_int_equal(pthread_create(&workers[k].thread, NULL, work, &workers[k]), 0);
    }
    redis_store_run(&store, 50, NULL);
    redis_server_kill(&server);
    redis_store_run(&store, 300, NULL);
    redis_server_restart(&server);
    while (atomic_load(&crew.n_done) < 3000u * LOOPS) {
        redis_store_run(&store, 10, NULL);
    }
    for (int k = 0; k < LOOPS; k++) {
        pthread_join(workers[k].thread, NULL);
    }
    redis_store_wait(&store, true);
    redis_store_close(&store);
    redis_server_stop(&server);
}

/* ---- Sentinel ---- */

enum { SENTINELS = 3 };

static struct redis_server master, replica, other, sentinels[SENTINELS];
static char url[200];

static void write_config(char *to, size_t cap, uint16_t port)
{
    (void)snprintf(to, cap,
                   "sentinel monitor weir-main 127.0.0.1 %u 2\n"
                   "sentinel down-after-milliseconds weir-main 500\n"
                   "sentinel failover-timeout weir-main 3000\n",
                   port);
}

/* n Sentinels know each other, and the replica. */
static bool know_each_other(struct redis_server *s, int n)
{
    char ok[8];
    (void)snprintf(ok, sizeof(ok), "OK %d", n);
    redisReply *r = redis_server_do(s, "SENTINEL CKQUORUM weir-main");
    bool quorum = r->type == REDIS_REPLY_STATUS && strstr(r->str, ok);
    r = redis_server_do(s, "SENTINEL REPLICAS weir-main");
    return quorum && r->elements == 1;
}

/* The first Sentinel may watch another master than the rest. */
static void start_group(const char *more, bool first_differs)
{
    char config[400];
    redis_server_start(&master, more, false);
    (void)snprintf(config, sizeof(config), "replicaof 127.0.0.1 %u\nrepl-diskless-sync-delay 0\n",
                   master.port);
    redis_server_start(&replica, config, false);
    for (int i = 0; i < 1000; i++) {
        redisReply *r = redis_server_do(&replica, "INFO replication");
        if (strstr(r->str, "master_link_status:up")) {
            break;
        }
        (void)usleep(20000);
    }
    redis_server_start(&other, "", false);
    int n = snprintf(url, sizeof(url), "redis+sentinel://");
    for (int i = 0; i < SENTINELS; i++) {
        write_config(config, sizeof(config), first_differs && i == 0 ? other.port : master.port);
        redis_server_start(&sentinels[i], config, true);
        n += snprintf(url + n, sizeof(url) - (size_t)n, "%s127.0.0.1:%u", i ? "," : "",
                      sentinels[i].port);
    }
    (void)snprintf(url + n, sizeof(url) - (size_t)n, "/weir-main");
    int n_equal = first_differs ? SENTINELS - 1 : SENTINELS;
    for (int i = 0; i < 2000; i++) {
        if (know_each_other(&sentinels[1], n_equal) && know_each_other(&sentinels[2], n_equal)) {
            return;
        }
        (void)usleep(20000);
    }
    fail_msg("the Sentinels do not find each other");
}

static int start_all(void **state)
{
    (void)state;
    start_group("", false);
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    for (int i = 0; i < SENTINELS; i++) {
        redis_server_stop(&sentinels[i]);
    }
    redis_server_stop(&other);
    redis_server_stop(&replica);
    redis_server_stop(&master);
    return 0;
}

static long long offset_of(struct redis_server *s)
{
    const char *text = redis_server_do(s, "INFO replication")->str;
    const char *at = strstr(text, "\nmaster_repl_offset:");
    assert_non_null(at);
    return strtoll(at + sizeof("\nmaster_repl_offset:") - 1, NULL, 10);
}

/* What the master has taken so far, the replica has too. */
static void await_replica(void)
{
    long long offset = offset_of(&master);
    for (int i = 0; i < 1000 && offset_of(&replica) < offset; i++) {
        (void)usleep(20000);
    }
    assert_true(offset_of(&replica) >= offset);
}

/* Runs the load until something has gone well since that time. A Sentinel that was held up for two
 * seconds does nothing for thirty (its "TILT"), and may have to be patient with two of them. */
static void await_success(struct load *l, struct redis_store *store, uint64_t since_us)
{
    uint64_t give_up_us = redis_store_now_us() + 120000000;
    while (l->ok_us < since_us && redis_store_now_us() < give_up_us) {
        load_run(l, store, 100);
    }
    assert_true(l->ok_us >= since_us);
}

static void when_the_master_dies_its_successor_is_used(void **state)
{
    (void)state;
    struct redis_store store;
    struct weir_store_redis_options o = redis_store_options(url);
    o.timeout_ms = 2000;
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    assert_int_equal(redis_store_set(&store, "before", "v"), 0);
    await_replica();
    struct load l = {.store = store.store, .width = 20};
    await_success(&l, &store, redis_store_now_us());
    redis_server_kill(&master);
    uint64_t died_us = redis_store_now_us();
    await_success(&l, &store, died_us + 300000); /* not of what was on its way */
    uint64_t back_us = l.ok_us - died_us;
    load_run(&l, &store, 500);
    load_finish(&l, &store);
    (void)printf("used the new master %.1f s after the old one died\n", (double)back_us / 1e6);
    assert_int_equal(l.n_done, l.n_started);
    assert_int_equal(l.n_twice, 0);
    assert_int_equal(l.n_other, 0);
    assert_true(l.longest_us < 20000000); /* ten times its time limit */
    assert_int_equal(redis_store_get(&store, "before"), 0);
    char port[16];
    (void)snprintf(port, sizeof(port), ":%u", replica.port);
    assert_non_null(strstr(store.notices, port));
    redis_store_close(&store);
}

static void a_planned_switch_is_followed(void **state)
{
    (void)state;
    struct redis_store store;
    struct weir_store_redis_options o = redis_store_options(url);
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    struct load l = {.store = store.store, .width = 5};
    load_run(&l, &store, 200);
    (void)redis_server_do(&sentinels[0], "SENTINEL FAILOVER weir-main");
    char port[16];
    (void)snprintf(port, sizeof(port), ":%u", replica.port);
    for (int i = 0; i < 1200 && !strstr(store.notices, port); i++) {
        load_run(&l, &store, 100);
    }
    assert_non_null(strstr(store.notices, port));
    await_success(&l, &store, redis_store_now_us());
    load_finish(&l, &store);
    assert_int_equal(l.n_other + l.n_twice, 0);
    assert_int_equal(l.n_done, l.n_started);
    redis_store_close(&store);
}

static void a_dead_sentinel_is_passed_over(void **state)
{
    (void)state;
    struct redis_store store;
    redis_server_kill(&sentinels[0]);
    struct weir_store_redis_options o = redis_store_options(url);
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    assert_int_equal(redis_store_set(&store, "k", "v"), 0);
    redis_store_close(&store);
    o = redis_store_options(url);
    (void)snprintf(o.url.master, sizeof(o.url.master), "unheard-of");
    redis_store_open(&store, &o);
    redis_store_run(&store, 3000, NULL);
    assert_false(weir_store_is_up(store.store));
    assert_non_null(strstr(store.notices, "Sentinel knows no master unheard-of"));
    redis_store_close(&store);
}

/* As when the old master and one Sentinel are cut off from the others: it stays a master, and who
 * only listens to that Sentinel hears nothing. */
static void a_switch_is_heard_of_though_a_sentinel_hangs(void **state)
{
    (void)state;
    start_group("rename-command REPLICAOF \"\"\nrename-command SLAVEOF \"\"\n", false);
    struct redis_store store;
    struct weir_store_redis_options o = redis_store_options(url);
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    redis_store_run(&store, 1000, NULL); /* all Sentinels have been subscribed to */
    char port[16];
    (void)snprintf(port, sizeof(port), ":%u", master.port);
    assert_non_null(strstr(store.notices, port));
    redis_server_signal(&sentinels[0], SIGSTOP);
    (void)redis_server_do(&sentinels[1], "SENTINEL FAILOVER weir-main");
    (void)snprintf(port, sizeof(port), ":%u", replica.port);
    for (int i = 0; i < 1200 && !strstr(store.notices, port); i++) {
        redis_store_run(&store, 100, NULL);
    }
    assert_non_null(strstr(store.notices, port));
    assert_int_equal(redis_store_set(&store, "k", "v"), 0);
    assert_non_null(strstr(redis_server_do(&master, "INFO replication")->str, "role:master"));
    redis_store_close(&store);
}

static void what_most_sentinels_say_counts(void **state)
{
    (void)state;
    start_group("", true);
    struct redis_store store;
    struct weir_store_redis_options o = redis_store_options(url);
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    char port[16];
    (void)snprintf(port, sizeof(port), ":%u", master.port);
    assert_non_null(strstr(store.notices, port));
    redis_store_close(&store);
}

/* Those who have the majority name a server that is none; the third one knows better. */
static void who_names_a_usable_master_is_believed(void **state)
{
    (void)state;
    start_group("", true);
    redis_server_kill(&master);
    redis_server_kill(&replica);
    struct redis_store store;
    struct weir_store_redis_options o = redis_store_options(url);
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    char port[16];
    (void)snprintf(port, sizeof(port), ":%u", other.port);
    assert_non_null(strstr(store.notices, port));
    redis_store_close(&store);
}

#define WITH_SENTINELS(name) cmocka_unit_test_setup_teardown(name, start_all, stop_all)

int main(void)
{
    if (!redis_server_is_installed()) {
        (void)printf("skipped: redis-server is not installed\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_together_never_exceed_a_limit),
        cmocka_unit_test(loops_survive_a_restart_together),
        WITH_SENTINELS(when_the_master_dies_its_successor_is_used),
        WITH_SENTINELS(a_planned_switch_is_followed),
        WITH_SENTINELS(a_dead_sentinel_is_passed_over),
        cmocka_unit_test_teardown(a_switch_is_heard_of_though_a_sentinel_hangs, stop_all),
        cmocka_unit_test_teardown(what_most_sentinels_say_counts, stop_all),
        cmocka_unit_test_teardown(who_names_a_usable_master_is_believed, stop_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
