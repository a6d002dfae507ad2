/* SPDX-License-Identifier: Apache-2.0 */
/* The host table: what a plugin may read and change of a request, and suspending it. */
#include "core/plugin/admin.h"
#include "core/plugin/plugins_internal.h"
#include "core/plugin/run.h"
#include "core/plugin/run_internal.h"

static const struct weir_plugin_request_ops *ops_of(const weir_host *h)
{
    return weir_host_instance(h)->plugins->options.ops;
}

static void *req_state(const weir_host *h, weir_req *r)
{
    const struct weir_plugin_instance *inst = weir_host_instance(h);
    const struct weir_plugin_run *run = r ? ops_of(h)->run(r) : NULL;
    if (!run || inst->lib->policy.req_state_size == 0) {
        return NULL;
    }
    const struct weir_plugin_link *link = &run->chain->links[run->called];
    for (uint32_t i = 0; link->instance != inst; i++) { /* nearly always it is the one called */
        if (i == run->chain->n) {
            return NULL;
        }
        link = &run->chain->links[i];
    }
    return run->state + link->state_at;
}

static int req_get(const weir_host *h, weir_req *r, int field, weir_str *out)
{
    if (!r || !out || field < WEIR_FIELD_REQUEST_ID || field > WEIR_FIELD_KEY_MODELS) {
        return WEIR_E_ARG;
    }
    return ops_of(h)->get(r, field, out);
}

static bool is_class(weir_str s)
{
    return weir_str_is(s, "interactive_ui") || weir_str_is(s, "critical_api") ||
           weir_str_is(s, "batch");
}

/* The rules that weir/host.h states beside each field. */
static int check_set(const weir_host *h, weir_req *r, int field, weir_str value)
{
    const struct weir_plugin_run *run = ops_of(h)->run(r);
    weir_str old;
    if (!run || value.n > (field == WEIR_FIELD_KEY_MODELS ? 65536 : 4096)) {
        return WEIR_E_ARG;
    }
    if (field == WEIR_FIELD_TAGS) {
        return 0; /* in on_complete too: the access line comes behind it */
    }
    if (run->phase == 0) {
        return WEIR_E_ARG;
    }
    switch (field) {
    case WEIR_FIELD_MODEL:
    case WEIR_FIELD_TARGET:
        return run->phase == WEIR_PHASE_BODY || run->phase == WEIR_PHASE_ROUTE ? 0 : WEIR_E_ARG;
    case WEIR_FIELD_TENANT:
    case WEIR_FIELD_KEY_ID:
    case WEIR_FIELD_KEY_LIMITS:
    case WEIR_FIELD_KEY_MODELS:
        return run->phase == WEIR_PHASE_HEADERS && ops_of(h)->get(r, field, &old) < 0 ? 0
                                                                                      : WEIR_E_ARG;
    case WEIR_FIELD_USER: return 0;
    case WEIR_FIELD_CLASS: return is_class(value) ? 0 : WEIR_E_ARG;
    default: return WEIR_E_ARG;
    }
}

static int req_set(const weir_host *h, weir_req *r, int field, weir_str value)
{
    int rc = r ? check_set(h, r, field, value) : WEIR_E_ARG;
    return rc < 0 ? rc : ops_of(h)->set(r, field, value);
}

static int req_get_num(const weir_host *h, weir_req *r, int number, int64_t *out)
{
    if (!r || !out || number < WEIR_NUMBER_PROMPT_TOKENS || number > WEIR_NUMBER_CACHE_BYTES) {
        return WEIR_E_ARG;
    }
    return ops_of(h)->get_num(r, number, out);
}

static int check_set_num(const weir_host *h, weir_req *r, int number, int64_t value)
{
    const struct weir_plugin_run *run = ops_of(h)->run(r);
    int64_t old;
    if (!run || run->phase == 0) {
        return WEIR_E_ARG;
    }
    switch (number) {
    case WEIR_NUMBER_MAX_TOKENS:
        /* 0 and "not set" both mean: as many as fit, so any number is down from there. */
        if (ops_of(h)->get_num(r, number, &old) < 0 || old == 0) {
            old = INT64_MAX;
        }
        return value >= 1 && value <= old ? 0 : WEIR_E_ARG;
    case WEIR_NUMBER_PRIORITY: return value >= INT32_MIN && value <= INT32_MAX ? 0 : WEIR_E_ARG;
    case WEIR_NUMBER_DEADLINE_MS: return value >= 0 && value <= UINT32_MAX ? 0 : WEIR_E_ARG;
    default: return WEIR_E_ARG;
    }
}

