/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/redis/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/store/redis/redis_internal.h"

static struct weir_redis *from(struct weir_store *s)
{
    return (struct weir_redis *)s;
}

/* Under the lock, as loops come and go. */
static void wake(const struct weir_redis_loop *first)
{
    for (const struct weir_redis_loop *l = first; l; l = l->next) {
        weir_waker_wake((struct weir_waker *)&l->waker);
    }
}

void weir_redis_wake_loops(struct weir_redis *r)
{
    pthread_mutex_lock(&r->lock);
    wake(r->loops);
    pthread_mutex_unlock(&r->lock);
}

void weir_redis_suspect(struct weir_redis *r)
{
    atomic_store(&r->suspected, true);
    pthread_mutex_lock(&r->lock);
    if (r->main) {
        weir_waker_wake(&r->main->waker);
    }
    pthread_mutex_unlock(&r->lock);
}

void weir_redis_trip(struct weir_redis *r, uint64_t epoch)
{
    pthread_mutex_lock(&r->lock);
    bool is_news = epoch == r->epoch;
    pthread_mutex_unlock(&r->lock);
    if (!is_news) {
        return;
    }
    (void)weir_redis_breaker_enter(&r->breaker, WEIR_REDIS_OPEN);
    atomic_store(&r->tripped, true);
    weir_redis_wake_loops(r);
}

void weir_redis_login_fill(const struct weir_redis *r, bool is_sentinel,
                           struct weir_redis_login *ret_login)
{
    const struct weir_store_url *url = &r->options.url;
    *ret_login = (struct weir_redis_login){.user = url->user,
                                           .password = url->password,
                                           .db = url->db,
                                           .is_sentinel = is_sentinel,
                                           .tls = r->tls,
                                           .tls_name = r->tls_name};
}

static int call(struct weir_store *s, const struct weir_store_call *c,
                const struct weir_store_then *then)
{
    struct weir_redis_loop *l = pthread_getspecific(from(s)->loop_key);
    return l ? weir_redis_loop_call(l, c, then) : WEIR_E_ARG;
}

static void subscribed(struct weir_store *s, weir_str channel, bool first)
{
    const struct weir_redis *r = from(s);
    if (r->main) { /* only [main] changes it */
        weir_redis_control_subscribed(r->main->control, channel, first);
    }
}

static int attach(struct weir_store *s, struct uv_loop_s *loop, bool is_main)
{
    struct weir_redis *r = from(s);
    struct weir_redis_loop *l = NULL;
    if (pthread_getspecific(r->loop_key) || (is_main && r->main)) {
        return WEIR_E_ARG;
    }
    int rc = weir_redis_loop_create(r, loop, &l);
    if (rc < 0) {
        return rc;
    }
    if (pthread_setspecific(r->loop_key, l) != 0) {
        weir_redis_loop_close(l);
        return WEIR_E_NOMEM;
    }
    pthread_mutex_lock(&r->lock);
    l->next = r->loops;
    r->loops = l;
    if (is_main) {
        r->main = l;
    }
    wake(l); /* to see what is published already; the others do no harm */
    pthread_mutex_unlock(&r->lock);
    return is_main ? weir_redis_control_create(r, l, &l->control) : 0;
}

