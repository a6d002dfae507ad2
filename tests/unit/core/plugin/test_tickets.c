/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/tickets.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/cmocka.h"

static _Atomic uint64_t now_ns = 1;

static uint64_t mono_ns(void *arg)
{
    (void)arg;
    return atomic_load(&now_ns);
}

static void no_wake(void *arg)
{
    (void)arg;
}

static const struct weir_plugin_clock clock_of_test = {mono_ns, mono_ns, NULL};

static void count_end(void *arg, int rc, weir_str data)
{
    (void)data;
    int *counts = arg;
    counts[rc == WEIR_E_TIMEOUT ? 1 : 0]++;
}

enum { TICKETS = 2000, THREADS = 3 };

static struct weir_tickets *tickets;
static weir_ticket open_tickets[TICKETS];
static atomic_int accepted;

static void *resume_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < TICKETS; i++) {
        if (weir_tickets_resume(tickets, open_tickets[i], 0, weir_str_from("data")) == 0) {
            atomic_fetch_add(&accepted, 1);
        }
    }
    return NULL;
}

static void each_ticket_ends_once_however_many_threads_race(void **state)
{
    (void)state;
    struct weir_plugin_loop *loop = NULL;
    assert_int_equal(weir_plugin_loop_create(clock_of_test, no_wake, NULL, &loop), 0);
    assert_int_equal(weir_tickets_create(&tickets), 0);
    int counts[2] = {0};
    for (int i = 0; i < TICKETS; i++) {
        open_tickets[i] = weir_tickets_open(tickets, loop, 10, count_end, counts);
        assert_true(open_tickets[i] != 0);
    }
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, resume_all, NULL), 0);
    }
    int cancelled = 0;
    for (int i = 0; i < TICKETS; i += 7) {
        size_t before = weir_tickets_n_open(tickets);
        weir_tickets_cancel(tickets, open_tickets[i]);
        cancelled += weir_tickets_n_open(tickets) < before;
        if (i % 5 == 0) {
            atomic_fetch_add(&now_ns, 100000);
        }
        weir_plugin_loop_turn(loop);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_fetch_add(&now_ns, 1000000000);
    weir_plugin_loop_turn(loop);
    weir_plugin_loop_turn(loop);
    assert_int_equal(weir_tickets_n_open(tickets), 0);
    assert_int_equal(counts[0] + counts[1] + cancelled, TICKETS);
    weir_tickets_destroy(tickets);
    weir_plugin_loop_destroy(loop);
}

static void stale_tickets_are_gone(void **state)
{
    (void)state;
    struct weir_plugin_loop *loop = NULL;
    assert_int_equal(weir_plugin_loop_create(clock_of_test, no_wake, NULL, &loop), 0);
    assert_int_equal(weir_tickets_create(&tickets), 0);
    int counts[2] = {0};
    weir_ticket first = weir_tickets_open(tickets, loop, 10, count_end, counts);
    weir_tickets_cancel(tickets, first);
    weir_ticket second = weir_tickets_open(tickets, loop, 10, count_end, counts);
    assert_true(first != second);
    assert_int_equal(first >> 32, second >> 32); /* the slot is used again */
    assert_int_equal(weir_tickets_resume(tickets, first, 0, (weir_str){0}), WEIR_E_GONE);
    assert_int_equal(weir_tickets_resume(tickets, 0, 0, (weir_str){0}), WEIR_E_GONE);
    assert_int_equal(weir_tickets_resume(tickets, UINT64_MAX, 0, (weir_str){0}), WEIR_E_GONE);
    assert_int_equal(
        weir_tickets_resume(tickets, second, 0, (weir_str){"", WEIR_TICKET_MAX_DATA_BYTES + 1}),
        WEIR_E_TOOBIG);
    assert_int_equal(weir_tickets_resume(tickets, second, 0, (weir_str){0}), 0);
    weir_plugin_loop_turn(loop);
    assert_int_equal(counts[0], 1);
    weir_tickets_destroy(tickets);
    weir_plugin_loop_destroy(loop);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    struct weir_plugin_loop *loop = NULL;
    assert_int_equal(weir_plugin_loop_create(clock_of_test, no_wake, NULL, &loop), 0);
    assert_int_equal(weir_tickets_create(&tickets), 0);
    int counts[2] = {0};
    for (int i = 0; i < WEIR_TICKETS_MAX; i++) {
        assert_true(weir_tickets_open(tickets, loop, 10, count_end, counts) != 0);
    }
    assert_int_equal(weir_tickets_open(tickets, loop, 10, count_end, counts), 0);
    atomic_fetch_add(&now_ns, 1000000000);
    weir_plugin_loop_turn(loop);
    assert_int_equal(counts[1], WEIR_TICKETS_MAX);
    weir_tickets_destroy(tickets);
    weir_plugin_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_ticket_ends_once_however_many_threads_race),
        cmocka_unit_test(stale_tickets_are_gone),
        cmocka_unit_test(the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
