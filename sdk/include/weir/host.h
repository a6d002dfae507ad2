/* SPDX-License-Identifier: Apache-2.0 */
/* What the host offers to every plugin: memory, log, time, timers, the request, tickets.
 *
 * Threads: [main] start-up, reload and shutdown; [loop] the worker that owns the request; [any].
 * A hook runs on the loop of its request and must not block; host->post() is the only door from
 * other threads to a loop.
 * Ownership: strings from the host are borrowed until the hook returns; strings given to the host
 * are copied before the call returns. The host owns timers, tickets, routes and metrics, and takes
 * back what a plugin left when its instance ends.
 * Errors: 0 or positive on success, WEIR_E_* on failure. A stale ticket gives WEIR_E_GONE. */
#ifndef WEIR_HOST_H
#define WEIR_HOST_H

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_host weir_host; /* one per plugin instance */
typedef struct weir_req weir_req;   /* opaque: its layout is never part of the ABI */
typedef uint64_t weir_ticket;       /* generation-counted value; 0 is never valid */

enum weir_level { /* of log lines */
                  WEIR_LEVEL_ERROR = 0,
                  WEIR_LEVEL_WARN = 1,
                  WEIR_LEVEL_INFO = 2,
                  WEIR_LEVEL_DEBUG = 3,
                  WEIR_LEVEL_TRACE = 4 /* the only level that may carry prompt or completion text */
};

/* Text fields of a request: req_get(), and req_set() where marked [set]. */
enum weir_field {
    WEIR_FIELD_REQUEST_ID = 1,
    WEIR_FIELD_METHOD = 2,
    WEIR_FIELD_PATH = 3, /* without the query */
    /* [set] in BODY and ROUTE: the request is prepared again for that model when the phase has
     * passed. WEIR_E_NOTFOUND: there is no such model for its tenant. */
    WEIR_FIELD_MODEL = 4,
    WEIR_FIELD_TENANT = 5, /* [set] once, in HEADERS */
    WEIR_FIELD_KEY_ID = 6, /* [set] once, in HEADERS */
    WEIR_FIELD_USER = 7,   /* [set] */
    WEIR_FIELD_CLASS = 8,  /* [set] interactive_ui, critical_api, batch */
    WEIR_FIELD_PEER = 9,   /* client address */
    WEIR_FIELD_BODY = 10,  /* whole body, from BODY on */
    /* Name of the chosen target, from ADMIT on. [set] in BODY and ROUTE, behind MODEL: the only one
     * of the model's targets that may run it. WEIR_E_NOTFOUND: it has no such target. */
    WEIR_FIELD_TARGET = 11,
    WEIR_FIELD_TRACEPARENT = 12,
    /* [set] once, in HEADERS: the key's own "limits" and "quota" as a JSON object of a tenant's
     * shape; not set when it has none. */
    WEIR_FIELD_KEY_LIMITS = 13,
    /* [set] what policies say of it, as a JSON object of texts: in the access log, and for who
       bills */
    WEIR_FIELD_TAGS = 14,
    /* [set] once, in HEADERS: the only models that the key may use, one a line, at most 64 KiB; not
     * set when it may use all of its tenant's. The host holds every model to it: the one asked for,
     * one that a policy names, and fallbacks. */
    WEIR_FIELD_KEY_MODELS = 15
};

/* Numbers of a request: req_get_num(), req_set_num() where marked [set]. */
enum weir_number {
    WEIR_NUMBER_PROMPT_TOKENS = 1, /* from BODY on */
    WEIR_NUMBER_MAX_TOKENS = 2,    /* [set, only down] */
    WEIR_NUMBER_N = 3,             /* choices asked for */
    WEIR_NUMBER_STREAM = 4,        /* 0 or 1 */
    WEIR_NUMBER_PRIORITY = 5,      /* [set] within the class; lower runs sooner */
    WEIR_NUMBER_DEADLINE_MS = 6,   /* [set] from arrival; 0: none */
    WEIR_NUMBER_ARRIVED_US = 7,    /* host->now_us() at arrival */
    /* Tokens that have left the last plugin's on_chunk: held back by a pause, on their way to the
     * client, or delivered. */
    WEIR_NUMBER_OUTPUT_TOKENS = 8,
    /* 1: so many wait that nothing but a plugin may answer this one; from BODY on */
    WEIR_NUMBER_CACHED_ONLY = 9,
    /* Bytes of answers that may be kept for the request's tenant; 0: nothing bounds them. */
    WEIR_NUMBER_CACHE_BYTES = 10
};

