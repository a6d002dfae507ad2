/* SPDX-License-Identifier: Apache-2.0 */
/* A policy with one mistake, chosen by -DBAD_<MISTAKE>; the kit must find it. */
#include <signal.h>
#include <stdlib.h>

#include "weir/plugin.h"
#include "weir/policy.h"

struct bad {
    const weir_host *host;
    const weir_ext_metrics *metrics;
    weir_ticket ticket;
};

static void ignore(void *arg)
{
    (void)arg;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    struct bad *b = host->alloc(host, sizeof(*b));
    (void)config_json;
    (void)err;
    (void)ignore;
    memset(b, 0, sizeof(*b));
    b->host = host;
#ifdef BAD_TIMER
    (void)host->timer_start(host, 1000, 1000, ignore, b);
#endif
#ifdef BAD_WANTS
    b->metrics = host->get_ext(host, WEIR_EXT_METRICS);
    (void)b->metrics->define(host, WEIR_METRIC_COUNTER, "x", "X.", NULL, 0);
#endif
#ifdef BAD_SILENT
    if (strstr(config_json.p, "true")) {
        host->free(host, b);
        return NULL;
    }
#endif
    return b;
}

static void instance_destroy(void *instance)
{
#ifdef BAD_LEAK
    (void)instance;
#else
    struct bad *b = instance;
    b->host->free(b->host, b);
#endif
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    struct bad *b = instance;
    weir_str user = {NULL, 0};
    (void)phase;
    (void)b->host->req_get(b->host, r, WEIR_FIELD_USER, &user);
#ifdef BAD_CRASH
    if (user.n > 1000) {
        (void)raise(SIGSEGV);
    }
#endif
#ifdef BAD_EXIT
    if (user.n > 1000) {
        exit(3);
    }
#endif
#ifdef BAD_VERDICT
    return 42;
#endif
#ifdef BAD_RESUME
    b->ticket = b->host->suspend(b->host, r, 1000);
    return WEIR_SUSPEND;
#endif
    return WEIR_CONTINUE;
}

static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
#ifdef BAD_HOLDS
    struct bad *b = instance;
    b->ticket = b->host->pause(b->host, r, 1000); /* for ever */
    return WEIR_SUSPEND;
#endif
    (void)instance;
    (void)r;
    (void)phase;
    if (rc < 0) {
        (void)raise(SIGSEGV); /* "this never happens" */
    }
    return data.n ? WEIR_CONTINUE : WEIR_DENY;
}

static int on_chunk(void *instance, weir_req *r, const weir_chunk *c, weir_str *out)
{
    (void)instance;
    (void)r;
#ifdef BAD_CUTS
    if (c->kind == WEIR_CHUNK_TEXT && c->text.n == 6 && memcmp(c->text.p, "secret", 6) == 0) {
        *out = weir_str_from("******"); /* only where it is not cut */
        return WEIR_CHUNK_REPLACE;
    }
#endif
#ifdef BAD_HOLDS
    struct bad *b = instance;
    b->ticket = b->host->pause(b->host, r, 1000);
#endif
    (void)c;
    (void)out;
    return WEIR_CHUNK_PASS;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_chunk = on_chunk,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .name = "bad",
    .version = "1",
    .config_schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
                     "\"flag\":{\"type\":\"boolean\",\"default\":false}}}",
    .wants = wants,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
