/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "tests/support/cmocka.h"
#include "tests/support/fake_store.h"

enum { START_S = 1000 };
#define WALL_START_US UINT64_C(1767225600000000) /* 2026-01-01 00:00 UTC */

static weir_ext_store store; /* fake_store_template with the world's flags */

static struct fake_host *from(const weir_host *h)
{
    return (struct fake_host *)h;
}

static struct fake_request *request(weir_req *r)
{
    return (struct fake_request *)r;
}

static void *alloc(const weir_host *h, size_t n)
{
    (void)h;
    return malloc(n);
}

static void release(const weir_host *h, void *p)
{
    (void)h;
    free(p);
}

static void write_log(const weir_host *host, int level, weir_req *r, weir_str message)
{
    struct fake_host *h = from(host);
    size_t n = strlen(h->log);
    (void)level;
    (void)r;
    (void)snprintf(h->log + n, sizeof(h->log) - n, "%.*s\n", (int)message.n, message.p);
}

static int log_enabled(const weir_host *h, int level)
{
    (void)h;
    return level <= WEIR_LEVEL_INFO;
}

static uint64_t now_us(const weir_host *h)
{
    return from(h)->world->now_us;
}

static uint64_t wall_us(const weir_host *h)
{
    return from(h)->world->wall_us;
}

static int post(const weir_host *h, void (*fn)(void *arg), void *arg)
{
    return h->timer_start(h, 0, 0, fn, arg) ? 0 : WEIR_E_BUSY;
}

static uint64_t timer_start(const weir_host *host, uint64_t delay_ms, uint64_t repeat_ms,
                            void (*fn)(void *arg), void *arg)
{
    struct fake_host *h = from(host);
    for (int i = 0; i < FAKE_MAX_TIMERS; i++) {
        if (h->timers[i].id == 0) {
            h->timers[i] = (struct fake_timer){.id = ++h->world->last_id,
                                               .due_us = h->world->now_us + delay_ms * 1000,
                                               .repeat_us = repeat_ms * 1000,
                                               .fn = fn,
                                               .arg = arg};
            return h->timers[i].id;
        }
    }
    return 0;
}

static int timer_stop(const weir_host *host, uint64_t id)
{
    struct fake_host *h = from(host);
    for (int i = 0; i < FAKE_MAX_TIMERS && id; i++) {
        if (h->timers[i].id == id) {
            h->timers[i].id = 0;
            return 0;
        }
    }
    return WEIR_E_GONE;
}

static void *req_state(const weir_host *h, weir_req *r)
{
    (void)h;
    return request(r)->state;
}

static int req_get(const weir_host *h, weir_req *r, int field, weir_str *out)
{
    (void)h;
    if (!request(r)->fields[field]) {
        return WEIR_E_NOTFOUND;
    }
    *out = weir_str_from(request(r)->fields[field]);
    return 0;
}

static int req_get_num(const weir_host *h, weir_req *r, int number, int64_t *out)
{
    (void)h;
    *out = request(r)->numbers[number];
    return *out < 0 ? WEIR_E_NOTFOUND : 0;
}

static void copy(char *to, size_t cap, weir_str s)
{
    (void)snprintf(to, cap, "%.*s", (int)s.n, s.p ? s.p : "");
}

static int deny(const weir_host *h, weir_req *req, int status, weir_str type, weir_str code,
                weir_str message)
{
    struct fake_request *r = request(req);
    (void)h;
    (void)type;
    r->status = status;
    copy(r->code, sizeof(r->code), code);
    free(r->text);
    r->text = calloc(1, message.n + 1);
    copy(r->text, message.n + 1, message);
    return 0;
}

static int respond(const weir_host *h, weir_req *req, int status, weir_str content_type,
                   weir_str body)
{
    return deny(h, req, status, content_type, (weir_str){NULL, 0}, body);
}

static int set_header(const weir_host *h, weir_req *req, weir_str name, weir_str value)
{
    struct fake_request *r = request(req);
    uint32_t i = 0;
    (void)h;
    while (i < r->n_headers && (strlen(r->headers[i].name) != name.n ||
                                strncasecmp(r->headers[i].name, name.p, name.n) != 0)) {
        i++;
    }
    assert_true(i < FAKE_MAX_HEADERS);
    r->n_headers += i == r->n_headers;
    copy(r->headers[i].name, sizeof(r->headers[i].name), name);
    copy(r->headers[i].value, sizeof(r->headers[i].value), value);
    return 0;
}

const char *fake_header(const struct fake_request *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_headers; i++) {
        if (strcasecmp(r->headers[i].name, name) == 0) {
            return r->headers[i].value;
        }
    }
    return "";
}

