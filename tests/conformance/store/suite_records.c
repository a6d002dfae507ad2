/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fixture.h"

#define PUT(i, v, version)                                                                         \
    CALL(.op = WEIR_STORE_PUT, ACME, .key = WEIR_STR_INIT("keys"), .id = text(i),                  \
         .value = text(v), .number = (version))
#define FIND(i) CALL(.op = WEIR_STORE_FIND, ACME, .key = WEIR_STR_INIT("keys"), .id = text(i))
#define LIST(after, count)                                                                         \
    CALL(.op = WEIR_STORE_LIST, ACME, .key = WEIR_STR_INIT("keys"), .id = text(after), .n = (count))
#define APPEND(i, v)                                                                               \
    CALL(.op = WEIR_STORE_APPEND, ACME, .key = WEIR_STR_INIT("log"), .id = text(i),                \
         .value = text(v))
#define READ(after, count)                                                                         \
    CALL(.op = WEIR_STORE_READ, ACME, .key = WEIR_STR_INIT("log"), .number = (after), .n = (count))

static void a_record_is_written_only_over_the_version_named(void **state)
{
    (void)state;
    int64_t first = PUT("k1", "one", 0)->number;
    assert_true(first > 0);
    const struct answer *a = PUT("k1", "two", 0);
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->number, first);
    a = PUT("k1", "two", (uint64_t)first);
    assert_int_equal(a->rc, 0);
    int64_t second = a->number;
    assert_true(second > first);
    assert_int_equal(PUT("k1", "three", (uint64_t)first)->rc, WEIR_E_BUSY);
    a = FIND("k1");
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->number, second);
    assert_string_equal(a->value, "two");
    assert_int_equal(PUT("k1", "any", WEIR_STORE_ANY_VERSION)->rc, 0);
    assert_string_equal(FIND("k1")->value, "any");
    a = PUT("k2", "v", 17);
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->number, 0);
    assert_int_equal(FIND("k2")->rc, WEIR_E_NOTFOUND);
    assert_int_equal(CALL(.op = WEIR_STORE_FIND, OTHER, .key = text("keys"), .id = text("k1"))->rc,
                     WEIR_E_NOTFOUND);
}

static void an_empty_value_removes_a_record(void **state)
{
    (void)state;
    int64_t version = PUT("k", "v", 0)->number;
    assert_int_equal(PUT("k", "", (uint64_t)version + 1)->rc, WEIR_E_BUSY);
    assert_int_equal(PUT("k", "", (uint64_t)version)->rc, 0);
    assert_int_equal(FIND("k")->rc, WEIR_E_NOTFOUND);
    assert_int_equal(LIST("", 10)->n_items, 0);
    assert_int_equal(PUT("k", "", WEIR_STORE_ANY_VERSION)->rc, 0);
    assert_true(PUT("k", "again", 0)->number > version); /* no version comes twice */
}

static void records_are_listed_in_the_order_of_their_names(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "a", "ab", "B", "c", "aa", "\xc3\xa4"};
    static const char *const sorted[] = {"B", "a", "aa", "ab", "b", "c", "\xc3\xa4"};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(PUT(names[i], names[i], 0)->rc, 0);
    }
    assert_int_equal(
        CALL(.op = WEIR_STORE_PUT, ACME, .key = text("others"), .id = text("x"), .value = text("v"))
            ->rc,
        0);
    const struct answer *a = LIST("", 100);
    assert_int_equal(a->n_items, 7);
    assert_int_equal(a->more, 0);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(a->items[i].key, sorted[i]);
        assert_string_equal(a->items[i].value, sorted[i]);
        assert_true(a->items[i].number > 0);
    }
    char after[64] = "";
    int seen = 0;
    do {
        a = LIST(after, 3);
        for (uint32_t i = 0; i < a->n_items; i++) {
            assert_string_equal(a->items[i].key, sorted[seen++]);
        }
        (void)snprintf(after, sizeof(after), "%s", a->items[a->n_items - 1].key);
    } while (a->more);
    assert_int_equal(seen, 7);
    assert_int_equal(LIST("az", 1)->n_items, 1); /* no such name: what comes behind it */
    assert_int_equal(LIST("\xff", 5)->n_items, 0);
}

