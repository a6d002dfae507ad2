/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#define GET(k) CALL(.op = WEIR_STORE_GET, ACME, .key = text(k))
#define SET(k, v, ms)                                                                              \
    CALL(.op = WEIR_STORE_SET, ACME, .key = text(k), .value = text(v), .number = (ms))
#define SET_TAGGED(k, v, ms, list, n_tags)                                                         \
    CALL(.op = WEIR_STORE_SET, ACME, .key = text(k), .value = text(v), .number = (ms),             \
         .tags = (list), .n = (n_tags))
#define INVALIDATE(t) CALL(.op = WEIR_STORE_INVALIDATE, ACME, .key = text(t))
#define ADD(k, d, ms) CALL(.op = WEIR_STORE_ADD, ACME, .key = text(k), .delta = (d), .number = (ms))

static const weir_str model_and_user[] = {WEIR_STR_INIT("model:m"), WEIR_STR_INIT("user:u")};

static void values_are_kept_until_their_time_is_over(void **state)
{
    (void)state;
    assert_int_equal(GET("k")->rc, WEIR_E_NOTFOUND);
    assert_int_equal(SET("k", "one", 300)->rc, 0);
    assert_int_equal(GET("k")->rc, 0);
    assert_string_equal(GET("k")->value, "one");
    assert_int_equal(CALL(.op = WEIR_STORE_GET, OTHER, .key = text("k"))->rc, WEIR_E_NOTFOUND);
    assert_int_equal(SET("k", "two", 0)->rc, 0);
    fixture_advance(400 * 1000);
    assert_int_equal(GET("k")->rc, 0);
    assert_string_equal(GET("k")->value, "two");
    assert_int_equal(SET("k", "", 100)->rc, 0);
    assert_int_equal(GET("k")->rc, 0);
    assert_int_equal(GET("k")->value_len, 0);
    fixture_advance(200 * 1000);
    assert_int_equal(GET("k")->rc, WEIR_E_NOTFOUND);
}

static void a_value_s_version_rises_with_every_set(void **state)
{
    (void)state;
    int64_t last = 0;
    for (int i = 0; i < 5; i++) {
        int64_t version = SET("k", "same", 0)->number;
        assert_true(version > last);
        last = version;
        assert_int_equal(GET("k")->number, version);
        if (i == 2) {
            assert_int_equal(CALL(.op = WEIR_STORE_REMOVE, ACME, .key = text("k"))->number, 1);
        }
    }
}

static void any_bytes_can_be_stored(void **state)
{
    (void)state;
    static char large[WEIR_STORE_MAX_VALUE_BYTES];
    for (size_t i = 0; i < sizeof(large); i++) {
        large[i] = (char)(i * 7);
    }
    const weir_str odd_key = {"\0\r\n{a}*?[\\\xff", 12}, odd_tenant = {"}{\0%*\xfe", 6};
    const weir_str odd_tag = {"\0tag\r\n", 6};
    assert_int_equal(CALL(.op = WEIR_STORE_SET, .tenant = odd_tenant, .key = odd_key,
                          .value = {large, sizeof(large)}, .tags = &odd_tag, .n = 1)
                         ->rc,
                     0);
    const struct answer *a = CALL(.op = WEIR_STORE_GET, .tenant = odd_tenant, .key = odd_key);
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->value_len, sizeof(large));
    assert_memory_equal(a->value, large, sizeof(a->value) - 1);
    /* Tenants whose names look alike when written carelessly are different ones. */
    assert_int_equal(CALL(.op = WEIR_STORE_GET, .tenant = text("}{"), .key = odd_key)->rc,
                     WEIR_E_NOTFOUND);
    assert_int_equal(CALL(.op = WEIR_STORE_SET, .key = text("k"), .value = text("whole"))->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_GET, .tenant = text("%"), .key = text("k"))->rc,
                     WEIR_E_NOTFOUND);
    assert_int_equal(
        CALL(.op = WEIR_STORE_INVALIDATE, .tenant = odd_tenant, .key = odd_tag)->number, 1);
    assert_int_equal(CALL(.op = WEIR_STORE_GET, .tenant = odd_tenant, .key = odd_key)->rc,
                     WEIR_E_NOTFOUND);
}

