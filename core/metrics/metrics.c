/* SPDX-License-Identifier: Apache-2.0 */
#include "core/metrics/metrics.h"

#include <stdlib.h>

#include "core/metrics/metrics_internal.h"

const double weir_metrics_seconds[14] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                         0.25,  0.5,    1,     2.5,  5,     15,   60};
const double weir_metrics_first_token_seconds[18] = {0.001, 0.005, 0.01, 0.02, 0.03, 0.05,
                                                     0.075, 0.1,   0.15, 0.2,  0.3,  0.4,
                                                     0.5,   0.75,  1,    2.5,  5,    10};
const double weir_metrics_gap_seconds[14] = {0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015,
                                             0.025,  0.05,  0.075,  0.1,   0.25,   0.5,  1};

int weir_metrics_create(struct weir_metrics **ret_metrics)
{
    struct weir_metrics *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    if (pthread_mutex_init(&m->lock, NULL) != 0) {
        free(m);
        return WEIR_E_NOMEM;
    }
    m->last = &m->first;
    *ret_metrics = m;
    return 0;
}

static void destroy_series(struct weir_metric_series *s)
{
    for (size_t i = 0; i < WEIR_METRICS_MAX_LABELS; i++) {
        free(s->values[i]);
    }
    for (size_t i = 0; i < sizeof(s->cells) / sizeof(s->cells[0]); i++) {
        free(atomic_load_explicit(&s->cells[i], memory_order_relaxed));
    }
    free(s);
}

