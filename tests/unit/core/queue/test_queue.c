/* SPDX-License-Identifier: Apache-2.0 */
#include "core/queue/queue.h"

#include "tests/support/cmocka.h"

enum { MAX_GRANTS = 4096 };

struct grants {
    struct weir_queue_entry *list[MAX_GRANTS];
    size_t n;
};

static void record(void *arg, struct weir_queue_entry *entry)
{
    struct grants *g = arg;
    assert_true(g->n < MAX_GRANTS);
    g->list[g->n++] = entry;
}

/* Grants at once stand in the list with those that are called. */
static int push(struct grants *g, struct weir_queue *q, struct weir_queue_entry *entry,
                uint64_t now_us, uint64_t *ret_retry_after_us)
{
    int rc = weir_queue_push(q, entry, now_us, ret_retry_after_us);
    if (rc > 0) {
        assert_int_equal(entry->state, WEIR_QUEUE_GRANTED);
        record(g, entry);
    }
    return rc > 0 ? 0 : rc;
}

static struct weir_queue_entry entry(uint64_t tenant, uint32_t class_rank)
{
    return (struct weir_queue_entry){.tenant_hash = tenant,
                                     .class_rank = class_rank,
                                     .n_places = 1,
                                     .prompt_tokens = 100,
                                     .deadline_us = UINT64_MAX};
}

static void set_places(struct weir_queue *q, uint32_t target, uint32_t places, uint64_t now_us)
{
    weir_queue_set_places(q, target, (uint32_t[]){places, places, places}, 0, now_us);
}

static void free_place_is_granted_at_once(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(4, record, &g, &q), 0);
    set_places(q, 0, 2, 0);

    struct weir_queue_entry a = entry(1, 1), b = entry(1, 1), c = entry(1, 1);
    assert_int_equal(weir_queue_push(q, &a, 1, &retry_us), 1);
    assert_int_equal(weir_queue_push(q, &b, 2, &retry_us), 1);
    assert_int_equal(weir_queue_push(q, &c, 3, &retry_us), 0);
    assert_int_equal(g.n, 0); /* whoever pushes knows */
    assert_int_equal(c.state, WEIR_QUEUE_WAITING);

    weir_queue_release(q, &a, 4);
    assert_int_equal(g.n, 1);
    assert_ptr_equal(g.list[0], &c);
    weir_queue_release(q, &b, 5);
    weir_queue_release(q, &c, 5);
    weir_queue_destroy(q);
}

static void who_tries_gets_a_place_at_once_or_never(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(4, record, &g, &q), 0);
    set_places(q, 0, 2, 0);
    set_places(q, 1, 1, 0);

    struct weir_queue_entry a = entry(1, 1), b = entry(1, 1), c = entry(1, 1), d = entry(1, 1);
    a.target = b.target = 1;
    a.is_pinned = b.is_pinned = true;
    assert_true(weir_queue_try(q, &a, 1));
    assert_int_equal(a.state, WEIR_QUEUE_GRANTED);
    assert_int_equal(weir_queue_used(q, 1), 1);
    assert_int_equal(g.n, 0);               /* nobody is called */
    assert_false(weir_queue_try(q, &b, 2)); /* its target is full */
    assert_int_equal(b.state, WEIR_QUEUE_OUT);
    weir_queue_release(q, &a, 3);
    assert_true(weir_queue_try(q, &b, 4));
    weir_queue_release(q, &b, 5);

    set_places(q, 0, 1, 6);
    set_places(q, 1, 0, 6);
    assert_int_equal(push(&g, q, &c, 7, &retry_us), 0);
    assert_int_equal(push(&g, q, &d, 8, &retry_us), 0);
    set_places(q, 1, 0, 9);
    assert_false(weir_queue_try(q, &a, 10));
    weir_queue_release(q, &c, 11);
    weir_queue_release(q, &d, 12);
    weir_queue_set_open(q, false);
    assert_false(weir_queue_try(q, &a, 13));
    weir_queue_destroy(q);
}

/* A pinned entry waits for its target; others pass it meanwhile, and it is not passed over when the
 * target has room. */
