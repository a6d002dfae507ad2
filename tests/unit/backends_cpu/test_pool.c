/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that run together: every item is done once, and a barrier shows what was written. */
#include "tests/support/cmocka.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "backends/cpu/pool.h"

enum { ITEMS = 1000, THREADS = 5, ROUNDS = 300 };

struct work {
    struct weir_cpu_pool *pool;
    struct weir_cpu_range ranges[THREADS];
    uint32_t grain;
    uint8_t done[ITEMS];      /* plain: each item belongs to one thread */
    uint32_t shared[THREADS]; /* plain: ordered by barriers */
    atomic_uint n_wrong;
};

static void do_items(void *arg, uint32_t thread)
{
    struct work *w = arg;
    weir_cpu_range_init(&w->ranges[thread], ITEMS, thread, THREADS);
    weir_cpu_pool_barrier(w->pool, thread);
    uint32_t begin = 0;
    uint32_t n = 0;
    while ((n = weir_cpu_range_take(w->ranges, thread, THREADS, w->grain, &begin)) > 0) {
        for (uint32_t i = begin; i < begin + n; i++) {
            w->done[i]++;
        }
    }
}

static void every_item_is_taken_once(void **state)
{
    (void)state;
    struct work *w = aligned_alloc(64, sizeof(*w));
    assert_non_null(w);
    *w = (struct work){0};
    assert_int_equal(weir_cpu_pool_create(THREADS, &w->pool), 0);
    assert_int_equal(weir_cpu_pool_size(w->pool), THREADS);
    for (uint32_t round = 1; round <= 50; round++) {
        w->grain = round % 7 + 1;
        weir_cpu_pool_run(w->pool, do_items, w);
        for (uint32_t i = 0; i < ITEMS; i++) {
            assert_int_equal(w->done[i], round);
        }
    }
    weir_cpu_pool_destroy(w->pool);
    free(w);
}

static void meet_often(void *arg, uint32_t thread)
{
    struct work *w = arg;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        w->shared[thread] = round;
        weir_cpu_pool_barrier(w->pool, thread);
        for (uint32_t i = 0; i < THREADS; i++) {
            if (w->shared[i] != round) {
                atomic_fetch_add(&w->n_wrong, 1);
            }
        }
        weir_cpu_pool_barrier(w->pool, thread);
    }
}

static void a_barrier_shows_what_others_wrote(void **state)
{
    (void)state;
    struct work *w = aligned_alloc(64, sizeof(*w));
    assert_non_null(w);
    *w = (struct work){0};
    assert_int_equal(weir_cpu_pool_create(THREADS, &w->pool), 0);
    weir_cpu_pool_run(w->pool, meet_often, w);
    assert_int_equal(atomic_load(&w->n_wrong), 0);
    weir_cpu_pool_destroy(w->pool);
    free(w);
}

static void ranges_cover_any_number_of_items(void **state)
{
    (void)state;
    struct weir_cpu_range ranges[3];
    for (uint32_t n_items = 0; n_items < 10; n_items++) {
        for (uint32_t i = 0; i < 3; i++) {
            weir_cpu_range_init(&ranges[i], n_items, i, 3);
        }
        uint32_t seen = 0;
        uint32_t begin = 0;
        uint32_t n = 0;
        while ((n = weir_cpu_range_take(ranges, 1, 3, 2, &begin)) > 0) {
            assert_true(begin + n <= n_items);
            seen += n;
        }
        assert_int_equal(seen, n_items);
    }
}

static void there_is_at_least_one_cpu(void **state)
{
    (void)state;
    assert_true(weir_cpu_count() >= 1);
}

enum { CPUS_MAX = 64 };

struct places {
    cpu_set_t of[CPUS_MAX]; /* [thread]; plain: each thread writes its own */
};

static void note_place(void *arg, uint32_t thread)
{
    struct places *p = arg;
    assert_int_equal(sched_getaffinity(0, sizeof(p->of[thread]), &p->of[thread]), 0);
}

/* Runs a pool of n_threads and asks that its caller may run where it could before. */
static void run_and_leave(uint32_t n_threads, struct places *ret_places)
{
    cpu_set_t before;
    cpu_set_t after;
    struct weir_cpu_pool *pool = NULL;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(weir_cpu_pool_create(n_threads, &pool), 0);
    weir_cpu_pool_run(pool, note_place, ret_places);
    weir_cpu_pool_destroy(pool);
    assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

static void as_many_threads_as_cpus_have_one_each(void **state)
{
    (void)state;
    cpu_set_t all;
    cpu_set_t seen;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    uint32_t n = (uint32_t)CPU_COUNT(&all);
    if (n < 2 || n > CPUS_MAX) {
        skip();
    }
    static struct places places;
    run_and_leave(n, &places);
    CPU_ZERO(&seen);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(CPU_COUNT(&places.of[i]), 1);
        CPU_OR(&seen, &seen, &places.of[i]);
    }
    assert_true(CPU_EQUAL(&seen, &all));
    run_and_leave(n - 1, &places);
    for (uint32_t i = 0; i < n - 1; i++) {
        assert_true(CPU_EQUAL(&places.of[i], &all));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_taken_once),
        cmocka_unit_test(a_barrier_shows_what_others_wrote),
        cmocka_unit_test(ranges_cover_any_number_of_items),
        cmocka_unit_test(there_is_at_least_one_cpu),
        cmocka_unit_test(as_many_threads_as_cpus_have_one_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
