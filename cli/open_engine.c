/* SPDX-License-Identifier: Apache-2.0 */
#include "open_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/known_models.h"
#include "core/config/model_path.h"
#include "engine/engine.h"

enum { MAX_DEVICES = WEIR_CONFIG_DEVICES_MAX };

/* What `auto` tries, fastest kind first; the score decides. */
static const char *const known_backends[] = {"cuda", "hip", "cpu"};

struct candidate {
    struct weir_plugin_library *library;
    struct weir_plugin_instance *instance;
    const weir_backend_step *step;
    uint32_t devices[MAX_DEVICES], n_devices; /* one or those that were wished for */
    uint32_t score;                           /* the lowest of theirs */
    char device_name[96];                     /* of the first, or why there is none */
};

static void drop(struct candidate *c)
{
    weir_plugin_instance_destroy(c->instance);
    weir_plugin_library_unref(c->library);
    *c = (struct candidate){0};
}

enum { MIN_ID_CHARS = 8 }; /* of a beginning that counts */

/* wish NULL: any. */
static bool fits(const struct weir_config_device *wish, const weir_device *device)
{
    if (!wish) {
        return true;
    }
    if (!wish->id) {
        return device->index == wish->index;
    }
    size_t n = strlen(wish->id);
    return strcmp(device->id, wish->id) == 0 ||
           (n >= MIN_ID_CHARS && strncmp(device->id, wish->id, n) == 0);
}

/* The best device that fits the wish; score 0 and the reason as its name when there is none. */
static weir_device find_best(const struct weir_config_device *wish, const weir_device *devices,
                             uint32_t n)
{
    weir_device best = {.score = 0};
    (void)snprintf(best.name, sizeof(best.name), "%s", wish ? "no such device" : "no device found");
    bool has_reason = false; /* the first one is told */
    for (uint32_t i = 0; i < n; i++) {
        bool usable = devices[i].score > 0;
        if ((usable && fits(wish, &devices[i]) && devices[i].score > best.score) ||
            (!usable && !has_reason && best.score == 0 && (fits(wish, &devices[i]) || n == 1))) {
            has_reason = true;
            best = devices[i];
            best.name[sizeof(best.name) - 1] = '\0';
        }
    }
    return best;
}

static void give_up(struct candidate *c, const char *why)
{
    c->score = 0;
    (void)snprintf(c->device_name, sizeof(c->device_name), "%s", why);
}

static bool has_device(const struct candidate *c, uint32_t device)
{
    for (uint32_t i = 0; i < c->n_devices; i++) {
        if (c->devices[i] == device) {
            return true;
        }
    }
    return false;
}

/* A device for each wish; score 0 and the reason when there is not. */
static void take_devices(struct candidate *c, const struct weir_config_device *wishes,
                         uint32_t n_wishes, const weir_device *devices, uint32_t n)
{
    const uint32_t n_most = WEIR_HAS(c->step, max_devices) ? c->step->max_devices : 1;
    const uint32_t n_wanted = n_wishes > 1 ? n_wishes : 1;
    if (n_wanted > 1 && n_wanted > n_most) {
        give_up(c, n_most > 1 ? "it cannot split a model over so many devices"
                              : "it cannot split a model over devices");
        return;
    }
    for (uint32_t i = 0; i < n_wanted; i++) {
        weir_device best = find_best(n_wishes > 0 ? &wishes[i] : NULL, devices, n);
        if (best.score == 0 || has_device(c, best.index)) {
            give_up(c, best.score == 0 ? best.name : "a device is named twice");
            return;
        }
        c->devices[c->n_devices++] = best.index;
        if (i == 0 || best.score < c->score) {
            c->score = best.score;
        }
        if (i == 0) {
            (void)snprintf(c->device_name, sizeof(c->device_name), "%s", best.name);
        }
    }
}