static void a_pinned_entry_waits_for_its_target_alone(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(8, record, &g, &q), 0);
    set_places(q, 0, 1, 0);
    set_places(q, 1, 2, 0);

    struct weir_queue_entry holder = entry(1, 1), pinned = entry(2, 1), other = entry(3, 1),
                            late = entry(4, 1);
    pinned.is_pinned = true; /* to target 0 */
    assert_int_equal(push(&g, q, &holder, 1, &retry_us), 0);
    assert_int_equal(holder.target, 0);
    assert_int_equal(push(&g, q, &pinned, 2, &retry_us), 0);
    assert_int_equal(pinned.state, WEIR_QUEUE_WAITING); /* though target 1 has room */
    assert_int_equal(push(&g, q, &other, 3, &retry_us), 0);
    assert_int_equal(other.state, WEIR_QUEUE_GRANTED);
    assert_int_equal(other.target, 1);

    weir_queue_release(q, &other, 4);
    assert_int_equal(pinned.state, WEIR_QUEUE_WAITING);
    weir_queue_release(q, &holder, 5);
    assert_int_equal(pinned.state, WEIR_QUEUE_GRANTED);
    assert_int_equal(pinned.target, 0);

    late.is_pinned = true;
    assert_int_equal(push(&g, q, &late, 6, &retry_us), 0);
    assert_true(weir_queue_remove(q, &late));
    weir_queue_release(q, &pinned, 7);
    weir_queue_destroy(q);
}

static void full_queue_refuses_with_a_retry_time(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(2, record, &g, &q), 0);

    struct weir_queue_entry e[3] = {entry(1, 1), entry(1, 1), entry(1, 1)};
    assert_int_equal(push(&g, q, &e[0], 1, &retry_us), 0);
    assert_int_equal(push(&g, q, &e[1], 1, &retry_us), 0);
    assert_int_equal(push(&g, q, &e[2], 1, &retry_us), WEIR_E_BUSY);
    assert_true(retry_us > 0);
    assert_true(weir_queue_remove(q, &e[0]));
    assert_false(weir_queue_remove(q, &e[0]));
    assert_int_equal(push(&g, q, &e[2], 2, &retry_us), 0);
    assert_true(weir_queue_remove(q, &e[1]));
    assert_true(weir_queue_remove(q, &e[2]));
    weir_queue_destroy(q);
}

static void classes_go_first_but_batch_ages(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(16, record, &g, &q), 0);

    struct weir_queue_entry batch = entry(1, 2), ui = entry(1, 1), api = entry(1, 0);
    assert_int_equal(push(&g, q, &batch, 1, &retry_us), 0);
    assert_int_equal(push(&g, q, &ui, 2, &retry_us), 0);
    assert_int_equal(push(&g, q, &api, 3, &retry_us), 0);
    set_places(q, 0, 1, 4);
    assert_ptr_equal(g.list[0], &api);
    weir_queue_release(q, &api, 5);
    assert_ptr_equal(g.list[1], &ui);

    /* After two agings the batch entry stands level with new critical ones, and came first. */
    struct weir_queue_entry late = entry(1, 0);
    assert_int_equal(push(&g, q, &late, 20000000, &retry_us), 0);
    weir_queue_release(q, &ui, 20000001);
    assert_ptr_equal(g.list[2], &batch);
    weir_queue_release(q, &batch, 20000002);
    weir_queue_release(q, &late, 20000003);
    weir_queue_destroy(q);
}

static void tenants_share_by_tokens_served(void **state)
{
    (void)state;
    enum { N = 40 };
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(2 * N, record, &g, &q), 0);

    /* A loud tenant fills the queue before a quiet one comes. */
    struct weir_queue_entry loud[N], quiet[4];
    for (int i = 0; i < N; i++) {
        loud[i] = entry(111, 1);
        assert_int_equal(push(&g, q, &loud[i], 1, &retry_us), 0);
    }
    for (int i = 0; i < 4; i++) {
        quiet[i] = entry(222, 1);
        assert_int_equal(push(&g, q, &quiet[i], 2, &retry_us), 0);
    }
    set_places(q, 0, 8, 3);
    int n_quiet = 0;
    for (size_t i = 0; i < g.n; i++) {
        n_quiet += g.list[i]->tenant_hash == 222;
    }
    assert_int_equal(g.n, 8);
    assert_int_equal(n_quiet, 4);
    for (size_t i = 0; i < g.n; i++) { /* grants more as it goes, until all have run */
        weir_queue_release(q, g.list[i], 10);
    }
    assert_int_equal(g.n, N + 4);
    weir_queue_destroy(q);
}

