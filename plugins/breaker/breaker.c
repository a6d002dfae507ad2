/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "breaker": targets that fail are not asked, and carefully tried again.
 *
 * It has no phase: it watches how attempts on targets went and says how many requests each target
 * may have (weir.targets/1), so that what it lets through is decided where targets are chosen. */
#include "breaker.h"

#include <stdatomic.h>
#include <stdio.h>

#include "weir/plugin.h"
#include "weir/policy.h"
#include "weir/targets.h"

struct breaker {
    const weir_host *host;
    const weir_ext_targets *targets;
    const weir_ext_store *store;
    struct circuit_set *circuits;      /* numbered as the targets */
    uint64_t n_asked[CIRCUIT_SET_MAX]; /* [main] when last looked at, by target */
};

/* [loop] */
static void on_ended(void *arg, const weir_attempt *a)
{
    struct breaker *b = arg;
    if (a->result != WEIR_ATTEMPT_NEUTRAL) {
        circuit_set_note(b->circuits, a->target, a->result == WEIR_ATTEMPT_GOOD, a->begun_us);
    }
}

static void permit(void *arg, uint32_t index, int64_t n)
{
    struct breaker *b = arg;
    (void)b->targets->permit(b->host, index, n < 0 ? WEIR_PERMIT_ALL : n);
}

static bool is_wanted(void *arg, uint32_t index)
{
    struct breaker *b = arg;
    weir_target_info info = {.struct_size = sizeof(info)};
    if (b->targets->get(b->host, index, &info) < 0 || info.n_asked == b->n_asked[index]) {
        return false;
    }
    b->n_asked[index] = info.n_asked;
    return true;
}

static int add(struct breaker *b, const weir_target_info *info)
{
    char name[CIRCUIT_KEY_BYTES], key[CIRCUIT_KEY_BYTES];
    int n = snprintf(name, sizeof(name), "%.*s", (int)info->name.n, info->name.p);
    int n_key =
        snprintf(key, sizeof(key), "%s@%.*s", name, (int)info->endpoint.n, info->endpoint.p);
    if (n >= (int)sizeof(name) || n_key >= (int)sizeof(key)) {
        return WEIR_E_TOOBIG;
    }
    /* An engine of one process is none of the other replicas' business. */
    bool is_shared = info->flags & WEIR_TARGET_UPSTREAM || !(b->store->flags & WEIR_STORE_SHARED);
    return circuit_set_add(b->circuits, info->model, name, key, is_shared);
}

static void on_opened(void *arg)
{
    struct breaker *b = arg;
    weir_target_info info = {.struct_size = sizeof(info)};
    uint32_t n = 0;
    int rc = 0;
    while (rc == 0 && b->targets->get(b->host, n, &info) == 0) {
        rc = add(b, &info);
        n++;
    }
    if (rc < 0) { /* the numbers behind it would be wrong */
        b->host->log(b->host, WEIR_LEVEL_ERROR, NULL,
                     weir_str_from("a target's name is too long, there are too many of them, or no "
                                   "memory is left: the last ones have no circuit"));
    }
}

static void instance_destroy(void *instance)
{
    struct breaker *b = instance;
    circuit_set_destroy(b->circuits);
    b->host->free(b->host, b);
}

/* What may fail; the sentence for it is in *err. */
static bool start(struct breaker *b, weir_str config_json, weir_str *err)
{
    struct breaker_settings s;
    *err = weir_str_from("its configuration cannot be read");
    if (breaker_read_settings(&s, config_json) < 0) {
        return false;
    }
    const struct circuit_set_config config = {.host = b->host,
                                              .store = b->store,
                                              .settings = s.circuit,
                                              .max_open_percent = s.max_open_percent,
                                              .prefix = "",
                                              .permit = permit,
                                              .is_wanted = is_wanted,
                                              .arg = b};
    *err = weir_str_from("no memory, timer or subscription of the store is left");
    return circuit_set_create(&config, &b->circuits) >= 0 &&
           b->targets->watch(b->host, on_opened, on_ended, b) >= 0;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    struct breaker *b = host->alloc(host, sizeof(*b));
    *err = weir_str_from("out of memory");
    if (!b) {
        return NULL;
    }
    *b = (struct breaker){.host = host,
                          .targets = host->get_ext(host, WEIR_EXT_TARGETS),
                          .store = host->get_ext(host, WEIR_EXT_STORE)};
    if (!start(b, config_json, err)) {
        instance_destroy(b);
        return NULL;
    }
    return b;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_TARGETS, WEIR_EXT_STORE, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "breaker",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Does not ask targets that fail, and tries them again with few requests.",
    .config_schema = breaker_schema,
    .needs = needs,
    .wants = wants,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