static bool detach(struct weir_store *s, bool force)
{
    struct weir_redis *r = from(s);
    struct weir_redis_loop *l = pthread_getspecific(r->loop_key);
    if (!l) {
        return true;
    }
    if (l->n_untold && !force) {
        return false;
    }
    pthread_mutex_lock(&r->lock);
    struct weir_redis_loop **at = &r->loops;
    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    if (r->main == l) {
        r->main = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    if (l->control) {
        weir_redis_control_close(l->control);
        l->control = NULL;
    }
    weir_redis_loop_close(l);
    (void)pthread_setspecific(r->loop_key, NULL);
    return true;
}

static bool is_idle(const struct weir_store *s)
{
    const struct weir_redis_loop *l = pthread_getspecific(((const struct weir_redis *)s)->loop_key);
    return !l || l->n_untold == 0;
}

static bool is_up(const struct weir_store *s)
{
    return weir_redis_breaker_state(&((const struct weir_redis *)s)->breaker) == WEIR_REDIS_CLOSED;
}

/* ---- metrics ---- */

static struct weir_metric_family *define(struct weir_redis *r, enum weir_metrics_kind kind,
                                         const char *name, const char *help, const char *label)
{
    return weir_metrics_define(
        r->metrics,
        &(struct weir_metric_spec){.kind = kind, .name = name, .help = help, .labels = {label}},
        NULL);
}

static int define_metrics(struct weir_store *s, struct weir_metrics *metrics)
{
    struct weir_redis *r = from(s);
    r->metrics = metrics;
    r->in_flight = define(r, WEIR_METRICS_GAUGE, "weir_store_in_flight",
                          "Operations that the store has not answered.", NULL);
    r->state =
        define(r, WEIR_METRICS_GAUGE, "weir_store_breaker_state",
               "0: closed, operations are sent; 1: open, they are refused; 2: half open, the "
               "store is being tried; 3: starting.",
               NULL);
    r->transitions = define(r, WEIR_METRICS_COUNTER, "weir_store_breaker_transitions_total",
                            "Times that the breaker entered a state.", "to");
    r->connects = define(r, WEIR_METRICS_COUNTER, "weir_store_connects_total",
                         "Connections of the loops that were begun.", NULL);
    r->connections = define(r, WEIR_METRICS_GAUGE, "weir_store_connections",
                            "Connections of the loops that are ready.", NULL);
    r->overflows = define(r, WEIR_METRICS_COUNTER, "weir_store_overflows_total",
                          "Operations refused because too many were under way.", NULL);
    r->loads = define(r, WEIR_METRICS_COUNTER, "weir_store_script_loads_total",
                      "Scripts that the store did not know.", NULL);
    return r->in_flight && r->state && r->transitions && r->connects && r->connections &&
                   r->overflows && r->loads
               ? 0
               : WEIR_E_NOMEM;
}

static void collect(struct weir_store *s)
{
    static const char *const names[] = {"closed", "open", "half_open"};
    struct weir_redis *r = from(s);
    weir_metric_set(weir_metric_series(r->in_flight, NULL, 0), (double)r->n_in_flight);
    weir_metric_set(weir_metric_series(r->state, NULL, 0),
                    (double)weir_redis_breaker_state(&r->breaker));
    for (int i = 0; i < WEIR_REDIS_STARTING; i++) {
        weir_metric_set_total(WEIR_METRIC_SERIES(r->transitions, names[i]),
                              (double)atomic_load(&r->breaker.n_entered[i]));
    }
    weir_metric_set_total(weir_metric_series(r->connects, NULL, 0), (double)r->n_connects);
    weir_metric_set(weir_metric_series(r->connections, NULL, 0), (double)r->n_links);
    weir_metric_set_total(weir_metric_series(r->overflows, NULL, 0), (double)r->n_overflows);
    weir_metric_set_total(weir_metric_series(r->loads, NULL, 0), (double)r->n_loads);
}

/* ---- life ---- */

static void destroy(struct weir_store *s)
{
    struct weir_redis *r = from(s);
    (void)pthread_key_delete(r->loop_key);
    weir_redis_scripts_finish(&r->scripts);
    weir_tls_client_context_destroy(r->tls);
    pthread_mutex_destroy(&r->lock);
    weir_store_finish(s);
    free(r->tls_name);
    explicit_bzero(&r->options.url.password, sizeof(r->options.url.password));
    free(r);
}

static const struct weir_store_driver driver = {
    .name = "redis",
    .flags = WEIR_STORE_SHARED | WEIR_STORE_DURABLE,
    .call = call,
    .subscribed = subscribed,
    .attach = attach,
    .detach = detach,
    .is_idle = is_idle,
    .is_up = is_up,
    .define_metrics = define_metrics,
    .collect = collect,
    .destroy = destroy,
};

/* What can be refused for a reason; the rest is memory. */
static int check_options(const struct weir_store_redis_options *o, struct weir_error *err)
{
    if (o->n_connections < 1 || o->n_connections > WEIR_STORE_REDIS_MAX_CONNECTIONS ||
        o->max_in_flight < 1 || o->timeout_ms < 1 || !*o->prefix ||
        strlen(o->prefix) > WEIR_STORE_REDIS_MAX_PREFIX_BYTES || strpbrk(o->prefix, "{}")) {
        return weir_error_set(err, WEIR_E_ARG, "store: an option is out of bounds");
    }
    return 0;
}

static int init(struct weir_redis *r, const struct weir_store_redis_options *o,
                struct weir_error *err)
{
    r->options = *o;
    (void)snprintf(r->prefix, sizeof(r->prefix), "%s", o->prefix);
    weir_redis_breaker_init(&r->breaker, &o->breaker);
    r->tls_name = o->tls_name ? strdup(o->tls_name) : NULL;
    int rc = o->tls_name && !r->tls_name ? WEIR_E_NOMEM : weir_redis_scripts_init(&r->scripts);
    if (rc < 0) {
        return weir_error_set(err, rc, "cannot set up the store: %s", weir_error_name(rc));
    }
    const struct weir_tls_client_settings tls = {
        .ca = o->tls_ca, .cert = o->tls_cert, .key = o->tls_key};
    return o->url.tls ? weir_tls_client_context_create(&tls, &r->tls, err) : 0;
}

int weir_store_redis_create(const struct weir_store_redis_options *options,
                            struct weir_store **ret_store, struct weir_error *err)
{
    int rc = check_options(options, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_redis *r = calloc(1, sizeof(*r));
    if (!r || weir_store_init(&r->base, &driver) < 0) {
        free(r);
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        weir_store_finish(&r->base);
        free(r);
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    if (pthread_key_create(&r->loop_key, NULL) != 0) {
        pthread_mutex_destroy(&r->lock);
        weir_store_finish(&r->base);
        free(r);
        return weir_error_set(err, WEIR_E_NOMEM, "out of thread keys");
    }
    rc = init(r, options, err);
    if (rc < 0) {
        destroy(&r->base);
        return rc;
    }
    *ret_store = &r->base;
    return 0;
}
