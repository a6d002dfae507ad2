/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets at hand of the memory driver: the same budgets as reserve() and settle() have by their
 * names. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "memory_rig.h"

static weir_store_budget_state *at_hand(struct weir_store *s, const char *key)
{
    weir_store_budget_state *b = NULL;
    assert_int_equal(weir_store_budget_open(s, rig_tenant, weir_str_from(key), &b), 0);
    return b;
}

static weir_store_holding of(weir_store_budget_state *b, uint64_t units, uint64_t limit)
{
    return (weir_store_holding){.budget = b, .units = units, .limit = limit};
}

static int hold(struct weir_store *s, weir_store_holding *h)
{
    uint32_t by = 0;
    return weir_store_budget_hold(s, h, 1, 0, &by);
}

static int settle(struct weir_store *s, weir_store_holding *h, uint64_t units)
{
    h->units = units;
    return weir_store_budget_settle(s, h, 1, 0);
}

struct said {
    int rc;
    uint32_t by;
    int64_t left[WEIR_STORE_MAX_LEVELS];
};

static void keep(void *arg, const weir_store_result *r)
{
    struct said *said = arg;
    said->rc = r->rc;
    said->by = r->refused_by;
    for (uint32_t i = 0; i < r->n_left; i++) {
        said->left[i] = r->left[i].units;
    }
}

static struct said by_name(struct weir_store *s, enum weir_store_op op,
                           const weir_store_hold *holds, uint32_t n, const char *id)
{
    struct said said = {.rc = WEIR_E_INTERNAL};
    assert_int_equal(weir_store_call(s,
                                     &(struct weir_store_call){.op = op,
                                                               .tenant = rig_tenant,
                                                               .id = weir_str_from(id),
                                                               .holds = holds,
                                                               .n = n,
                                                               .number = UINT64_C(3600) * 1000},
                                     keep, &said),
                     0);
    return said;
}

/* What is left, as others see it. */
static int64_t left_of(struct weir_store *s, const char *key, uint64_t limit)
{
    const weir_store_hold nothing = {weir_str_from(key), 0, limit};
    struct said said = by_name(s, WEIR_STORE_RESERVE, &nothing, 1, "look");
    assert_int_equal(said.rc, 0);
    return said.left[0];
}

static void erase(struct weir_store *s)
{
    struct said said = {.rc = WEIR_E_INTERNAL};
    assert_int_equal(
        weir_store_call(s, &(struct weir_store_call){.op = WEIR_STORE_ERASE, .tenant = rig_tenant},
                        keep, &said),
        0);
}

enum { N_BUDGETS = 4, N_OPEN = 32 };

struct open {
    bool is_open;
    char id[24];
    uint32_t first, n;
    weir_store_holding at_hand[N_BUDGETS];
};

