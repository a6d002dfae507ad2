/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/plugins.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/plugin/config.h"
#include "core/plugin/host_store.h"
#include "core/plugin/image.h"
#include "core/plugin/metrics.h"
#include "core/plugin/plugins_internal.h"
#include "weir/answer.h"
#include "weir/store.h"

#include <unistd.h>

static void add_dead(struct weir_plugins *ps, struct weir_plugin_chain *chain)
{
    pthread_mutex_lock(&ps->lock);
    chain->next_dead = ps->dead;
    ps->dead = chain;
    pthread_mutex_unlock(&ps->lock);
}

/* A chain whose calls of the store are under way waits for them, unless the host ends. */
static void destroy_dead(struct weir_plugins *ps, bool at_once)
{
    pthread_mutex_lock(&ps->lock);
    struct weir_plugin_chain *chain = ps->dead;
    ps->dead = NULL;
    pthread_mutex_unlock(&ps->lock);
    while (chain) {
        struct weir_plugin_chain *next = chain->next_dead;
        if (at_once || weir_plugin_chain_is_idle(chain)) {
            weir_plugin_chain_destroy(chain);
        } else {
            add_dead(ps, chain);
        }
        chain = next;
    }
}

static void reap(struct weir_plugin_task *task)
{
    destroy_dead((struct weir_plugins *)((char *)task - offsetof(struct weir_plugins, reap)),
                 false);
}

int weir_plugins_create(const struct weir_plugins_options *options,
                        struct weir_plugins **ret_plugins)
{
    struct weir_plugins *ps = calloc(1, sizeof(*ps));
    if (!ps) {
        return WEIR_E_NOMEM;
    }
    if (pthread_mutex_init(&ps->lock, NULL) != 0) {
        free(ps);
        return WEIR_E_NOMEM;
    }
    ps->options = *options;
    ps->reap.fn = reap;
    weir_plugins_watch_store(ps);
    size_t n = 0;
    ps->ext_ids[n++] = WEIR_EXT_METRICS;
    ps->ext_ids[n++] = WEIR_EXT_ADMIN;
    ps->ext_ids[n++] = WEIR_EXT_ANSWER;
    ps->ext_ids[n++] = WEIR_EXT_TARGETS;
    if (options->tenants) {
        ps->ext_ids[n++] = WEIR_EXT_TENANTS;
    }
    if (options->slas) {
        ps->ext_ids[n++] = WEIR_EXT_SLAS;
    }
    if (options->store) {
        ps->ext_ids[n++] = WEIR_EXT_STORE;
    }
    int rc = weir_plugin_search_init(&ps->search, options->dirs, options->n_dirs);
    if (rc == 0) {
        rc = weir_tickets_create(&ps->tickets);
    }
    if (rc == 0) {
        struct weir_plugin_chain *empty = NULL;
        rc = weir_plugin_chain_create(ps, &empty);
        atomic_init(&ps->current, empty);
    }
    if (rc == 0) {
        rc = weir_plugin_metrics_define(ps);
    }
    if (rc < 0) {
        weir_plugins_destroy(ps);
        return rc;
    }
    *ret_plugins = ps;
    return 0;
}

void weir_plugins_destroy(struct weir_plugins *ps)
{
    if (!ps) {
        return;
    }
    weir_plugin_metrics_release(ps);
    weir_plugin_chain_unref(ps->current);
    (void)weir_plugin_loop_unpost(ps->options.main_loop, &ps->reap);
    destroy_dead(ps, true);
    weir_plugins_unwatch_store(ps);
    for (size_t i = 0; i < ps->n_libraries; i++) {
        weir_plugin_library_unref(ps->libraries[i]);
    }
    weir_tickets_destroy(ps->tickets);
    weir_plugin_search_finish(&ps->search);
    pthread_mutex_destroy(&ps->lock);
    free(ps);
}

const struct weir_plugin_search *weir_plugins_search(const struct weir_plugins *ps)
{
    return &ps->search;
}

struct weir_plugin_chain *weir_plugins_chain(struct weir_plugins *ps)
{
    pthread_mutex_lock(&ps->lock);
    struct weir_plugin_chain *chain =
        weir_plugin_chain_ref(atomic_load_explicit(&ps->current, memory_order_relaxed));
    pthread_mutex_unlock(&ps->lock);
    return chain;
}

void weir_plugins_update(struct weir_plugins *ps, struct weir_plugin_chain **chain)
{
    /* Only compared: one that is held is not freed, so that no other can have its address. */
    if (*chain == atomic_load_explicit(&ps->current, memory_order_relaxed)) {
        return;
    }
    struct weir_plugin_chain *old = *chain;
    *chain = weir_plugins_chain(ps);
    weir_plugin_chain_unref(old);
}