static void a_log_keeps_the_order_and_each_id_once(void **state)
{
    (void)state;
    assert_int_equal(APPEND("e1", "one")->number, 1);
    assert_int_equal(APPEND("e2", "two")->number, 2);
    const struct answer *a = APPEND("e1", "again");
    assert_int_equal(a->rc, WEIR_E_BUSY);
    assert_int_equal(a->number, 1);
    assert_int_equal(APPEND("e3", "")->number, 3);
    assert_int_equal(
        CALL(.op = WEIR_STORE_APPEND, OTHER, .key = text("log"), .id = text("e1"))->number, 1);
    a = READ(0, 10);
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->n_items, 3);
    assert_int_equal(a->more, 0);
    assert_string_equal(a->items[0].key, "e1");
    assert_string_equal(a->items[0].value, "one");
    assert_int_equal(a->items[0].number, 1);
    assert_int_equal(a->items[2].number, 3);
    assert_int_equal(a->items[2].value_len, 0);
    a = READ(1, 1);
    assert_int_equal(a->n_items, 1);
    assert_int_equal(a->more, 1);
    assert_string_equal(a->items[0].key, "e2");
    assert_int_equal(READ(3, 10)->n_items, 0);
    assert_int_equal(READ(UINT64_MAX, 10)->n_items, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_READ, ACME, .key = text("none"), .n = 1)->n_items, 0);
}

static void an_answer_is_bounded_in_bytes(void **state)
{
    (void)state;
    static char value[400 * 1024];
    memset(value, 'v', sizeof(value));
    for (int i = 0; i < 5; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(CALL(.op = WEIR_STORE_PUT, ACME, .key = text("keys"), .id = text(name),
                              .value = {value, sizeof(value)})
                             ->rc,
                         0);
        assert_int_equal(CALL(.op = WEIR_STORE_APPEND, ACME, .key = text("log"), .id = text(name),
                              .value = {value, sizeof(value)})
                             ->rc,
                         0);
        assert_int_equal(CALL(.op = WEIR_STORE_JOB_PUT, ACME, .key = text("q"), .id = text(name),
                              .value = {value, sizeof(value)})
                             ->rc,
                         0);
    }
    const struct answer *a = LIST("", 100);
    assert_true(a->n_items == 2 && a->more);
    a = READ(0, 100);
    assert_true(a->n_items == 2 && a->more);
    assert_int_equal(a->items[1].value_len, sizeof(value));
    a = READ(3, 100);
    assert_true(a->n_items == 2 && !a->more);
    assert_int_equal(
        CALL(.op = WEIR_STORE_JOB_CLAIM, ACME, .key = text("q"), .n = 100, .number = 60000)
            ->n_items,
        2);
    assert_int_equal(
        CALL(.op = WEIR_STORE_JOB_CLAIM, ACME, .key = text("q"), .n = 100, .number = 60000)
            ->n_items,
        2);
}

static void a_record_may_be_as_large_as_a_value(void **state)
{
    (void)state;
    static char value[WEIR_STORE_MAX_VALUE_BYTES];
    memset(value, 'v', sizeof(value));
    const weir_str all = {value, sizeof(value)};
    assert_int_equal(
        CALL(.op = WEIR_STORE_PUT, ACME, .key = text("keys"), .id = text("k"), .value = all)->rc,
        0);
    assert_int_equal(FIND("k")->value_len, sizeof(value));
    assert_int_equal(LIST("", 2)->items[0].value_len, sizeof(value));
    assert_int_equal(
        CALL(.op = WEIR_STORE_APPEND, ACME, .key = text("log"), .id = text("k"), .value = all)->rc,
        0);
    assert_int_equal(READ(0, 2)->items[0].value_len, sizeof(value));
}

