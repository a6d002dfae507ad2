/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_target.h"

#include "core/net/listen_address.h"
#include "tests/support/cmocka.h"

static void targets_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *target, *authority, *path, *query;
    } cases[] = {
        {"/", "", "/", ""},
        {"/a/b?c=d?e/f", "", "/a/b", "c=d?e/f"},
        {"/?", "", "/", ""},
        {"*", "", "*", ""},
        {"http://h:80/a?b", "h:80", "/a", "b"},
        {"HTTPS://[::1]?b", "[::1]", "/", "b"},
        {"/%2F%c3%A9;v=1,2@:!$&'()*+~-._", "", "/%2F%c3%A9;v=1,2@:!$&'()*+~-._", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_http_target t;
        assert_int_equal(weir_http_target_parse(weir_str_from(cases[i].target), &t), WEIR_OK);
        assert_true(weir_str_is(t.authority, cases[i].authority));
        assert_true(weir_str_is(t.path, cases[i].path));
        assert_true(weir_str_is(t.query, cases[i].query));
    }
}

static void doubtful_targets_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "a",
        "?a",
        "//\x7f",
        "/ ",
        "/a%",
        "/a%2",
        "/a%0g",
        "/%00",
        "/?%00",
        "/#",
        "/[",
        "/\\",
        "/\"",
        "/{a}",
        "/|",
        "/^",
        "/`",
        "/\xC3\xA9",
        "ftp://a",
        "http://",
        "http://a b/",
        "http://u@h/",
        "**",
        "http://h:x/",
        "http://[::g]/",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_http_target t;
        assert_int_equal(weir_http_target_parse(weir_str_from(cases[i]), &t), WEIR_E_FORMAT);
    }
}

static void hosts_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a.b-c_d:80", "127.0.0.1", "[::1]:65535", "a:"};
    static const char *const bad[] = {"",    ":80", "a:b", "a:65536", "a:-1",   "[]",  "[::1",
                                      "a/b", "u@a", "a,b", "a b",     "[::1]x", "a%00"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(weir_http_host_check(weir_str_from(good[i])), WEIR_OK);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(weir_http_host_check(weir_str_from(bad[i])), WEIR_E_FORMAT);
    }
}

static void escapes_are_decoded_once(void **state)
{
    (void)state;
    struct weir_arena arena;
    weir_arena_init(&arena, 10000);
    weir_str s = weir_http_percent_decode(&arena, weir_str_from("a%2Fb%252f%zz%4"));
    assert_true(weir_str_is(s, "a/b%2f%zz%4"));
    weir_arena_finish(&arena);
}

static void listen_addresses_are_read_or_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"127.0.0.1:0", 0},
        {"[::1]:65535", 0},
        {":8080", 0},
        {"localhost:1", 0},
        {"unix:/run/weir", 0},
        {"127.0.0.1", WEIR_E_ARG},
        {"127.0.0.1:", WEIR_E_ARG},
        {"127.0.0.1:65536", WEIR_E_ARG},
        {"127.0.0.1:8x", WEIR_E_ARG},
        {"::1:80", WEIR_E_ARG},
        {"[::1:80", WEIR_E_ARG},
        {"example.com:80", WEIR_E_ARG},
        {"unix:", WEIR_E_ARG},
        {"", WEIR_E_ARG},
        {"1.2.3.4.5:80", WEIR_E_ARG},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_listen_address a;
        struct weir_error err = {0};
        assert_int_equal(weir_listen_address_parse(cases[i].text, &a, &err), cases[i].result);
        assert_int_equal(err.code, cases[i].result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_split),
        cmocka_unit_test(doubtful_targets_are_refused),
        cmocka_unit_test(hosts_are_checked),
        cmocka_unit_test(escapes_are_decoded_once),
        cmocka_unit_test(listen_addresses_are_read_or_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
