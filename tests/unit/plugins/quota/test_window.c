/* SPDX-License-Identifier: Apache-2.0 */
#include "window.h"

#include <stdio.h>

#include "tests/support/cmocka.h"

#define JAN_2026_S INT64_C(1767225600)

static struct zone *load(const char *name)
{
    struct zone *z = NULL;
    assert_int_equal(zone_load(weir_str_from(name), &z), 0);
    return z;
}

/* tests/golden/make_zones.py. */
static void clocks_agree_with_the_reference(void **state)
{
    (void)state;
    FILE *f = fopen(GOLDEN_DIR "/zones.txt", "r");
    assert_non_null(f);
    char what[16], name[64], of[64] = "";
    long long a, b;
    struct zone *z = NULL;
    uint32_t n = 0;
    while (fscanf(f, "%15s %63s %lld %lld", what, name, &a, &b) == 4) {
        if (strcmp(name, of) != 0) {
            zone_destroy(z);
            z = load(name);
            (void)snprintf(of, sizeof(of), "%s", name);
        }
        long long got = *what == 'o' ? zone_offset(z, a) : zone_to_utc(z, a * 86400);
        if (got != b) {
            fail_msg("%s %s %lld: %lld, the reference says %lld", what, name, a, got, b);
        }
        n++;
    }
    zone_destroy(z);
    (void)fclose(f);
    assert_true(n > 1000);
}

static void names_that_are_no_zones_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "Europe/Nowhere", "../../../etc/passwd", "Europe",
                                      "/etc/tz", "tzdata.zi",      "zone1970.tab"};
    struct zone *z = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(zone_load(weir_str_from(bad[i]), &z) < 0);
    }
}

static const char *key(enum window_period period, bool rolling, const struct zone *z,
                       struct window w)
{
    static char buffer[64];
    struct text t = text_on(buffer, sizeof(buffer) - 1);
    window_key_add(&t, period, rolling, z, &w);
    buffer[t.n] = '\0';
    return buffer;
}

static void months_days_and_weeks_follow_the_calendar(void **state)
{
    (void)state;
    struct zone *z = load("Europe/Berlin");
    /* 2026-01-31 23:30 in Berlin, a Saturday. */
    int64_t now = JAN_2026_S + 30 * 86400 + 22 * 3600 + 1800;
    struct window w = window_calendar(WINDOW_MONTH, z, now);
    assert_int_equal(w.start_s, JAN_2026_S - 3600);
    assert_int_equal(w.end_s, JAN_2026_S + 31 * 86400 - 3600);
    assert_string_equal(key(WINDOW_MONTH, false, z, w), "month/2026-01-01");
    w = window_calendar(WINDOW_WEEK, z, now);
    assert_string_equal(key(WINDOW_WEEK, false, z, w), "week/2026-01-26");
    w = window_calendar(WINDOW_DAY, z, now);
    assert_string_equal(key(WINDOW_DAY, false, z, w), "day/2026-01-31");
    w = window_calendar(WINDOW_MONTH, z, now + 1800);
    assert_string_equal(key(WINDOW_MONTH, false, z, w), "month/2026-02-01");
    w = window_calendar(WINDOW_HOUR, z, now);
    assert_int_equal(w.end_s - w.start_s, 3600);
    zone_destroy(z);
}

static void a_day_is_as_long_as_the_clocks_make_it(void **state)
{
    (void)state;
    struct zone *z = load("Europe/Berlin");
    struct window spring = window_calendar(WINDOW_DAY, z, INT64_C(1774746000)); /* 2026-03-29 */
    assert_string_equal(key(WINDOW_DAY, false, z, spring), "day/2026-03-29");
    assert_int_equal(spring.end_s - spring.start_s, 23 * 3600);
    struct window autumn = window_calendar(WINDOW_DAY, z, INT64_C(1792890000)); /* 2026-10-25 */
    assert_string_equal(key(WINDOW_DAY, false, z, autumn), "day/2026-10-25");
    assert_int_equal(autumn.end_s - autumn.start_s, 25 * 3600);
    zone_destroy(z);
}

static void windows_follow_each_other_without_gap(void **state)
{
    (void)state;
    static const char *const zones[] = {"Europe/Berlin", "America/Santiago", "America/Havana",
                                        "Africa/Cairo", "Pacific/Apia"};
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        struct zone *z = load(zones[i]);
        for (int period = WINDOW_MINUTE; period < WINDOW__COUNT; period++) {
            int64_t now = INT64_C(1320000000); /* before Apia's skipped day in 2011 */
            struct window w = window_calendar((enum window_period)period, z, now);
            for (int k = 0; k < 400; k++) {
                assert_true(w.start_s <= now && now < w.end_s);
                struct window next = window_calendar((enum window_period)period, z, w.end_s);
                assert_int_equal(next.start_s, w.end_s);
                now = w.end_s;
                w = next;
            }
        }
        zone_destroy(z);
    }
}

static void any_stretch_of_the_period_lies_in_a_rolling_window(void **state)
{
    (void)state;
    for (int64_t from = JAN_2026_S; from < JAN_2026_S + 86400; from += 613) {
        int64_t to = from + 86399;
        bool found = false;
        for (unsigned i = 0; i < WINDOW_SPANS; i++) {
            struct window w = window_rolling(WINDOW_DAY, to, i);
            assert_true(w.start_s <= to && to < w.end_s);
            found = found || (w.start_s <= from && to < w.end_s);
        }
        assert_true(found);
    }
}

static void times_are_written_as_rfc_3339(void **state)
{
    (void)state;
    char buffer[32];
    struct text t = text_on(buffer, sizeof(buffer) - 1);
    window_time_add(&t, JAN_2026_S + 59 * 86400 + 3661);
    buffer[t.n] = '\0';
    assert_string_equal(buffer, "2026-03-01T01:01:01Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_agree_with_the_reference),
        cmocka_unit_test(names_that_are_no_zones_are_refused),
        cmocka_unit_test(months_days_and_weeks_follow_the_calendar),
        cmocka_unit_test(a_day_is_as_long_as_the_clocks_make_it),
        cmocka_unit_test(windows_follow_each_other_without_gap),
        cmocka_unit_test(any_stretch_of_the_period_lies_in_a_rolling_window),
        cmocka_unit_test(times_are_written_as_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
