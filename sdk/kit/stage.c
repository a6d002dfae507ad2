/* SPDX-License-Identifier: Apache-2.0 */
#include "sdk/kit/stage.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "core/config/tenant_entry.h"
#include "core/plugin/chain.h"
#include "core/store/memory.h"
#include "core/tenants/tenants.h"

enum { START_S = 1000 };
#define WALL_START_US UINT64_C(1767225600000000) /* 2026-01-01 00:00 UTC */

static uint64_t mono_ns(void *arg)
{
    struct weir_kit_stage *s = arg;
    return atomic_load_explicit(&s->now_ns, memory_order_relaxed);
}

static uint64_t wall_us(void *arg)
{
    return WALL_START_US + mono_ns(arg) / 1000;
}

static uint64_t store_now_us(void *arg)
{
    return mono_ns(arg) / 1000;
}

static void wake(void *arg)
{
    struct weir_kit_stage *s = arg;
    pthread_mutex_lock(&s->lock);
    s->awake = true;
    pthread_cond_signal(&s->woken);
    pthread_mutex_unlock(&s->lock);
}

static int check_tenant(void *arg, weir_str name, weir_str entry, struct weir_error *ret_problem)
{
    (void)arg;
    struct weir_tenant_problem problem;
    char *json = NULL;
    int rc = weir_tenant_entry_check(NULL, name, entry, &json, &problem);
    free(json);
    return rc < 0 ? weir_error_set(ret_problem, rc, "%.80s%s%s", problem.path,
                                   *problem.path ? ": " : "", problem.text)
                  : 0;
}

int weir_kit_stage_init(struct weir_kit_stage *s, const struct weir_plugin_request_ops *ops,
                        struct weir_plugin_limits limits)
{
    *s = (struct weir_kit_stage){.now_ns = UINT64_C(1000000000) * START_S};
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->woken, NULL);
    const struct weir_plugin_clock clock = {mono_ns, wall_us, s};
    int rc = weir_plugin_loop_create(clock, wake, s, &s->loop);
    if (rc == 0) {
        rc = weir_metrics_create(&s->metrics);
    }
    if (rc == 0) {
        rc = weir_store_memory_create(
            &(struct weir_store_memory_options){.now_us = store_now_us, .now_arg = s}, &s->store);
    }
    if (rc == 0) {
        rc = weir_tenants_create(&s->tenants);
    }
    if (rc == 0) {
        rc = weir_plugins_create(&(struct weir_plugins_options){.ops = ops,
                                                                .metrics = s->metrics,
                                                                .store = s->store,
                                                                .tenants = s->tenants,
                                                                .check_tenant = check_tenant,
                                                                .main_loop = s->loop,
                                                                .limits = limits},
                                 &s->plugins);
    }
    if (rc < 0) {
        weir_kit_stage_finish(s);
    }
    return rc;
}

void weir_kit_stage_finish(struct weir_kit_stage *s)
{
    weir_plugins_destroy(s->plugins);
    weir_tenants_destroy(s->tenants);
    weir_store_destroy(s->store);
    weir_metrics_destroy(s->metrics);
    weir_plugin_loop_destroy(s->loop);
    pthread_cond_destroy(&s->woken);
    pthread_mutex_destroy(&s->lock);
}

/* Splits entries as core/config does; `empty` stands for a configuration that was left out. */
static size_t read_specs(struct weir_doc *doc, const struct weir_doc_node *empty,
                         struct weir_plugin_spec specs[WEIR_PLUGIN_CHAIN_MAX])
{
    size_t n = 0;
    const struct weir_doc_node *e = weir_doc_root(doc)->first;
    for (; e && n < WEIR_PLUGIN_CHAIN_MAX; e = e->next) {
        bool mapping = e->type == WEIR_DOC_MAP && e->n_children == 1;
        const struct weir_doc_node *config = mapping ? e->first : empty;
        specs[n++] = (struct weir_plugin_spec){
            .name = mapping ? e->first->key.p : e->text.p,
            .entry = e,
            .config = config->type == WEIR_DOC_NULL ? empty : config,
        };
    }
    return n;
}

int weir_kit_stage_configure(struct weir_kit_stage *s, const char *plugins,
                             const char *tenants_json, struct weir_error *err)
{
    struct weir_findings findings;
    weir_findings_init(&findings, "plugins");
    struct weir_doc *doc = NULL, *empty = NULL;
    int rc = weir_doc_parse(weir_str_from(plugins), &findings, &doc);
    if (rc == 0) {
        rc = weir_doc_parse((weir_str)WEIR_STR_INIT("{}"), &findings, &empty);
    }
    if (rc == 0) {
        struct weir_plugin_spec specs[WEIR_PLUGIN_CHAIN_MAX];
        size_t n = read_specs(doc, weir_doc_root(empty), specs);
        (void)weir_tenants_set_entries(s->tenants, weir_str_from(tenants_json));
        rc = weir_plugins_configure(s->plugins, specs, n, weir_str_from(tenants_json), &findings);
    }
    if (rc < 0) {
        (void)weir_findings_to_error(&findings, err);
    }
    weir_doc_destroy(doc);
    weir_doc_destroy(empty);
    weir_findings_finish(&findings);
    return rc;
}

void weir_kit_stage_turn(struct weir_kit_stage *s)
{
    pthread_mutex_lock(&s->lock);
    s->awake = false;
    pthread_mutex_unlock(&s->lock);
    weir_plugin_loop_turn(s->loop);
}

void weir_kit_stage_advance(struct weir_kit_stage *s, uint64_t us)
{
    atomic_fetch_add_explicit(&s->now_ns, us * 1000, memory_order_relaxed);
    weir_kit_stage_turn(s);
}

bool weir_kit_stage_wait(struct weir_kit_stage *s, uint32_t timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)timeout_ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&s->lock);
    int rc = 0;
    while (!s->awake && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&s->woken, &s->lock, &until);
    }
    bool awake = s->awake;
    pthread_mutex_unlock(&s->lock);
    if (awake) {
        weir_kit_stage_turn(s);
    }
    return awake;
}