static int req_set_num(const weir_host *h, weir_req *r, int number, int64_t value)
{
    int rc = r ? check_set_num(h, r, number, value) : WEIR_E_ARG;
    return rc < 0 ? rc : ops_of(h)->set_num(r, number, value);
}

static int req_header(const weir_host *h, weir_req *r, weir_str name, weir_str *out)
{
    return r && out && name.n ? ops_of(h)->header(r, name, out) : WEIR_E_ARG;
}

static int req_json(const weir_host *h, weir_req *r, const char *pointer, weir_str *out)
{
    return r && out && pointer ? ops_of(h)->json(r, pointer, out) : WEIR_E_ARG;
}

static int take_admin_answer(const weir_host *h, weir_req *r)
{
    struct weir_plugin_admin *a = ops_of(h)->admin(r);
    if (!a || !a->in_hook || a->answered) {
        return WEIR_E_ARG;
    }
    a->answered = true;
    return 0;
}

/* An answer is possible inside a phase hook or an admin route's function, once per call of it. */
static int take_answer(const weir_host *h, weir_req *r, bool respond)
{
    struct weir_plugin_run *run = ops_of(h)->run(r);
    if (!run) {
        return take_admin_answer(h, r);
    }
    if (!run->in_phase_hook || run->answered) {
        return WEIR_E_ARG;
    }
    run->answered = true;
    run->responded = respond;
    return 0;
}

static int deny(const weir_host *h, weir_req *r, int status, weir_str type, weir_str code,
                weir_str message)
{
    if (!r || status < 400 || status > 599) {
        return WEIR_E_ARG;
    }
    int rc = take_answer(h, r, false);
    return rc < 0 ? rc : ops_of(h)->deny(r, status, type, code, message);
}

static int respond(const weir_host *h, weir_req *r, int status, weir_str content_type,
                   weir_str body)
{
    if (!r || status < 200 || status > 599) {
        return WEIR_E_ARG;
    }
    int rc = take_answer(h, r, true);
    return rc < 0 ? rc : ops_of(h)->respond(r, status, content_type, body);
}

static int set_header(const weir_host *h, weir_req *r, weir_str name, weir_str value)
{
    enum { MAX_NAME_BYTES = 128, MAX_VALUE_BYTES = 4096 };
    if (!r || name.n > MAX_NAME_BYTES || value.n > MAX_VALUE_BYTES) {
        return WEIR_E_ARG;
    }
    return ops_of(h)->set_header(r, name, value);
}

static weir_ticket suspend_admin(const weir_host *h, struct weir_plugin_admin *a,
                                 uint32_t timeout_ms)
{
    if (!a->in_hook || a->ticket != 0) {
        return 0;
    }
    a->ticket = weir_tickets_open(weir_host_instance(h)->plugins->tickets, a->loop, timeout_ms,
                                  weir_plugin_admin_ticket_ended, a);
    return a->ticket;
}

static weir_ticket suspend(const weir_host *h, weir_req *r, uint32_t timeout_ms)
{
    struct weir_plugin_run *run = r ? ops_of(h)->run(r) : NULL;
    struct weir_plugin_admin *admin = r ? ops_of(h)->admin(r) : NULL;
    if (admin) {
        return suspend_admin(h, admin, timeout_ms);
    }
    if (!run || !run->in_phase_hook || run->ticket != 0) {
        return 0;
    }
    run->ticket = weir_tickets_open(weir_host_instance(h)->plugins->tickets, run->loop, timeout_ms,
                                    weir_plugin_run_ticket_ended, run);
    return run->ticket;
}

static weir_ticket pause_output(const weir_host *h, weir_req *r, uint32_t timeout_ms)
{
    struct weir_plugin_run *run = r ? ops_of(h)->run(r) : NULL;
    return run ? weir_plugin_run_pause(run, weir_host_instance(h), timeout_ms) : 0;
}

static int resume(const weir_host *h, weir_ticket ticket, int rc, weir_str data)
{
    return weir_tickets_resume(weir_host_instance(h)->plugins->tickets, ticket, rc, data);
}

void weir_host_fill_request(weir_host *host)
{
    host->req_state = req_state;
    host->req_get = req_get;
    host->req_set = req_set;
    host->req_get_num = req_get_num;
    host->req_set_num = req_set_num;
    host->req_header = req_header;
    host->req_json = req_json;
    host->deny = deny;
    host->respond = respond;
    host->set_header = set_header;
    host->suspend = suspend;
    host->resume = resume;
    host->pause = pause_output;
}