static void destroy_family(struct weir_metric_family *f)
{
    for (size_t i = 0; i < SERIES_HASH_SLOTS; i++) {
        struct weir_metric_series *s = atomic_load_explicit(&f->slots[i], memory_order_relaxed);
        while (s) {
            struct weir_metric_series *next = s->next;
            destroy_series(s);
            s = next;
        }
    }
    for (size_t i = 0; i < WEIR_METRICS_MAX_LABELS; i++) {
        free(f->labels[i]);
    }
    free(f->name);
    free(f->help);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void weir_metrics_destroy(struct weir_metrics *m)
{
    if (!m) {
        return;
    }
    while (m->first) {
        struct weir_metric_family *next = m->first->next;
        destroy_family(m->first);
        m->first = next;
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* [a-z_][a-z0-9_]*; stricter than Prometheus, so that names look alike. */
static bool is_name(const char *s)
{
    if (!s || !*s || strlen(s) > 120 || (*s >= '0' && *s <= '9')) {
        return false;
    }
    /* The colon is for names that other servers' dashboards look for. */
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_:") == strlen(s);
}

static uint32_t count_labels(const struct weir_metric_spec *spec)
{
    uint32_t n = 0;
    while (n < WEIR_METRICS_MAX_LABELS && spec->labels[n]) {
        n++;
    }
    return n;
}

static int check_spec(const struct weir_metric_spec *spec, struct weir_error *err)
{
    if (!is_name(spec->name)) {
        return weir_error_set(err, WEIR_E_ARG, "metric name \"%s\" must be [a-z_][a-z0-9_]*",
                              spec->name ? spec->name : "");
    }
    size_t len = strlen(spec->name);
    bool total = len > 6 && strcmp(spec->name + len - 6, "_total") == 0;
    if ((spec->kind == WEIR_METRICS_COUNTER) != total) {
        return weir_error_set(err, WEIR_E_ARG, "metric %s: counters, and only they, end in _total",
                              spec->name);
    }
    if (!spec->help || !*spec->help) {
        return weir_error_set(err, WEIR_E_ARG, "metric %s has no help text", spec->name);
    }
    for (uint32_t i = 0; i < count_labels(spec); i++) {
        if (!is_name(spec->labels[i]) || strcmp(spec->labels[i], "le") == 0) {
            return weir_error_set(err, WEIR_E_ARG, "metric %s: bad label name \"%s\"", spec->name,
                                  spec->labels[i]);
        }
    }
    bool histogram = spec->kind == WEIR_METRICS_HISTOGRAM;
    if (histogram != (spec->n_buckets > 0) || spec->n_buckets > WEIR_METRICS_MAX_BUCKETS) {
        return weir_error_set(err, WEIR_E_ARG, "metric %s: 1 to %d buckets for a histogram, else 0",
                              spec->name, WEIR_METRICS_MAX_BUCKETS);
    }
    for (uint32_t i = 1; i < spec->n_buckets; i++) {
        if (!(spec->buckets[i] > spec->buckets[i - 1])) {
            return weir_error_set(err, WEIR_E_ARG, "metric %s: bucket bounds must rise",
                                  spec->name);
        }
    }
    return 0;
}

static bool same_shape(const struct weir_metric_family *f, const struct weir_metric_spec *spec)
{
    uint32_t n_labels = count_labels(spec);
    if (f->kind != spec->kind || f->n_labels != n_labels || f->n_buckets != spec->n_buckets) {
        return false;
    }
    for (uint32_t i = 0; i < n_labels; i++) {
        if (strcmp(f->labels[i], spec->labels[i]) != 0) {
            return false;
        }
    }
    return f->n_buckets == 0 ||
           memcmp(f->buckets, spec->buckets, f->n_buckets * sizeof(double)) == 0;
}

static struct weir_metric_family *create_family(const struct weir_metric_spec *spec)
{
    struct weir_metric_family *f = calloc(1, sizeof(*f));
    if (!f) {
        return NULL;
    }
    if (pthread_mutex_init(&f->lock, NULL) != 0) {
        free(f);
        return NULL;
    }
    f->refs = 1;
    f->kind = spec->kind;
    f->name = strdup(spec->name);
    f->help = strdup(spec->help);
    f->n_labels = count_labels(spec);
    bool ok = f->name && f->help;
    for (uint32_t i = 0; i < f->n_labels; i++) {
        f->labels[i] = strdup(spec->labels[i]);
        ok = ok && f->labels[i];
    }
    f->n_buckets = spec->n_buckets;
    if (f->n_buckets) {
        memcpy(f->buckets, spec->buckets, f->n_buckets * sizeof(double));
    }
    f->max_series = spec->max_series ? spec->max_series : WEIR_METRICS_MAX_SERIES;
    if (!ok) {
        destroy_family(f);
        return NULL;
    }
    return f;
}

static struct weir_metric_family *find_family(struct weir_metrics *m, const char *name)
{
    for (struct weir_metric_family *f = m->first; f; f = f->next) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

struct weir_metric_family *weir_metrics_define(struct weir_metrics *m,
                                               const struct weir_metric_spec *spec,
                                               struct weir_error *err)
{
    if (check_spec(spec, err) < 0) {
        return NULL;
    }
    pthread_mutex_lock(&m->lock);
    struct weir_metric_family *f = find_family(m, spec->name);
    if (f && same_shape(f, spec)) {
        f->refs++;
    } else if (f) {
        (void)weir_error_set(err, WEIR_E_ARG,
                             "metric %s exists with another kind, labels or buckets", spec->name);
        f = NULL;
    } else {
        f = create_family(spec);
        if (f) {
            *m->last = f;
            m->last = &f->next;
        } else {
            (void)weir_error_set(err, WEIR_E_NOMEM, "metric %s: out of memory", spec->name);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return f;
}

void weir_metrics_release(struct weir_metrics *m, struct weir_metric_family *family)
{
    if (!family) {
        return;
    }
    pthread_mutex_lock(&m->lock);
    bool last = --family->refs == 0;
    if (last) {
        struct weir_metric_family **at = &m->first;
        while (*at != family) {
            at = &(*at)->next;
        }
        *at = family->next;
        if (m->last == &family->next) {
            m->last = at;
        }
    }
    pthread_mutex_unlock(&m->lock);
    if (last) {
        destroy_family(family);
    }
}

/* FNV-1a (Fowler, Noll, Vo); the values are short and the table is bounded. */
static uint64_t hash_values(const weir_str *values, uint32_t n)
{
    uint64_t h = 14695981039346656037u;
    for (uint32_t i = 0; i < n; i++) {
        for (size_t j = 0; j < values[i].n; j++) {
            h = (h ^ (unsigned char)values[i].p[j]) * 1099511628211u;
        }
        h = (h ^ 0xff) * 1099511628211u;
    }
    return h;
}

static struct weir_metric_series *find_series(struct weir_metric_family *f, uint64_t hash,
                                              const weir_str *values)
{
    struct weir_metric_series *s =
        atomic_load_explicit(&f->slots[hash % SERIES_HASH_SLOTS], memory_order_acquire);
    for (; s; s = s->next) {
        if (s->hash != hash) {
            continue;
        }
        uint32_t i = 0;
        while (i < f->n_labels &&
               weir_str_eq((weir_str){s->values[i], s->value_len[i]}, values[i])) {
            i++;
        }
        if (i == f->n_labels) {
            return s;
        }
    }
    return NULL;
}

static struct weir_metric_cells *make_cells(const struct weir_metric_family *f)
{
    const size_t line = 64; /* so that two threads' lie on none together */
    size_t n = sizeof(struct weir_metric_cells) + (f->n_buckets + 1) * sizeof(_Atomic uint64_t);
    n = (n + line - 1) / line * line;
    struct weir_metric_cells *c = aligned_alloc(line, n);
    if (c) {
        memset(c, 0, n);
    }
    return c;
}

static struct weir_metric_series *create_series(struct weir_metric_family *f, uint64_t hash,
                                                const weir_str *values)
{
    struct weir_metric_series *s = calloc(1, sizeof(*s));
    if (!s) {
        return NULL;
    }
    s->family = f;
    s->hash = hash;
    struct weir_metric_cells *cells = make_cells(f);
    atomic_init(&s->cells[0], cells);
    bool ok = cells != NULL;
    for (uint32_t i = 0; ok && i < f->n_labels; i++) {
        s->values[i] = malloc(values[i].n + 1);
        ok = s->values[i] != NULL;
        if (ok && values[i].n) {
            memcpy(s->values[i], values[i].p, values[i].n);
        }
        if (ok) {
            s->values[i][values[i].n] = '\0';
            s->value_len[i] = values[i].n;
        }
    }
    if (!ok) {
        destroy_series(s);
        return NULL;
    }
    struct weir_metric_series *_Atomic *slot = &f->slots[hash % SERIES_HASH_SLOTS];
    s->next = atomic_load_explicit(slot, memory_order_relaxed);
    atomic_store_explicit(slot, s, memory_order_release);
    f->n_series++;
    return s;
}

static struct weir_metric_series *add_series(struct weir_metric_family *f, uint64_t hash,
                                             const weir_str *values)
{
    struct weir_metric_series *s = find_series(f, hash, values); /* another thread was first? */
    if (!s && f->n_series < f->max_series) {
        s = create_series(f, hash, values);
    }
    if (s) {
        return s;
    }
    weir_str other[WEIR_METRICS_MAX_LABELS] = {{NULL, 0}};
    for (uint32_t i = 0; i < f->n_labels; i++) {
        other[i] = (weir_str)WEIR_STR_INIT("other");
    }
    hash = hash_values(other, f->n_labels);
    s = find_series(f, hash, other);
    return s ? s : create_series(f, hash, other);
}

struct weir_metric_series *weir_metric_series(struct weir_metric_family *family,
                                              const weir_str *values, uint32_t n_values)
{
    if (!family) {
        return NULL;
    }
    weir_str cut[WEIR_METRICS_MAX_LABELS] = {{NULL, 0}};
    for (uint32_t i = 0; i < family->n_labels; i++) {
        cut[i] = i < n_values ? values[i] : (weir_str){NULL, 0};
        if (cut[i].n > WEIR_METRICS_MAX_LABEL_BYTES) {
            cut[i].n = WEIR_METRICS_MAX_LABEL_BYTES;
        }
    }
    uint64_t hash = hash_values(cut, family->n_labels);
    struct weir_metric_series *s = find_series(family, hash, cut);
    if (!s) {
        pthread_mutex_lock(&family->lock);
        s = add_series(family, hash, cut);
        pthread_mutex_unlock(&family->lock);
    }
    return s;
}

struct weir_metric_series *weir_metric_series_text(struct weir_metric_family *family,
                                                   const char *const *values, uint32_t n_values)
{
    weir_str strs[WEIR_METRICS_MAX_LABELS];
    uint32_t n = n_values < WEIR_METRICS_MAX_LABELS ? n_values : WEIR_METRICS_MAX_LABELS;
    for (uint32_t i = 0; i < n; i++) {
        strs[i] = weir_str_from(values[i]);
    }
    return weir_metric_series(family, strs, n);
}

static double from_bits(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static uint64_t to_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static _Thread_local uint32_t own_number; /* 0: everybody's cells */

void weir_metrics_own(uint32_t number)
{
    own_number = number < WEIR_METRICS_MAX_OWNERS ? number + 1 : 0;
}

static struct weir_metric_cells *shared_cells(const struct weir_metric_series *s)
{
    return atomic_load_explicit(&s->cells[0], memory_order_relaxed);
}

/* NULL: the thread has none, or there is no memory. */
static struct weir_metric_cells *own_cells(struct weir_metric_series *s)
{
    if (own_number == 0) {
        return NULL;
    }
    struct weir_metric_cells *c = atomic_load_explicit(&s->cells[own_number], memory_order_relaxed);
    if (!c) {
        c = make_cells(s->family);
        atomic_store_explicit(&s->cells[own_number], c, memory_order_release);
    }
    return c;
}

/* By the only one who writes there. */
static void add_own(struct weir_metric_cells *c, double value)
{
    double sum = from_bits(atomic_load_explicit(&c->value, memory_order_relaxed)) + value;
    atomic_store_explicit(&c->value, to_bits(sum), memory_order_relaxed);
}

/* Figures order nothing else, so relaxed is enough throughout. */
static void add_double(_Atomic uint64_t *at, double value)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(at, &old, to_bits(from_bits(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void weir_metric_add(struct weir_metric_series *s, double value)
{
    if (!s || value == 0 || value != value ||
        (value < 0 && s->family->kind == WEIR_METRICS_COUNTER) ||
        s->family->kind == WEIR_METRICS_HISTOGRAM) {
        return;
    }
    struct weir_metric_cells *own = s->family->kind == WEIR_METRICS_COUNTER ? own_cells(s) : NULL;
    if (own) {
        add_own(own, value);
    } else {
        add_double(&shared_cells(s)->value, value);
    }
}

void weir_metric_set(struct weir_metric_series *s, double value)
{
    if (s && s->family->kind == WEIR_METRICS_GAUGE) {
        atomic_store_explicit(&shared_cells(s)->value, to_bits(value), memory_order_relaxed);
    }
}

void weir_metric_set_total(struct weir_metric_series *s, double value)
{
    if (s && s->family->kind == WEIR_METRICS_COUNTER && value >= 0) {
        atomic_store_explicit(&shared_cells(s)->value, to_bits(value), memory_order_relaxed);
    }
}

void weir_metric_observe(struct weir_metric_series *s, double value)
{
    if (!s || s->family->kind != WEIR_METRICS_HISTOGRAM || value != value) {
        return;
    }
    const struct weir_metric_family *f = s->family;
    uint32_t i = 0;
    while (i < f->n_buckets && value > f->buckets[i]) {
        i++;
    }
    struct weir_metric_cells *own = own_cells(s), *c = own ? own : shared_cells(s);
    if (own) {
        uint64_t n = atomic_load_explicit(&c->buckets[i], memory_order_relaxed) + 1;
        atomic_store_explicit(&c->buckets[i], n, memory_order_relaxed);
        add_own(c, value);
    } else {
        atomic_fetch_add_explicit(&c->buckets[i], 1, memory_order_relaxed);
        add_double(&c->value, value);
    }
}

void weir_metric_record(struct weir_metric_series *s, double value)
{
    if (!s) {
        return;
    }
    switch (s->family->kind) {
    case WEIR_METRICS_COUNTER: weir_metric_add(s, value); break;
    case WEIR_METRICS_GAUGE: weir_metric_set(s, value); break;
    case WEIR_METRICS_HISTOGRAM: weir_metric_observe(s, value); break;
    }
}

static const struct weir_metric_cells *cells_at(const struct weir_metric_series *s, size_t i)
{
    return atomic_load_explicit(&s->cells[i], memory_order_acquire);
}

double weir_metric_sum(const struct weir_metric_series *s)
{
    double sum = 0;
    for (size_t i = 0; i < sizeof(s->cells) / sizeof(s->cells[0]); i++) {
        const struct weir_metric_cells *c = cells_at(s, i);
        sum += c ? from_bits(atomic_load_explicit(&c->value, memory_order_relaxed)) : 0;
    }
    return sum;
}

uint64_t weir_metric_n_in(const struct weir_metric_series *s, uint32_t bucket)
{
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof(s->cells) / sizeof(s->cells[0]); i++) {
        const struct weir_metric_cells *c = cells_at(s, i);
        n += c ? atomic_load_explicit(&c->buckets[bucket], memory_order_relaxed) : 0;
    }
    return n;
}

double weir_metric_value(const struct weir_metric_series *s)
{
    if (!s) {
        return 0;
    }
    if (s->family->kind != WEIR_METRICS_HISTOGRAM) {
        return weir_metric_sum(s);
    }
    double count = 0;
    for (uint32_t i = 0; i <= s->family->n_buckets; i++) {
        count += (double)weir_metric_n_in(s, i);
    }
    return count;
}

int weir_metrics_add_collector(struct weir_metrics *m, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&m->lock);
    bool room = m->n_collectors < MAX_COLLECTORS;
    if (room) {
        m->collectors[m->n_collectors].fn = fn;
        m->collectors[m->n_collectors].arg = arg;
        m->n_collectors++;
    }
    pthread_mutex_unlock(&m->lock);
    return room ? 0 : WEIR_E_BUSY;
}

void weir_metrics_remove_collector(struct weir_metrics *m, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&m->lock);
    for (uint32_t i = 0; i < m->n_collectors; i++) {
        if (m->collectors[i].fn == fn && m->collectors[i].arg == arg) {
            memmove(&m->collectors[i], &m->collectors[i + 1],
                    (m->n_collectors - i - 1) * sizeof(m->collectors[0]));
            m->n_collectors--;
            break;
        }
    }
    pthread_mutex_unlock(&m->lock);
}