struct weir_host {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor;
    const char *version; /* of the host, for people */
    void *impl;

    /* Host extension by id ("weir.metrics/1", …), NULL when absent. [any] */
    const void *(*get_ext)(const weir_host *, const char *id);

    /* Accounted to the plugin and shown in /metrics. NULL when out of memory. [any] */
    void *(*alloc)(const weir_host *, size_t n_bytes);
    void (*free)(const weir_host *, void *);

    /* One line; r may be NULL. [any] */
    void (*log)(const weir_host *, int level, weir_req *r, weir_str message);
    int (*log_enabled)(const weir_host *, int level);
    uint64_t (*now_us)(const weir_host *);  /* monotonic; virtual under `weir plugin test` [any] */
    uint64_t (*wall_us)(const weir_host *); /* since 1970 UTC [any] */

    /* Runs fn(arg) soon on the loop that owns the instance's timers. WEIR_E_BUSY: 1024 waiting.
     * [any] */
    int (*post)(const weir_host *, void (*fn)(void *arg), void *arg);
    /* Returns an id > 0, 0 on failure (64 timers per instance). repeat_ms 0: once. [main][loop] */
    uint64_t (*timer_start)(const weir_host *, uint64_t delay_ms, uint64_t repeat_ms,
                            void (*fn)(void *arg), void *arg);
    int (*timer_stop)(const weir_host *, uint64_t timer_id);

    /* The plugin's req_state_size bytes of this request, zeroed at its start, kept over retry and
     * re-route until on_complete has returned. NULL when req_state_size is 0. [loop] */
    void *(*req_state)(const weir_host *, weir_req *);
    /* WEIR_E_NOTFOUND: not set (yet). [loop] */
    int (*req_get)(const weir_host *, weir_req *, int field, weir_str *out);
    int (*req_set)(const weir_host *, weir_req *, int field, weir_str value);
    int (*req_get_num)(const weir_host *, weir_req *, int number, int64_t *out);
    int (*req_set_num)(const weir_host *, weir_req *, int number, int64_t value);
    /* First value of a request header, name in any case. [loop] */
    int (*req_header)(const weir_host *, weir_req *, weir_str name, weir_str *out);
    /* The value at a JSON pointer of the body ("/messages/0/role"): a string's text, other values
     * as JSON. From BODY on. [loop] */
    int (*req_json)(const weir_host *, weir_req *, const char *pointer, weir_str *out);

    /* What DENY or RESPOND sends. DENY: an OpenAI error of this status, type, code and message.
     * RESPOND: `body` as it stands. May be called once per hook. [loop] */
    int (*deny)(const weir_host *, weir_req *, int status, weir_str type, weir_str code,
                weir_str message);
    int (*respond)(const weir_host *, weir_req *, int status, weir_str content_type, weir_str body);
    /* Adds a header to the response, whatever it becomes; until its head is sent. One of the same
     * name that is there already stays. [loop] */
    int (*set_header)(const weir_host *, weir_req *, weir_str name, weir_str value);

    /* Ticket for this request's present phase; the hook must then return WEIR_SUSPEND. When it is
     * not resumed in timeout_ms (max 60000), on_resume gets WEIR_E_TIMEOUT. 0 on failure. [loop] */
    weir_ticket (*suspend)(const weir_host *, weir_req *, uint32_t timeout_ms);
    /* Ends a suspension: on_resume is called on the request's loop with rc and a copy of data.
     * WEIR_E_GONE: resumed before, timed out, or the client left; harmless. [any] */
    int (*resume)(const weir_host *, weir_ticket, int rc, weir_str data);

