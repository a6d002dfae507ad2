/* SPDX-License-Identifier: Apache-2.0 */
/* Limits at hand of the memory driver: the same limits as take() and give() have by their names. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "memory_rig.h"

#define LIMIT(name, units_, limit_, period, burst_)                                                \
    ((weir_store_limit){.key = WEIR_STR_INIT(name),                                                \
                        .units = (units_),                                                         \
                        .limit = (limit_),                                                         \
                        .period_us = (period),                                                     \
                        .burst = (burst_)})

static weir_store_limit_state *at_hand(struct weir_store *s, weir_store_limit l)
{
    weir_store_limit_state *h = NULL;
    assert_int_equal(weir_store_limit_open(s, rig_tenant, &l, &h), 0);
    return h;
}

struct said {
    int rc;
    int64_t left;
};

static void keep(void *arg, const weir_store_result *r)
{
    struct said *said = arg;
    *said = (struct said){r->rc, r->n_left ? r->left[0].units : -1};
}

static struct said by_name(struct weir_store *s, enum weir_store_op op, weir_store_limit l)
{
    struct said said = {WEIR_E_INTERNAL, 0};
    assert_int_equal(
        weir_store_call(
            s, &(struct weir_store_call){.op = op, .tenant = rig_tenant, .levels = &l, .n = 1},
            keep, &said),
        0);
    return said;
}

static struct said take(struct weir_store *s, weir_store_limit_state *h, uint64_t units)
{
    struct said said = {.left = -1};
    said.rc = weir_store_limit_take(s, &h, &units, 1, 0, &said.left);
    return said;
}

static void give(struct weir_store *s, weir_store_limit_state *h, uint64_t units)
{
    assert_int_equal(weir_store_limit_give(s, &h, &units, 1, 0), 0);
}

/* The same random operations on two stores, by name on one and at hand on the other. */
static void they_say_what_the_names_say(void **state)
{
    (void)state;
    static const weir_store_limit limits[] = {
        {WEIR_STR_INIT("a"), 1, 3, 1000000, 3},
        {WEIR_STR_INIT("b"), 1, 1000003, 60000000, 777},
        {WEIR_STR_INIT("c"), 1, UINT64_C(900000000000), 60000000, UINT64_C(900000000000)},
        {WEIR_STR_INIT("d"), 1, 7, UINT64_C(86400) * 1000000, 2},
    };
    enum { N = sizeof(limits) / sizeof(limits[0]) };
    struct weir_store *named = rig_create(0), *held = rig_create(0);
    weir_store_limit_state *h[N];
    for (int i = 0; i < N; i++) {
        h[i] = at_hand(held, limits[i]);
    }
    for (int k = 0; k < 20000; k++) {
        int i = (int)rig_below(N);
        weir_store_limit l = limits[i];
        l.units = rig_below(l.burst < 1000 ? l.burst + 2 : 100000);
        if (rig_below(4) == 0) {
            l.units = l.units ? l.units : 1;
            (void)by_name(named, WEIR_STORE_GIVE, l);
            give(held, h[i], l.units);
        } else {
            struct said a = by_name(named, WEIR_STORE_TAKE, l), b = take(held, h[i], l.units);
            assert_int_equal(a.rc, b.rc);
            assert_int_equal(a.left, b.left);
        }
        rig_wait(rig_below(k % 100 ? 50000 : 90000000));
    }
    for (int i = 0; i < N; i++) {
        held->driver->limit_close(held, h[i]);
    }
    weir_store_destroy(named);
    weir_store_destroy(held);
}

static void it_is_the_limit_of_that_name_also_for_others_who_hold_it(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    const weir_store_limit l = LIMIT("rpm", 1, 5, 3600000000, 5);
    weir_store_limit_state *a = at_hand(s, l), *b = at_hand(s, l);
    assert_int_equal(take(s, a, 1).left, 4);
    assert_int_equal(by_name(s, WEIR_STORE_TAKE, l).left, 3);
    assert_int_equal(take(s, b, 1).left, 2);
    s->driver->limit_close(s, a);
    assert_int_equal(take(s, b, 2).left, 0);
    assert_int_equal(take(s, b, 1).rc, WEIR_E_BUSY);
    assert_int_equal(by_name(s, WEIR_STORE_TAKE, l).rc, WEIR_E_BUSY);
    assert_int_equal(take(s, b, 6).rc, WEIR_E_TOOBIG);
    give(s, b, 1);
    assert_int_equal(by_name(s, WEIR_STORE_TAKE, l).rc, 0);
    s->driver->limit_close(s, b);
    weir_store_destroy(s);
}

