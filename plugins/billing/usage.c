/* SPDX-License-Identifier: Apache-2.0 */
#include "usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing.h"
#include "packed.h"
#include "period.h"
#include "row.h"

enum {
    PAGE_BYTES = 1000 * 1000,
    MAX_LINES = 1000,
    DEFAULT_LINES = 500,
    LOG_BYTES = 16,
    SUSPEND_MS = 30 * 1000
};
#define CLOCKS_DIFFER_US (UINT64_C(24) * 3600 * 1000000) /* of replicas, at most */

/* One page that is being gathered; lives as long as its store operation. */
struct page {
    struct billing *b;
    struct billing_period period;
    char month[BILLING_MONTH_BYTES]; /* being read */
    char last_month[BILLING_MONTH_BYTES];
    uint64_t after;
    uint32_t limit, n_lines;
    bool csv;
    bool waits;         /* an operation is under way */
    bool is_calling;    /* the store, and it may answer meanwhile */
    bool is_whole;      /* nothing is left to read, or it failed */
    weir_ticket ticket; /* of the route's suspension */
    int rc;
    struct billing_text text; /* first byte: 'c' or 'j', for on_resume */
    size_t n_tenant;
    char tenant[];
};

static void free_page(struct page *p)
{
    free(p->text.bytes);
    p->b->host->free(p->b->host, p);
}

static int answer(struct billing *b, weir_req *r, weir_str data)
{
    bool csv = data.n && data.p[0] == 'c';
    return b->host->respond(b->host, r, 200,
                            weir_str_from(csv ? "text/csv; charset=utf-8" : "application/jsonl"),
                            (weir_str){data.p + 1, data.n - 1}) < 0
               ? WEIR_FAIL
               : WEIR_RESPOND;
}

static int refuse(struct billing *b, weir_req *r, int status, const char *code, const char *message)
{
    (void)b->host->deny(b->host, r, status, (weir_str){NULL, 0}, weir_str_from(code),
                        weir_str_from(message));
    return WEIR_DENY;
}

static int refuse_store(struct billing *b, weir_req *r)
{
    return refuse(b, r, 503, "store_unavailable", "The ledger cannot be read now; retry.");
}

/* To who waits for it; on_usage() answers itself where nobody had to wait. */
static void finish(struct page *p)
{
    if (p->ticket) {
        const weir_host *h = p->b->host;
        (void)h->resume(h, p->ticket, p->rc,
                        p->rc < 0 ? (weir_str){NULL, 0} : billing_text_view(&p->text));
        free_page(p);
    }
}

/* False: the page is full. */
static bool add_line(struct page *p, const weir_store_item *item)
{
    char room[BILLING_ENTRY_BYTES];
    weir_str entry = billing_entry_text(item->value, room);
    uint64_t started_us = billing_row_started_us(entry);
    if (started_us < p->period.from_us || started_us >= p->period.to_us) {
        return true;
    }
    if (p->csv) {
        (void)billing_row_csv(&p->text, item->number, entry);
    } else {
        billing_row_json(&p->text, item->number, entry);
    }
    p->n_lines += !p->text.failed;
    return !p->text.failed && p->n_lines < p->limit;
}

/* False: the month was the last. */
static bool go_to_next_month(struct page *p)
{
    char next[BILLING_MONTH_BYTES];
    if (strcmp(p->month, p->last_month) >= 0) {
        return false;
    }
    billing_period_next_month(p->month, next);
    memcpy(p->month, next, sizeof(p->month));
    p->after = 0;
    return true;
}

/* True: the page is whole. */
static bool take_lines(struct page *p, const weir_store_result *result)
{
    bool room = true;
    for (uint32_t i = 0; room && i < result->n_items; i++) {
        room = add_line(p, &result->items[i]);
        p->after = result->items[i].number;
    }
    return p->n_lines > 0 || !room || (result->n_items == 0 && !go_to_next_month(p));
}

static void gather(struct page *p);

static void on_read(void *arg, const weir_store_result *result)
{
    struct page *p = arg;
    p->waits = false;
    p->rc = result->rc;
    p->is_whole = result->rc < 0 || take_lines(p, result);
    if (!p->is_calling) {
        gather(p);
    }
}