static void a_tag_takes_all_its_values_of_that_tenant(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(SET_TAGGED(key, "v", 0, model_and_user, i % 2 ? 2 : 1)->rc, 0);
    }
    assert_int_equal(SET("untagged", "v", 0)->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_SET, OTHER, .key = text("k1"), .value = text("v"),
                          .tags = model_and_user, .n = 2)
                         ->rc,
                     0);
    assert_int_equal(INVALIDATE("user:u")->number, 25);
    assert_int_equal(GET("k1")->rc, WEIR_E_NOTFOUND);
    assert_int_equal(GET("k2")->rc, 0);
    assert_int_equal(INVALIDATE("model:m")->number, 25);
    assert_int_equal(GET("k2")->rc, WEIR_E_NOTFOUND);
    assert_int_equal(GET("untagged")->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_GET, OTHER, .key = text("k1"))->rc, 0);
    assert_int_equal(INVALIDATE("model:m")->number, 0);
    assert_int_equal(INVALIDATE("model:m")->rc, 0);
}

#define LOOK(k, list, n_tags)                                                                      \
    CALL(.op = WEIR_STORE_GET, ACME, .key = text(k), .tags = (list), .n = (n_tags))
#define KEEP(k, v, m, list, n_tags)                                                                \
    CALL(.op = WEIR_STORE_SET, ACME, .key = text(k), .value = text(v), .tags = (list),             \
         .n = (n_tags), .flags = WEIR_STORE_MARKED, .delta = (m))

static void what_was_looked_for_before_an_invalidation_is_not_kept(void **state)
{
    (void)state;
    const weir_str *both = model_and_user, *user = &model_and_user[1];
    assert_int_equal(LOOK("k", both, 2)->rc, WEIR_E_NOTFOUND);
    const int64_t first = LOOK("k", both, 2)->number, of_user = LOOK("u", user, 1)->number;
    assert_int_equal(KEEP("k", "v", first, both, 2)->rc, 0);
    assert_string_equal(LOOK("k", both, 2)->value, "v");
    assert_int_equal(LOOK("k", both, 2)->number, first);
    /* Values that are there or not, and other tags, have nothing to do with it. */
    assert_int_equal(INVALIDATE("model:other")->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_REMOVE, ACME, .key = text("k"))->number, 1);
    assert_int_equal(KEEP("k", "v", first, both, 2)->rc, 0);
    for (int i = 0; i < 3; i++) {
        const int64_t mark = LOOK("k", both, 2)->number;
        assert_int_equal(INVALIDATE("model:m")->rc, 0);
        assert_int_equal(KEEP("k", "late", mark, both, 2)->rc, WEIR_E_BUSY);
        assert_int_equal(KEEP("k", "later", first, both, 2)->rc, WEIR_E_BUSY);
        assert_int_equal(GET("k")->rc, WEIR_E_NOTFOUND);
    }
    assert_int_equal(KEEP("u", "v", of_user, user, 1)->rc, 0);
    assert_int_equal(KEEP("k", "v", LOOK("k", both, 2)->number, both, 2)->rc, 0);
    assert_int_equal(SET_TAGGED("k", "w", 0, both, 2)->rc, 0); /* as ever */
    assert_int_equal(
        CALL(.op = WEIR_STORE_GET, OTHER, .key = text("k"), .tags = both, .n = 2)->number, 0);
}