    /* Inside on_chunk: the present chunk and all that comes behind it wait until the ticket is
     * resumed or timeout_ms (max 60000) is over; the target waits too, when its buffer is full. All
     * of an answer that is not streamed waits. A second call for the same chunk gives the same
     * ticket. on_resume is called with WEIR_PHASE_OUTPUT: CONTINUE goes on; SUSPEND, after another
     * pause(), waits again; DENY, with what deny() set, and FAIL end the run as an error. 0 on
     * failure. [loop] */
    weir_ticket (*pause)(const weir_host *, weir_req *, uint32_t timeout_ms);

    /* now_us() and wall_us(), read once in a turn of the loop that asks: they stand still inside a
     * hook, and one thread may see an earlier time than another saw before it. An older host has
     * neither: call weir_host_turn_us() and weir_host_turn_wall_us(). [any] */
    uint64_t (*turn_us)(const weir_host *);
    uint64_t (*turn_wall_us)(const weir_host *);
};

static inline uint64_t weir_host_turn_us(const weir_host *h)
{
    return WEIR_HAS_FN(h, turn_us) ? h->turn_us(h) : h->now_us(h);
}

static inline uint64_t weir_host_turn_wall_us(const weir_host *h)
{
    return WEIR_HAS_FN(h, turn_wall_us) ? h->turn_wall_us(h) : h->wall_us(h);
}

/* Host extension "weir.metrics/1": Prometheus metrics named weir_<plugin>_<name>. */
typedef uint32_t weir_metric; /* 0: none; operations on it do nothing */
enum weir_metric_kind { WEIR_METRIC_COUNTER = 1, WEIR_METRIC_GAUGE = 2, WEIR_METRIC_HISTOGRAM = 3 };

typedef struct weir_ext_metrics {
    uint32_t struct_size;
    /* Only inside instance_create, or a stream backend's open. Labels: at most 4; at most 256
     * label-value sets per metric, more are counted under "other". Histograms use seconds and fixed
     * buckets. [main] */
    weir_metric (*define)(const weir_host *, int kind, const char *name, const char *help,
                          const char *const *labels, uint32_t n_labels);
    /* Counter: adds; gauge: sets; histogram: observes. [any] */
    void (*record)(const weir_host *, weir_metric, double value, const weir_str *label_values,
                   uint32_t n_labels);
} weir_ext_metrics;
#define WEIR_EXT_METRICS "weir.metrics/1"

/* Host extension "weir.admin/1": routes of the admin API, and who may call them.
 *
 * A route's functions run on the admin listener's loop, which is [main]. They answer with
 * host->respond() or host->deny(), read the body as WEIR_FIELD_BODY, and may suspend: fn returns
 * WEIR_SUSPEND after host->suspend(), and on_resume is called with what host->resume() brought. A
 * negative return becomes a 500. Every change that was asked for is in the audit log of the host.
 * /admin/v1/openapi.json is made from what the routes say of themselves. */
enum weir_scope { /* what a key may be used for */
                  WEIR_SCOPE_INFERENCE = 1u << 0,
                  WEIR_SCOPE_ADMIN = 1u << 1,        /* the whole admin API */
                  WEIR_SCOPE_TENANT_ADMIN = 1u << 2, /* what concerns the key's own tenant */
                  WEIR_SCOPE_METRICS = 1u << 3       /* GET /metrics */
};

typedef struct weir_admin_route {
    uint32_t struct_size;
    /* Who may call it besides WEIR_SCOPE_ADMIN; all others get 404. Callers with
     * WEIR_SCOPE_TENANT_ADMIN alone get 404 as well where {tenant} is not their own. */
    uint32_t scopes;
    const char *method;
    /* "/admin/v1/…", or a path below /admin/v1/plugins/<plugin>/. A part in braces stands for any
     * text: "/admin/v1/tenants/{tenant}/usage"; at most 4 of them. */
    const char *path;
    const char *summary; /* one line */
    /* Members of its OpenAPI 3.1 operation as a JSON object ("parameters" but those of the path,
     * "requestBody", "responses"); NULL: nothing is said of it. */
    const char *openapi;
    int (*fn)(void *arg, weir_req *r);
    int (*on_resume)(void *arg, weir_req *r, int rc, weir_str data);
    void *arg;
} weir_admin_route;

/* Who calls: what the guard found out. */
typedef struct weir_admin_caller {
    uint32_t struct_size;
    uint32_t scopes; /* enum weir_scope */
    weir_str tenant, key_id;
} weir_admin_caller;

