/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Stores on the Redis driver with a loop of the test's own. */
#include <uv.h>

#include "core/store/redis/redis.h"
#include "tests/support/redis_server.h"

/* A store that is attached to `loop` as its main loop. */
struct redis_store {
    uv_loop_t loop;
    struct weir_store *store;
    int n_notices;
    char notices[4096];
};

/* Options for that server by its socket. */
struct weir_store_redis_options redis_store_options(const char *url);
void redis_store_open(struct redis_store *s, const struct weir_store_redis_options *options);
void redis_store_close(struct redis_store *s);
/* Turns the loop for so long, or until *done. */
void redis_store_run(struct redis_store *s, uint64_t ms, const int *done);
/* Until the store is up (or not), at most 20 s; fails the test. */
void redis_store_wait(struct redis_store *s, bool is_up);

/* The rc of one call, which must complete exactly once. */
int redis_store_call(struct redis_store *s, const struct weir_store_call *call,
                     int64_t *ret_number);
int redis_store_set(struct redis_store *s, const char *key, const char *value);
int redis_store_get(struct redis_store *s, const char *key);

uint64_t redis_store_now_us(void);
