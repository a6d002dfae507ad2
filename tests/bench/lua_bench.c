/* SPDX-License-Identifier: Apache-2.0 */
/* What a tenant's policy costs: processor time of a call, allocations, and memory of a fresh
 * tenant. Usage: lua_bench [POLICY.lua [calls]]. Without a policy: a typical one. Prints JSON.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/lua_stage.h"
#include "plugins/lua/policies.h"

enum { N_TENANTS = 1000 };

/* Limits an answer, refuses long prompts and unknown models, counts nothing in the store. */
static const char typical[] =
    "local models = {m = true, small = true}\n"
    "local caps = {batch = 4096, interactive_ui = 1024}\n"
    "function on_request(req)\n"
    "    if not models[req.model] then return weir.deny(403, 'Not for you.', 'wrong_model') end\n"
    "    if req.prompt_tokens > 8000 and req.class ~= 'batch' then return weir.deny(400) end\n"
    "    weir.set('max_tokens', caps[req.class] or 512)\n"
    "    if req.header('x-team') == 'research' then weir.set('class', 'batch') end\n"
    "    if weir.hash(req.user or req.key_id) % 100 < 10 then return weir.route('small') end\n"
    "end\n";

static double cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int call(struct lua_stage *s, size_t *ret_allocated)
{
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *c;
    int rc = lua_stage_run(s, LUA_ON_REQUEST, NULL, NULL, &c, error);
    if (rc < 0) {
        fprintf(stderr, "lua_bench: %s\n", error);
        return rc;
    }
    *ret_allocated = c ? s->version->limits.allocated_bytes - c->run.budget.allocated_bytes : 0;
    lua_call_end(c);
    return 0;
}

/* Entry, compiled version and the state of one thread, for each of many tenants. */
static double tenant_bytes(const char *text, size_t n)
{
    const struct lua_settings settings = {.limits = {50000, 5000, 1024 * 1024, 8 * 1024 * 1024}};
    char error[LUA_SANDBOX_ERROR_BYTES], name[16];
    struct lua_policies *p = lua_policies_create(&settings);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; p && i < N_TENANTS; i++) {
        struct lua_version *v = NULL;
        struct lua_sandbox *s;
        (void)snprintf(name, sizeof(name), "tenant%d", i);
        if (lua_version_create((weir_str){text, n}, "=policy", 1, &settings.limits, &v, error) <
                0 ||
            lua_version_take(v, &s, error) < 0 ||
            lua_policies_set_file(p, weir_str_from(name), v) < 0) {
            return -1;
        }
    }
    double bytes = (double)(mallinfo2().uordblks - before) / N_TENANTS;
    lua_policies_destroy(p);
    return bytes;
}

int main(int argc, char **argv)
{
    size_t n = sizeof(typical) - 1, allocated = 0;
    char *text = argc > 1 ? lua_stage_read_file(argv[1], &n) : NULL;
    long n_calls = argc > 2 ? strtol(argv[2], NULL, 10) : 1000000;
    weir_str source = {text ? text : typical, n};
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_stage stage;
    if ((argc > 1 && !text) || lua_stage_init(&stage, source, "=policy", error) < 0) {
        fprintf(stderr, "lua_bench: %s\n", text ? error : "no policy");
        return 1;
    }
    if (call(&stage, &allocated) < 0) {
        return 1;
    }
    double begin = cpu_ns();
    for (long i = 0; i < n_calls; i++) {
        (void)call(&stage, &allocated);
        if (i % 1000 == 0) {
            stage.mono_us += 1000000;
            stage.n_logs = 0;
        }
    }
    printf(
        "{\"call_ns\":%.0f,\"state_bytes_allocated_per_call\":%zu,\"fresh_tenant_bytes\":%.0f}\n",
        (cpu_ns() - begin) / (double)n_calls, allocated, tenant_bytes(source.p, source.n));
    lua_stage_finish(&stage);
    free(text);
    return 0;
}
