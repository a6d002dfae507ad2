/* SPDX-License-Identifier: Apache-2.0 */
/* Text exposition format 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format */
#include "core/metrics/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "core/metrics/metrics_internal.h"

static void add_escaped(struct weir_buf *out, weir_str s, bool quotes)
{
    for (size_t i = 0; i < s.n;) {
        size_t len = weir_utf8_valid_len(s.p + i, s.n - i);
        char c = s.p[i];
        if (len == 0) {
            weir_buf_add_text(out, "\xEF\xBF\xBD");
            len = 1;
        } else if (c == '\n') {
            weir_buf_add_text(out, "\\n");
        } else if (c == '\\' || (quotes && c == '"')) {
            weir_buf_add_char(out, '\\');
            weir_buf_add_char(out, c);
        } else {
            weir_buf_add(out, s.p + i, len);
        }
        i += len;
    }
}

static void add_number(struct weir_buf *out, double v)
{
    if (isnan(v)) {
        weir_buf_add_text(out, "NaN");
    } else if (isinf(v)) {
        weir_buf_add_text(out, v > 0 ? "+Inf" : "-Inf");
    } else if (v >= 0 && v < 1e15 && v == floor(v)) {
        weir_buf_add_u64(out, (uint64_t)v);
    } else {
        weir_buf_printf(out, "%.15g", v);
    }
}

/* `{a="b",le="0.5"}`; le only when it is not NULL. */
static void add_labels(struct weir_buf *out, const struct weir_metric_series *s, const double *le)
{
    const struct weir_metric_family *f = s->family;
    if (f->n_labels == 0 && !le) {
        return;
    }
    weir_buf_add_char(out, '{');
    for (uint32_t i = 0; i < f->n_labels; i++) {
        weir_buf_printf(out, "%s%s=\"", i ? "," : "", f->labels[i]);
        add_escaped(out, (weir_str){s->values[i], s->value_len[i]}, true);
        weir_buf_add_char(out, '"');
    }
    if (le) {
        weir_buf_printf(out, "%sle=\"", f->n_labels ? "," : "");
        add_number(out, *le);
        weir_buf_add_char(out, '"');
    }
    weir_buf_add_char(out, '}');
}

static void add_sample(struct weir_buf *out, const struct weir_metric_series *s, const char *suffix,
                       const double *le, double value)
{
    weir_buf_add_text(out, s->family->name);
    weir_buf_add_text(out, suffix);
    add_labels(out, s, le);
    weir_buf_add_char(out, ' ');
    add_number(out, value);
    weir_buf_add_char(out, '\n');
}

static void add_histogram(struct weir_buf *out, const struct weir_metric_series *s)
{
    const struct weir_metric_family *f = s->family;
    double count = 0;
    for (uint32_t i = 0; i <= f->n_buckets; i++) {
        double le = i < f->n_buckets ? f->buckets[i] : INFINITY;
        count += (double)weir_metric_n_in(s, i);
        add_sample(out, s, "_bucket", &le, count);
    }
    add_sample(out, s, "_sum", NULL, weir_metric_sum(s));
    add_sample(out, s, "_count", NULL, count);
}

static int compare_series(const void *a, const void *b)
{
    const struct weir_metric_series *x = *(struct weir_metric_series *const *)a;
    const struct weir_metric_series *y = *(struct weir_metric_series *const *)b;
    for (uint32_t i = 0; i < x->family->n_labels; i++) {
        int d = strcmp(x->values[i], y->values[i]);
        if (d != 0) {
            return d;
        }
    }
    return 0;
}

static int add_family(struct weir_buf *out, struct weir_metric_family *f)
{
    pthread_mutex_lock(&f->lock); /* no series may join between counting and listing */
    uint32_t n = f->n_series;
    struct weir_metric_series **all = n ? malloc(n * sizeof(struct weir_metric_series *)) : NULL;
    uint32_t at = 0;
    for (size_t i = 0; all && i < SERIES_HASH_SLOTS; i++) {
        struct weir_metric_series *s = atomic_load_explicit(&f->slots[i], memory_order_relaxed);
        for (; s; s = s->next) {
            all[at++] = s;
        }
    }
    pthread_mutex_unlock(&f->lock);
    if (!all) {
        return n ? WEIR_E_NOMEM : 0;
    }
    qsort(all, n, sizeof(struct weir_metric_series *), compare_series);

    static const char *const types[] = {"counter", "gauge", "histogram"};
    weir_buf_printf(out, "# HELP %s ", f->name);
    add_escaped(out, weir_str_from(f->help), false);
    weir_buf_printf(out, "\n# TYPE %s %s\n", f->name, types[f->kind]);
    for (uint32_t i = 0; i < n; i++) {
        if (f->kind == WEIR_METRICS_HISTOGRAM) {
            add_histogram(out, all[i]);
        } else {
            add_sample(out, all[i], "", NULL, weir_metric_value(all[i]));
        }
    }
    free(all);
    return 0;
}

int weir_metrics_render(struct weir_metrics *m, struct weir_buf *out)
{
    /* Collectors may define and record, so they run without the lock; they are few and are not
     * removed while a scrape runs on the same loop. */
    pthread_mutex_lock(&m->lock);
    uint32_t n = m->n_collectors;
    pthread_mutex_unlock(&m->lock);
    for (uint32_t i = 0; i < n; i++) {
        m->collectors[i].fn(m->collectors[i].arg);
    }
    int rc = 0;
    pthread_mutex_lock(&m->lock);
    for (struct weir_metric_family *f = m->first; f && rc == 0; f = f->next) {
        rc = add_family(out, f);
    }
    pthread_mutex_unlock(&m->lock);
    return rc == 0 && out->failed ? WEIR_E_NOMEM : rc;
}
