/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#define PUT(i, v, ms)                                                                              \
    CALL(.op = WEIR_STORE_JOB_PUT, ACME, .key = WEIR_STR_INIT("q"), .id = text(i),                 \
         .value = text(v), .number = (ms))
#define CLAIM(count, ms)                                                                           \
    CALL(.op = WEIR_STORE_JOB_CLAIM, ACME, .key = WEIR_STR_INIT("q"), .n = (count), .number = (ms))
#define ACK(i) CALL(.op = WEIR_STORE_JOB_ACK, ACME, .key = WEIR_STR_INIT("q"), .id = text(i))

static void jobs_are_claimed_once_and_acknowledged(void **state)
{
    (void)state;
    assert_int_equal(CLAIM(10, 60000)->n_items, 0);
    assert_int_equal(PUT("j1", "one", 0)->rc, 0);
    fixture_advance(100 * 1000);
    assert_int_equal(PUT("j2", "two", 0)->rc, 0);
    assert_int_equal(PUT("later", "three", 60000)->rc, 0);
    const struct answer *a = CLAIM(10, 60000);
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->n_items, 2);
    assert_string_equal(a->items[0].key, "j1"); /* the longest due first */
    assert_string_equal(a->items[0].value, "one");
    assert_int_equal(a->items[0].number, 1);
    assert_string_equal(a->items[1].key, "j2");
    assert_int_equal(CLAIM(10, 60000)->n_items, 0);
    assert_int_equal(ACK("j1")->number, 1);
    a = ACK("j1");
    assert_int_equal(a->rc, 0);
    assert_int_equal(a->number, 0);
    assert_int_equal(
        CALL(.op = WEIR_STORE_JOB_CLAIM, OTHER, .key = text("q"), .n = 9, .number = 1)->n_items, 0);
}

static void a_job_that_is_not_acknowledged_comes_again(void **state)
{
    (void)state;
    assert_int_equal(PUT("j", "v", 0)->rc, 0);
    assert_int_equal(CLAIM(1, 200)->items[0].number, 1);
    assert_int_equal(CLAIM(1, 200)->n_items, 0);
    fixture_advance(300 * 1000);
    const struct answer *a = CLAIM(1, 200);
    assert_int_equal(a->n_items, 1);
    assert_int_equal(a->items[0].number, 2);
    assert_string_equal(a->items[0].value, "v");
    assert_int_equal(ACK("j")->number, 1);
    fixture_advance(300 * 1000);
    assert_int_equal(CLAIM(1, 200)->n_items, 0);
}

static void putting_a_job_again_moves_its_time(void **state)
{
    (void)state;
    assert_int_equal(PUT("j", "first", 300)->rc, 0);
    for (int i = 0; i < 3; i++) { /* heartbeats */
        fixture_advance(200 * 1000);
        assert_int_equal(CLAIM(1, 1000)->n_items, 0);
        assert_int_equal(PUT("j", "beat", 300)->rc, 0);
    }
    fixture_advance(400 * 1000);
    const struct answer *a = CLAIM(5, 1000);
    assert_int_equal(a->n_items, 1);
    assert_string_equal(a->items[0].value, "beat");
    assert_int_equal(PUT("j", "now", 0)->rc, 0); /* whoever claimed it: it is due again */
    a = CLAIM(5, 1000);
    assert_int_equal(a->n_items, 1);
    assert_string_equal(a->items[0].value, "now");
}

static void no_more_jobs_are_claimed_than_asked_for(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "j%02d", i);
        assert_int_equal(PUT(id, id, 0)->rc, 0);
    }
    int seen = 0;
    for (uint32_t n = 7; n > 0; n--) {
        const struct answer *a = CLAIM(7, 60000);
        assert_true(a->n_items <= 7);
        seen += (int)a->n_items;
    }
    assert_int_equal(seen, 20);
}

int suite_jobs(void)
{
    const struct CMUnitTest tests[] = {
        TEST(jobs_are_claimed_once_and_acknowledged),
        TEST(a_job_that_is_not_acknowledged_comes_again),
        TEST(putting_a_job_again_moves_its_time),
        TEST(no_more_jobs_are_claimed_than_asked_for),
    };
    return cmocka_run_group_tests_name("store: jobs", tests, NULL, NULL);
}
