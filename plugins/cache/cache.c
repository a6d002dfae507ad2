/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "cache": equal requests get the answer that was computed once. */
#include "cache.h"

#include "weir/plugin.h"

static void finish(struct cache *c)
{
    flights_finish(&c->flights, ask_drop);
    memory_destroy(c->memory);
    c->host->free(c->host, c);
}

static void instance_destroy(void *instance)
{
    struct cache *c = instance;
    if (c->timer) {
        (void)c->host->timer_stop(c->host, c->timer);
    }
    finish(c);
}

static void on_timer(void *arg)
{
    cache_publish(arg);
}

/* What may fail; the sentence for it is in *err. */
static bool start(struct cache *c, weir_str config_json, weir_str *err)
{
    *err = weir_str_from("its configuration cannot be read");
    if (cache_read_settings(&c->settings, config_json) < 0) {
        return false;
    }
    *err = weir_str_from("out of memory");
    bool is_shared = c->store->flags & WEIR_STORE_SHARED;
    size_t memory_bytes = c->settings.memory_bytes;
    if (memory_bytes && (is_shared ? memory_create(memory_bytes, &c->memory)
                                   : memory_share(memory_bytes, &c->memory)) < 0) {
        return false;
    }
    c->uses_store = !c->memory || is_shared;
    *err = weir_str_from("this host's store is older than the plugin");
    if (c->uses_store && !(WEIR_HAS_FN(c->store, look) && WEIR_HAS_FN(c->store, keep))) {
        return false;
    }
    if (c->memory) {
        c->metrics.n_evicted = memory_count(c->memory).evicted;
    }
    *err = weir_str_from("the store takes no subscription, or the admin route is taken");
    if (cache_listen(c) < 0 || cache_add_routes(c) < 0) {
        return false;
    }
    c->timer = c->host->timer_start(c->host, 1000, 1000, on_timer, c);
    *err = weir_str_from("no timer is left");
    return c->timer != 0;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    struct cache *c = host->alloc(host, sizeof(*c));
    *err = weir_str_from("out of memory");
    if (!c) {
        return NULL;
    }
    memset(c, 0, sizeof(*c));
    c->host = host;
    c->store = host->get_ext(host, WEIR_EXT_STORE);
    c->answers = host->get_ext(host, WEIR_EXT_ANSWER);
    flights_init(&c->flights, host);
    cache_define_metrics(c);
    if (!start(c, config_json, err)) {
        finish(c);
        return NULL;
    }
    return c;
}

static struct state *state_of(const struct cache *c, weir_req *r)
{
    return c->host->req_state(c->host, r);
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    struct cache *c = instance;
    struct state *s = state_of(c, r);
    (void)phase;
    /* A request that is routed again was looked for already. */
    return s->stage == STAGE_NEW ? lookup_begin(c, r, s) : WEIR_CONTINUE;
}

static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    struct cache *c = instance;
    struct state *s = state_of(c, r);
    (void)phase;
    (void)data;
    return s->ask ? lookup_resumed(c, r, s, rc) : WEIR_FAIL;
}

static int on_chunk(void *instance, weir_req *r, const weir_chunk *chunk, weir_str *out)
{
    const struct state *s = state_of(instance, r);
    (void)out;
    return s->ask ? recording_add(s->ask, chunk) : WEIR_CHUNK_REST;
}

static void on_complete(void *instance, weir_req *r, const weir_usage *u)
{
    struct cache *c = instance;
    struct state *s = state_of(c, r);
    if (!s->ask) {
        return;
    }
    recording_end(s->ask, u); /* before the others go on: they look for what was kept */
    ask_end(s->ask);
    s->ask = NULL;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_ROUTE),
    .req_state_size = sizeof(struct state),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_chunk = on_chunk,
    .on_complete = on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_STORE, WEIR_EXT_ANSWER, NULL};
static const char *const wants[] = {WEIR_EXT_TENANTS, WEIR_EXT_METRICS, WEIR_EXT_ADMIN, NULL};
/* Behind those that refuse, count and change requests: a kept answer passes them first. */
static const char *const after[] = {"auth", "ratelimit", "quota", "lua", NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "cache",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Keeps answers and gives them to equal requests.",
    .config_schema = cache_schema,
    .needs = needs,
    .wants = wants,
    .after = after,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