static void what_was_looked_for_before_its_tenant_was_erased_is_not_kept(void **state)
{
    (void)state;
    const weir_str *both = model_and_user;
    const int64_t first = LOOK("k", both, 2)->number;
    assert_int_equal(CALL(.op = WEIR_STORE_ERASE, OTHER)->rc, 0);
    assert_int_equal(KEEP("k", "v", first, both, 2)->rc, 0);
    assert_int_equal(INVALIDATE("model:m")->rc, 0);
    const int64_t second = LOOK("k", both, 2)->number;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(CALL(.op = WEIR_STORE_ERASE, ACME)->rc, 0);
        assert_int_equal(KEEP("k", "late", first, both, 2)->rc, WEIR_E_BUSY);
        assert_int_equal(KEEP("k", "late", second, both, 2)->rc, WEIR_E_BUSY);
        assert_int_equal(GET("k")->rc, WEIR_E_NOTFOUND);
    }
    assert_int_equal(KEEP("k", "v", LOOK("k", both, 2)->number, both, 2)->rc, 0);
}

static void only_a_value_s_present_tags_count(void **state)
{
    (void)state;
    assert_int_equal(SET_TAGGED("a", "v", 0, model_and_user, 2)->rc, 0);
    assert_int_equal(SET_TAGGED("a", "v", 0, &model_and_user[0], 1)->rc, 0);
    assert_int_equal(INVALIDATE("user:u")->number, 0);
    assert_int_equal(GET("a")->rc, 0);
    assert_int_equal(SET("a", "v", 0)->rc, 0);
    assert_int_equal(INVALIDATE("model:m")->number, 0);
    assert_int_equal(GET("a")->rc, 0);
    /* Nor those of a value that has gone. */
    assert_int_equal(SET_TAGGED("b", "v", 100, model_and_user, 2)->rc, 0);
    fixture_advance(200 * 1000);
    assert_int_equal(SET("b", "v", 0)->rc, 0);
    assert_int_equal(SET_TAGGED("c", "v", 0, model_and_user, 2)->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_REMOVE, ACME, .key = text("c"))->number, 1);
    assert_int_equal(SET("c", "v", 0)->rc, 0);
    assert_int_equal(INVALIDATE("user:u")->number, 0);
    assert_int_equal(GET("b")->rc, 0);
    assert_int_equal(GET("c")->rc, 0);
}

static void values_can_be_removed(void **state)
{
    (void)state;
    assert_int_equal(SET("k", "v", 0)->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_REMOVE, OTHER, .key = text("k"))->number, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_REMOVE, ACME, .key = text("k"))->number, 1);
    assert_int_equal(GET("k")->rc, WEIR_E_NOTFOUND);
    const struct answer *a = CALL(.op = WEIR_STORE_REMOVE, ACME, .key = text("k"));
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->number, 0);
}

static void counters_add_and_expire(void **state)
{
    (void)state;
    assert_int_equal(ADD("c", 5, 300)->number, 5);
    assert_int_equal(ADD("c", -7, 300)->number, -2);
    assert_int_equal(CALL(.op = WEIR_STORE_ADD, OTHER, .key = text("c"), .delta = 1)->number, 1);
    fixture_advance(400 * 1000);
    assert_int_equal(ADD("c", 1, 300)->number, 1);
    assert_int_equal(CALL(.op = WEIR_STORE_ADD, OTHER, .key = text("c"), .delta = 1)->number, 2);
    assert_int_equal(ADD("c", 0, 0)->number, 1); /* a look */
}

static void counters_are_exact_and_saturate(void **state)
{
    (void)state;
    assert_int_equal(ADD("c", INT64_MAX - 1, 0)->number, INT64_MAX - 1);
    assert_int_equal(ADD("c", 1, 0)->number, INT64_MAX);
    assert_int_equal(ADD("c", 1, 0)->number, INT64_MAX);
    assert_int_equal(ADD("c", -1, 0)->number, INT64_MAX - 1);
    assert_int_equal(ADD("d", INT64_MIN, 0)->number, INT64_MIN);
    assert_int_equal(ADD("d", -1, 0)->number, INT64_MIN);
    assert_int_equal(ADD("d", INT64_MAX, 0)->number, -1);
}