/* The same random operations on two stores, by name on one and at hand on the other. */
static void they_say_what_the_names_say(void **state)
{
    (void)state;
    static const char *const keys[N_BUDGETS] = {"a", "b", "c", "d"};
    static const uint64_t limits[N_BUDGETS] = {5000, 100000, WEIR_STORE_MAX_UNITS, 90000};
    struct weir_store *named = rig_create(0), *held = rig_create(0);
    weir_store_budget_state *b[N_BUDGETS];
    static struct open all[N_OPEN];
    for (int i = 0; i < N_BUDGETS; i++) {
        b[i] = at_hand(held, keys[i]);
    }
    for (uint32_t k = 0; k < 20000; k++) {
        struct open *o = &all[rig_below(N_OPEN)];
        weir_store_hold holds[N_BUDGETS];
        struct said a;
        uint32_t by = 0;
        int rc;
        if (!o->is_open) {
            o->first = (uint32_t)rig_below(N_BUDGETS);
            o->n = 1 + (uint32_t)rig_below(N_BUDGETS - o->first);
            (void)snprintf(o->id, sizeof(o->id), "id-%u", k);
        }
        for (uint32_t i = 0; i < o->n; i++) {
            holds[i] = (weir_store_hold){weir_str_from(keys[o->first + i]), rig_below(50),
                                         limits[o->first + i] * (1 + k / 2000)};
            if (!o->is_open) {
                o->at_hand[i] = of(b[o->first + i], 0, 0);
            }
            o->at_hand[i].units = holds[i].units;
            o->at_hand[i].limit = holds[i].limit;
        }
        if (o->is_open) {
            a = by_name(named, WEIR_STORE_SETTLE, holds, o->n, o->id);
            rc = weir_store_budget_settle(held, o->at_hand, o->n, 0);
            o->is_open = false;
        } else {
            a = by_name(named, WEIR_STORE_RESERVE, holds, o->n, o->id);
            rc = weir_store_budget_hold(held, o->at_hand, o->n, 0, &by);
            o->is_open = rc == 0;
        }
        assert_int_equal(a.rc, rc);
        assert_int_equal(a.by, by);
        for (uint32_t i = 0; i < o->n; i++) {
            assert_int_equal(a.left[i], o->at_hand[i].left);
        }
        rig_wait(rig_below(1000));
    }
    for (int i = 0; i < N_BUDGETS; i++) {
        held->driver->budget_close(held, b[i]);
    }
    weir_store_destroy(named);
    weir_store_destroy(held); /* what is held still goes with it */
}

static void it_is_the_budget_of_that_name_also_for_others_who_hold_it(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    weir_store_budget_state *a = at_hand(s, "k"), *b = at_hand(s, "k");
    weir_store_holding one = of(a, 40, 100), two = of(b, 50, 100), three = of(b, 11, 100);
    assert_int_equal(hold(s, &one), 0);
    assert_int_equal(one.left, 60);
    assert_int_equal(hold(s, &two), 0);
    assert_int_equal(left_of(s, "k", 100), 10);
    assert_int_equal(hold(s, &three), WEIR_E_BUSY);
    assert_int_equal(three.left, 10);
    const weir_store_hold ten = {WEIR_STR_INIT("k"), 10, 100};
    assert_int_equal(by_name(s, WEIR_STORE_RESERVE, &ten, 1, "id").rc, 0);
    assert_int_equal(settle(s, &one, 5), 0);
    assert_int_equal(one.left, 35);
    assert_int_equal(by_name(s, WEIR_STORE_SETTLE, &ten, 1, "id").left[0], 35);
    assert_int_equal(settle(s, &two, 90), 0); /* more than it held */
    assert_int_equal(two.left, -5);
    assert_int_equal(settle(s, &three, 1), 0); /* it holds nothing: counted all the same */
    assert_int_equal(three.left, -6);
    s->driver->budget_close(s, a);
    s->driver->budget_close(s, b);
    weir_store_destroy(s);
}

static void all_are_held_or_none(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    weir_store_budget_state *x = at_hand(s, "x"), *y = at_hand(s, "y"), *again = at_hand(s, "y");
    weir_store_holding h[] = {of(x, 5, 100), of(y, 5, 7)};
    uint32_t by = 9;
    assert_int_equal(weir_store_budget_hold(s, h, 2, 0, &by), 0);
    weir_store_holding more[] = {of(x, 5, 100), of(y, 5, 7)};
    assert_int_equal(weir_store_budget_hold(s, more, 2, 0, &by), WEIR_E_BUSY);
    assert_int_equal(by, 1);
    assert_true(more[0].left == 95 && more[1].left == 2 && more[0].mark == 0);
    weir_store_holding twice[] = {of(y, 1, 100), of(again, 1, 100)};
    assert_int_equal(weir_store_budget_hold(s, twice, 2, 0, &by), WEIR_E_ARG);
    assert_int_equal(weir_store_budget_hold(s, twice, 0, 0, &by), WEIR_E_ARG);
    twice[0].units = WEIR_STORE_MAX_UNITS + 1;
    assert_int_equal(weir_store_budget_hold(s, twice, 1, 0, &by), WEIR_E_ARG);
    assert_int_equal(weir_store_budget_settle(s, twice, 1, 0), WEIR_E_ARG);
    assert_int_equal(left_of(s, "y", 7), 2);
    s->driver->budget_close(s, x);
    s->driver->budget_close(s, y);
    s->driver->budget_close(s, again);
    weir_store_destroy(s);
}