static void erasing_a_tenant_leaves_its_logs_and_the_others(void **state)
{
    (void)state;
    static const weir_str tag = WEIR_STR_INIT("t");
    const weir_store_limit level = {WEIR_STR_INIT("k"), 1, 1, UINT64_C(100) * SECOND, 1};
    const weir_store_hold hold = {WEIR_STR_INIT("k"), 1, 1};
    static const char *const tenants[] = {"acme", "other", "acme2", "", "a*"};
    for (int i = 0; i < 5; i++) {
        weir_str t = text(tenants[i]);
        for (int k = 0; k < 30; k++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "k%d", k);
            (void)CALL(.op = WEIR_STORE_SET, .tenant = t, .key = text(name), .value = text("v"),
                       .tags = &tag, .n = 1);
            (void)CALL(.op = WEIR_STORE_JOB_PUT, .tenant = t, .key = text("q"), .id = text(name));
            (void)CALL(.op = WEIR_STORE_PUT, .tenant = t, .key = text("c"), .id = text(name),
                       .value = text("v"));
        }
        (void)CALL(.op = WEIR_STORE_APPEND, .tenant = t, .key = text("log"), .id = text("e"));
        (void)CALL(.op = WEIR_STORE_TAKE, .tenant = t, .levels = &level, .n = 1);
        (void)CALL(.op = WEIR_STORE_ADD, .tenant = t, .key = text("n"), .delta = 1);
        (void)CALL(.op = WEIR_STORE_RESERVE, .tenant = t, .id = text("r"), .holds = &hold, .n = 1,
                   .number = 60000);
    }
    assert_true(CALL(.op = WEIR_STORE_ERASE, .tenant = text("a*"))->number > 30);
    const struct answer *a = CALL(.op = WEIR_STORE_ERASE, ACME);
    assert_int_equal(a->rc, 0);
    assert_true(a->number > 30);
    for (int i = 0; i < 4; i++) {
        bool gone = i == 0;
        weir_str t = text(tenants[i]);
        assert_int_equal(CALL(.op = WEIR_STORE_GET, .tenant = t, .key = text("k7"))->rc,
                         gone ? WEIR_E_NOTFOUND : 0);
        assert_int_equal(
            CALL(.op = WEIR_STORE_LIST, .tenant = t, .key = text("c"), .n = 100)->n_items,
            gone ? 0 : 30);
        assert_int_equal(CALL(.op = WEIR_STORE_TAKE, .tenant = t, .levels = &level, .n = 1)->rc,
                         gone ? 0 : WEIR_E_BUSY);
        assert_int_equal(CALL(.op = WEIR_STORE_RESERVE, .tenant = t, .id = text("r2"),
                              .holds = &hold, .n = 1, .number = 60000)
                             ->rc,
                         gone ? 0 : WEIR_E_BUSY);
        assert_int_equal(
            CALL(.op = WEIR_STORE_ADD, .tenant = t, .key = text("n"), .delta = 1)->number,
            gone ? 1 : 2);
        assert_int_equal(CALL(.op = WEIR_STORE_JOB_CLAIM, .tenant = t, .key = text("q"), .n = 40,
                              .number = 60000)
                             ->n_items,
                         gone ? 0 : 30);
        assert_int_equal(
            CALL(.op = WEIR_STORE_READ, .tenant = t, .key = text("log"), .n = 10)->n_items, 1);
        assert_int_equal(
            CALL(.op = WEIR_STORE_APPEND, .tenant = t, .key = text("log"), .id = text("e"))->rc,
            WEIR_E_BUSY);
    }
}

static void records_and_logs_out_of_bounds_are_refused_at_once(void **state)
{
    (void)state;
    static const enum weir_store_op named[] = {WEIR_STORE_PUT, WEIR_STORE_FIND, WEIR_STORE_APPEND,
                                               WEIR_STORE_JOB_PUT, WEIR_STORE_JOB_ACK};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        assert_int_equal(REFUSAL(.op = named[i], ACME, .key = text("k")), WEIR_E_ARG);
        assert_int_equal(REFUSAL(.op = named[i], ACME, .id = text("k")), WEIR_E_ARG);
    }
    assert_int_equal(REFUSAL(.op = WEIR_STORE_LIST, ACME, .key = text("k")), WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_READ, ACME, .key = text("k")), WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_JOB_CLAIM, ACME, .key = text("k"), .n = 1),
                     WEIR_E_ARG);
}

int suite_records(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_is_written_only_over_the_version_named),
        TEST(an_empty_value_removes_a_record),
        TEST(records_are_listed_in_the_order_of_their_names),
        TEST(a_log_keeps_the_order_and_each_id_once),
        TEST(an_answer_is_bounded_in_bytes),
        TEST(a_record_may_be_as_large_as_a_value),
        TEST(erasing_a_tenant_leaves_its_logs_and_the_others),
        TEST(records_and_logs_out_of_bounds_are_refused_at_once),
    };
    return cmocka_run_group_tests_name("store: records and logs", tests, NULL, NULL);
}