static void predicted_wait_beyond_the_deadline_is_refused(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(100, record, &g, &q), 0);
    set_places(q, 0, 1, 0);
    struct weir_queue_entry e[20];
    for (int i = 0; i < 20; i++) {
        e[i] = entry(1, 1);
        assert_int_equal(push(&g, q, &e[i], 1, &retry_us), 0);
    }
    for (size_t i = 0; i < 5; i++) { /* one grant a second */
        weir_queue_release(q, g.list[i], 1000000 * (i + 2));
    }
    struct weir_queue_entry hasty = entry(1, 1);
    hasty.deadline_us = 7000000 + 2000000;
    assert_int_equal(push(&g, q, &hasty, 7000000, &retry_us), WEIR_E_BUSY);
    assert_true(retry_us > 5000000);
    hasty.deadline_us = 7000000 + 60000000;
    assert_int_equal(push(&g, q, &hasty, 7000000, &retry_us), 0);
    for (size_t i = 5; i < g.n; i++) {
        weir_queue_release(q, g.list[i], 8000000);
    }
    weir_queue_destroy(q);
}

static void many_choices_run_alone_when_they_never_fit(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(4, record, &g, &q), 0);
    set_places(q, 0, 4, 0);
    struct weir_queue_entry wide = entry(1, 1), narrow = entry(1, 1);
    wide.n_places = 10;
    assert_int_equal(push(&g, q, &narrow, 1, &retry_us), 0);
    assert_int_equal(push(&g, q, &wide, 1, &retry_us), 0);
    assert_int_equal(g.n, 1);
    weir_queue_release(q, &narrow, 2);
    assert_int_equal(g.n, 2);
    weir_queue_release(q, &wide, 3);
    weir_queue_destroy(q);
}

static void places_are_counted_by_target(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(9, record, &g, &q), 0);
    set_places(q, 0, 1, 0);
    set_places(q, 3, 2, 0);
    struct weir_queue_entry e[4] = {entry(1, 1), entry(1, 1), entry(1, 1), entry(1, 1)};
    for (int i = 0; i < 4; i++) { /* all prefer target 0 */
        assert_int_equal(push(&g, q, &e[i], 1, &retry_us), 0);
    }
    assert_int_equal(g.n, 3);
    assert_int_equal(e[0].target, 0);
    assert_int_equal(e[1].target, 3);
    assert_int_equal(e[2].target, 3);
    assert_int_equal(weir_queue_used(q, 3), 2);

    /* A target that cannot run keeps what it has, and gets no more. */
    set_places(q, 3, 0, 2);
    weir_queue_release(q, &e[1], 3);
    assert_int_equal(g.n, 3);
    weir_queue_release(q, &e[0], 4);
    assert_int_equal(g.n, 4);
    assert_int_equal(e[3].target, 0);
    weir_queue_release(q, &e[2], 5);
    weir_queue_release(q, &e[3], 5);
    struct weir_queue_stats stats;
    weir_queue_stats(q, &stats);
    assert_int_equal(stats.places_used + stats.running + stats.waiting, 0);
    weir_queue_destroy(q);
}

static void better_classes_find_room_beside_worse_ones(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(9, record, &g, &q), 0);
    weir_queue_set_places(q, 0, (uint32_t[]){3, 2, 1}, 0, 0);
    struct weir_queue_entry batch[2] = {entry(1, 2), entry(1, 2)},
                            ui[2] = {entry(1, 1), entry(1, 1)};
    struct weir_queue_entry api = entry(1, 0);
    assert_int_equal(push(&g, q, &batch[0], 1, &retry_us), 0);
    assert_int_equal(push(&g, q, &batch[1], 1, &retry_us), 0);
    assert_int_equal(g.n, 1);
    assert_int_equal(push(&g, q, &ui[0], 1, &retry_us), 0);
    weir_queue_set_places(q, 0, (uint32_t[]){3, 2, 1}, 0, 2);
    assert_ptr_equal(g.list[1], &ui[0]);
    assert_int_equal(push(&g, q, &ui[1], 3, &retry_us), 0);
    assert_int_equal(push(&g, q, &api, 3, &retry_us), 0);
    weir_queue_set_places(q, 0, (uint32_t[]){3, 2, 1}, 0, 4);
    assert_int_equal(g.n, 3);
    assert_ptr_equal(g.list[2], &api);

    /* Waiting lifts the batch entry into the places of better classes. */
    weir_queue_release(q, &ui[0], 20000000);
    assert_int_equal(g.n, 4);
    for (size_t i = 0; i < g.n; i++) {
        weir_queue_release(q, g.list[i], 20000001);
    }
    assert_int_equal(g.n, 5);
    weir_queue_release(q, g.list[4], 20000002);
    weir_queue_destroy(q);
}

