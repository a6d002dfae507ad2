/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis driver with many loops, and with a replica and three Sentinels when the master dies. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
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
    const weir_store_limit level = {WEIR_STR_INIT("shared"), 1, LIMIT, UINT64_C(3600) * 1000000,
                                    LIMIT};
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

static struct redis_server master, replica, sentinels[SENTINELS];
static char url[200];

static int start_all(void **state)
{
    (void)state;
    char config[400];
    redis_server_start(&master, "", false);
    (void)snprintf(config, sizeof(config), "replicaof 127.0.0.1 %u\nrepl-diskless-sync-delay 0\n",
                   master.port);
    redis_server_start(&replica, config, false);
    for (int i = 0; i < 500; i++) {
        redisReply *r = redis_server_do(&replica, "INFO replication");
        if (strstr(r->str, "master_link_status:up")) {
            break;
        }
        (void)usleep(20000);
    }
    (void)snprintf(config, sizeof(config),
                   "sentinel monitor weir-main 127.0.0.1 %u 2\n"
                   "sentinel down-after-milliseconds weir-main 500\n"
                   "sentinel failover-timeout weir-main 3000\n",
                   master.port);
    int n = snprintf(url, sizeof(url), "redis+sentinel://");
    for (int i = 0; i < SENTINELS; i++) {
        redis_server_start(&sentinels[i], config, true);
        n += snprintf(url + n, sizeof(url) - (size_t)n, "%s127.0.0.1:%u", i ? "," : "",
                      sentinels[i].port);
    }
    (void)snprintf(url + n, sizeof(url) - (size_t)n, "/weir-main");
    for (int i = 0; i < 1000; i++) { /* they must know each other, and the replica */
        redisReply *r = redis_server_do(&sentinels[0], "SENTINEL CKQUORUM weir-main");
        bool quorum = r->type == REDIS_REPLY_STATUS && strstr(r->str, "OK 3");
        r = redis_server_do(&sentinels[0], "SENTINEL REPLICAS weir-main");
        if (quorum && r->elements == 1) {
            return 0;
        }
        (void)usleep(20000);
    }
    fail_msg("the Sentinels do not find each other");
    return -1;
}

static int stop_all(void **state)
{
    (void)state;
    for (int i = 0; i < SENTINELS; i++) {
        redis_server_stop(&sentinels[i]);
    }
    redis_server_stop(&replica);
    redis_server_stop(&master);
    return 0;
}

static void when_the_master_dies_its_successor_is_used(void **state)
{
    (void)state;
    struct redis_store store;
    struct weir_store_redis_options o = redis_store_options(url);
    o.timeout_ms = 100;
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    assert_int_equal(redis_store_set(&store, "before", "v"), 0);
    struct load l = {.store = store.store, .width = 20};
    load_run(&l, &store, 500);
    assert_true(l.n_ok > 0);
    redis_server_kill(&master);
    uint64_t died_us = redis_store_now_us();
    uint64_t give_up_us = died_us + 60000000;
    while (l.ok_us < died_us + 300000 && redis_store_now_us() < give_up_us) {
        load_run(&l, &store, 100);
    }
    uint64_t back_us = l.ok_us - died_us;
    load_run(&l, &store, 500);
    load_finish(&l, &store);
    (void)printf("used the new master %.1f s after the old one died\n", (double)back_us / 1e6);
    assert_true(back_us < 30000000);
    assert_int_equal(l.n_done, l.n_started);
    assert_int_equal(l.n_twice, 0);
    assert_int_equal(l.n_other, 0);
    assert_true(l.longest_us < 5000000);
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
    for (int i = 0; i < 300 && !strstr(store.notices, port); i++) {
        load_run(&l, &store, 100);
    }
    assert_non_null(strstr(store.notices, port));
    uint64_t switched_us = redis_store_now_us();
    for (int i = 0; i < 100 && l.ok_us < switched_us; i++) {
        load_run(&l, &store, 100);
    }
    load_finish(&l, &store);
    assert_true(l.ok_us > switched_us);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
