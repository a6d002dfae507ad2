/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis driver on a real server: the suite of all drivers. */
#include <stdio.h>
#include <unistd.h>

#include "redis_fixture.h"
#include "suite.h"
#include "tests/support/cmocka.h"

static struct redis_server server;
static struct redis_store under_test;
static char url[128];

static int open_store(struct weir_store **ret_store)
{
    struct weir_store_redis_options o = redis_store_options(url);
    (void)redis_server_do(&server, "FLUSHALL");
    redis_store_open(&under_test, &o);
    redis_store_wait(&under_test, true);
    *ret_store = under_test.store;
    return 0;
}

static void close_store(struct weir_store *store)
{
    (void)store;
    redis_store_close(&under_test);
}

static void advance(uint64_t us)
{
    redis_store_run(&under_test, us / 1000 + 1, NULL);
}

static void run_until(const int *done)
{
    redis_store_run(&under_test, 20000, done);
}

int main(void)
{
    if (!redis_server_is_installed()) {
        (void)printf("skipped: redis-server is not installed\n");
        return 77;
    }
    redis_server_start(&server, "", false);
    (void)snprintf(url, sizeof(url), "redis+unix://%s", server.socket);
    const struct store_driver driver = {.open = open_store,
                                        .close = close_store,
                                        .advance = advance,
                                        .now_us = redis_store_now_us,
                                        .run_until = run_until};
    int failed = store_suite_run(&driver);
    redis_server_stop(&server);
    return failed;
}