static weir_ticket suspend(const weir_host *h, weir_req *req, uint32_t timeout_ms)
{
    struct fake_request *r = request(req);
    assert_int_equal(r->ticket, 0);
    r->ticket = ++from(h)->world->last_id;
    r->suspended_until_us = from(h)->world->now_us + (uint64_t)timeout_ms * 1000;
    return r->ticket;
}

static int resume(const weir_host *h, weir_ticket ticket, int rc, weir_str data)
{
    (void)rc;
    (void)data;
    for (struct fake_request *r = from(h)->world->requests; r; r = r->next) {
        if (r->ticket == ticket && ticket) {
            r->ticket = 0;
            r->resumed = true; /* on_resume is never called from within resume */
            return 0;
        }
    }
    return WEIR_E_GONE;
}

static weir_metric define(const weir_host *host, int kind, const char *name, const char *help,
                          const char *const *labels, uint32_t n_labels)
{
    struct fake_host *h = from(host);
    (void)help;
    (void)labels;
    (void)n_labels;
    assert_true(h->n_defined < 64);
    h->defined[h->n_defined].kind = kind;
    (void)snprintf(h->defined[h->n_defined].name, 64, "%s", name);
    return ++h->n_defined;
}

static void record(const weir_host *host, weir_metric metric, double value, const weir_str *labels,
                   uint32_t n_labels)
{
    struct fake_host *h = from(host);
    if (metric == 0) {
        return;
    }
    char name[160];
    int n = snprintf(name, sizeof(name), "%s", h->defined[metric - 1].name);
    for (uint32_t i = 0; i < n_labels; i++) {
        n += snprintf(name + n, sizeof(name) - (size_t)n, "%s%.*s", i ? "," : "{", (int)labels[i].n,
                      labels[i].p ? labels[i].p : "");
    }
    (void)snprintf(name + n, sizeof(name) - (size_t)n, "%s", n_labels ? "}" : "");
    uint32_t at = 0;
    while (at < h->n_metrics && strcmp(h->metrics[at].name, name) != 0) {
        at++;
    }
    assert_true(at < FAKE_MAX_METRICS);
    if (at == h->n_metrics) {
        (void)snprintf(h->metrics[h->n_metrics++].name, 160, "%s", name);
    }
    bool counts = h->defined[metric - 1].kind == WEIR_METRIC_COUNTER;
    h->metrics[at].value = counts ? h->metrics[at].value + value : value;
}

double fake_metric(const struct fake_host *h, const char *name)
{
    for (uint32_t i = 0; i < h->n_metrics; i++) {
        if (strcmp(h->metrics[i].name, name) == 0) {
            return h->metrics[i].value;
        }
    }
    return 0;
}

static int route(const weir_host *host, const weir_admin_route *route)
{
    struct fake_host *h = from(host);
    assert_true(h->n_routes < 8);
    h->routes[h->n_routes++] = *route;
    return 0;
}

/* The last part of the path, whatever its name. */
static int param(const weir_host *h, weir_req *r, const char *name, weir_str *out)
{
    (void)h;
    (void)name;
    *out = weir_str_from(strrchr(request(r)->fields[WEIR_FIELD_PATH], '/') + 1);
    return 0;
}

static weir_str config_json(const weir_host *h)
{
    (void)h;
    return (weir_str)WEIR_STR_INIT("{}");
}

static int get_tenant(const weir_host *host, weir_str tenant, weir_str *out_json,
                      uint64_t *out_version)
{
    const struct fake_world *w = from(host)->world;
    for (uint32_t i = 0; i < w->n_tenants; i++) {
        if (weir_str_is(tenant, w->tenants[i].name)) {
            if (out_json) {
                *out_json = weir_str_from(w->tenants[i].json);
            }
            if (out_version) {
                *out_version = w->tenants[i].version;
            }
            return 0;
        }
    }
    return WEIR_E_NOTFOUND;
}

static int watch(const weir_host *h, void (*fn)(void *arg, weir_str tenant), void *arg)
{
    (void)h;
    (void)fn;
    (void)arg;
    return 0;
}

static int latency(const weir_host *h, weir_str service_class, weir_latency_sla *out)
{
    (void)service_class;
    *out =
        (weir_latency_sla){.struct_size = sizeof(*out), .ttft_max_us = from(h)->world->ttft_max_us};
    return 0;
}

static const weir_ext_metrics metrics = {sizeof(metrics), define, record};
static const weir_ext_admin admin = {.struct_size = sizeof(admin), .route = route, .param = param};
static const weir_ext_tenants tenants = {
    .struct_size = sizeof(tenants), .config_json = config_json, .get = get_tenant, .watch = watch};

