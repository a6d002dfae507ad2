/* SPDX-License-Identifier: Apache-2.0 */
/* The memory store's table against a plain list of what should be in it. */
#include "core/store/memory_map.h"

#include <stdio.h>

#include "tests/support/cmocka.h"

enum { N_NAMES = 400, N_STEPS = 60000, N_TENANTS = 3 };

struct model {
    struct weir_store_map map;
    struct weir_store_shard *shard; /* one for all, so that clusters of every tenant meet */
    uint64_t expires_us[N_NAMES];   /* 0: not there */
    uint64_t random;
    uint64_t now_us;
};

static uint64_t below(struct model *m, uint64_t n)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (m->random >> 33) % n;
}

static weir_str tenant_of(uint32_t i)
{
    static const char *const tenants[N_TENANTS] = {"acme", "other", ""};
    return weir_str_from(tenants[i % N_TENANTS]);
}

static enum weir_store_kind kind_of(uint32_t i)
{
    static const enum weir_store_kind kinds[] = {WEIR_STORE_COUNTER, WEIR_STORE_LIMIT,
                                                 WEIR_STORE_BUDGET, WEIR_STORE_LOG};
    return kinds[i / N_TENANTS % 4];
}

static struct weir_store_entry *look(struct model *m, uint32_t i, struct weir_store_name *ret_name)
{
    static char id[16]; /* names of several kinds share tenant, key and id, and so the hash */
    (void)snprintf(id, sizeof(id), "%u", i / N_TENANTS / 4);
    *ret_name =
        weir_store_name_of(kind_of(i), tenant_of(i), weir_str_from("key"), weir_str_from(id));
    return weir_store_find(m->shard, ret_name, m->now_us);
}

static bool is_there(const struct model *m, uint32_t i)
{
    return m->expires_us[i] > m->now_us;
}

static void erase_a_tenant(struct model *m)
{
    uint32_t which = (uint32_t)below(m, N_TENANTS);
    weir_store_remove_tenant(m->shard, tenant_of(which));
    for (uint32_t i = which; i < N_NAMES; i += N_TENANTS) {
        if (kind_of(i) != WEIR_STORE_LOG) { /* what was billed stays */
            m->expires_us[i] = 0;
        }
    }
}

static void step(struct model *m)
{
    uint32_t i = (uint32_t)below(m, N_NAMES);
    struct weir_store_name name;
    struct weir_store_entry *e = look(m, i, &name);
    assert_int_equal(e != NULL, is_there(m, i));
    if (e && below(m, 2)) {
        weir_store_remove(m->shard, e);
        m->expires_us[i] = 0;
    } else if (!e) {
        m->expires_us[i] = m->now_us + 1 + below(m, 5000);
        e = weir_store_insert(m->shard, &name, m->expires_us[i], m->now_us);
        assert_non_null(e);
    }
    m->now_us += below(m, 20);
}

static void it_holds_what_was_put_and_nothing_else(void **state)
{
    static struct model m;
    (void)state;
    m = (struct model){.random = 42, .now_us = 1};
    assert_int_equal(weir_store_map_init(&m.map, 100000, 1 << 24), 0);
    m.shard = weir_store_map_shard(&m.map, weir_str_from("acme"));
    pthread_mutex_lock(&m.shard->lock);
    for (uint32_t n = 0; n < N_STEPS; n++) {
        step(&m);
        if (n % 5000 == 4999) {
            erase_a_tenant(&m);
        }
    }
    for (uint32_t i = 0; i < N_NAMES; i++) {
        struct weir_store_name name;
        assert_int_equal(look(&m, i, &name) != NULL, is_there(&m, i));
    }
    /* What nobody asks for goes too, as others come. */
    m.now_us += 10000;
    for (uint32_t n = 0; n < m.shard->tables[WEIR_STORE_IDS].n_slots; n++) {
        char id[24];
        (void)snprintf(id, sizeof(id), "new %u", n % 50);
        struct weir_store_name name = weir_store_name_of(WEIR_STORE_COUNTER, weir_str_from("acme"),
                                                         weir_str_from("key"), weir_str_from(id));
        struct weir_store_entry *e = weir_store_insert(m.shard, &name, UINT64_MAX, m.now_us);
        assert_non_null(e);
        weir_store_remove(m.shard, e);
    }
    assert_int_equal(weir_store_shard_count(m.shard), 0);
    assert_int_equal(m.map.n_bytes, 0);
    pthread_mutex_unlock(&m.shard->lock);
    weir_store_map_finish(&m.map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_what_was_put_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
