/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tenants/tenants.h"

#include <pthread.h>
#include <stdio.h>

#include "tests/support/cmocka.h"

#define RECORD(entry) "{\"tenant\":" entry ",\"created\":\"2026-01-01T00:00:00Z\"}"

static struct weir_tenants *ts;

static int set_up(void **state)
{
    (void)state;
    return weir_tenants_create(&ts);
}

static int tear_down(void **state)
{
    (void)state;
    weir_tenants_destroy(ts);
    return 0;
}

static void entries(const char *json)
{
    assert_int_equal(weir_tenants_set_entries(ts, weir_str_from(json)), 0);
}

static void record(const char *name, const char *json, uint64_t number)
{
    assert_int_equal(weir_tenants_set_record(ts, weir_str_from(name), weir_str_from(json), number),
                     0);
}

static const struct weir_tenant *find(const char *name)
{
    return weir_tenants_find(ts, weir_str_from(name));
}

static void a_tenant_of_the_configuration_is_found_without_its_keys(void **state)
{
    (void)state;
    entries("{\"acme\":{\"tier\":\"batch\",\"models\":[\"b\",\"a\"],"
            "\"keys\":[{\"name\":\"k\",\"secret\":\"12345678\"}]},\"other\":{}}");
    const struct weir_tenant *t = find("acme");
    assert_non_null(t);
    assert_true(t->has_class && t->service_class == WEIR_CLASS_BATCH);
    assert_true(weir_tenant_may_use(t, weir_str_from("a")));
    assert_true(weir_tenant_may_use(t, weir_str_from("b")));
    assert_false(weir_tenant_may_use(t, weir_str_from("c")));
    assert_true(weir_tenant_may_use(find("other"), weir_str_from("c")));
    assert_true(
        weir_str_is(t->json, "{\"state\":\"active\",\"tier\":\"batch\",\"models\":[\"b\",\"a\"]}"));
    assert_null(find("acm"));
    assert_null(find(""));
    assert_int_equal(weir_tenants_count(ts), 2);
}

static void the_version_changes_with_every_change_and_with_no_other(void **state)
{
    (void)state;
    entries("{\"acme\":{},\"b\":{}}");
    uint64_t first = find("acme")->version;
    entries("{\"acme\":{},\"b\":{\"tier\":\"batch\"}}");
    assert_int_equal(find("acme")->version, first);
    record("acme", RECORD("{\"state\":\"suspended\"}"), 1);
    uint64_t second = find("acme")->version;
    assert_true(second > first);
    record("acme", RECORD("{\"state\":\"suspended\"}"), 1);
    assert_int_equal(find("acme")->version, second);
    record("acme", "", 0);
    assert_true(find("acme")->version > second);
}

static void a_record_makes_a_tenant_and_its_end_unmakes_it(void **state)
{
    (void)state;
    entries("{}");
    record("new", RECORD("{\"state\":\"active\",\"tier\":\"batch\"}"), 7);
    assert_int_equal(find("new")->record_number, 7);
    assert_int_equal(find("new")->state, WEIR_TENANT_ACTIVE);
    record("new", RECORD("{\"state\":\"deleting\"}"), 8);
    assert_int_equal(find("new")->state, WEIR_TENANT_DELETING);
    record("new", "", 0);
    assert_null(find("new"));
    assert_int_equal(weir_tenants_count(ts), 0);
}

static void either_side_can_suspend_and_neither_undoes_the_other(void **state)
{
    (void)state;
    static const char both[] = "{\"state_only\":true,\"tenant\":{\"state\":\"suspended\"}}";
    static const char active[] = "{\"state_only\":true,\"tenant\":{\"state\":\"active\"}}";
    entries("{\"acme\":{}}");
    record("acme", both, 1);
    assert_int_equal(find("acme")->state, WEIR_TENANT_SUSPENDED);
    record("acme", active, 2);
    assert_int_equal(find("acme")->state, WEIR_TENANT_ACTIVE);
    entries("{\"acme\":{\"state\":\"suspended\"}}");
    assert_int_equal(find("acme")->state, WEIR_TENANT_SUSPENDED);
    record("acme", both, 3);
    entries("{\"acme\":{}}");
    assert_int_equal(find("acme")->state, WEIR_TENANT_SUSPENDED);
}

static void a_state_alone_makes_no_tenant(void **state)
{
    (void)state;
    entries("{\"acme\":{}}");
    record("acme", "{\"state_only\":true,\"tenant\":{\"state\":\"suspended\"}}", 1);
    entries("{}");
    assert_null(find("acme"));
    record("b", "not json", 2);
    record("c", "{\"tenant\":3}", 3);
    assert_int_equal(weir_tenants_count(ts), 1);
    entries("{\"acme\":{}}"); /* it is back, and still suspended */
    assert_int_equal(find("acme")->state, WEIR_TENANT_SUSPENDED);
}

static void wrong_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".a",
        "-a",
        "a b",
        "a/b",
        "\xc3\xa4",
        "01234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(
            weir_tenants_set_record(ts, weir_str_from(bad[i]), weir_str_from(RECORD("{}")), 1),
            WEIR_E_ARG);
    }
    assert_true(weir_tenant_name_is_valid(weir_str_from("A.b-c_9")));
}

