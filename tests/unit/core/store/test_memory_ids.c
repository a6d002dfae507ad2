/* SPDX-License-Identifier: Apache-2.0 */
/* The memory store's remembered ids, and its reservations, against plain lists of what should be in
 * them. */
#include <stdio.h>
#include <stdlib.h>

#include "core/store/memory.h"
#include "core/store/memory_map.h"
#include "tests/support/cmocka.h"

static uint64_t random_state = 7;

static uint64_t below(uint64_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random_state >> 33) % n;
}

static struct weir_store_id name_id(uint32_t i)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%u-request", i);
    return weir_store_id_of((weir_str){text, (size_t)n}, 42);
}

/* As plugins count theirs: in groups. */
static struct weir_store_id counted_id(uint32_t i)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "request-%u/0", i);
    return weir_store_id_of((weir_str){text, (size_t)n}, 42);
}

/* The only number of its group; 0: it is not there. */
static uint32_t number_of(const struct weir_store_ids *ids, struct weir_store_id id)
{
    uint32_t first = 0, last = 0;
    if (!weir_store_ids_find(ids, id, &first, &last)) {
        return 0;
    }
    assert_int_equal(first, last);
    return first;
}

/* ---- ids ---- */

static struct weir_store_shard *open_shard(struct weir_store_map *map, size_t max_bytes)
{
    assert_int_equal(weir_store_map_init(map, 1000, max_bytes), 0);
    return &map->shards[0];
}

static void ids_are_found_until_they_are_forgotten(void **state)
{
    enum { N = 60000, WINDOW = 9000 };
    struct weir_store_map map;
    struct weir_store_shard *s = open_shard(&map, 1 << 24);
    struct weir_store_ids ids;
    (void)state;
    weir_store_ids_init(&ids);
    for (uint32_t i = 1; i <= N; i++) {
        assert_int_equal(number_of(&ids, name_id(i)), 0);
        assert_true(weir_store_ids_add(s, &ids, name_id(i), true));
        assert_int_equal(number_of(&ids, name_id(i)), i);
        if (i > WINDOW) {
            weir_store_ids_forget(s, &ids, i - WINDOW + 1);
            assert_int_equal(number_of(&ids, name_id(i - WINDOW)), 0);
            uint32_t known = i - (uint32_t)below(WINDOW);
            assert_int_equal(number_of(&ids, name_id(known)), known);
        }
    }
    for (uint32_t i = N - WINDOW + 1; i <= N; i++) {
        assert_int_equal(number_of(&ids, name_id(i)), i);
    }
    assert_true(ids.n_bytes >= WINDOW * 40 && ids.n_bytes < WINDOW * 40 * 8);
    assert_int_equal(map.n_bytes, ids.n_bytes);
    weir_store_ids_forget(s, &ids, N + 1);
    assert_int_equal(ids.n_bytes, 0);
    assert_int_equal(map.n_bytes, 0);
    assert_int_equal(number_of(&ids, name_id(N)), 0);
    assert_true(weir_store_ids_add(s, &ids, name_id(1), true)); /* it begins anew */
    assert_int_equal(number_of(&ids, name_id(1)), N + 1);
    weir_store_ids_finish(s, &ids);
    weir_store_map_finish(&map);
}

static void counted_ids_are_found_in_their_group(void **state)
{
    enum { N = 300000, WINDOW = 9000, GROUP = 100 };
    struct weir_store_map map;
    struct weir_store_shard *s = open_shard(&map, 1 << 24);
    struct weir_store_ids ids;
    (void)state;
    weir_store_ids_init(&ids);
    for (uint32_t i = 1; i <= N; i++) {
        uint32_t first, last;
        assert_false(weir_store_ids_find(&ids, counted_id(i), NULL, NULL));
        assert_true(weir_store_ids_add(s, &ids, counted_id(i), true));
        if (i <= WINDOW + GROUP) {
            continue;
        }
        weir_store_ids_forget(s, &ids, i - WINDOW + 1);
        assert_false(weir_store_ids_find(&ids, counted_id(i - WINDOW - GROUP), NULL, NULL));
        uint32_t known = i - (uint32_t)below(WINDOW);
        assert_true(weir_store_ids_find(&ids, counted_id(known), &first, &last));
        assert_true(first <= known && known <= last && last - first < GROUP);
    }
    assert_true(ids.n_bytes < WINDOW * 4);
    weir_store_ids_finish(s, &ids);
    assert_int_equal(map.n_bytes, 0);
    weir_store_map_finish(&map);
}