static void put_back_keeps_its_turn(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(2, record, &g, &q), 0);
    set_places(q, 0, 1, 0);
    struct weir_queue_entry e[3] = {entry(1, 1), entry(1, 1), entry(1, 1)};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(push(&g, q, &e[i], 1, &retry_us), 0);
    }
    assert_int_equal(g.n, 1);
    weir_queue_put_back(q, &e[0], 2);
    assert_int_equal(g.n, 1); /* the target refused: it is not asked again at once */
    assert_int_equal(e[0].state, WEIR_QUEUE_WAITING);
    assert_int_equal(weir_queue_used(q, 0), 0);
    set_places(q, 0, 1, 3);
    assert_int_equal(g.n, 2);
    assert_ptr_equal(g.list[1], &e[0]);
    weir_queue_put_back(q, &e[0], 4);
    set_places(q, 1, 1, 5); /* another target comes */
    assert_int_equal(g.n, 3);
    assert_ptr_equal(g.list[2], &e[0]);
    assert_int_equal(e[0].target, 1);
    weir_queue_release(q, &e[0], 6);
    assert_ptr_equal(g.list[3], &e[1]);
    weir_queue_release(q, &e[1], 7);
    weir_queue_release(q, &e[2], 8);
    weir_queue_destroy(q);
}

static void closed_queue_sends_all_away(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(9, record, &g, &q), 0);
    set_places(q, 0, 1, 0);
    struct weir_queue_entry e[3] = {entry(1, 1), entry(1, 1), entry(1, 1)};
    assert_int_equal(push(&g, q, &e[0], 1, &retry_us), 0);
    assert_int_equal(push(&g, q, &e[1], 1, &retry_us), 0);
    weir_queue_set_open(q, false);
    assert_int_equal(g.n, 2);
    assert_ptr_equal(g.list[1], &e[1]);
    assert_int_equal(e[1].state, WEIR_QUEUE_OUT);
    assert_false(weir_queue_remove(q, &e[1]));
    assert_int_equal(push(&g, q, &e[2], 2, &retry_us), WEIR_E_GONE);
    weir_queue_put_back(q, &e[0], 3); /* nobody waits in a closed queue */
    assert_int_equal(g.n, 3);
    assert_int_equal(e[0].state, WEIR_QUEUE_OUT);
    weir_queue_set_open(q, true);
    assert_int_equal(push(&g, q, &e[2], 4, &retry_us), 0);
    weir_queue_set_places(q, 0, (uint32_t[]){1, 1, 1}, 0, 5);
    assert_int_equal(e[2].state, WEIR_QUEUE_GRANTED);
    weir_queue_release(q, &e[2], 6);
    weir_queue_destroy(q);
}

static struct weir_queue_entry entry_of(uint64_t tenant, uint32_t weight, uint32_t max_waiting)
{
    struct weir_queue_entry e = entry(tenant, 1);
    e.tenant_weight = weight;
    e.max_waiting = max_waiting;
    return e;
}

static void a_tenant_fills_its_part_of_the_queue_only(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(8, record, &g, &q), 0);
    struct weir_queue_entry loud[5], quiet = entry_of(2, 0, 4), more = entry_of(2, 0, 0);
    for (int i = 0; i < 5; i++) {
        loud[i] = entry_of(1, 0, 4);
        assert_int_equal(push(&g, q, &loud[i], 1, &retry_us), i < 4 ? 0 : WEIR_E_TOOBIG);
    }
    assert_true(retry_us > 0);
    assert_int_equal(loud[4].state, WEIR_QUEUE_OUT);
    assert_int_equal(push(&g, q, &quiet, 2, &retry_us), 0);
    assert_int_equal(push(&g, q, &more, 2, &retry_us), 0);
    assert_true(weir_queue_remove(q, &loud[0])); /* a place of its own comes free */
    assert_int_equal(push(&g, q, &loud[4], 3, &retry_us), 0);
    for (int i = 1; i < 5; i++) {
        assert_true(weir_queue_remove(q, &loud[i]));
    }
    assert_true(weir_queue_remove(q, &quiet));
    assert_true(weir_queue_remove(q, &more));
    weir_queue_destroy(q);
}

