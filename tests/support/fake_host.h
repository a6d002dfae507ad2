/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Hosts, requests and a store for unit tests of policies: several replicas around one store, on a
 * clock that the test moves, with answers in whatever order the test wants.
 *
 * The store here is written for being obviously right (one list, no cleverness): plugins are tested
 * against it, drivers by their own conformance suite.
 * Ownership: the world owns hosts, requests and what is in the store. Threads: one. Errors: asserts
 * of cmocka. */
#include <stdbool.h>

#include "weir/policy.h"
#include "weir/store.h"

enum {
    FAKE_MAX_HOSTS = 4,
    FAKE_MAX_TIMERS = 64,
    FAKE_MAX_HEADERS = 24,
    FAKE_MAX_METRICS = 512,
    FAKE_STATE_BYTES = 4096
};

struct fake_world;
struct fake_call; /* to the store, not answered yet */

enum fake_fault {
    FAKE_STORE_WORKS,
    FAKE_STORE_HANGS,   /* nothing happens; fake_time_out() answers WEIR_E_TIMEOUT */
    FAKE_STORE_IS_GONE, /* WEIR_E_IO at once */
    FAKE_STORE_IS_FULL, /* WEIR_E_NOMEM at once */
    FAKE_STORE_FORGETS, /* it happens, and the answer is a timeout */
};

struct fake_timer {
    uint64_t id, due_us, repeat_us;
    void (*fn)(void *arg);
    void *arg;
};

struct fake_metric {
    char name[160]; /* "decisions{tenant,refused}" */
    double value;   /* sum of a counter, last of a gauge */
    bool is_gauge;
};

struct fake_host {
    weir_host host; /* first: plugins hold it */
    struct fake_world *world;
    const weir_policy *policy;
    void *instance;
    struct fake_timer timers[FAKE_MAX_TIMERS];
    struct fake_metric metrics[FAKE_MAX_METRICS];
    uint32_t n_metrics, n_defined;
    struct {
        char name[64];
        int kind;
    } defined[64];
    weir_admin_route routes[8];
    uint32_t n_routes;
    char log[4096]; /* lines so far */
};

struct fake_request {
    struct fake_request *next;
    struct fake_host *on;
    const char *fields[16]; /* by enum weir_field */
    uint64_t device_us;     /* that it will have used */
    int64_t numbers[16];    /* by enum weir_number; -1: not set */
    uint64_t state[FAKE_STATE_BYTES / 8];
    uint64_t ticket; /* suspended when not 0 */
    uint64_t suspended_until_us;
    bool resumed; /* on_resume is due */
    int verdict;  /* of the last hook; WEIR_SUSPEND while waiting */
    int status;   /* of deny or respond; 0: none */
    char code[64];
    char *text; /* "" when there is none */
    struct {
        char name[64], value[256];
    } headers[FAKE_MAX_HEADERS];
    uint32_t n_headers;
    bool completed;
};

struct fake_world {
    uint64_t now_us, wall_us;
    uint32_t store_flags;
    bool is_sync; /* answers before the call returns */
    enum fake_fault fault;
    struct fake_call *calls; /* oldest first */
    uint32_t n_calls, n_waiting;
    uint64_t last_id;
    struct fake_limit *limits;
    struct fake_budget *budgets;
    struct fake_host *hosts[FAKE_MAX_HOSTS];
    uint32_t n_hosts;
    struct fake_request *requests, *ended; /* ended ones stay readable, */
    bool forgets_ended;                    /* unless the test makes very many */
    uint64_t ttft_max_us;                  /* weir.slas/1: of every class; 0: not offered */
    struct {                               /* weir.tenants/1 */
        char name[64], json[4096];
        uint64_t version;
    } tenants[8];
    uint32_t n_tenants;
};

struct fake_world *fake_world_create(uint32_t store_flags, bool is_sync);
void fake_world_destroy(struct fake_world *w);
void fake_tenant(struct fake_world *w, const char *name, const char *json); /* new, or changed */

/* A replica with one plugin. */
struct fake_host *fake_host_create(struct fake_world *w, const weir_policy *policy,
                                   const char *config_json);
void fake_host_destroy(struct fake_host *h); /* the instance ends in order */
void fake_host_kill(struct fake_host *h);    /* nothing is given back; its calls are dropped */

/* A request of tenant, user, key "k" and model "m", of prompt + answer tokens, through BODY. */
struct fake_request *fake_ask(struct fake_host *h, const char *tenant, const char *user,
                              int64_t prompt, int64_t max_tokens);
/* The same in two steps, to change something between them. */
struct fake_request *fake_request(struct fake_host *h, const char *tenant, const char *user,
                                  int64_t prompt, int64_t max_tokens);
void fake_run(struct fake_request *r, int phase);
void fake_complete(struct fake_request *r, uint64_t prompt, uint64_t completion);
const char *fake_header(const struct fake_request *r, const char *name); /* "" when there is none */

/* Answers call number i of those that wait, and runs what became due of it. */
void fake_answer(struct fake_world *w, uint32_t i);
void fake_answer_all(struct fake_world *w);
/* Calls that hang end as timeouts. */
void fake_time_out(struct fake_world *w);
/* Moves the clocks, runs timers and resumes. */
void fake_advance(struct fake_world *w, uint64_t us);

double fake_metric(const struct fake_host *h, const char *name);
/* What the store holds of a budget: used and reserved. */
uint64_t fake_budget_taken(struct fake_world *w, const char *tenant, const char *key);
/* GET `path` of the admin routes; the request answers with status and text. */
struct fake_request *fake_admin(struct fake_host *h, const char *path);