static void no_two_texts_are_one_id(void **state)
{
    static const char *const texts[] = {"run-1",   "run-01",    "run-001",  "run-10",    "run-1/0",
                                        "run-1/1", "run-01/0",  "run-10/0", "run-",      "run-/0",
                                        "1",       "01",        "10",       "001",       "/0",
                                        "1/0",     "run-1/x",   "run-x/1",  "run-1/00",  "run-1/10",
                                        "r",       "run-1/0/0", "run-11",   "run-1/0/1", "run-111"};
    enum { N = sizeof(texts) / sizeof(texts[0]) };
    (void)state;
    for (int i = 0; i < N; i++) {
        struct weir_store_id a = weir_store_id_of(weir_str_from(texts[i]), 42);
        assert_in_range(a.member, 0, 99);
        for (int k = 0; k < i; k++) {
            struct weir_store_id b = weir_store_id_of(weir_str_from(texts[k]), 42);
            assert_false(a.hash == b.hash && a.tag == b.tag && a.member == b.member);
        }
    }
}

static void numbers_come_round(void **state)
{
    struct weir_store_map map;
    struct weir_store_shard *s = open_shard(&map, 1 << 24);
    struct weir_store_ids ids;
    (void)state;
    weir_store_ids_init(&ids);
    ids.newest = UINT32_MAX - 500;
    ids.oldest = ids.newest + 1;
    for (uint32_t i = 0; i < 2000; i++) {
        assert_true(weir_store_ids_add(s, &ids, name_id(i), true));
        assert_int_equal(number_of(&ids, name_id(i)), ids.newest);
        assert_true(ids.newest != 0);
        if (i >= 100) {
            weir_store_ids_forget(s, &ids, ids.oldest + 1 + (ids.oldest + 1 == 0));
            assert_int_equal(number_of(&ids, name_id(i - 100)), 0);
            assert_true(number_of(&ids, name_id(i - 98)) != 0);
        }
    }
    weir_store_ids_finish(s, &ids);
    assert_int_equal(map.n_bytes, 0);
    weir_store_map_finish(&map);
}

static void without_room_nothing_is_added(void **state)
{
    struct weir_store_map map;
    struct weir_store_shard *s = open_shard(&map, 20000);
    struct weir_store_ids ids;
    uint32_t n = 0;
    (void)state;
    weir_store_ids_init(&ids);
    while (weir_store_ids_add(s, &ids, name_id(n), true)) {
        n++;
    }
    assert_true(n > 100 && ids.n_bytes <= 20000);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(number_of(&ids, name_id(i)) != 0);
    }
    assert_int_equal(number_of(&ids, name_id(n)), 0);
    weir_store_ids_forget(s, &ids, ids.oldest + n / 4);
    assert_true(weir_store_ids_add(s, &ids, name_id(n), false));
    weir_store_ids_finish(s, &ids);
    weir_store_map_finish(&map);
}

/* ---- reservations ---- */

enum { N_BUDGETS = 6, N_REQUESTS = 40, STEPS = 40000, LIMIT = 1000, KEEP_MS = 400 };

enum fate { FRESH, OPEN, KEPT, SETTLED };

struct model {
    struct weir_store *store;
    uint64_t now_us;
    uint64_t used[N_BUDGETS];
    struct {
        enum fate fate;
        uint64_t units, due_us;
        bool keep;
    } at[N_REQUESTS][N_BUDGETS];
    uint32_t name[N_REQUESTS]; /* a new one when a request is over */
    int rc;
    int64_t left[N_BUDGETS];
};

static uint64_t now_us(void *arg)
{
    return ((struct model *)arg)->now_us;
}

static void on_done(void *arg, const weir_store_result *r)
{
    struct model *m = arg;
    m->rc = r->rc;
    for (uint32_t i = 0; i < r->n_left; i++) {
        m->left[i] = r->left[i].units;
    }
}

static void age(struct model *m)
{
    for (int i = 0; i < N_REQUESTS; i++) {
        for (int b = 0; b < N_BUDGETS; b++) {
            if (m->at[i][b].fate == OPEN && m->at[i][b].due_us <= m->now_us) {
                m->at[i][b].fate = m->at[i][b].keep ? KEPT : FRESH;
                m->used[b] += m->at[i][b].keep ? m->at[i][b].units : 0;
            }
        }
    }
}

static uint64_t held(const struct model *m, int budget)
{
    uint64_t sum = 0;
    for (int i = 0; i < N_REQUESTS; i++) {
        sum += m->at[i][budget].fate == OPEN ? m->at[i][budget].units : 0;
    }
    return sum;
}

/* Some budgets, in any order. */
static uint32_t choose(int budgets[N_BUDGETS])
{
    uint32_t n = 0, bits = 1 + (uint32_t)below((1 << N_BUDGETS) - 1);
    int first = (int)below(N_BUDGETS);
    for (int i = 0; i < N_BUDGETS; i++) {
        int b = (first + i) % N_BUDGETS;
        if (bits & 1u << b) {
            budgets[n++] = b;
        }
    }
    return n;
}