/* A loop, since a store may answer inside the call: a span of time has many months. */
static void gather(struct page *p)
{
    char log[LOG_BYTES];
    while (!p->is_whole) {
        (void)snprintf(log, sizeof(log), "usage/%s", p->month);
        p->waits = p->is_calling = true;
        int rc = p->b->store->read(p->b->host, (weir_str){p->tenant, p->n_tenant},
                                   weir_str_from(log), p->after, p->limit, on_read, p);
        p->is_calling = false;
        if (rc < 0) {
            p->rc = rc;
            p->waits = false;
            p->is_whole = true;
        } else if (p->waits) {
            return;
        }
    }
    finish(p);
}

/* ---- the question ---- */

static weir_str query(const struct billing *b, weir_req *r, const char *name)
{
    weir_str value = {NULL, 0};
    return b->admin->query(b->host, r, name, &value) < 0 ? (weir_str){NULL, 0} : value;
}

static bool read_number(weir_str text, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || v > (max - (uint64_t)(text.p[i] - '0')) / 10) {
            return false;
        }
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret = v;
    return text.n > 0;
}

static bool read_period(struct page *p, weir_req *r)
{
    struct billing *b = p->b;
    weir_str month = query(b, r, "month"), from = query(b, r, "from"), to = query(b, r, "to");
    char present[BILLING_MONTH_BYTES];
    billing_month_of(b->host->wall_us(b->host), present);
    bool named = month.n > 0;
    if ((named && (from.n || to.n)) ||
        !billing_period_of_month(named ? month : weir_str_from(present), &p->period)) {
        return false;
    }
    if (from.n || to.n) {
        p->period.to_us = b->host->wall_us(b->host) + 1;
    }
    if (!billing_period_narrow(from, to, &p->period) || p->period.from_us >= p->period.to_us) {
        return false;
    }
    /* The future's months are empty, and there are many. */
    uint64_t known_us = b->host->wall_us(b->host) + CLOCKS_DIFFER_US;
    uint64_t to_us = p->period.to_us < known_us ? p->period.to_us : known_us;
    billing_month_of(p->period.from_us, p->month);
    billing_month_of(to_us - 1, p->last_month);
    return true;
}

/* "2026-01:1234" */
static bool read_cursor(struct page *p, weir_str after)
{
    const size_t n = BILLING_MONTH_BYTES - 1;
    struct billing_period month;
    if (after.n == 0) {
        return true;
    }
    if (after.n < n + 2 || after.p[n] != ':' ||
        !billing_period_of_month((weir_str){after.p, n}, &month) ||
        !read_number((weir_str){after.p + n + 1, after.n - n - 1}, INT64_MAX, &p->after)) {
        return false;
    }
    memcpy(p->month, after.p, n);
    return true;
}

static bool read_limit(struct page *p, weir_str limit)
{
    uint64_t n = DEFAULT_LINES;
    bool ok = limit.n == 0 || (read_number(limit, MAX_LINES, &n) && n >= 1);
    p->limit = (uint32_t)n;
    return ok;
}

static bool may_see(const struct billing *b, weir_req *r, weir_str tenant)
{
    weir_admin_caller who = {.struct_size = sizeof(who)};
    return b->admin->caller(b->host, r, &who) == 0 &&
           ((who.scopes & WEIR_SCOPE_ADMIN) ||
            ((who.scopes & WEIR_SCOPE_TENANT_ADMIN) && weir_str_eq(who.tenant, tenant)));
}

static struct page *make_page(struct billing *b, weir_str tenant)
{
    struct page *p = b->host->alloc(b->host, sizeof(*p) + tenant.n);
    if (p) {
        *p = (struct page){.b = b, .n_tenant = tenant.n};
        p->text = (struct billing_text){.bytes = malloc(PAGE_BYTES), .cap = PAGE_BYTES};
        memcpy(p->tenant, tenant.n ? tenant.p : "", tenant.n);
        if (!p->text.bytes) {
            free_page(p);
            p = NULL;
        }
    }
    return p;
}

static bool read_question(struct page *p, weir_req *r)
{
    weir_str format = query(p->b, r, "format");
    p->csv = weir_str_is(format, "csv");
    return (format.n == 0 || p->csv || weir_str_is(format, "jsonl")) && read_period(p, r) &&
           read_limit(p, query(p->b, r, "limit")) && read_cursor(p, query(p->b, r, "after"));
}

