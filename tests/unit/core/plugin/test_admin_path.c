/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/admin_path.h"

#include "tests/support/cmocka.h"

static struct weir_arena arena;

static int set_up(void **state)
{
    (void)state;
    weir_arena_init(&arena, 64 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    weir_arena_finish(&arena);
    return 0;
}

static int match(const char *path, const char *given, struct weir_admin_params *p)
{
    return weir_admin_path_match(path, weir_str_from(given), &arena, p);
}

static void parameters_are_whole_parts_and_decoded(void **state)
{
    (void)state;
    static const char path[] = "/admin/v1/tenants/{tenant}/keys/{key}";
    struct weir_admin_params p;
    assert_int_equal(match(path, "/admin/v1/tenants/a%2Fb/keys/%c3%a4", &p), 0);
    assert_int_equal(p.n, 2);
    assert_true(weir_str_is(p.items[0].name, "tenant") && weir_str_is(p.items[0].value, "a/b"));
    assert_true(weir_str_is(p.items[1].name, "key") && weir_str_is(p.items[1].value, "\xc3\xa4"));
    static const char *const others[] = {"/admin/v1/tenants/a/keys",
                                         "/admin/v1/tenants/a/keys/",
                                         "/admin/v1/tenants/a/keys/b/",
                                         "/admin/v1/tenants//keys/b",
                                         "/admin/v1/tenants/a/keyz/b",
                                         "admin",
                                         "",
                                         "/"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(match(path, others[i], &p), WEIR_E_NOTFOUND);
    }
    static const char *const malformed[] = {"/a/%",   "/a/%4",  "/a/%zz",
                                            "/a/%00", "/a/%0a", "/a/%7f"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_int_equal(match("/a/{x}", malformed[i], &p), WEIR_E_FORMAT);
    }
}

static void templates_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {"/a", "/admin/v1/x-y.z/{a_b}", "/{a}/{b}/{c}/{d}"};
    static const char *const bad[] = {"",
                                      "/",
                                      "a",
                                      "/a/",
                                      "//a",
                                      "/a/{}",
                                      "/a/{A}",
                                      "/a/x{b}",
                                      "/a/{b}c",
                                      "/a b",
                                      "/a?b",
                                      "/*",
                                      "/{a}/{b}/{c}/{d}/{e}"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(weir_admin_path_check(good[i]), 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(weir_admin_path_check(bad[i]), WEIR_E_ARG);
    }
}

static void queries_are_taken_apart(void **state)
{
    (void)state;
    weir_str v, q = weir_str_from("a=1&bc=x+y%26&empty=&flag&a=2&bad=%g0");
    assert_int_equal(weir_admin_query_find(q, "a", &arena, &v), 0);
    assert_true(weir_str_is(v, "1"));
    assert_int_equal(weir_admin_query_find(q, "bc", &arena, &v), 0);
    assert_true(weir_str_is(v, "x y&"));
    assert_int_equal(weir_admin_query_find(q, "empty", &arena, &v), 0);
    assert_int_equal(v.n, 0);
    assert_int_equal(weir_admin_query_find(q, "flag", &arena, &v), 0);
    assert_int_equal(weir_admin_query_find(q, "b", &arena, &v), WEIR_E_NOTFOUND);
    assert_int_equal(weir_admin_query_find(q, "bad", &arena, &v), WEIR_E_FORMAT);
    assert_int_equal(weir_admin_query_find(weir_str_from(""), "a", &arena, &v), WEIR_E_NOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parameters_are_whole_parts_and_decoded),
        TEST(templates_are_checked),
        TEST(queries_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