/* The library of the same path and bytes, if it is loaded. */
static int find_loaded(struct weir_plugins *ps, const char *path,
                       struct weir_plugin_library **ret_library, struct weir_error *err)
{
    struct weir_plugin_image image;
    int rc = weir_plugin_image_read(path, &image, err);
    if (rc < 0) {
        return rc;
    }
    close(image.fd);
    *ret_library = NULL;
    for (size_t i = 0; i < ps->n_libraries; i++) {
        if (strcmp(ps->libraries[i]->path, path) == 0 &&
            strcmp(ps->libraries[i]->sha256, image.sha256) == 0) {
            *ret_library = weir_plugin_library_ref(ps->libraries[i]);
            break;
        }
    }
    return 0;
}

/* Remembers the library; one that nobody uses any more makes room. */
static int remember(struct weir_plugins *ps, struct weir_plugin_library *lib)
{
    for (size_t i = 0; ps->n_libraries == WEIR_PLUGIN_MAX_LIBRARIES && i < ps->n_libraries; i++) {
        if (atomic_load(&ps->libraries[i]->refs) == 1) {
            weir_plugin_library_unref(ps->libraries[i]);
            ps->libraries[i] = ps->libraries[--ps->n_libraries];
        }
    }
    if (ps->n_libraries == WEIR_PLUGIN_MAX_LIBRARIES) {
        return WEIR_E_BUSY;
    }
    ps->libraries[ps->n_libraries++] = weir_plugin_library_ref(lib);
    return 0;
}