static void below_its_share_a_tenant_finds_extra_places(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(50, record, &g, &q), 0);
    weir_queue_set_places(q, 0, (uint32_t[]){8, 8, 8}, 8, 0);
    struct weir_queue_entry loud[20], quiet[6];
    for (int i = 0; i < 20; i++) {
        loud[i] = entry_of(1, 100, 0);
        assert_int_equal(push(&g, q, &loud[i], 1, &retry_us), 0);
    }
    assert_int_equal(g.n, 8); /* extra places are not for who has its share */
    for (int i = 0; i < 6; i++) {
        quiet[i] = entry_of(2, 100, 0);
        assert_int_equal(push(&g, q, &quiet[i], 2, &retry_us), 0);
    }
    assert_int_equal(g.n, 8 + 4); /* half of eight are its share */
    for (size_t i = 8; i < 12; i++) {
        assert_int_equal(g.list[i]->tenant_hash, 2);
    }
    weir_queue_release(q, &quiet[0], 3);
    assert_int_equal(g.n, 13);
    assert_ptr_equal(g.list[12], &quiet[4]);
    for (size_t i = 0; i < g.n; i++) {
        weir_queue_release(q, g.list[i], 10); /* no-op for the one that is out */
    }
    assert_int_equal(g.n, 26);
    weir_queue_destroy(q);
}

static void weights_decide_how_places_are_shared(void **state)
{
    (void)state;
    enum { N = 120 };
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(2 * N, record, &g, &q), 0);
    static struct weir_queue_entry e[2][N];
    for (int i = 0; i < N; i++) {
        for (int t = 0; t < 2; t++) {
            e[t][i] = entry_of(1 + (uint64_t)t, t ? 300 : 100, 0);
            assert_int_equal(push(&g, q, &e[t][i], 1, &retry_us), 0);
        }
    }
    set_places(q, 0, 4, 2);
    for (size_t i = 0; i < 76; i++) {
        g.list[i]->completion_tokens = 50;
        weir_queue_release(q, g.list[i], 10 + i);
    }
    size_t n_heavy = 0;
    for (size_t i = 0; i < 80; i++) {
        n_heavy += g.list[i]->tenant_hash == 2;
    }
    assert_true(n_heavy >= 57 && n_heavy <= 63); /* three of four */
    weir_queue_set_open(q, false);
    for (size_t i = 76; i < 80; i++) {
        weir_queue_release(q, g.list[i], 200);
    }
    weir_queue_destroy(q);
}

static void age_does_not_let_a_heap_pass_other_tenants(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(50, record, &g, &q), 0);
    struct weir_queue_entry loud[6], quiet = entry(2, 1);
    set_places(q, 0, 1, 0);
    for (int i = 0; i < 6; i++) {
        loud[i] = entry(1, 1);
        assert_int_equal(push(&g, q, &loud[i], 1, &retry_us), 0);
    }
    loud[0].completion_tokens = 1000;
    assert_int_equal(push(&g, q, &quiet, 30000000, &retry_us), 0);
    weir_queue_release(q, &loud[0], 30000001); /* the others wait for half a minute */
    assert_ptr_equal(g.list[1], &quiet);
    weir_queue_release(q, &quiet, 30000002);
    for (int i = 1; i < 6; i++) {
        weir_queue_release(q, &loud[i], 30000003);
    }
    weir_queue_destroy(q);
}

static void having_had_the_model_alone_is_no_debt(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(50, record, &g, &q), 0);
    set_places(q, 0, 1, 0);
    struct weir_queue_entry quiet = entry(2, 1), loud[4];
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(push(&g, q, &quiet, 1 + i, &retry_us), 0);
        quiet.completion_tokens = 1000;
        weir_queue_release(q, &quiet, 2 + i);
    }
    for (int i = 0; i < 4; i++) { /* never seen before */
        loud[i] = entry(1, 1);
        assert_int_equal(push(&g, q, &loud[i], 100, &retry_us), 0);
    }
    quiet = entry(2, 1);
    assert_int_equal(push(&g, q, &quiet, 101, &retry_us), 0);
    weir_queue_release(q, &loud[0], 102);
    assert_int_equal(quiet.state, WEIR_QUEUE_GRANTED);
    weir_queue_release(q, &quiet, 103);
    for (int i = 1; i < 4; i++) {
        weir_queue_release(q, &loud[i], 104);
    }
    weir_queue_destroy(q);
}

