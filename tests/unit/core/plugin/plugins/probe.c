/* SPDX-License-Identifier: Apache-2.0 */
/* A policy that does what the request's headers tell it, and notes each call in probe_events().
 *
 * Header "x-<NAME>-<phase>": deny, respond, suspend, doze, fail, nonsense, or absent: continue.
 * Output with a '<NAME>' in it pauses; what its ticket is resumed with is done then ("pause":
 * again). Compiled several times with different PROBE_NAMEs. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "weir/plugin.h"
#include "weir/policy.h"

#ifndef PROBE_VERSION
#define PROBE_VERSION "1"
#endif
#ifndef PROBE_ABI_MAJOR
#define PROBE_ABI_MAJOR WEIR_ABI_MAJOR
#endif
#ifndef PROBE_NEEDS
#define PROBE_NEEDS NULL
#endif
#ifndef PROBE_AFTER
#define PROBE_AFTER NULL
#endif

WEIR_PLUGIN_EXPORT const char *probe_events(void);
WEIR_PLUGIN_EXPORT weir_ticket probe_ticket(void);
WEIR_PLUGIN_EXPORT const weir_host *probe_host(void);

static char events[4096];
static weir_ticket last_ticket;
static const weir_host *last_host;

const char *probe_events(void)
{
    return events;
}

weir_ticket probe_ticket(void)
{
    return last_ticket;
}

const weir_host *probe_host(void)
{
    return last_host;
}

static void note(const char *text)
{
    size_t n = strlen(events);
    (void)snprintf(events + n, sizeof(events) - n, "%s ", text);
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    if (config_json.n && strstr(config_json.p, "\"refuse\":true")) {
        *err = weir_str_from("told to refuse");
        return NULL;
    }
    note("create");
    last_host = host;
    return (void *)host;
}

static void instance_destroy(void *instance)
{
    (void)instance;
    note("destroy");
}

static int act(const weir_host *host, weir_req *r, const char *what, size_t n)
{
    if (n == 4 && memcmp(what, "deny", 4) == 0) {
        return WEIR_DENY;
    }
    if (n == 8 && memcmp(what, "deny-429", 8) == 0) {
        host->deny(host, r, 429, weir_str_from("rate_limit_error"), weir_str_from("slow_down"),
                   weir_str_from("Slow down."));
        return WEIR_DENY;
    }
    if (n == 7 && memcmp(what, "respond", 7) == 0) {
        host->respond(host, r, 200, weir_str_from("text/plain"), weir_str_from("cached"));
        return WEIR_RESPOND;
    }
    if (n == 7 && memcmp(what, "suspend", 7) == 0) {
        last_ticket = host->suspend(host, r, 100);
        return WEIR_SUSPEND;
    }
    if (n == 10 && memcmp(what, "no-suspend", 10) == 0) {
        last_ticket = host->suspend(host, r, 100);
        return WEIR_CONTINUE;
    }
    if (n == 4 && memcmp(what, "doze", 4) == 0) {
        (void)usleep(80 * 1000);
        return WEIR_CONTINUE;
    }
    if (n == 5 && memcmp(what, "pause", 5) == 0) {
        last_ticket = host->pause(host, r, 100);
        return WEIR_SUSPEND;
    }
    return n == 4 && memcmp(what, "fail", 4) == 0 ? WEIR_FAIL : n == 8 ? 77 : WEIR_CONTINUE;
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    static const char *const names[] = {"", "headers", "body", "route", "admit"};
    const weir_host *host = instance;
    char text[64];
    (void)snprintf(text, sizeof(text), "x-" PROBE_NAME "-%s", names[phase]);
    note(names[phase]);
    uint32_t *calls = host->req_state(host, r);
    if (*calls != (uint32_t)phase - 1) {
        note("STATE");
    }
    *calls = (uint32_t)phase;
    weir_str what = {NULL, 0};
    (void)host->req_header(host, r, weir_str_from(text), &what);
    return act(host, r, what.p, what.n);
}

static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%s(%d,%.*s)",
                   phase == WEIR_PHASE_OUTPUT ? "output" : "resume", rc, (int)data.n,
                   data.n ? data.p : "");
    note(text);
    return rc < 0 ? WEIR_FAIL : act(instance, r, data.p, data.n);
}

static int on_chunk(void *instance, weir_req *r, const weir_chunk *c, weir_str *out)
{
    const weir_host *host = instance;
    (void)out;
    if (c->text.n && memchr(c->text.p, PROBE_NAME[0], c->text.n)) {
        last_ticket = host->pause(host, r, 100);
        note(last_ticket ? "pause" : "NO-PAUSE");
    }
    if (!weir_str_is(c->text, "more")) {
        return WEIR_CHUNK_PASS;
    }
    note("chunk");
    return c->n_tokens ? WEIR_CHUNK_REST : WEIR_CHUNK_PASS;
}

static void on_delivered(void *instance, weir_req *r, uint64_t n_tokens)
{
    (void)instance;
    (void)r;
    char text[64];
    (void)snprintf(text, sizeof(text), "delivered(%llu)", (unsigned long long)n_tokens);
    note(text);
}

static void on_complete(void *instance, weir_req *r, const weir_usage *u)
{
    (void)instance;
    (void)r;
    (void)u;
    note("complete");
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_HEADERS) | WEIR_PHASE_BIT(WEIR_PHASE_BODY) |
              WEIR_PHASE_BIT(WEIR_PHASE_ROUTE) | WEIR_PHASE_BIT(WEIR_PHASE_ADMIT),
    .req_state_size = sizeof(uint32_t),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_chunk = on_chunk,
    .on_delivered = on_delivered,
    .on_complete = on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {PROBE_NEEDS, NULL};
static const char *const after[] = {PROBE_AFTER, NULL};
static const weir_plugin about = {
    .struct_size = sizeof(weir_plugin),
    .abi_major = PROBE_ABI_MAJOR,
    .name = PROBE_NAME,
    .version = PROBE_VERSION,
    .config_schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
                     "\"refuse\":{\"type\":\"boolean\",\"default\":false}}}",
    .needs = needs,
    .after = after,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