static const weir_ext_slas slas = {.struct_size = sizeof(slas), .latency = latency};

static const void *get_ext(const weir_host *h, const char *id)
{
    if (strcmp(id, WEIR_EXT_SLAS) == 0 && from(h)->world->ttft_max_us) {
        return &slas;
    }
    return strcmp(id, WEIR_EXT_METRICS) == 0   ? (const void *)&metrics
           : strcmp(id, WEIR_EXT_ADMIN) == 0   ? (const void *)&admin
           : strcmp(id, WEIR_EXT_TENANTS) == 0 ? (const void *)&tenants
           : strcmp(id, WEIR_EXT_STORE) == 0   ? (const void *)&store
                                               : NULL;
}

static const weir_host table = {
    .struct_size = sizeof(weir_host),
    .abi_major = 1,
    .version = "test",
    .get_ext = get_ext,
    .alloc = alloc,
    .free = release,
    .log = write_log,
    .log_enabled = log_enabled,
    .now_us = now_us,
    .wall_us = wall_us,
    .post = post,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .req_state = req_state,
    .req_get = req_get,
    .req_get_num = req_get_num,
    .deny = deny,
    .respond = respond,
    .set_header = set_header,
    .suspend = suspend,
    .resume = resume,
};

static void free_all(struct fake_request *r)
{
    while (r) {
        struct fake_request *next = r->next;
        free(r->text);
        free(r);
        r = next;
    }
}

struct fake_world *fake_world_create(uint32_t store_flags, bool is_sync)
{
    struct fake_world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->now_us = (uint64_t)START_S * 1000000;
    w->wall_us = WALL_START_US;
    w->store_flags = store_flags;
    w->is_sync = is_sync;
    store = fake_store_template;
    store.flags = store_flags;
    if (store_flags & WEIR_STORE_SHARED) {
        store.limit_open = NULL;
        store.limit_close = NULL;
        store.limit_take = NULL;
        store.limit_give = NULL;
        store.budget_open = NULL;
        store.budget_close = NULL;
        store.budget_hold = NULL;
        store.budget_settle = NULL;
    }
    return w;
}

void fake_world_destroy(struct fake_world *w)
{
    for (uint32_t i = w->n_hosts; i > 0; i--) {
        fake_host_destroy(w->hosts[i - 1]);
    }
    fake_store_finish(w);
    free_all(w->requests);
    free_all(w->ended);
    free(w);
}

void fake_tenant(struct fake_world *w, const char *name, const char *json)
{
    uint32_t i = 0;
    while (i < w->n_tenants && strcmp(w->tenants[i].name, name) != 0) {
        i++;
    }
    assert_true(i < 8);
    w->n_tenants += i == w->n_tenants;
    (void)snprintf(w->tenants[i].name, sizeof(w->tenants[i].name), "%s", name);
    (void)snprintf(w->tenants[i].json, sizeof(w->tenants[i].json), "%s", json);
    w->tenants[i].version = ++w->last_id;
}

struct fake_host *fake_host_create(struct fake_world *w, const weir_policy *policy,
                                   const char *config)
{
    assert_true(w->n_hosts < FAKE_MAX_HOSTS);
    struct fake_host *h = calloc(1, sizeof(*h));
    h->host = table;
    h->world = w;
    h->policy = policy;
    weir_str err = {NULL, 0};
    h->instance = policy->instance_create(&h->host, weir_str_from(config), &err);
    if (!h->instance) {
        fail_msg("%.*s", (int)err.n, err.p);
    }
    w->hosts[w->n_hosts++] = h;
    return h;
}

static void take_out(struct fake_host *h)
{
    struct fake_world *w = h->world;
    uint32_t i = 0;
    while (w->hosts[i] != h) {
        i++;
    }
    w->hosts[i] = w->hosts[--w->n_hosts];
    for (struct fake_request *r = w->requests; r; r = r->next) {
        if (r->on == h) {
            r->on = NULL;
            r->ticket = 0;
            r->resumed = false;
        }
    }
}

static void end_requests(struct fake_host *h)
{
    struct fake_request *r = h->world->requests;
    while (r) {
        struct fake_request *next = r->next;
        if (r->on == h && !r->completed) {
            fake_complete(r, 0, 0);
        }
        r = next;
    }
}

/* The host waits for what is under way before the instance ends, and not for what it asks then. */
static void end_instance(struct fake_host *h)
{
    end_requests(h);
    fake_answer_all(h->world);
    fake_time_out(h->world);
    h->policy->instance_destroy(h->instance);
    fake_store_drop(h->world, h);
    take_out(h);
    free(h);
}