static int n_told;
static char last_told[80];

static void note(void *arg, weir_str name)
{
    (void)arg;
    n_told++;
    (void)snprintf(last_told, sizeof(last_told), "%.*s", (int)name.n, name.p);
}

static void a_watch_hears_of_coming_changing_and_going(void **state)
{
    (void)state;
    struct weir_tenants_watch watch = {.fn = note}, second = {.fn = note};
    n_told = 0;
    weir_tenants_watch(ts, &watch);
    entries("{\"acme\":{}}");
    assert_int_equal(n_told, 1);
    assert_string_equal(last_told, "acme");
    entries("{\"acme\":{}}");
    assert_int_equal(n_told, 1);
    entries("{\"acme\":{\"tier\":\"batch\"}}");
    entries("{}");
    assert_int_equal(n_told, 3);
    weir_tenants_watch(ts, &second);
    weir_tenants_unwatch(ts, &watch);
    weir_tenants_unwatch(ts, &second);
    entries("{\"acme\":{}}");
    assert_int_equal(n_told, 3);
}

static void what_a_reader_has_borrowed_stays_until_its_turn(void **state)
{
    (void)state;
    struct weir_tenants_reader *reader = NULL;
    entries("{\"acme\":{\"tier\":\"batch\"}}");
    assert_int_equal(weir_tenants_reader_add(ts, &reader), 0);
    const struct weir_tenant *borrowed = find("acme");
    entries("{\"acme\":{}}");
    entries("{}");
    /* Under the sanitizers, and with MALLOC_PERTURB_, freed memory would not read so. */
    assert_true(weir_str_is(borrowed->json, "{\"state\":\"active\",\"tier\":\"batch\"}"));
    weir_tenants_reader_turn(reader);
    entries("{\"other\":{}}");
    assert_null(find("acme"));
}

static void who_asks_again_gets_what_is_there_now(void **state)
{
    (void)state;
    entries("{\"acme\":{\"tier\":\"batch\"},\"b\":{}}");
    const struct weir_tenant *acme = find("acme");
    assert_ptr_equal(find("acme"), acme);
    assert_ptr_not_equal(find("b"), acme);
    assert_null(find("acm"));
    assert_ptr_equal(find("acme"), acme);
    entries("{\"acme\":{},\"b\":{}}");
    assert_false(find("acme")->has_class);
    assert_false(find("acme")->has_class);
    entries("{\"b\":{}}");
    assert_null(find("acme"));
    entries("{\"acme\":{\"tier\":\"batch\"}}");
    assert_true(find("acme")->has_class);
    /* Another registry, perhaps at the same place. */
    assert_non_null(find("acme"));
    weir_tenants_destroy(ts);
    assert_int_equal(weir_tenants_create(&ts), 0);
    assert_null(find("acme"));
    entries("{\"acme\":{}}");
    assert_false(find("acme")->has_class);
}

enum { N_NAMES = 64, N_ROUNDS = 3000, N_READERS = 3 };
static atomic_bool stop;

/* A reader never sees half a tenant, whatever the writer does meanwhile. */
static void *read_all(void *arg)
{
    struct weir_tenants_reader *reader = arg;
    uintptr_t n_wrong = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < N_NAMES; i++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "t%d", i);
            const struct weir_tenant *t = i % 2 && find(name) ? find(name) : find(name);
            n_wrong += t && (!weir_str_is(t->name, name) || t->json.p[0] != '{' ||
                             t->json.p[t->json.n - 1] != '}');
        }
        weir_tenants_reader_turn(reader);
    }
    return (void *)n_wrong;
}

static void readers_and_a_writer_run_together(void **state)
{
    (void)state;
    pthread_t threads[N_READERS];
    atomic_store(&stop, false);
    for (int i = 0; i < N_READERS; i++) {
        struct weir_tenants_reader *reader = NULL;
        assert_int_equal(weir_tenants_reader_add(ts, &reader), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, reader), 0);
    }
    for (int round = 1; round <= N_ROUNDS; round++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "t%d", round * 7 % N_NAMES);
        record(name, round % 3 ? RECORD("{\"tier\":\"batch\"}") : "",
               (uint64_t)(round % 3 ? round : 0));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < N_READERS; i++) {
        void *n_wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &n_wrong), 0);
        assert_null(n_wrong);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tenant_of_the_configuration_is_found_without_its_keys),
        TEST(the_version_changes_with_every_change_and_with_no_other),
        TEST(a_record_makes_a_tenant_and_its_end_unmakes_it),
        TEST(either_side_can_suspend_and_neither_undoes_the_other),
        TEST(a_state_alone_makes_no_tenant),
        TEST(wrong_names_are_refused),
        TEST(a_watch_hears_of_coming_changing_and_going),
        TEST(what_a_reader_has_borrowed_stays_until_its_turn),
        TEST(who_asks_again_gets_what_is_there_now),
        TEST(readers_and_a_writer_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