int weir_plugins_load(struct weir_plugins *ps, const char *name,
                      struct weir_plugin_library **ret_library, struct weir_error *err)
{
    char *path = NULL;
    int rc = weir_plugin_search_find(&ps->search, name, &path, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_plugin_library *lib = NULL;
    rc = find_loaded(ps, path, &lib, err);
    if (rc >= 0 && !lib) {
        const struct weir_plugin_offer offer = {WEIR_ABI_MINOR, ps->ext_ids};
        rc = weir_plugin_library_open(path, &offer, NULL, &lib, err);
        if (rc >= 0 && remember(ps, lib) < 0) {
            weir_plugin_library_unref(lib);
            rc = weir_error_set(err, WEIR_E_BUSY, "%s: %d plugins are loaded already", name,
                                WEIR_PLUGIN_MAX_LIBRARIES);
        }
    }
    free(path);
    if (rc >= 0) {
        *ret_library = lib;
    }
    return rc;
}

int weir_plugins_host(struct weir_plugins *ps, struct weir_plugin_library *lib,
                      struct weir_plugin_instance **ret_instance, struct weir_error *err)
{
    int rc = weir_plugin_instance_create(ps, lib, (weir_str){NULL, 0}, ret_instance);
    if (rc == 0) {
        (*ret_instance)->defining = true; /* a backend defines its metrics as it opens a target */
    }
    return rc < 0 ? weir_error_set(err, rc, "plugin %s: out of memory", lib->about.name) : 0;
}

/* A chain that is being put together. */
struct build {
    struct weir_plugins *ps;
    struct weir_findings *findings;
    const struct weir_plugin_spec *specs;
    size_t n;
    struct weir_plugin_library *libs[WEIR_PLUGIN_CHAIN_MAX];
    struct weir_plugin_config configs[WEIR_PLUGIN_CHAIN_MAX];
    bool ok;
};

static void complain(struct build *b, size_t i, const char *text)
{
    weir_doc_complain(b->findings, b->specs[i].entry, NULL, "%s", text);
    b->ok = false;
}

static void load_one(struct build *b, size_t i)
{
    struct weir_error err = {0};
    if (weir_plugins_load(b->ps, b->specs[i].name, &b->libs[i], &err) < 0) {
        complain(b, i, err.message);
        return;
    }
    const weir_plugin *about = &b->libs[i]->about;
    char text[300];
    if (!b->libs[i]->is_policy) {
        (void)snprintf(text, sizeof(text),
                       "plugin %s is no policy (it provides %s); name a backend under models",
                       about->name, about->provides[0]);
        complain(b, i, text);
        return;
    }
    for (size_t j = 0; j < i; j++) {
        if (b->libs[j] && strcmp(b->libs[j]->about.name, about->name) == 0) {
            (void)snprintf(text, sizeof(text), "plugin %s stands here a second time", about->name);
            complain(b, i, text);
            return;
        }
    }
    if (weir_plugin_config_read(b->libs[i], &b->specs[i], b->findings, &b->configs[i]) < 0) {
        b->ok = false;
    }
}

static size_t place_of(const struct build *b, const char *name)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->libs[i] && b->configs[i].enabled && strcmp(b->libs[i]->about.name, name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* `after` and `before` are constraints on the configured order, not an order of their own. */
static void check_order(struct build *b, size_t i)
{
    if (!b->libs[i] || !b->configs[i].enabled) {
        return;
    }
    const weir_plugin *about = &b->libs[i]->about;
    char text[300];
    for (size_t j = 0; about->after && j < WEIR_PLUGIN_CHAIN_MAX && about->after[j]; j++) {
        size_t at = place_of(b, about->after[j]);
        if (at != SIZE_MAX && at > i) {
            (void)snprintf(text, sizeof(text), "plugin %s must stand after %s; move it down",
                           about->name, about->after[j]);
            complain(b, i, text);
        }
    }
    for (size_t j = 0; about->before && j < WEIR_PLUGIN_CHAIN_MAX && about->before[j]; j++) {
        size_t at = place_of(b, about->before[j]);
        if (at != SIZE_MAX && at < i) {
            (void)snprintf(text, sizeof(text), "plugin %s must stand before %s; move it up",
                           about->name, about->before[j]);
            complain(b, i, text);
        }
    }
}

static void build_check(struct build *b)
{
    b->ok = b->n <= WEIR_PLUGIN_CHAIN_MAX;
    if (!b->ok) {
        b->n = WEIR_PLUGIN_CHAIN_MAX;
        weir_doc_complain(b->findings, b->specs[WEIR_PLUGIN_CHAIN_MAX].entry, NULL,
                          "at most %d plugins are possible", WEIR_PLUGIN_CHAIN_MAX);
    }
    for (size_t i = 0; i < b->n; i++) {
        load_one(b, i);
    }
    for (size_t i = 0; i < b->n; i++) {
        check_order(b, i);
    }
}

static void build_finish(struct build *b)
{
    for (size_t i = 0; i < b->n; i++) {
        weir_plugin_library_unref(b->libs[i]);
        weir_plugin_config_finish(&b->configs[i]);
    }
}

static void start_one(struct build *b, size_t i, weir_str tenants_json,
                      struct weir_plugin_chain *chain)
{
    struct weir_plugin_instance *inst = NULL;
    struct weir_error err = {0};
    if (weir_plugin_instance_create(b->ps, b->libs[i], tenants_json, &inst) < 0) {
        complain(b, i, "out of memory");
        return;
    }
    inst->fail_open = b->configs[i].fail_open;
    weir_str json = {b->configs[i].json, b->configs[i].json_len};
    if (weir_plugin_instance_start(inst, json, &err) < 0) {
        complain(b, i, err.message);
        weir_plugin_instance_destroy(inst);
        return;
    }
    weir_plugin_chain_add(chain, inst);
}

static void swap_chain(struct weir_plugins *ps, struct weir_plugin_chain *chain)
{
    pthread_mutex_lock(&ps->lock);
    struct weir_plugin_chain *old = atomic_load_explicit(&ps->current, memory_order_relaxed);
    atomic_store_explicit(&ps->current, chain, memory_order_relaxed);
    pthread_mutex_unlock(&ps->lock);
    weir_plugin_chain_unref(old);
}

int weir_plugins_configure(struct weir_plugins *ps, const struct weir_plugin_spec *specs,
                           size_t n_specs, weir_str tenants_json, struct weir_findings *findings)
{
    struct build b = {.ps = ps, .findings = findings, .specs = specs, .n = n_specs};
    build_check(&b);
    struct weir_plugin_chain *chain = NULL;
    int rc = b.ok ? weir_plugin_chain_create(ps, &chain) : WEIR_E_FORMAT;
    for (size_t i = 0; rc == 0 && b.ok && i < b.n; i++) {
        if (b.configs[i].enabled) {
            start_one(&b, i, tenants_json, chain);
        }
    }
    build_finish(&b);
    if (chain && b.ok) {
        swap_chain(ps, chain);
    } else if (chain) {
        add_dead(ps, chain); /* what it asked of the store may be under way */
        destroy_dead(ps, false);
        rc = WEIR_E_FORMAT;
    }
    return rc;
}

int weir_plugins_check(struct weir_plugins *ps, const struct weir_plugin_spec *specs,
                       size_t n_specs, struct weir_findings *findings)
{
    struct build b = {.ps = ps, .findings = findings, .specs = specs, .n = n_specs};
    build_check(&b);
    build_finish(&b);
    return b.ok ? 0 : WEIR_E_FORMAT;
}