typedef struct weir_ext_admin {
    uint32_t struct_size;
    /* Only inside instance_create; at most 32 routes. WEIR_E_ARG: malformed, or the path belongs to
     * the host. All strings are copied. [main] */
    int (*route)(const weir_host *, const weir_admin_route *);

    /* Inside a route's functions. The text that stands for {name}, and the value of ?name=, both
     * percent-decoded. WEIR_E_NOTFOUND. */
    int (*param)(const weir_host *, weir_req *, const char *name, weir_str *out);
    int (*query)(const weir_host *, weir_req *, const char *name, weir_str *out);
    /* Who calls; scopes is WEIR_SCOPE_ADMIN where the listener asks for no keys. */
    int (*caller)(const weir_host *, weir_req *, weir_admin_caller *out);

    /* Makes this instance the one that says who calls; the first of a chain counts. `fn` runs
     * before a route when the request carries credentials or must have some, and decides as a phase
     * hook does: CONTINUE after identify(), DENY, SUSPEND, FAIL. Only inside instance_create. */
    int (*guard)(const weir_host *, int (*fn)(void *arg, weir_req *r),
                 int (*on_resume)(void *arg, weir_req *r, int rc, weir_str data), void *arg);
    /* Inside the guard: who it is. Copied. */
    int (*identify)(const weir_host *, weir_req *, const weir_admin_caller *);

    /* The store's records of this collection under a tenant belong to its export, without the
     * members named in `hidden` (NULL-ended, at most 8; NULL: whole). Only inside instance_create;
     * at most 8. */
    int (*exports)(const weir_host *, const char *collection, const char *const *hidden);
} weir_ext_admin;
#define WEIR_EXT_ADMIN "weir.admin/1"

/* Host extension "weir.tenants/1": who the tenants are: the `tenants:` block of the configuration,
 * and those that the admin API made, which all replicas share. */
typedef struct weir_ext_tenants {
    uint32_t struct_size;
    /* The whole block as JSON text: {"acme": {...}, ...}; "{}" when there is none. Valid as long as
     * the instance. [any] */
    weir_str (*config_json)(const weir_host *);
    /* One tenant as it is now: its entry of the block as JSON, with "state": "active" or
     * "suspended". `version` changes with every change of it, so that a parsed form can be kept;
     * either output may be NULL. The text is borrowed until the hook returns. WEIR_E_NOTFOUND.
     * WEIR_E_BUSY: not found, but the store has not told yet which there are. [loop][main] */
    int (*get)(const weir_host *, weir_str tenant, weir_str *out_json, uint64_t *out_version);
    /* fn(arg, name) after a tenant came, changed or went, wherever that was done. Only inside
     * instance_create; fn runs on [main]. */
    int (*watch)(const weir_host *, void (*fn)(void *arg, weir_str tenant), void *arg);
    /* The names of up to n tenants in the order of their bytes, behind `after` ("": from the
     * first). Gives how many; borrowed until the hook returns. [main] */
    int (*list)(const weir_host *, weir_str after, weir_str *out_names, uint32_t n);
    /* Would this JSON be a good entry of the block? WEIR_E_FORMAT with a sentence that begins with
     * the key path ("limits.concurrent: must be …"), borrowed until the next call. [main] */
    int (*check)(const weir_host *, weir_str tenant, weir_str entry_json, weir_str *out_problem);
} weir_ext_tenants;
#define WEIR_EXT_TENANTS "weir.tenants/1"

/* Host extension "weir.slas/1": what the configuration promises, performance.latency_slas. */
typedef struct weir_latency_sla {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t ttft_max_us, p95_max_us, p99_max_us; /* 0: it says nothing of that */
} weir_latency_sla;

typedef struct weir_ext_slas {
    uint32_t struct_size;
    /* Of a service class, by its name. WEIR_E_NOTFOUND: nothing is promised. Only inside
     * instance_create: a reload makes new instances. [main] */
    int (*latency)(const weir_host *, weir_str service_class, weir_latency_sla *out);
} weir_ext_slas;
#define WEIR_EXT_SLAS "weir.slas/1"

#ifdef __cplusplus
}
#endif
#endif
