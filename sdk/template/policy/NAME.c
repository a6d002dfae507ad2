/* Policy plugin @NAME@ for weir.
 *
 * As it stands it refuses requests whose completion may be longer than `max_tokens` and counts what
 * it did. Change on_phase() into what you need; weir/policy.h lists the other hooks. */
#include <stdlib.h>
#include <string.h>

#include "weir/plugin.h"
#include "weir/policy.h"

struct policy_state { /* one per configuration; the same for all workers: do not change it in hooks
                       */
    const weir_host *host;
    const weir_ext_metrics *metrics; /* NULL on a host without them */
    weir_metric decisions;
    int64_t max_tokens;
};

static const char schema[] =
#include "schema.h"
    ;

/* The number behind "max_tokens". The host has checked the configuration against the schema and
 * filled in defaults, so it is there. */
static int64_t read_max_tokens(weir_str json)
{
    static const char key[] = "\"max_tokens\":";
    for (size_t i = 0; i + sizeof(key) <= json.n; i++) {
        if (memcmp(json.p + i, key, sizeof(key) - 1) == 0) {
            return strtoll(json.p + i + sizeof(key) - 1, NULL, 10);
        }
    }
    return 0;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    static const char *const labels[] = {"result"};
    struct policy_state *s = host->alloc(host, sizeof(*s));
    if (!s) {
        *err = weir_str_from("out of memory");
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    s->host = host;
    s->max_tokens = read_max_tokens(config_json);
    const weir_ext_metrics *metrics = host->get_ext(host, WEIR_EXT_METRICS);
    if (metrics && WEIR_HAS_FN(metrics, record)) {
        s->metrics = metrics;
        s->decisions = metrics->define(host, WEIR_METRIC_COUNTER, "decisions",
                                       "Requests by what was decided.", labels, 1);
    }
    return s;
}

static void instance_destroy(void *instance)
{
    struct policy_state *s = instance;
    s->host->free(s->host, s);
}

static void count(const struct policy_state *s, const char *result)
{
    weir_str value = weir_str_from(result);
    if (s->metrics) {
        s->metrics->record(s->host, s->decisions, 1, &value, 1);
    }
}

/* BODY: the body is parsed. Must not block; return WEIR_SUSPEND for work that takes time. */
static int on_phase(void *instance, weir_req *r, int phase)
{
    const struct policy_state *s = instance;
    int64_t wanted = 0;
    (void)phase;
    if (s->host->req_get_num(s->host, r, WEIR_NUMBER_MAX_TOKENS, &wanted) < 0 ||
        wanted <= s->max_tokens) {
        count(s, "continue");
        return WEIR_CONTINUE;
    }
    count(s, "deny");
    s->host->deny(s->host, r, 400, weir_str_from("invalid_request_error"),
                  weir_str_from("max_tokens_too_large"),
                  weir_str_from("max_tokens is larger than this service allows."));
    return WEIR_DENY;
}

static const weir_policy policy = {
    .struct_size = sizeof(weir_policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,        .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "@NAME@",        .version = "0.1.0",
    .license = "Apache-2.0", .description = "Refuses completions that may be too long.",
    .config_schema = schema, .wants = wants,
    .provides = provides,    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
