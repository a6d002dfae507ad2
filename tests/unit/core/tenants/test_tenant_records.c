/* SPDX-License-Identifier: Apache-2.0 */
/* Two replicas, each with its registry, on one store; and a store that fails on demand. */
#include "core/tenants/tenant_records.h"

#include <stdio.h>
#include <string.h>

#include "core/store/memory.h"
#include "tests/support/cmocka.h"

#define RECORD "{\"tenant\":{\"state\":\"active\"}}"

struct replica {
    struct weir_tenants *tenants;
    struct weir_tenant_records *records;
};

static struct weir_store *memory;
static struct replica a, b;
static uint64_t now_us;

static void start(struct replica *r, struct weir_store *store)
{
    assert_int_equal(weir_tenants_create(&r->tenants), 0);
    assert_int_equal(weir_tenant_records_create(r->tenants, store, &r->records), 0);
}

static void end(struct replica *r)
{
    weir_tenant_records_destroy(r->records);
    weir_tenants_destroy(r->tenants);
}

static void tick(void)
{
    now_us += 50000;
    weir_store_turn(memory);
    weir_tenant_records_tick(a.records, now_us);
    weir_tenant_records_tick(b.records, now_us);
}

static int set_up(void **state)
{
    (void)state;
    now_us = 1000000;
    int rc = weir_store_memory_create(&(struct weir_store_memory_options){0}, &memory);
    start(&a, memory);
    start(&b, memory);
    tick();
    return rc;
}

static int tear_down(void **state)
{
    (void)state;
    end(&a);
    end(&b);
    weir_store_destroy(memory);
    return 0;
}

struct outcome {
    int n, rc;
    uint64_t number;
};

static void note(void *arg, int rc, uint64_t number)
{
    struct outcome *o = arg;
    *o = (struct outcome){o->n + 1, rc, number};
}

static struct outcome put(struct replica *r, const char *name, const char *record, uint64_t number)
{
    struct outcome o = {0};
    weir_tenant_records_put(r->records, weir_str_from(name), weir_str_from(record), number, note,
                            &o);
    assert_int_equal(o.n, 1);
    return o;
}

static const struct weir_tenant *at(struct replica *r, const char *name)
{
    return weir_tenants_find(r->tenants, weir_str_from(name));
}

static void a_change_is_there_at_once_and_at_the_other_after_its_message(void **state)
{
    (void)state;
    struct outcome o = put(&a, "acme", RECORD, 0);
    assert_int_equal(o.rc, 0);
    assert_true(o.number > 0);
    assert_non_null(at(&a, "acme"));
    assert_null(at(&b, "acme"));
    weir_store_turn(memory);
    assert_non_null(at(&b, "acme"));
    assert_int_equal(at(&b, "acme")->record_number, o.number);
}

static void of_two_changes_to_one_version_one_is_made(void **state)
{
    (void)state;
    struct outcome first = put(&a, "acme", RECORD, 0);
    weir_store_turn(memory);
    struct outcome second = put(&b, "acme", "{\"tenant\":{\"state\":\"suspended\"}}", first.number);
    assert_int_equal(second.rc, 0);
    struct outcome late = put(&a, "acme", RECORD, first.number);
    assert_int_equal(late.rc, WEIR_E_BUSY);
    assert_int_equal(late.number, second.number);
    assert_int_equal(at(&a, "acme")->state, WEIR_TENANT_SUSPENDED); /* and now it knows */
    assert_int_equal(put(&a, "acme", RECORD, 0).rc, WEIR_E_BUSY);
}

static void ignore(void *arg, const weir_store_result *result)
{
    (void)arg;
    assert_true(result->rc == 0);
}

static void erasing_leaves_neither_record_nor_what_lies_under_the_tenant(void **state)
{
    (void)state;
    (void)put(&a, "acme", RECORD, 0);
    struct weir_store_call c = {.op = WEIR_STORE_PUT,
                                .tenant = WEIR_STR_INIT("acme"),
                                .key = WEIR_STR_INIT("keys"),
                                .id = WEIR_STR_INIT("k"),
                                .value = WEIR_STR_INIT("{}")};
    assert_int_equal(weir_store_call(memory, &c, ignore, NULL), 0);
    struct outcome o = {0};
    weir_tenant_records_erase(a.records, weir_str_from("acme"), note, &o);
    assert_int_equal(o.n, 1);
    assert_int_equal(o.rc, 0);
    assert_null(at(&a, "acme"));
    weir_store_turn(memory);
    assert_null(at(&b, "acme"));
    c.number = 0; /* as new again */
    assert_int_equal(weir_store_call(memory, &c, ignore, NULL), 0);
}