static void the_predicted_wait_is_the_tenants_own(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(100, record, &g, &q), 0);
    set_places(q, 0, 1, 0);
    static struct weir_queue_entry loud[60];
    for (int i = 0; i < 60; i++) {
        loud[i] = entry(1, 1);
        assert_int_equal(push(&g, q, &loud[i], 1, &retry_us), 0);
    }
    for (size_t i = 0; i < 8; i++) { /* one a second */
        weir_queue_release(q, g.list[i], 1000000 * (i + 2));
    }
    struct weir_queue_outlook own, other;
    weir_queue_look(q, 1, 0, 1, &own);
    weir_queue_look(q, 2, 0, 1, &other);
    assert_true(own.wait_us > 40000000);
    assert_true(other.wait_us < 4000000);
    assert_true(other.class_wait_us > 40000000);
    assert_true(own.fill > 0.5 && own.fill < 0.52);
    assert_false(own.below_share);
    assert_true(other.below_share);
    struct weir_queue_entry hasty = entry(2, 1);
    hasty.deadline_us = 10000000 + 5000000;
    assert_int_equal(push(&g, q, &hasty, 10000000, &retry_us), 0);
    struct weir_queue_stats stats;
    weir_queue_stats(q, &stats);
    assert_int_equal(stats.waiting_by_class[1], 52);
    weir_queue_set_open(q, false);
    weir_queue_release(q, g.list[8], 20000000);
    weir_queue_destroy(q);
}

static void thousands_of_tenants_come_and_go(void **state)
{
    (void)state;
    struct grants g = {.n = 0};
    struct weir_queue *q;
    uint64_t retry_us = 0;
    assert_int_equal(weir_queue_create(4, record, &g, &q), 0);
    set_places(q, 0, 2, 0);
    struct weir_queue_entry pinned = entry(7, 1);
    assert_int_equal(push(&g, q, &pinned, 1, &retry_us), 0);
    for (uint64_t i = 0; i < 3500; i++) { /* idle ones are recycled, the pinned one is not */
        struct weir_queue_entry e = entry(1000 + i * 7919, 1);
        assert_int_equal(push(&g, q, &e, 2 + i, &retry_us), 0);
        assert_int_equal(e.state, WEIR_QUEUE_GRANTED);
        weir_queue_release(q, &e, 3 + i);
    }
    pinned.completion_tokens = 10;
    weir_queue_release(q, &pinned, 5000);
    weir_queue_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_place_is_granted_at_once),
        cmocka_unit_test(who_tries_gets_a_place_at_once_or_never),
        cmocka_unit_test(a_pinned_entry_waits_for_its_target_alone),
        cmocka_unit_test(full_queue_refuses_with_a_retry_time),
        cmocka_unit_test(classes_go_first_but_batch_ages),
        cmocka_unit_test(tenants_share_by_tokens_served),
        cmocka_unit_test(predicted_wait_beyond_the_deadline_is_refused),
        cmocka_unit_test(many_choices_run_alone_when_they_never_fit),
        cmocka_unit_test(places_are_counted_by_target),
        cmocka_unit_test(better_classes_find_room_beside_worse_ones),
        cmocka_unit_test(put_back_keeps_its_turn),
        cmocka_unit_test(closed_queue_sends_all_away),
        cmocka_unit_test(a_tenant_fills_its_part_of_the_queue_only),
        cmocka_unit_test(below_its_share_a_tenant_finds_extra_places),
        cmocka_unit_test(weights_decide_how_places_are_shared),
        cmocka_unit_test(age_does_not_let_a_heap_pass_other_tenants),
        cmocka_unit_test(having_had_the_model_alone_is_no_debt),
        cmocka_unit_test(the_predicted_wait_is_the_tenants_own),
        cmocka_unit_test(thousands_of_tenants_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