static void all_are_taken_or_none(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    weir_store_limit_state *h[] = {at_hand(s, LIMIT("x", 1, 10, 3600000000, 10)),
                                   at_hand(s, LIMIT("y", 1, 1, 3600000000, 1))};
    const uint64_t units[] = {1, 1};
    int64_t left[2];
    assert_int_equal(weir_store_limit_take(s, h, units, 2, 0, left), 0);
    assert_true(left[0] == 9 && left[1] == 0);
    assert_int_equal(weir_store_limit_take(s, h, units, 2, 0, left), WEIR_E_BUSY);
    assert_true(left[0] == 9 && left[1] == 0);
    assert_int_equal(weir_store_limit_take(s, h, units, 0, 0, left), WEIR_E_ARG);
    s->driver->limit_close(s, h[0]);
    s->driver->limit_close(s, h[1]);
    weir_store_destroy(s);
}

static void erased_and_expired_ones_begin_anew(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    weir_store_limit_state *h = at_hand(s, LIMIT("z", 1, 2, 60000000, 2));
    struct said gone;
    assert_int_equal(take(s, h, 2).left, 0);
    assert_int_equal(
        weir_store_call(s, &(struct weir_store_call){.op = WEIR_STORE_ERASE, .tenant = rig_tenant},
                        keep, &gone),
        0);
    assert_int_equal(take(s, h, 1).left, 1);
    rig_wait(UINT64_C(600) * 1000000);
    /* Somebody's new entries push out what has expired. */
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        weir_store_limit l = LIMIT("", 1, 1, 3600000000, 1);
        l.key = weir_str_from(key);
        (void)by_name(s, WEIR_STORE_TAKE, l);
    }
    assert_int_equal(take(s, h, 1).left, 1);
    assert_int_equal(take(s, h, 1).left, 0);
    s->driver->limit_close(s, h);
    weir_store_destroy(s);
}

static void without_room_nothing_is_taken(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(1);
    const weir_store_limit other = LIMIT("other", 1, 1, 3600000000, 1);
    weir_store_limit_state *h = at_hand(s, LIMIT("z", 1, 2, 60000000, 2));
    assert_int_equal(by_name(s, WEIR_STORE_TAKE, other).rc, 0);
    assert_int_equal(take(s, h, 1).rc, WEIR_E_NOMEM);
    rig_wait(UINT64_C(7200) * 1000000);
    for (int i = 0; i < 64; i++) { /* each looks at some slots */
        (void)take(s, h, 0);
    }
    assert_int_equal(take(s, h, 1).rc, 0);
    s->driver->limit_close(s, h);
    weir_store_destroy(s);
}

enum { THREADS = 4, TAKES = 5000, MOST = 1000 };
static _Atomic uint64_t n_passed;

static void *take_many(void *arg)
{
    struct weir_store *s = arg;
    weir_store_limit_state *h =
        at_hand(s, LIMIT("shared", 1, MOST, UINT64_C(3600) * 1000000, MOST));
    for (int i = 0; i < TAKES; i++) {
        atomic_fetch_add(&n_passed, take(s, h, 1).rc == 0);
    }
    s->driver->limit_close(s, h);
    return NULL;
}

static void threads_together_never_exceed_it(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, s), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(n_passed, MOST);
    weir_store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_say_what_the_names_say),
        cmocka_unit_test(it_is_the_limit_of_that_name_also_for_others_who_hold_it),
        cmocka_unit_test(all_are_taken_or_none),
        cmocka_unit_test(erased_and_expired_ones_begin_anew),
        cmocka_unit_test(without_room_nothing_is_taken),
        cmocka_unit_test(threads_together_never_exceed_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