static void kinds_of_the_same_key_do_not_meet(void **state)
{
    (void)state;
    const weir_store_limit level = {WEIR_STR_INIT("k"), 1, 1, SECOND, 1};
    const weir_store_hold hold = {WEIR_STR_INIT("k"), 1, 1};
    assert_int_equal(SET_TAGGED("k", "v", 0, &(weir_str)WEIR_STR_INIT("k"), 1)->rc, 0);
    assert_int_equal(ADD("k", 1, 0)->number, 1);
    assert_int_equal(CALL(.op = WEIR_STORE_TAKE, ACME, .levels = &level, .n = 1)->rc, 0);
    assert_int_equal(CALL(.op = WEIR_STORE_RESERVE, ACME, .id = text("k"), .holds = &hold, .n = 1,
                          .number = 1000)
                         ->rc,
                     0);
    assert_int_equal(
        CALL(.op = WEIR_STORE_PUT, ACME, .key = text("k"), .id = text("k"), .value = text("record"))
            ->rc,
        0);
    assert_int_equal(CALL(.op = WEIR_STORE_APPEND, ACME, .key = text("k"), .id = text("k"),
                          .value = text("entry"))
                         ->rc,
                     0);
    assert_int_equal(CALL(.op = WEIR_STORE_JOB_PUT, ACME, .key = text("k"), .id = text("k"),
                          .value = text("job"))
                         ->rc,
                     0);
    assert_int_equal(GET("k")->rc, 0);
    assert_string_equal(GET("k")->value, "v");
    assert_int_equal(ADD("k", 1, 0)->number, 2);
}

static void what_is_out_of_bounds_is_refused_at_once(void **state)
{
    (void)state;
    static char large[WEIR_STORE_MAX_VALUE_BYTES + 1];
    weir_str long_key = {large, WEIR_STORE_MAX_KEY_BYTES + 1};
    weir_str too_big = {large, sizeof(large)};
    assert_int_equal(REFUSAL(.op = WEIR_STORE_GET, ACME), WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_GET, ACME, .key = long_key), WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_GET, .tenant = long_key, .key = text("k")),
                     WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_SET, ACME, .key = text("k"), .value = too_big),
                     WEIR_E_TOOBIG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_SET, ACME, .key = text("k"), .n = 9), WEIR_E_ARG);
    assert_int_equal(
        REFUSAL(.op = WEIR_STORE_SET, ACME, .key = text("k"), .tags = &long_key, .n = 1),
        WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_N_OPS, ACME, .key = text("k")), WEIR_E_ARG);
    assert_int_equal(
        weir_store_call(fixture_store,
                        &(struct weir_store_call){.op = WEIR_STORE_GET, .key = WEIR_STR_INIT("k")},
                        NULL, NULL),
        WEIR_E_ARG);
    weir_str longest = {large, WEIR_STORE_MAX_KEY_BYTES};
    assert_int_equal(
        CALL(.op = WEIR_STORE_SET, .tenant = longest, .key = longest, .tags = &longest, .n = 1)->rc,
        0);
    assert_int_equal(CALL(.op = WEIR_STORE_GET, .tenant = longest, .key = longest)->rc, 0);
}

int suite_values(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_are_kept_until_their_time_is_over),
        TEST(a_value_s_version_rises_with_every_set),
        TEST(any_bytes_can_be_stored),
        TEST(a_tag_takes_all_its_values_of_that_tenant),
        TEST(what_was_looked_for_before_an_invalidation_is_not_kept),
        TEST(what_was_looked_for_before_its_tenant_was_erased_is_not_kept),
        TEST(only_a_value_s_present_tags_count),
        TEST(values_can_be_removed),
        TEST(counters_add_and_expire),
        TEST(counters_are_exact_and_saturate),
        TEST(kinds_of_the_same_key_do_not_meet),
        TEST(what_is_out_of_bounds_is_refused_at_once),
    };
    return cmocka_run_group_tests_name("store: values", tests, NULL, NULL);
}