static void many_are_read_at_the_start_page_by_page(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "t%d", i);
        assert_int_equal(put(&a, name, RECORD, 0).rc, 0);
    }
    struct replica late;
    start(&late, memory);
    assert_false(weir_tenant_records_are_read(late.records));
    weir_tenant_records_tick(late.records, now_us);
    assert_true(weir_tenant_records_are_read(late.records));
    assert_int_equal(weir_tenants_count(late.tenants), 1000);
    end(&late);
}

/* ---- a store that loses things ---- */

static struct weir_store faulty;
static bool broken; /* every call ends with WEIR_E_IO */
static int n_messages;

static int call_faulty(struct weir_store *s, const struct weir_store_call *c,
                       const struct weir_store_then *then)
{
    (void)s;
    if (c->op == WEIR_STORE_PUBLISH) { /* nobody hears it */
        n_messages++;
        weir_store_result ok = {.rc = 0};
        weir_store_complete(&faulty, then, &ok);
        return 0;
    }
    if (broken) {
        weir_store_result gone = {.rc = WEIR_E_IO};
        weir_store_complete(&faulty, then, &gone);
        return 0;
    }
    struct weir_store_call copy = *c;
    copy.owner = NULL;
    return weir_store_call(memory, &copy, then->done, then->arg);
}

static const struct weir_store_driver faulty_driver = {.name = "faulty", .call = call_faulty};

static void a_message_that_is_lost_is_made_good_by_the_next_list(void **state)
{
    (void)state;
    struct replica c, d;
    assert_int_equal(weir_store_init(&faulty, &faulty_driver), 0);
    broken = false;
    start(&c, &faulty);
    start(&d, &faulty);
    weir_tenant_records_tick(c.records, now_us);
    weir_tenant_records_tick(d.records, now_us);
    struct outcome o = put(&c, "acme", RECORD, 0);
    (void)put(&c, "gone", RECORD, 0);
    assert_true(n_messages == 2);
    weir_tenant_records_tick(d.records, now_us + 31 * 1000000);
    assert_non_null(at(&d, "acme"));
    (void)put(&c, "gone", "", at(&c, "gone")->record_number);
    (void)put(&c, "acme", "{\"tenant\":{\"state\":\"suspended\"}}", o.number);
    weir_tenant_records_tick(d.records, now_us + 62 * 1000000);
    assert_int_equal(at(&d, "acme")->state, WEIR_TENANT_SUSPENDED);
    assert_null(at(&d, "gone"));
    end(&c);
    end(&d);
    weir_store_finish(&faulty);
}

static void without_a_store_the_old_stays_and_it_is_tried_again(void **state)
{
    (void)state;
    struct replica c;
    assert_int_equal(weir_store_init(&faulty, &faulty_driver), 0);
    broken = true;
    start(&c, &faulty);
    assert_int_equal(weir_tenants_set_entries(c.tenants, weir_str_from("{\"own\":{}}")), 0);
    assert_false(weir_tenant_records_were_tried(c.records));
    weir_tenant_records_tick(c.records, now_us);
    assert_true(weir_tenant_records_were_tried(c.records));
    assert_false(weir_tenant_records_are_read(c.records));
    assert_int_equal(put(&c, "acme", RECORD, 0).rc, WEIR_E_IO);
    assert_non_null(at(&c, "own"));
    broken = false;
    weir_tenant_records_tick(c.records, now_us + 1100000);
    assert_true(weir_tenant_records_are_read(c.records));
    assert_int_equal(put(&c, "acme", RECORD, 0).rc, 0);
    broken = true;
    weir_tenant_records_tick(c.records, now_us + 40000000);
    assert_non_null(at(&c, "acme"));
    end(&c);
    weir_store_finish(&faulty);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_there_at_once_and_at_the_other_after_its_message),
        TEST(of_two_changes_to_one_version_one_is_made),
        TEST(erasing_leaves_neither_record_nor_what_lies_under_the_tenant),
        TEST(many_are_read_at_the_start_page_by_page),
        TEST(a_message_that_is_lost_is_made_good_by_the_next_list),
        TEST(without_a_store_the_old_stays_and_it_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
