/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones against the C library's. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "plugins/lua/zone.h"
#include "tests/support/cmocka.h"

static void times_are_those_of_the_c_library(void **state)
{
    (void)state;
    static const char *const names[] = {"Europe/Berlin",    "America/New_York",  "Asia/Kolkata",
                                        "Australia/Sydney", "America/Sao_Paulo", "Africa/Cairo",
                                        "Pacific/Auckland", "Europe/Dublin",     "Asia/Tokyo",
                                        "America/St_Johns", "Etc/GMT+5",         "Pacific/Apia"};
    struct zones *zones = zones_create();
    assert_non_null(zones);
    if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0) {
        zones_destroy(zones);
        print_message("no time zone database here\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)setenv("TZ", names[i], 1);
        tzset();
        /* Odd hours from 1950 to 2120, behind every file's list too. */
        for (int64_t at = INT64_C(-631152000); at < INT64_C(4733510400); at += 86400 * 3 + 3607) {
            struct zone_time t;
            struct tm want;
            time_t c_time = (time_t)at;
            assert_non_null(localtime_r(&c_time, &want));
            assert_int_equal(zones_local_time(zones, weir_str_from(names[i]), at, &t), 0);
            if (t.offset_s != want.tm_gmtoff || t.hour != want.tm_hour || t.day != want.tm_mday ||
                t.month != want.tm_mon + 1 || t.year != want.tm_year + 1900 ||
                t.weekday % 7 != want.tm_wday || t.year_day != want.tm_yday + 1 ||
                t.is_dst != (want.tm_isdst > 0)) {
                fail_msg("%s at %lld: %lld-%d-%d %d h, %d s east", names[i], (long long)at,
                         (long long)t.year, t.month, t.day, t.hour, t.offset_s);
            }
        }
    }
    (void)unsetenv("TZ");
    zones_destroy(zones);
}

static void names_cannot_leave_the_directory(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "/etc/passwd",
        "../zoneinfo/UTC",
        "Europe/../UTC",
        "Europe",
        "a//b",
        "Europe/Berlin/",
        "x\ny",
        "0123456789012345678901234567890123456789012345678901234567890123456"};
    struct zones *zones = zones_create();
    struct zone_time t;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(zones_local_time(zones, weir_str_from(names[i]), 0, &t) < 0);
    }
    assert_int_equal(zones_local_time(zones, weir_str_from("UTC"), 0, &t), 0);
    assert_int_equal(t.year, 1970);
    assert_int_equal(t.weekday, 4);
    assert_int_equal(zones_local_time(zones, weir_str_from("UTC"), INT64_MAX, &t), WEIR_E_ARG);
    zones_destroy(zones);
}

/* A file cut or changed anywhere is refused or gives some offset; nothing is read beyond it. */
static void broken_files_do_no_harm(void **state)
{
    (void)state;
    char good[8192];
    FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "rb");
    if (!f) {
        print_message("no time zone database here\n");
        skip();
    }
    size_t n = fread(good, 1, sizeof(good), f);
    (void)fclose(f);
    int32_t offset;
    assert_int_equal(zone_parse_offset((weir_str){good, n}, 1767261600, &offset), 0);
    assert_int_equal(offset, 3600);
    for (size_t cut = 0; cut < n; cut += 7) {
        char *copy = malloc(cut + 1); /* so that a sanitizer sees its end */
        assert_non_null(copy);
        memcpy(copy, good, cut);
        (void)zone_parse_offset((weir_str){copy, cut}, 1767261600, &offset);
        free(copy);
    }
    for (size_t at = 0; at < n; at++) {
        char was = good[at];
        good[at] = (char)(was ^ 0x81);
        (void)zone_parse_offset((weir_str){good, n}, 5000000000, &offset);
        good[at] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_those_of_the_c_library),
        cmocka_unit_test(names_cannot_leave_the_directory),
        cmocka_unit_test(broken_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
