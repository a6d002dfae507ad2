/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/units.h"

#include "tests/support/cmocka.h"

static void durations_have_a_unit_and_fit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t us; /* 0: refused */
    } cases[] = {
        {"1us", 1},
        {"50ms", 50000},
        {"30s", 30000000},
        {"15m", UINT64_C(900000000)},
        {"4h", UINT64_C(14400000000)},
        {"7d", UINT64_C(604800000000)},
        {"", 0},
        {"30", 0},
        {"s", 0},
        {"1.5s", 0},
        {"-1s", 0},
        {"1 s", 0},
        {"1S", 0},
        {"1h30m", 0},
        {"18446744073709551615s", 0},
        {"99999999999999999999999ms", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t us = 0;
        int r = weir_duration_parse(weir_str_from(cases[i].text), &us);
        assert_int_equal(r, cases[i].us ? 0 : WEIR_E_ARG);
        assert_int_equal(us, cases[i].us);
    }
}

static void sizes_know_both_kinds_of_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } cases[] = {
        {"4096", 4096},
        {"64KiB", 65536},
        {"1Gi", 1073741824},
        {"10MB", 10000000},
        {"2k", 2000},
        {"3Ti", UINT64_C(3298534883328)},
        {"", 0},
        {"1.5Gi", 0},
        {"1gb", 0},
        {"Gi", 0},
        {"99999999Ti", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t n = 0;
        int r = weir_bytes_parse(weir_str_from(cases[i].text), &n);
        assert_int_equal(r, cases[i].bytes ? 0 : WEIR_E_ARG);
        assert_int_equal(n, cases[i].bytes);
    }
}

static void addresses_need_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host; /* NULL: refused */
        int port;
    } cases[] = {
        {"127.0.0.1:8080", "127.0.0.1", 8080},
        {"localhost:0", "localhost", 0},
        {"[::1]:65535", "::1", 65535},
        {":8080", "", 8080},
        {"8080", NULL, 0},
        {"host:", NULL, 0},
        {"host:65536", NULL, 0},
        {"host:80x", NULL, 0},
        {"::1:80", NULL, 0},
        {"ho st:80", NULL, 0},
        {"[]:80", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_str host = {NULL, 0};
        uint16_t port = 0;
        int r = weir_host_port_parse(weir_str_from(cases[i].text), &host, &port);
        assert_int_equal(r, cases[i].host ? 0 : WEIR_E_ARG);
        if (cases[i].host) {
            assert_true(weir_str_is(host, cases[i].host));
            assert_int_equal(port, cases[i].port);
        }
    }
}

static void uris_need_a_scheme_and_no_blanks(void **state)
{
    (void)state;
    assert_int_equal(weir_uri_check(weir_str_from("redis://127.0.0.1:6379/0")), 0);
    assert_int_equal(weir_uri_check(weir_str_from("redis+sentinel://h:1/m")), 0);
    static const char *const bad[] = {"",    ":", "http:", "//host", "http://a b", "127.0.0.1:80",
                                      "Http"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(weir_uri_check(weir_str_from(bad[i])), WEIR_E_ARG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_a_unit_and_fit),
        cmocka_unit_test(sizes_know_both_kinds_of_prefix),
        cmocka_unit_test(addresses_need_host_and_port),
        cmocka_unit_test(uris_need_a_scheme_and_no_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