static int expect_reserve(struct model *m, int request, const int *budgets, uint32_t n,
                          const weir_store_hold *holds, uint64_t ms, bool keep)
{
    int rc = 0;
    for (uint32_t i = 0; i < n; i++) {
        int b = budgets[i];
        bool own = m->at[request][b].fate == OPEN || m->at[request][b].fate == KEPT;
        uint64_t others = m->used[b] + held(m, b) - (own ? m->at[request][b].units : 0);
        if (m->at[request][b].fate == SETTLED) {
            return WEIR_E_GONE;
        }
        rc = others > LIMIT || holds[i].units > LIMIT - others ? WEIR_E_BUSY : rc;
    }
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        int b = budgets[i];
        m->used[b] -= m->at[request][b].fate == KEPT ? m->at[request][b].units : 0;
        m->at[request][b].fate = OPEN;
        m->at[request][b].units = holds[i].units;
        m->at[request][b].due_us = m->now_us + ms * 1000;
        m->at[request][b].keep = keep;
    }
    return rc;
}

static void expect_settle(struct model *m, int request, const int *budgets, uint32_t n,
                          const weir_store_hold *holds)
{
    for (uint32_t i = 0; i < n; i++) {
        int b = budgets[i];
        if (m->at[request][b].fate != SETTLED) {
            m->used[b] -= m->at[request][b].fate == KEPT ? m->at[request][b].units : 0;
            m->used[b] += holds[i].units;
            m->at[request][b].fate = SETTLED;
        }
    }
}

static void step(struct model *m)
{
    static const char *const keys[N_BUDGETS] = {"a", "b", "tokens", "money", "month/1", "month/2"};
    weir_store_hold holds[N_BUDGETS];
    int budgets[N_BUDGETS], request = (int)below(N_REQUESTS);
    uint32_t n = choose(budgets);
    bool settles = below(2), keep = below(2);
    uint64_t ms = 1 + below(KEEP_MS);
    char id[32];
    m->now_us += below(20000);
    age(m);
    for (uint32_t i = 0; i < n; i++) {
        holds[i] =
            (weir_store_hold){weir_str_from(keys[budgets[i]]), below(settles ? 8 : 60), LIMIT};
    }
    (void)snprintf(id, sizeof(id), "r%d-%u", request, m->name[request]);
    int rc = 0;
    if (settles) {
        expect_settle(m, request, budgets, n, holds);
    } else {
        rc = expect_reserve(m, request, budgets, n, holds, ms, keep);
    }
    assert_int_equal(weir_store_call(m->store,
                                     &(struct weir_store_call){
                                         .op = settles ? WEIR_STORE_SETTLE : WEIR_STORE_RESERVE,
                                         .tenant = WEIR_STR_INIT("acme"),
                                         .id = weir_str_from(id),
                                         .holds = holds,
                                         .n = n,
                                         .number = ms,
                                         .flags = !settles && keep ? WEIR_STORE_KEEP : 0},
                                     on_done, m),
                     0);
    assert_int_equal(m->rc, rc);
    for (uint32_t i = 0; i < n; i++) {
        int b = budgets[i];
        assert_int_equal(m->left[i], (int64_t)LIMIT - (int64_t)(m->used[b] + held(m, b)));
    }
    if (below(12) == 0) { /* another request; what the old one left stays */
        for (int b = 0; b < N_BUDGETS; b++) {
            bool over = m->at[request][b].fate != OPEN;
            if (!over) {
                return;
            }
        }
        for (int b = 0; b < N_BUDGETS; b++) {
            m->at[request][b].fate = FRESH;
        }
        m->name[request]++;
    }
}

static void budgets_hold_what_a_plain_list_holds(void **state)
{
    static struct model m;
    (void)state;
    m = (struct model){.now_us = 1};
    for (int round = 0; round < 4; round++) {
        assert_int_equal(
            weir_store_memory_create(
                &(struct weir_store_memory_options){.now_us = now_us, .now_arg = &m}, &m.store),
            0);
        memset(m.used, 0, sizeof(m.used));
        memset(m.at, 0, sizeof(m.at));
        /* An id is known for a minute at least: as long as a round takes. */
        uint64_t end_us = m.now_us + UINT64_C(59) * 1000000;
        for (int i = 0; i < STEPS && m.now_us < end_us; i++) {
            step(&m);
        }
        weir_store_destroy(m.store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_found_until_they_are_forgotten),
        cmocka_unit_test(counted_ids_are_found_in_their_group),
        cmocka_unit_test(no_two_texts_are_one_id),
        cmocka_unit_test(numbers_come_round),
        cmocka_unit_test(without_room_nothing_is_added),
        cmocka_unit_test(budgets_hold_what_a_plain_list_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