static int on_usage(void *arg, weir_req *r)
{
    struct billing *b = arg;
    weir_str tenant = {NULL, 0};
    if (b->admin->param(b->host, r, "tenant", &tenant) < 0 &&
        b->admin->query(b->host, r, "tenant", &tenant) < 0) {
        return refuse(b, r, 400, "invalid_value", "tenant=NAME is needed.");
    }
    if (!may_see(b, r, tenant)) {
        return refuse(b, r, 404, "not_found", "There is no such tenant.");
    }
    struct page *p = make_page(b, tenant);
    if (!p) {
        return refuse_store(b, r);
    }
    if (!read_question(p, r)) {
        free_page(p);
        return refuse(b, r, 400, "invalid_value",
                      "month=YYYY-MM, or from= and to= as dates; format=jsonl or csv; limit=1 to "
                      "1000; after=YYYY-MM:PLACE.");
    }
    billing_text_literal(&p->text, p->csv ? "c" : "j");
    if (p->csv && query(b, r, "after").n == 0) {
        billing_row_csv_head(&p->text);
    }
    gather(p);
    if (p->waits) {
        p->ticket = b->host->suspend(b->host, r, SUSPEND_MS);
        if (p->ticket) {
            return WEIR_SUSPEND;
        }
        p->b->host->log(b->host, WEIR_LEVEL_WARN, r, weir_str_from("no ticket for the export"));
        p->ticket = UINT64_MAX; /* stale: the answer goes nowhere and frees the page */
        return refuse_store(b, r);
    }
    int rc = p->rc < 0 ? refuse_store(b, r) : answer(b, r, billing_text_view(&p->text));
    free_page(p);
    return rc;
}

static int on_usage_resumed(void *arg, weir_req *r, int rc, weir_str data)
{
    struct billing *b = arg;
    return rc < 0 || data.n == 0 ? refuse_store(b, r) : answer(b, r, data);
}

#define PARAMETERS                                                                                 \
    "{\"name\":\"month\",\"in\":\"query\",\"schema\":{\"type\":\"string\","                        \
    "\"pattern\":\"^[0-9]{4}-[0-9]{2}$\"}},"                                                       \
    "{\"name\":\"from\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}},"                       \
    "{\"name\":\"to\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}},"                         \
    "{\"name\":\"format\",\"in\":\"query\",\"schema\":{\"type\":\"string\","                       \
    "\"enum\":[\"jsonl\",\"csv\"],\"default\":\"jsonl\"}},"                                        \
    "{\"name\":\"limit\",\"in\":\"query\",\"schema\":{\"type\":\"integer\",\"minimum\":1,"         \
    "\"maximum\":1000,\"default\":500}},"                                                          \
    "{\"name\":\"after\",\"in\":\"query\",\"schema\":{\"type\":\"string\"},"                       \
    "\"description\":\"MONTH:PLACE of the last line of the page before\"}"
#define RESPONSES                                                                                  \
    "\"responses\":{\"200\":{\"description\":\"Entries of the ledger; none: the "                  \
    "end\",\"content\":{"                                                                          \
    "\"application/jsonl\":{},\"text/csv\":{}}},"                                                  \
    "\"404\":{\"description\":\"No such tenant for this caller\"}}"

static const char openapi[] = "{\"parameters\":[" PARAMETERS "]," RESPONSES "}";
static const char openapi_with_tenant[] =
    "{\"parameters\":[{\"name\":\"tenant\",\"in\":\"query\",\"required\":true,\"schema\":{"
    "\"type\":\"string\"}}," PARAMETERS "]," RESPONSES "}";

int billing_usage_routes(struct billing *b)
{
    weir_admin_route route = {
        .struct_size = sizeof(route),
        .scopes = WEIR_SCOPE_TENANT_ADMIN,
        .method = "GET",
        .path = "/admin/v1/tenants/{tenant}/usage",
        .summary = "A tenant's ledger, page by page",
        .openapi = openapi,
        .fn = on_usage,
        .on_resume = on_usage_resumed,
        .arg = b,
    };
    int rc = b->admin ? b->admin->route(b->host, &route) : 0;
    route.path = "/admin/v1/usage";
    route.summary = "The ledger of one tenant, also of requests without one, page by page";
    route.openapi = openapi_with_tenant;
    return rc < 0 || !b->admin ? rc : b->admin->route(b->host, &route);
}
