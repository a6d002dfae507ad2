/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/tls_watch.h"

#include <stdlib.h>
#include <time.h>

#include "base/log.h"

enum {
    LOOK_US = 1000000,
    REMIND_S = 24 * 3600, /* how often the log says that the end is near */
    SOON_DAYS = 14,
    DAY_S = 24 * 3600
};

struct weir_tls_watch {
    struct weir_tls_context *context;
    struct weir_metrics *metrics;
    struct weir_metric_family *end_family, *reloads_family;
    struct weir_metric_series *end, *taken, *refused;
    uint64_t looked_us;
    time_t reminded;
};

static int define(struct weir_tls_watch *w, struct weir_error *err)
{
    static const struct weir_metric_spec end = {
        .kind = WEIR_METRICS_GAUGE,
        .name = "weir_tls_certificate_end_seconds",
        .help = "When the listeners' certificate expires, Unix time"};
    static const struct weir_metric_spec reloads = {
        .kind = WEIR_METRICS_COUNTER,
        .name = "weir_tls_reloads_total",
        .help = "How often the certificate's files were read again, by result: taken, refused",
        .labels = {"result"}};
    w->end_family = weir_metrics_define(w->metrics, &end, err);
    w->reloads_family = w->end_family ? weir_metrics_define(w->metrics, &reloads, err) : NULL;
    if (!w->reloads_family) {
        return err->code;
    }
    w->end = weir_metric_series(w->end_family, NULL, 0);
    w->taken = WEIR_METRIC_SERIES(w->reloads_family, "taken");
    w->refused = WEIR_METRIC_SERIES(w->reloads_family, "refused");
    return 0;
}

/* Shows when the certificate ends, and warns in time. */
static void note_end(struct weir_tls_watch *w)
{
    time_t end = weir_tls_context_not_after(w->context);
    time_t now = time(NULL);
    weir_metric_set(w->end, (double)end);
    if (end - now > (time_t)SOON_DAYS * DAY_S || now - w->reminded < REMIND_S) {
        return;
    }
    w->reminded = now;
    if (end <= now) {
        weir_log(WEIR_LOG_ERROR, "tls", NULL, "the certificate has expired; clients refuse it");
    } else {
        weir_log(WEIR_LOG_WARN, "tls", NULL, "the certificate expires in %lld hours",
                 (long long)(end - now) / 3600);
    }
}

int weir_tls_watch_create(const struct weir_config_server *config, struct weir_metrics *metrics,
                          struct weir_tls_watch **ret_watch, struct weir_error *err)
{
    *ret_watch = NULL;
    if (!config->tls_cert) {
        return 0;
    }
    struct weir_tls_watch *w = calloc(1, sizeof(*w));
    if (!w) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    const struct weir_tls_files files = {.cert = config->tls_cert,
                                         .key = config->tls_key,
                                         .client_ca = config->tls_client_ca,
                                         .is_13_only = config->tls_13_only,
                                         .has_http2 = config->http2_max_streams > 0};
    w->metrics = metrics;
    int r = weir_tls_context_create(&files, &w->context, err);
    r = r < 0 ? weir_error_prefix(err, "server.tls") : define(w, err);
    if (r < 0) {
        weir_tls_watch_destroy(w);
        return r;
    }
    note_end(w);
    *ret_watch = w;
    return 0;
}

void weir_tls_watch_destroy(struct weir_tls_watch *w)
{
    if (w) {
        weir_metrics_release(w->metrics, w->end_family);
        weir_metrics_release(w->metrics, w->reloads_family);
        weir_tls_context_destroy(w->context);
        free(w);
    }
}

struct weir_tls_context *weir_tls_watch_context(struct weir_tls_watch *w)
{
    return w ? w->context : NULL;
}

void weir_tls_watch_look(struct weir_tls_watch *w, uint64_t now_us, bool asked)
{
    struct weir_error err = {0};
    if (!w || (!asked && now_us - w->looked_us < LOOK_US)) {
        return;
    }
    w->looked_us = now_us;
    bool changed = weir_tls_context_has_changed(w->context);
    if (!changed && !asked) {
        note_end(w);
        return;
    }
    if (weir_tls_context_reload(w->context, &err) < 0) {
        weir_metric_add(w->refused, 1);
        weir_log(WEIR_LOG_ERROR, "tls", NULL, "%s; the old certificate stays", err.message);
    } else {
        weir_metric_add(w->taken, 1);
        w->reminded = 0;
        weir_log(WEIR_LOG_INFO, "tls", NULL, "certificate read again");
    }
    note_end(w);
}
