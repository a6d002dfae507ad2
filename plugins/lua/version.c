/* SPDX-License-Identifier: Apache-2.0 */
#include "version.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.h"

enum { LOG_LINES_PER_S = 10 };

/* Threads are numbered as they come; they live as long as the process. */
static uint32_t thread_number(void)
{
    static atomic_uint next;
    static _Thread_local uint32_t mine; /* + 1 */
    if (mine == 0) {
        mine = atomic_fetch_add(&next, 1) + 1;
    }
    return mine - 1;
}

static int make_state(struct lua_version *v, struct lua_sandbox **ret_sandbox,
                      char error[LUA_SANDBOX_ERROR_BYTES])
{
    const struct lua_script_source source = {
        .text = {v->text, v->n_text}, .name = v->name, .needs_hook = true, .setup = lua_api_setup};
    return lua_sandbox_create(&v->limits, &source, ret_sandbox, error);
}

int lua_version_create(weir_str text, const char *name, uint32_t number,
                       const struct lua_limits *limits, struct lua_version **ret_version,
                       char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct lua_version *v = calloc(1, sizeof(*v));
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "out of memory");
    if (!v) {
        return WEIR_E_NOMEM;
    }
    atomic_init(&v->refs, 1);
    v->number = number;
    v->limits = *limits;
    v->name = strdup(name);
    v->text = malloc(text.n + 1);
    v->n_text = text.n;
    struct lua_sandbox *first = NULL;
    int rc = WEIR_E_NOMEM;
    if (v->name && v->text) {
        memcpy(v->text, text.p ? text.p : "", text.n);
        v->text[text.n] = '\0';
        rc = make_state(v, &first, error);
    }
    for (int i = 0; first && i < LUA_HOOK__COUNT; i++) {
        v->has[i] = lua_sandbox_has(first, (enum lua_hook)i);
    }
    lua_sandbox_destroy(first);
    if (rc < 0) {
        lua_version_unref(&v);
        return rc;
    }
    *ret_version = v;
    return 0;
}

struct lua_version *lua_version_ref(struct lua_version *v)
{
    if (v) {
        atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    }
    return v;
}

void lua_version_unref(struct lua_version **at)
{
    struct lua_version *v = *at;
    *at = NULL;
    /* acq_rel: what the others did with their states is seen by who frees them. */
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < LUA_MAX_THREADS; i++) {
        lua_sandbox_destroy(v->states[i]);
    }
    free(v->name);
    free(v->text);
    free(v);
}

int lua_version_take(struct lua_version *v, struct lua_sandbox **ret_sandbox,
                     char error[LUA_SANDBOX_ERROR_BYTES])
{
    uint32_t number = thread_number();
    if (number >= LUA_MAX_THREADS) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "more than %d threads run policies",
                       LUA_MAX_THREADS);
        return WEIR_E_BUSY;
    }
    if (!v->states[number]) {
        int rc = make_state(v, &v->states[number], error);
        if (rc < 0) {
            return rc;
        }
    }
    *ret_sandbox = v->states[number];
    return 0;
}

void lua_version_give(struct lua_version *v, struct lua_sandbox *s)
{
    uint32_t number = thread_number();
    if (!lua_sandbox_is_spent(s)) {
        return;
    }
    if (v->states[number] == s) {
        v->states[number] = NULL;
    }
    if (lua_sandbox_n_runs(s) == 0) {
        lua_sandbox_destroy(s);
    }
}

bool lua_version_is_paused(struct lua_version *v, uint64_t now_us)
{
    return now_us < atomic_load_explicit(&v->paused_until_us, memory_order_relaxed);
}

/* Counters of several threads; a failure more or less does not matter. */
bool lua_version_failed(struct lua_version *v, uint64_t now_us)
{
    if (now_us > atomic_load(&v->window_us) + LUA_PAUSE_WINDOW_US) {
        atomic_store(&v->window_us, now_us);
        atomic_store(&v->failures, 0);
    }
    if (atomic_fetch_add(&v->failures, 1) + 1 < LUA_PAUSE_FAILURES) {
        return false;
    }
    atomic_store(&v->failures, 0);
    atomic_store(&v->paused_until_us, now_us + LUA_PAUSE_US);
    return true;
}

bool lua_version_may_log_failure(struct lua_version *v, uint64_t now_us)
{
    uint64_t next = atomic_load(&v->next_log_us);
    return now_us >= next &&
           atomic_compare_exchange_strong(&v->next_log_us, &next, now_us + 1000000);
}

bool lua_version_may_log_line(struct lua_version *v, uint64_t now_us)
{
    uint64_t second = now_us / 1000000;
    if (atomic_exchange(&v->log_second, second) != second) {
        atomic_store(&v->log_lines, 0);
    }
    return atomic_fetch_add(&v->log_lines, 1) < LOG_LINES_PER_S;
}
