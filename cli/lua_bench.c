/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lua_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/command.h"
#include "cli/lua_stage.h"

enum { ROUND = 2000, ROUNDS = 15 };

struct cost {
    double ns;
    int64_t instructions;
    size_t bytes; /* allocated in the state */
};

static const weir_chunk chunk = {.struct_size = sizeof(chunk),
                                 .kind = WEIR_CHUNK_TEXT,
                                 .text = WEIR_STR_INIT("The quick brown fox jumps. "),
                                 .n_tokens = 1};
static const weir_usage usage = {.struct_size = sizeof(usage),
                                 .http_status = 200,
                                 .finish = WEIR_FINISH_STOP,
                                 .n_choices = 1,
                                 .prompt_tokens = 12,
                                 .completion_tokens = 100,
                                 .total_us = 1000000};

static int call(struct lua_stage *s, enum lua_hook hook, struct cost *cost)
{
    struct lua_call *c;
    char error[LUA_SANDBOX_ERROR_BYTES];
    int rc = lua_stage_run(s, hook, &chunk, &usage, &c, error);
    if (rc < 0) {
        fprintf(stderr, "weir lua: %s fails: %s\n", lua_hook_names[hook], error);
        return rc;
    }
    if (cost) {
        cost->instructions = s->version->limits.instructions - c->run.budget.instructions;
        cost->bytes = s->version->limits.allocated_bytes - c->run.budget.allocated_bytes;
    }
    lua_call_end(c);
    s->n_logs = 0;
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Processor time: what else this machine does does not count. */
static double cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The median of rounds. */
static int measure(struct lua_stage *s, enum lua_hook hook, struct cost *cost)
{
    double rounds[ROUNDS];
    struct lua_sandbox *sandbox = NULL;
    char error[LUA_SANDBOX_ERROR_BYTES];
    for (int i = 0; i < ROUNDS; i++) {
        double begin = cpu_ns();
        for (int k = 0; k < ROUND; k++) {
            if (call(s, hook, NULL) < 0) {
                return WEIR_E_FORMAT;
            }
        }
        rounds[i] = (cpu_ns() - begin) / ROUND;
        s->mono_us += 1000000; /* limits of the policy refill */
    }
    qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
    cost->ns = rounds[ROUNDS / 2];
    if (lua_version_take(s->version, &sandbox, error) < 0) {
        return WEIR_E_NOMEM;
    }
    lua_sandbox_count_exactly(sandbox, true);
    int rc = call(s, hook, cost);
    lua_sandbox_count_exactly(sandbox, false);
    return rc;
}

static void print_cost(const char *hook, const struct cost *c, bool json, bool first)
{
    if (json) {
        printf("%s{\"hook\":\"%s\",\"ns\":%.0f,\"instructions\":%lld,\"bytes\":%zu}",
               first ? "" : ",", hook, c->ns, (long long)c->instructions, c->bytes);
    } else {
        printf("%-12s %10.0f %14lld %10zu\n", hook, c->ns, (long long)c->instructions, c->bytes);
    }
}

static int bench(struct lua_stage *s, const char *path, bool json)
{
    struct lua_sandbox *sandbox = NULL;
    char error[LUA_SANDBOX_ERROR_BYTES];
    bool first = true;
    if (json) {
        printf("{\"file\":\"%s\",\"hooks\":[", path);
    } else {
        printf("%-12s %10s %14s %10s\n", "hook", "ns/call", "instructions", "bytes");
    }
    for (int i = 0; i < LUA_HOOK__COUNT; i++) {
        struct cost cost;
        if (!s->version->has[i]) {
            continue;
        }
        if (measure(s, (enum lua_hook)i, &cost) < 0) {
            return WEIR_EXIT_BAD;
        }
        print_cost(lua_hook_names[i], &cost, json, first);
        first = false;
    }
    size_t state =
        lua_version_take(s->version, &sandbox, error) == 0 ? lua_sandbox_live_bytes(sandbox) : 0;
    printf(json ? "],\"state_bytes\":%zu}\n" : "a state of this policy takes %zu bytes now\n",
           state);
    return WEIR_EXIT_OK;
}

int lua_bench_file(const char *path, bool json)
{
    size_t n;
    struct lua_stage stage;
    char error[LUA_SANDBOX_ERROR_BYTES], name[1024];
    char *text = lua_stage_read_file(path, &n);
    if (!text) {
        return WEIR_EXIT_BAD;
    }
    (void)snprintf(name, sizeof(name), "@%s", path);
    int code = WEIR_EXIT_BAD;
    if (lua_stage_init(&stage, (weir_str){text, n}, name, error) < 0) {
        fprintf(stderr, "weir lua: %s\n", error);
    } else {
        code = bench(&stage, path, json);
    }
    lua_stage_finish(&stage);
    free(text);
    return code;
}