static void what_was_held_of_an_erased_one_is_gone(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    weir_store_budget_state *b = at_hand(s, "z");
    weir_store_holding before = of(b, 60, 100), after = of(b, 100, 100);
    assert_int_equal(hold(s, &before), 0);
    erase(s);
    assert_int_equal(hold(s, &after), 0);
    assert_int_equal(settle(s, &before, 7), 0); /* nothing is taken from the other */
    assert_int_equal(before.left, -7);
    assert_int_equal(settle(s, &after, 3), 0);
    assert_int_equal(after.left, 90);
    rig_wait((WEIR_STORE_BUDGET_IDLE_MS + 1) * 1000);
    weir_store_holding late = of(b, 100, 100);
    assert_int_equal(hold(s, &late), 0); /* nobody touched it for 40 days */
    s->driver->budget_close(s, b);
    weir_store_destroy(s);
}

static void a_closed_one_stays_until_all_is_settled(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    weir_store_budget_state *b = at_hand(s, "z");
    weir_store_holding one = of(b, 10, 100), two = of(b, 20, 100);
    assert_int_equal(hold(s, &one), 0);
    assert_int_equal(hold(s, &two), 0);
    s->driver->budget_close(s, b);
    assert_int_equal(settle(s, &one, 1), 0);
    assert_int_equal(left_of(s, "z", 100), 79);
    assert_int_equal(settle(s, &two, 2), 0);
    assert_int_equal(left_of(s, "z", 100), 97);
    weir_store_destroy(s);
}

static void without_room_nothing_happens(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(1);
    weir_store_budget_state *a = at_hand(s, "a"), *b = at_hand(s, "b");
    weir_store_holding one = of(a, 10, 100), two = of(b, 10, 100);
    assert_int_equal(hold(s, &one), 0);
    assert_int_equal(hold(s, &two), WEIR_E_NOMEM);
    assert_int_equal(settle(s, &two, 10), WEIR_E_NOMEM);
    assert_int_equal(settle(s, &one, 10), 0);
    assert_int_equal(one.left, 90);
    erase(s);
    assert_int_equal(settle(s, &two, 10), 0);
    s->driver->budget_close(s, a);
    s->driver->budget_close(s, b);
    weir_store_destroy(s);
}

enum { THREADS = 4, TRIES = 20000, MOST = 1000 };
static _Atomic uint64_t n_used;

/* Holds up to four, and uses some of them. */
static void *spend(void *arg)
{
    struct weir_store *s = arg;
    weir_store_budget_state *b = at_hand(s, "shared");
    for (int i = 0; i < TRIES; i++) {
        weir_store_holding h = of(b, 4, MOST);
        if (hold(s, &h) == 0) {
            uint64_t used = (uint64_t)i % 5;
            atomic_fetch_add(&n_used, used);
            assert_int_equal(settle(s, &h, used), 0);
        }
    }
    s->driver->budget_close(s, b);
    return NULL;
}

static void threads_together_never_exceed_it(void **state)
{
    (void)state;
    struct weir_store *s = rig_create(0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, spend, s), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_in_range(n_used, MOST - 3, MOST);
    assert_int_equal(left_of(s, "shared", MOST), MOST - n_used);
    weir_store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_say_what_the_names_say),
        cmocka_unit_test(it_is_the_budget_of_that_name_also_for_others_who_hold_it),
        cmocka_unit_test(all_are_held_or_none),
        cmocka_unit_test(what_was_held_of_an_erased_one_is_gone),
        cmocka_unit_test(a_closed_one_stays_until_all_is_settled),
        cmocka_unit_test(without_room_nothing_happens),
        cmocka_unit_test(threads_together_never_exceed_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
