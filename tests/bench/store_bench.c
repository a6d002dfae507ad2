/* SPDX-License-Identifier: Apache-2.0 */
/* Measures what an operation of the shared store costs the thread that asks for it: processor time,
 * the kernel's part included, and allocations.
 *
 *     store_bench URL|memory [operations per turn] [operations in all]
 *
 * Prints one JSON object per kind of operation. With a URL the server must be there; its own time
 * is not counted. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "base/clock.h"
#include "core/store/memory.h"
#include "core/store/redis/redis.h"

/* Every allocation of this program, the libraries' included. */
extern void *__libc_malloc(size_t n);              /* NOLINT: glibc's own name */
extern void *__libc_calloc(size_t n, size_t size); /* NOLINT: glibc's own name */
extern void *__libc_realloc(void *p, size_t n);    /* NOLINT: glibc's own name */
static _Atomic uint64_t n_allocs;

/* Not hidden, so that shared libraries find it. */
#define PUBLIC __attribute__((visibility("default")))

PUBLIC void *malloc(size_t n)
{
    atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed);
    return __libc_malloc(n);
}

PUBLIC void *calloc(size_t n, size_t size)
{
    atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed);
    return __libc_calloc(n, size);
}

PUBLIC void *realloc(void *p, size_t n)
{
    atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed);
    return __libc_realloc(p, n);
}

enum { N_LEVELS = 3 };

static struct weir_store *store;
static uv_loop_t loop;
static uint64_t n_done, n_failed;
static uint64_t n_runs; /* part of ids, so that none comes twice; begins with the time */

static void on_done(void *arg, const weir_store_result *r)
{
    (void)arg;
    n_done++;
    n_failed += r->rc != 0;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void ask(enum weir_store_op op, uint64_t i)
{
    static const weir_store_limit levels[N_LEVELS] = {
        {WEIR_STR_INIT("requests:tenant"), 1, 1000000000, 1000000, 1000000000},
        {WEIR_STR_INIT("requests:user:alice"), 1, 1000000000, 1000000, 1000000000},
        {WEIR_STR_INIT("tokens:tenant"), 500, 1000000000, 1000000, 1000000000}};
    static const weir_store_hold holds[2] = {
        {WEIR_STR_INIT("tokens:2027-01"), 500, UINT64_C(1) << 50},
        {WEIR_STR_INIT("money:2027-01"), 70, UINT64_C(1) << 50}};
    static const weir_str tenant = WEIR_STR_INIT("acme"), key = WEIR_STR_INIT("cached"),
                          value = WEIR_STR_INIT("a value as small as most of them are");
    bool settles = op == WEIR_STORE_SETTLE && i % 2 == 1; /* what the one before has reserved */
    op = op == WEIR_STORE_SETTLE && !settles ? WEIR_STORE_RESERVE : op;
    char id[64];
    int n = snprintf(id, sizeof(id), "req-%012llx-%010llx", (unsigned long long)n_runs,
                     (unsigned long long)(i / 2));
    struct weir_store_call c = {.op = op, .tenant = tenant, .key = key, .id = {id, (size_t)n}};
    if (op == WEIR_STORE_TAKE) {
        c.levels = levels;
        c.n = N_LEVELS;
    } else if (op == WEIR_STORE_RESERVE || op == WEIR_STORE_SETTLE) {
        c.holds = holds;
        c.n = 2;
        c.number = 60000;
    } else {
        c.value = value;
    }
    if (weir_store_call(store, &c, on_done, NULL) < 0) {
        n_failed++;
        n_done++;
    }
}

static void on_step(uv_timer_t *timer)
{
    (void)timer;
}

static void measure(enum weir_store_op op, uint32_t per_turn, uint64_t n, bool quiet)
{
    n_done = n_failed = 0;
    n_runs++;
    uint64_t asked = 0, allocs = n_allocs, began_ns = cpu_ns(), began_us = weir_clock_mono_us();
    while (n_done < n) {
        while (asked < n && asked - n_done < per_turn) {
            ask(op, asked++);
        }
        if (n_done < n) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
    }
    uint64_t used_ns = cpu_ns() - began_ns, took_us = weir_clock_mono_us() - began_us;
    if (!quiet) {
        printf("{\"driver\": \"%s\", \"op\": \"%s\", \"per_turn\": %u, \"cpu_us_per_op\": %.3f, "
               "\"allocations_per_op\": %.2f, \"ops_per_s\": %.0f, \"failed\": %llu}\n",
               store->driver->name, weir_store_op_name(op), per_turn,
               (double)used_ns / 1e3 / (double)n, (double)(n_allocs - allocs) / (double)n,
               (double)n * 1e6 / (double)took_us, (unsigned long long)n_failed);
    }
}

static int open_store(const char *url)
{
    struct weir_error err = {0};
    struct weir_store_redis_options o = {
        .timeout_ms = 10000, .n_connections = 2, .max_in_flight = 100000, .prefix = "weir-bench"};
    int rc = strcmp(url, "memory") == 0
                 ? weir_store_memory_create(&(struct weir_store_memory_options){0}, &store)
                 : weir_store_url_parse(url, &o.url, &err);
    if (rc == 0 && !store) {
        rc = weir_store_redis_create(&o, &store, &err);
    }
    rc = rc < 0 ? rc : weir_store_attach(store, &loop, true);
    uint64_t end_us = weir_clock_mono_us() + 5000000;
    while (rc == 0 && !weir_store_is_up(store)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        rc = weir_clock_mono_us() > end_us ? WEIR_E_TIMEOUT : 0;
    }
    if (rc < 0) {
        fprintf(stderr, "store_bench: %s: %s\n", url, err.code ? err.message : weir_error_name(rc));
    }
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_bench URL|memory [operations per turn] [in all]\n");
        return 2;
    }
    uint32_t per_turn = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 32;
    uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 200000;
    n_runs = weir_clock_wall_us();
    uv_timer_t step;
    (void)uv_loop_init(&loop);
    (void)uv_timer_init(&loop, &step);
    (void)uv_timer_start(&step, on_step, 100, 100);
    if (open_store(argv[1]) < 0) {
        return 1;
    }
    /* "settle" stands for reserving and settling in turns. */
    static const enum weir_store_op ops[] = {WEIR_STORE_TAKE, WEIR_STORE_SETTLE, WEIR_STORE_SET,
                                             WEIR_STORE_GET};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        measure(ops[i], per_turn, n / 10 + 1, true);
        measure(ops[i], per_turn, n, false);
    }
    uv_close((uv_handle_t *)&step, NULL);
    while (!weir_store_detach(store, false)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    weir_store_destroy(store);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