static int probe(struct weir_plugins *plugins, const char *name,
                 const struct weir_config_device *wishes, uint32_t n_wishes, struct candidate *ret,
                 struct weir_error *err)
{
    struct candidate c = {0};
    int r = weir_plugins_load(plugins, name, &c.library, err);
    if (r < 0) {
        return r;
    }
    c.step = weir_plugin_library_ext(c.library, WEIR_EXT_BACKEND_STEP);
    if (!c.step || !WEIR_HAS_FN(c.step, devices)) {
        drop(&c);
        return weir_error_set(err, WEIR_E_UNSUPPORTED, "plugin %s is no step backend (%s)", name,
                              WEIR_EXT_BACKEND_STEP);
    }
    r = weir_plugins_host(plugins, c.library, &c.instance, err);
    weir_device devices[MAX_DEVICES] = {0};
    for (size_t i = 0; i < MAX_DEVICES; i++) {
        devices[i].struct_size = sizeof(devices[i]);
    }
    uint32_t n = 0;
    if (r == 0) {
        r = c.step->devices(weir_plugin_instance_host(c.instance), devices, MAX_DEVICES, &n);
        if (r < 0) {
            weir_error_set(err, r, "backend %s: looking for devices: %s", name, weir_error_name(r));
        }
    }
    if (r < 0) {
        drop(&c);
        return r;
    }
    take_devices(&c, wishes, n_wishes, devices, n < MAX_DEVICES ? n : MAX_DEVICES);
    *ret = c;
    return 0;
}

/* The best candidate; the CPU stands by as the spare of another one (score 0: none does). */
static int choose_best(struct weir_plugins *plugins, const struct weir_config_engine *e,
                       struct candidate *ret, struct candidate *ret_spare, struct weir_error *err)
{
    struct candidate best = {0};
    struct candidate spare = {0};
    for (size_t i = 0; i < sizeof(known_backends) / sizeof(known_backends[0]); i++) {
        struct candidate c = {0};
        struct weir_error why = {0};
        bool is_last = i + 1 == sizeof(known_backends) / sizeof(known_backends[0]);
        /* The CPU stands in whatever GPU is wished for. */
        const uint32_t n_wishes = is_last ? 0 : e->n_devices;
        if (probe(plugins, known_backends[i], e->devices, n_wishes, &c, &why) < 0) {
            weir_log(WEIR_LOG_DEBUG, "backend", NULL, "auto: not %s: %s", known_backends[i],
                     why.message);
            continue;
        }
        if (c.score == 0) {
            weir_log(WEIR_LOG_INFO, "backend", NULL, "auto: not %s: %s", known_backends[i],
                     c.device_name);
        }
        if (c.score > best.score) {
            drop(&best);
            best = c;
        } else if (is_last && c.score > 0) {
            spare = c;
        } else {
            drop(&c);
        }
    }
    if (best.score == 0) {
        return weir_error_set(err, WEIR_E_NOTFOUND,
                              "backend: auto: no backend found that can run here; `weir plugin "
                              "list` shows what is installed");
    }
    *ret = best;
    *ret_spare = spare;
    return 0;
}

static int choose(struct weir_plugins *plugins, const struct weir_config_engine *e,
                  struct candidate *ret, struct candidate *ret_spare, struct weir_error *err)
{
    if (strcmp(e->backend, "auto") == 0) {
        return choose_best(plugins, e, ret, ret_spare, err);
    }
    int r = probe(plugins, e->backend, e->devices, e->n_devices, ret, err);
    if (r == 0 && ret->score == 0) {
        r = weir_error_set(err, WEIR_E_DEVICE, "backend %s cannot run here: %s", e->backend,
                           ret->device_name);
        drop(ret);
    }
    return r;
}

struct weir_engine_opening { /* read while weir_target_create() runs */
    struct weir_engine_config config;
    uint32_t devices[MAX_DEVICES];
    char path[WEIR_MODEL_PATH_BYTES];
    char *options;
    char *upstream_json; /* of an upstream, in place of the above */
};

