/* SPDX-License-Identifier: Apache-2.0 */
#include "core/metrics/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

static struct weir_metrics *create(void)
{
    struct weir_metrics *m = NULL;
    assert_int_equal(weir_metrics_create(&m), 0);
    return m;
}

static char *render(struct weir_metrics *m)
{
    struct weir_buf out;
    weir_buf_init(&out, 1 << 20);
    assert_int_equal(weir_metrics_render(m, &out), 0);
    return weir_buf_take(&out, NULL);
}

static void text_has_help_type_and_escaped_labels(void **state)
{
    (void)state;
    struct weir_metrics *m = create();
    struct weir_metric_family *f =
        weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                                       .name = "weir_requests_total",
                                                       .help = "Requests\\ by\nmodel.",
                                                       .labels = {"model"}},
                            NULL);
    weir_metric_add(WEIR_METRIC_SERIES(f, "a\"b\\c\nd\xff"), 2);
    weir_metric_add(WEIR_METRIC_SERIES(f, "a"), 0.5);

    char *text = render(m);
    assert_string_equal(text, "# HELP weir_requests_total Requests\\\\ by\\nmodel.\n"
                              "# TYPE weir_requests_total counter\n"
                              "weir_requests_total{model=\"a\"} 0.5\n"
                              "weir_requests_total{model=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\"} 2\n");
    free(text);
    weir_metrics_destroy(m);
}

static void histogram_cumulates_its_buckets(void **state)
{
    (void)state;
    struct weir_metrics *m = create();
    static const double bounds[] = {0.1, 1};
    struct weir_metric_family *f =
        weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_HISTOGRAM,
                                                       .name = "weir_step_seconds",
                                                       .help = "Steps.",
                                                       WEIR_METRICS_BUCKETS(bounds)},
                            NULL);
    struct weir_metric_series *s = weir_metric_series(f, NULL, 0);
    weir_metric_observe(s, 0.1);
    weir_metric_observe(s, 0.5);
    weir_metric_observe(s, 4);

    char *text = render(m);
    assert_string_equal(text, "# HELP weir_step_seconds Steps.\n"
                              "# TYPE weir_step_seconds histogram\n"
                              "weir_step_seconds_bucket{le=\"0.1\"} 1\n"
                              "weir_step_seconds_bucket{le=\"1\"} 2\n"
                              "weir_step_seconds_bucket{le=\"+Inf\"} 3\n"
                              "weir_step_seconds_sum 4.6\n"
                              "weir_step_seconds_count 3\n");
    free(text);
    weir_metrics_destroy(m);
}

static void label_sets_past_the_bound_count_as_other(void **state)
{
    (void)state;
    struct weir_metrics *m = create();
    struct weir_metric_family *f =
        weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                                       .name = "weir_x_total",
                                                       .help = "X.",
                                                       .labels = {"user"},
                                                       .max_series = 3},
                            NULL);
    for (int i = 0; i < 100; i++) {
        char user[16];
        (void)snprintf(user, sizeof(user), "u%d", i);
        weir_metric_add(WEIR_METRIC_SERIES(f, user), 1);
    }
    assert_true(weir_metric_value(WEIR_METRIC_SERIES(f, "u2")) == 1);
    assert_true(weir_metric_value(WEIR_METRIC_SERIES(f, "other")) == 97);
    assert_ptr_equal(WEIR_METRIC_SERIES(f, "u3"), WEIR_METRIC_SERIES(f, "other"));
    weir_metrics_destroy(m);
}

static void same_definition_is_shared_and_another_shape_refused(void **state)
{
    (void)state;
    struct weir_metrics *m = create();
    struct weir_metric_spec spec = {
        .kind = WEIR_METRICS_GAUGE, .name = "weir_running", .help = "R.", .labels = {"model"}};
    struct weir_metric_family *a = weir_metrics_define(m, &spec, NULL);
    struct weir_metric_family *b = weir_metrics_define(m, &spec, NULL);
    assert_ptr_equal(a, b);
    spec.labels[0] = "tenant";
    struct weir_error err = {0};
    assert_null(weir_metrics_define(m, &spec, &err));
    assert_int_equal(err.code, WEIR_E_ARG);

    weir_metrics_release(m, a);
    assert_null(weir_metrics_define(m, &spec, NULL));
    weir_metrics_release(m, b);
    assert_non_null(weir_metrics_define(m, &spec, NULL));
    weir_metrics_destroy(m);
}

static void bad_definitions_are_refused(void **state)
{
    (void)state;
    struct weir_metrics *m = create();
    static const double falling[] = {1, 1};
    const struct weir_metric_spec bad[] = {
        {.kind = WEIR_METRICS_COUNTER, .name = "weir_x", .help = "no _total"},
        {.kind = WEIR_METRICS_GAUGE, .name = "weir_x_total", .help = "not a counter"},
        {.kind = WEIR_METRICS_GAUGE, .name = "Weir", .help = "capital"},
        {.kind = WEIR_METRICS_GAUGE, .name = "weir_x"},
        {.kind = WEIR_METRICS_GAUGE, .name = "weir_x", .help = "x", .labels = {"le"}},
        {.kind = WEIR_METRICS_HISTOGRAM, .name = "weir_x", .help = "no buckets"},
        {.kind = WEIR_METRICS_HISTOGRAM,
         .name = "weir_x",
         .help = "x",
         WEIR_METRICS_BUCKETS(falling)},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_error err = {0};
        assert_null(weir_metrics_define(m, &bad[i], &err));
        assert_int_equal(err.code, WEIR_E_ARG);
    }
    weir_metric_add(NULL, 1); /* recording into a failed definition does nothing */
    weir_metrics_destroy(m);
}

