/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/open_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/store/memory.h"
#include "core/store/metrics.h"
#include "core/store/redis/redis.h"

enum { WAIT_AT_START_US = 3 * 1000000, WAIT_AT_END_US = 2 * 1000000 };

static void log_notice(void *arg, bool is_bad, const char *text)
{
    (void)arg;
    weir_log(is_bad ? WEIR_LOG_ERROR : WEIR_LOG_INFO, "store", NULL, "%s", text);
}

/* The first line, without its end. */
static int read_password(const char *file, char *to, size_t cap, struct weir_error *err)
{
    FILE *f = fopen(file, "re");
    if (!f) {
        return weir_error_set(err, WEIR_E_IO, "store.password_file: cannot read %s: %s", file,
                              strerror(errno));
    }
    bool ok = fgets(to, (int)cap, f) != NULL;
    (void)fclose(f);
    to[ok ? strcspn(to, "\r\n") : 0] = '\0';
    return *to ? 0
               : weir_error_set(err, WEIR_E_ARG, "store.password_file: %s holds no password", file);
}

static int find_password(const struct weir_config_store *c, struct weir_store_url *url,
                         struct weir_error *err)
{
    if (c->password_file) {
        return read_password(c->password_file, url->password, sizeof(url->password), err);
    }
    if (c->password_env) {
        const char *value = getenv(c->password_env);
        if (!value || !*value || strlen(value) >= sizeof(url->password)) {
            return weir_error_set(err, WEIR_E_ARG, "store.password_env: %s is not set",
                                  c->password_env);
        }
        (void)snprintf(url->password, sizeof(url->password), "%s", value);
    }
    return 0;
}

static int open_redis(const struct weir_config_store *c, struct weir_store **ret_store,
                      struct weir_error *err)
{
    enum { NEVER_PERCENT = 101 };
    struct weir_store_redis_options o = {.timeout_ms = c->timeout_ms,
                                         .n_connections = c->n_connections,
                                         .max_in_flight = c->max_in_flight,
                                         .prefix = c->prefix,
                                         .tls_ca = c->tls_ca,
                                         .tls_cert = c->tls_cert,
                                         .tls_key = c->tls_key,
                                         .tls_name = c->tls_server_name,
                                         .notice = log_notice,
                                         .breaker = {
                                             .failure_threshold = c->breaker.failure_threshold,
                                             .failure_percent = c->breaker.failure_percent > 0
                                                                    ? c->breaker.failure_percent
                                                                    : NEVER_PERCENT,
                                             .min_operations = c->breaker.min_operations,
                                             .window_ms = c->breaker.window_ms,
                                             .open_ms = c->breaker.open_ms,
                                             .max_open_ms = c->breaker.max_open_ms,
                                         }};
    int rc = weir_store_url_parse(c->url, &o.url, err);
    rc = rc < 0 ? rc : find_password(c, &o.url, err);
    rc = rc < 0 ? rc : weir_store_redis_create(&o, ret_store, err);
    explicit_bzero(&o.url.password, sizeof(o.url.password));
    return rc;
}

int weir_server_open_store(const struct weir_config *config, struct weir_metrics *metrics,
                           struct weir_store **ret_store, struct weir_error *err)
{
    int rc = 0;
    if (strcmp(config->store.driver, "redis") == 0) {
        rc = open_redis(&config->store, ret_store, err);
    } else {
        const struct weir_store_memory_options o = {.max_bytes = config->store.max_bytes};
        rc = weir_store_memory_create(&o, ret_store);
    }
    return rc < 0 ? rc : weir_store_metrics_start(*ret_store, metrics);
}

void weir_server_await_store(struct weir_store *store, struct weir_worker *admin)
{
    uint64_t end_us = weir_clock_mono_us() + WAIT_AT_START_US;
    while (!weir_store_is_up(store) && weir_clock_mono_us() < end_us) {
        weir_worker_run_once(admin); /* the loop's tick ends a turn */
    }
    if (!weir_store_is_up(store)) {
        weir_log(WEIR_LOG_WARN, "store", NULL, "starting without it; it is tried again and again");
    }
}

void weir_server_finish_store(struct weir_store *store, struct weir_worker *admin)
{
    uint64_t end_us = weir_clock_mono_us() + WAIT_AT_END_US;
    while (!weir_store_is_idle(store) && weir_clock_mono_us() < end_us) {
        weir_worker_run_once(admin);
    }
}