static int open_now(void *arg, const weir_sink *sink, void **ret_impl, struct weir_error *err)
{
    struct weir_engine_opening *o = arg;
    struct weir_engine *engine = NULL;
    int r = weir_engine_create(&o->config, sink, &engine, err);
    if (r == 0) {
        *ret_impl = engine;
    }
    return r;
}

static void free_opening(struct weir_engine_opening *o)
{
    if (o) {
        free(o->options);
        free(o->upstream_json);
        free(o);
    }
}

static int fill(struct weir_engine_opening *o, const struct weir_config *config,
                const struct weir_config_engine *e, const struct candidate *c,
                const struct candidate *spare, struct weir_error *err)
{
    if (e->file) {
        int r = weir_model_path(config->models_dir, e->file, o->path, err);
        if (r < 0) {
            return r;
        }
        if (access(o->path, F_OK) < 0) { /* loading will say that it failed; this says what to do */
            char hint[WEIR_MODEL_HINT_BYTES];
            weir_log(WEIR_LOG_ERROR, "model", NULL, "%s is not there: %s", o->path,
                     weir_known_model_hint(e->file, hint));
        }
    }
    o->options = e->options ? yyjson_val_write(e->options, 0, NULL) : NULL;
    if (e->options && !o->options) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    memcpy(o->devices, c->devices, sizeof(o->devices));
    o->config = (struct weir_engine_config){
        .backend = c->step,
        .host = weir_plugin_instance_host(c->instance),
        .model_file = weir_str_from(e->file ? o->path : ""),
        .backend_options_json = weir_str_from(o->options ? o->options : "{}"),
        .device = c->devices[0],
        .devices = o->devices,
        .n_devices = c->n_devices,
        .spare = spare->step,
        .spare_host = spare->instance ? weir_plugin_instance_host(spare->instance) : NULL,
        .n_threads = e->n_threads,
        .n_ctx = e->n_ctx,
        .max_batch = e->max_sequences,
        .max_step_tokens = e->max_step_tokens,
        .kv_bytes = e->kv_bytes,
        .stall_limit_ms = e->stall_timeout_ms,
    };
    return 0;
}

/* spare: the next best backend under `auto`; NULL: there cannot be one. */
static void keep(struct weir_open_engines *set, const struct candidate *c,
                 const struct candidate *spare, struct weir_engine_opening *o)
{
    set->backends[set->n].library = c->library;
    set->backends[set->n].instance = c->instance;
    set->backends[set->n].spare_library = spare ? spare->library : NULL;
    set->backends[set->n].spare_instance = spare ? spare->instance : NULL;
    set->backends[set->n].opening = o;
    set->n++;
}

static bool add_timeout(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, uint32_t ms)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%ums", ms ? ms : UINT32_MAX); /* 0: no bound */
    return yyjson_mut_obj_add_strcpy(doc, object, key, text);
}

static bool add_timeouts(yyjson_mut_doc *doc, yyjson_mut_val *root,
                         const struct weir_config_timeouts *t)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, root, "timeouts");
    return object && add_timeout(doc, object, "connect", t->connect_ms) &&
           add_timeout(doc, object, "first_token", t->first_token_ms) &&
           add_timeout(doc, object, "between_tokens", t->between_tokens_ms) &&
           add_timeout(doc, object, "total", t->total_ms);
}

/* What the plugin gets: the `upstream` object, with what it would otherwise have to ask for. */
static char *upstream_config(const struct weir_config_model *model,
                             const struct weir_config_target *target, size_t *ret_n)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = doc ? yyjson_val_mut_copy(doc, target->upstream.json) : NULL;
    char *json = NULL;
    bool ok = root != NULL;
    if (ok && !target->upstream.model) {
        ok = yyjson_mut_obj_add_str(doc, root, "model", model->name);
    }
    if (ok && add_timeouts(doc, root, &target->timeouts)) {
        json = yyjson_mut_val_write(root, 0, ret_n);
    }
    yyjson_mut_doc_free(doc);
    return json;
}