enum { THREADS = 4, ROUNDS = 5000 };

struct recorder {
    struct weir_metric_family *counter;
    struct weir_metric_series *histogram;
    uint32_t number; /* of its own cells; the last are everybody's */
};

static void *record_many(void *arg)
{
    const struct recorder *r = arg;
    weir_metrics_own(r->number);
    for (int i = 0; i < ROUNDS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", i % 40);
        weir_metric_add(WEIR_METRIC_SERIES(r->counter, name), 1);
        weir_metric_observe(r->histogram, i % 2 ? 0.5 : 2);
    }
    return NULL;
}

/* Two with cells of their own, two that share. */
static void no_count_is_lost_between_threads(void **state)
{
    (void)state;
    static const double bounds[] = {1};
    struct weir_metrics *m = create();
    struct weir_metric_family *f =
        weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                                       .name = "weir_x_total",
                                                       .help = "X.",
                                                       .labels = {"model"}},
                            NULL);
    struct weir_metric_family *h =
        weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_HISTOGRAM,
                                                       .name = "weir_y",
                                                       .help = "Y.",
                                                       WEIR_METRICS_BUCKETS(bounds)},
                            NULL);
    struct weir_metric_series *y = weir_metric_series(h, NULL, 0);
    struct recorder recorders[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        recorders[i] = (struct recorder){f, y, i < 2 ? i : WEIR_METRICS_MAX_OWNERS + i};
        assert_int_equal(pthread_create(&threads[i], NULL, record_many, &recorders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    double sum = 0;
    for (int i = 0; i < 40; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", i);
        sum += weir_metric_value(WEIR_METRIC_SERIES(f, name));
    }
    assert_true(sum == (double)THREADS * ROUNDS);
    assert_true(weir_metric_value(y) == (double)THREADS * ROUNDS);
    struct weir_buf out;
    weir_buf_init(&out, 1 << 20);
    assert_int_equal(weir_metrics_render(m, &out), 0);
    assert_non_null(strstr(out.data, "weir_y_bucket{le=\"1\"} 10000\n"));
    assert_non_null(strstr(out.data, "weir_y_bucket{le=\"+Inf\"} 20000\n"));
    assert_non_null(strstr(out.data, "weir_y_sum 25000\n"));
    weir_buf_finish(&out);
    weir_metrics_destroy(m);
}

static void count_call(void *arg)
{
    *(int *)arg += 1;
}

static void collectors_run_before_each_rendering(void **state)
{
    (void)state;
    struct weir_metrics *m = create();
    int calls = 0;
    assert_int_equal(weir_metrics_add_collector(m, count_call, &calls), 0);
    free(render(m));
    weir_metrics_remove_collector(m, count_call, &calls);
    free(render(m));
    assert_int_equal(calls, 1);
    weir_metrics_destroy(m);
}

static void promtool_accepts_the_text(void **state)
{
    (void)state;
    // NOLINTNEXTLINE(cert-env33-c): a fixed command of a test
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        skip();
    }
    struct weir_metrics *m = create();
    struct weir_metric_family *f = weir_metrics_define(
        m,
        &(struct weir_metric_spec){.kind = WEIR_METRICS_HISTOGRAM,
                                   .name = "weir_first_token_seconds",
                                   .help = "Time from arrival to the first token.",
                                   .labels = {"model", "class"},
                                   WEIR_METRICS_BUCKETS(weir_metrics_first_token_seconds)},
        NULL);
    weir_metric_observe(WEIR_METRIC_SERIES(f, "we\"ird\\\n", "batch"), 0.02);
    f = weir_metrics_define(m,
                            &(struct weir_metric_spec){.kind = WEIR_METRICS_COUNTER,
                                                       .name = "weir_requests_total",
                                                       .help = "Requests."},
                            NULL);
    weir_metric_add(weir_metric_series(f, NULL, 0), 1e20);
    char *text = render(m);
    // NOLINTNEXTLINE(cert-env33-c): a fixed command of a test
    FILE *pipe = popen("promtool check metrics", "w");
    assert_non_null(pipe);
    assert_true(fputs(text, pipe) >= 0);
    assert_int_equal(pclose(pipe), 0);
    free(text);
    weir_metrics_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_help_type_and_escaped_labels),
        cmocka_unit_test(histogram_cumulates_its_buckets),
        cmocka_unit_test(label_sets_past_the_bound_count_as_other),
        cmocka_unit_test(same_definition_is_shared_and_another_shape_refused),
        cmocka_unit_test(bad_definitions_are_refused),
        cmocka_unit_test(no_count_is_lost_between_threads),
        cmocka_unit_test(collectors_run_before_each_rendering),
        cmocka_unit_test(promtool_accepts_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