void fake_host_destroy(struct fake_host *h)
{
    end_instance(h);
}

void fake_host_kill(struct fake_host *h)
{
    struct fake_world *w = h->world;
    enum fake_fault fault = w->fault;
    w->fault = FAKE_STORE_IS_GONE; /* it frees its memory as always, but the store hears nothing */
    end_instance(h);
    w->fault = fault;
}

struct fake_request *fake_request(struct fake_host *h, const char *tenant, const char *user,
                                  int64_t prompt, int64_t max_tokens)
{
    struct fake_request *r = calloc(1, sizeof(*r));
    r->on = h;
    r->text = calloc(1, 1);
    r->next = h->world->requests;
    h->world->requests = r;
    r->fields[WEIR_FIELD_REQUEST_ID] = "req-1";
    r->fields[WEIR_FIELD_TENANT] = tenant;
    r->fields[WEIR_FIELD_USER] = user;
    r->fields[WEIR_FIELD_KEY_ID] = "k";
    r->fields[WEIR_FIELD_MODEL] = "m";
    r->fields[WEIR_FIELD_CLASS] = "interactive_ui";
    r->numbers[WEIR_NUMBER_PROMPT_TOKENS] = prompt;
    r->numbers[WEIR_NUMBER_MAX_TOKENS] = max_tokens;
    r->numbers[WEIR_NUMBER_N] = 1;
    r->numbers[WEIR_NUMBER_ARRIVED_US] = (int64_t)h->world->now_us;
    return r;
}

void fake_run(struct fake_request *r, int phase)
{
    r->verdict = r->on->policy->on_phase(r->on->instance, (weir_req *)r, phase);
}

struct fake_request *fake_ask(struct fake_host *h, const char *tenant, const char *user,
                              int64_t prompt, int64_t max_tokens)
{
    struct fake_request *r = fake_request(h, tenant, user, prompt, max_tokens);
    fake_run(r, WEIR_PHASE_BODY);
    return r;
}

void fake_complete(struct fake_request *r, uint64_t prompt, uint64_t completion)
{
    const weir_usage usage = {
        .struct_size = sizeof(usage),
        .http_status = r->status ? (uint32_t)r->status : 200,
        .n_choices = 1,
        .prompt_tokens = prompt,
        .completion_tokens = completion,
        .model = weir_str_from("m"),
        .device_us = r->device_us,
    };
    r->ticket = 0;
    r->resumed = false;
    r->completed = true;
    r->on->policy->on_complete(r->on->instance, (weir_req *)r, &usage);
    struct fake_world *w = r->on->world;
    for (struct fake_request **at = &w->requests; *at; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            r->next = w->forgets_ended ? NULL : w->ended;
            if (w->forgets_ended) {
                free_all(r);
            } else {
                w->ended = r;
            }
            return;
        }
    }
}

static void resume_requests(struct fake_world *w)
{
    for (struct fake_request *r = w->requests; r; r = r->next) {
        bool late = r->ticket && w->now_us >= r->suspended_until_us;
        if (!r->resumed && !late) {
            continue;
        }
        r->ticket = 0;
        r->resumed = false;
        r->verdict = r->on->policy->on_resume(r->on->instance, (weir_req *)r, WEIR_PHASE_BODY,
                                              late ? WEIR_E_TIMEOUT : 0, (weir_str){NULL, 0});
    }
}

static void run_timers(struct fake_host *h)
{
    for (int i = 0; i < FAKE_MAX_TIMERS; i++) {
        struct fake_timer t = h->timers[i];
        if (t.id == 0 || t.due_us > h->world->now_us) {
            continue;
        }
        if (t.repeat_us) {
            h->timers[i].due_us += t.repeat_us;
        } else {
            h->timers[i].id = 0;
        }
        t.fn(t.arg);
    }
}

void fake_advance(struct fake_world *w, uint64_t us)
{
    enum { STEP_US = 5000 };
    do {
        uint64_t step = us < STEP_US ? us : STEP_US;
        w->now_us += step;
        w->wall_us += step;
        us -= step;
        for (uint32_t i = 0; i < w->n_hosts; i++) {
            run_timers(w->hosts[i]);
        }
        resume_requests(w);
    } while (us);
}

struct fake_request *fake_admin(struct fake_host *h, const char *path)
{
    struct fake_request *r = fake_request(h, NULL, NULL, -1, -1);
    r->fields[WEIR_FIELD_PATH] = path;
    assert_int_equal(h->routes[0].fn(h->routes[0].arg, (weir_req *)r), 0);
    r->completed = true; /* it has no phases */
    return r;
}