static int open_upstream(struct weir_open_engines *set, const struct weir_config_model *model,
                         const struct weir_config_target *target, struct weir_plugins *plugins,
                         struct weir_target_config *ret_target, struct weir_error *err)
{
    struct candidate c = {0};
    const char *name = target->upstream.backend;
    int r = weir_plugins_load(plugins, name, &c.library, err);
    if (r < 0) {
        return r;
    }
    const weir_backend_stream *stream = weir_plugin_library_ext(c.library, WEIR_EXT_BACKEND_STREAM);
    r = stream ? weir_plugins_host(plugins, c.library, &c.instance, err)
               : weir_error_set(err, WEIR_E_UNSUPPORTED, "plugin %s is no stream backend (%s)",
                                name, WEIR_EXT_BACKEND_STREAM);
    struct weir_engine_opening *o = r < 0 ? NULL : calloc(1, sizeof(*o));
    size_t n = 0;
    if (o) {
        o->upstream_json = upstream_config(model, target, &n);
    }
    if (r >= 0 && (!o || !o->upstream_json)) {
        r = weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    if (r < 0) {
        free_opening(o);
        drop(&c);
        return r;
    }
    keep(set, &c, NULL, o);
    *ret_target = (struct weir_target_config){.backend = stream,
                                              .host = weir_plugin_instance_host(c.instance),
                                              .config_json = {o->upstream_json, n}};
    return 0;
}

int weir_open_engine(void *arg, const struct weir_config *config,
                     const struct weir_config_model *model, const struct weir_config_target *target,
                     struct weir_plugins *plugins, struct weir_target_config *ret_target,
                     struct weir_error *err)
{
    struct weir_open_engines *set = arg;
    if (set->n == WEIR_MAX_OPEN_BACKENDS) {
        return weir_error_set(err, WEIR_E_TOOBIG, "more than %d targets", WEIR_MAX_OPEN_BACKENDS);
    }
    if (!target->is_engine) {
        return open_upstream(set, model, target, plugins, ret_target, err);
    }
    struct candidate c = {0};
    struct candidate spare = {0};
    int r = choose(plugins, &target->engine, &c, &spare, err);
    if (r < 0) {
        return r;
    }
    if (!target->engine.file && !WEIR_HAS_FN(c.step, tokenize)) {
        r = weir_error_set(err, WEIR_E_ARG,
                           "engine.file is missing: the backend %s runs a model file, which `weir "
                           "model list` shows",
                           c.library->about.name);
        drop(&c);
        drop(&spare);
        return r;
    }
    struct weir_engine_opening *o = calloc(1, sizeof(*o));
    r = o ? fill(o, config, &target->engine, &c, &spare, err)
          : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    if (r < 0) {
        free_opening(o);
        drop(&c);
        drop(&spare);
        return r;
    }
    weir_log(WEIR_LOG_INFO, "model", NULL, "%s: %s on %s%s (%s)", model->name,
             target->engine.file ? target->engine.file : "no file", c.device_name,
             c.n_devices > 1 ? " and others" : "", c.library->about.name);
    keep(set, &c, &spare, o);
    *ret_target = (struct weir_target_config){
        .backend = weir_engine_stream(), .open = open_now, .open_arg = o};
    return 0;
}

void weir_open_engines_finish(void *arg)
{
    struct weir_open_engines *set = arg;
    for (size_t i = 0; i < set->n; i++) {
        weir_plugin_instance_destroy(set->backends[i].instance);
        weir_plugin_library_unref(set->backends[i].library);
        weir_plugin_instance_destroy(set->backends[i].spare_instance);
        weir_plugin_library_unref(set->backends[i].spare_library);
        free_opening(set->backends[i].opening);
    }
    set->n = 0;
}
