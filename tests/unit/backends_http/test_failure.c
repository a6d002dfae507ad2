/* SPDX-License-Identifier: Apache-2.0 */
/* What clients are told of an upstream's failures. */
#include "failure.h"

#include <stdio.h>
#include <time.h>

#include "tests/support/cmocka.h"

static void statuses_become_what_the_client_can_use(void **state)
{
    (void)state;
    static const struct {
        uint32_t status;
        const char *body;
        uint32_t told;
        const char *code, *message;
        bool target_failed;
    } cases[] = {
        {400, "{\"error\":{\"message\":\"hot\",\"code\":\"c\"}}", 400, "c", "hot", false},
        {422, "{\"error\":\"text\"}", 422, "invalid_value", "text", false},
        {413, "", 413, "invalid_value", "The model's server refused the request.", false},
        {429, "no json", 429, "rate_limit_exceeded", "The model's server limits its rate.", false},
        {503, "{\"message\":\"m\"}", 503, "upstream_unavailable", "m", true},
        {401, "{\"error\":{\"message\":\"sk-1 is wrong\"}}", 502, "upstream_refused",
         "The model's server answered with status 401.", true},
        {500, "{\"error\":{\"message\":\"stack\"}}", 502, "upstream_error",
         "The model's server answered with status 500.", true},
        {504, "", 504, "upstream_error", "The model's server answered with status 504.", true},
        {302, "", 502, "upstream_error", "The model's server answered with status 302.", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_upstream_failure f;
        weir_upstream_fail_status(&f, cases[i].status, 5, weir_str_from(cases[i].body));
        assert_true(f.rc < 0);
        assert_int_equal(f.status, cases[i].told);
        assert_string_equal(f.code, cases[i].code);
        assert_string_equal(f.message, cases[i].message);
        assert_int_equal((f.flags & WEIR_OUTCOME_TARGET_FAILED) != 0, cases[i].target_failed);
        assert_int_equal(f.retry_after_us, 5);
    }
}

static void retry_after_is_read_in_all_its_forms(void **state)
{
    (void)state;
    assert_int_equal(weir_upstream_retry_after(weir_str_from("7")), 7000000);
    assert_int_equal(weir_upstream_retry_after(weir_str_from("99999999999999999999")), 3600000000);
    assert_int_equal(weir_upstream_retry_after(weir_str_from("7x")), 0);
    assert_int_equal(weir_upstream_retry_after(weir_str_from("-7")), 0);
    assert_int_equal(weir_upstream_retry_after(weir_str_from("")), 0);
    assert_int_equal(weir_upstream_retry_after_ms(weir_str_from("1500.5")), 1500000);
    char date[64];
    time_t then = time(NULL) + 100;
    struct tm tm;
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
    uint64_t us = weir_upstream_retry_after(weir_str_from(date));
    assert_true(us > 50000000 && us <= 100000000);
    assert_int_equal(weir_upstream_retry_after(weir_str_from("Sun, 06 Nov 1994 08:49:37 GMT")), 0);
}

static void what_never_left_may_run_elsewhere(void **state)
{
    (void)state;
    struct weir_upstream_failure f;
    weir_upstream_fail_link(&f, false, "connect", "x");
    assert_true(f.flags & WEIR_OUTCOME_UNSENT);
    assert_int_equal(f.status, 503);
    weir_upstream_fail_link(&f, true, "reset", "x");
    assert_false(f.flags & WEIR_OUTCOME_UNSENT);
    assert_int_equal(f.status, 502);
    weir_upstream_fail_timeout(&f, true, "slept", 5);
    assert_int_equal(f.status, 504);
    assert_string_equal(f.message, "The model's server slept within 5 ms.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_become_what_the_client_can_use),
        cmocka_unit_test(retry_after_is_read_in_all_its_forms),
        cmocka_unit_test(what_never_left_may_run_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
