/* SPDX-License-Identifier: Apache-2.0 */
/* CPU of policies per request, without a server: all phases, three chunks and the end, on the
 * memory store, against an empty list.
 *
 *   policy_bench [--requests N] [--tenants JSON] 'PLUGINS'...
 *
 * Each PLUGINS is what stands under `plugins:`, as YAML in one line. The clock is the processor
 * time of this thread; under `valgrind --tool=callgrind` the instructions are exact. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/plugin/run.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"

enum { DEFAULT_REQUESTS = 200000, N_TENANTS = 16, US_PER_REQUEST = 500 };

static void ignore(void *arg, const weir_chunk *chunk)
{
    (void)arg;
    (void)chunk;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void one(struct weir_kit_stage *stage, struct weir_kit_request *r, unsigned number)
{
    char tenant[16];
    (void)snprintf(tenant, sizeof(tenant), "t%u", number % N_TENANTS);
    weir_kit_request_field(r, WEIR_FIELD_TENANT, tenant);
    weir_kit_request_field(r, WEIR_FIELD_KEY_ID, "k");
    weir_kit_request_field(r, WEIR_FIELD_USER, "alice");
    struct weir_plugin_chain *chain = weir_plugins_chain(stage->plugins);
    (void)weir_kit_request_begin(r, chain, stage->loop);
    weir_plugin_chain_unref(chain);
    enum weir_plugin_outcome outcome = WEIR_PLUGIN_DONE;
    for (int p = WEIR_PHASE_HEADERS; p <= WEIR_PHASE_ADMIT && outcome == WEIR_PLUGIN_DONE; p++) {
        outcome = weir_plugin_run_phase(&r->run, (enum weir_phase)p);
    }
    if (outcome != WEIR_PLUGIN_DONE) {
        (void)fprintf(stderr, "request %u was answered %d: %.*s\n", number, r->status,
                      (int)r->text.n, r->text.p);
        exit(1);
    }
    for (uint32_t i = 0; i < 3; i++) {
        const weir_chunk c = {.struct_size = sizeof(c),
                              .kind = i < 2 ? WEIR_CHUNK_TEXT : WEIR_CHUNK_FINISH,
                              .finish = i < 2 ? WEIR_FINISH_NONE : WEIR_FINISH_STOP,
                              .n_tokens = i < 2,
                              .text = {"x", i < 2}};
        (void)weir_plugin_run_chunk(&r->run, &c, ignore, NULL);
    }
    const weir_usage usage = {.struct_size = sizeof(usage),
                              .http_status = 200,
                              .n_choices = 1,
                              .prompt_tokens = 12,
                              .completion_tokens = 2,
                              .model = WEIR_STR_INIT("m")};
    weir_plugin_run_complete(&r->run, &usage);
    weir_kit_stage_advance(stage, US_PER_REQUEST);
}

/* Nanoseconds of a request with these plugins. */
static double measure(const char *plugins, const char *tenants, unsigned n)
{
    struct weir_kit_stage stage;
    struct weir_error err = {0};
    if (weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}) < 0 ||
        weir_kit_stage_configure(&stage, plugins, tenants, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", plugins, err.message);
        exit(1);
    }
    uint64_t ns = 0;
    for (unsigned i = 0; i < n + n / 10; i++) {
        struct weir_kit_request r;
        if (weir_kit_request_init(&r, "{}") < 0) {
            exit(1);
        }
        uint64_t begin = cpu_ns();
        one(&stage, &r, i);
        uint64_t end = cpu_ns();
        ns += i >= n / 10 ? end - begin : 0; /* the first tenth warms up */
        weir_kit_request_finish(&r);
    }
    weir_kit_stage_finish(&stage);
    return (double)ns / n;
}

int main(int argc, char **argv)
{
    unsigned n = DEFAULT_REQUESTS;
    const char *tenants = "{}";
    int first = 1;
    for (; first + 1 < argc && strncmp(argv[first], "--", 2) == 0; first += 2) {
        if (strcmp(argv[first], "--requests") == 0) {
            n = (unsigned)strtoul(argv[first + 1], NULL, 10);
        } else if (strcmp(argv[first], "--tenants") == 0) {
            tenants = argv[first + 1];
        }
    }
    if (first >= argc || n == 0) {
        (void)fputs("usage: policy_bench [--requests N] [--tenants JSON] 'PLUGINS'...\n", stderr);
        return 2;
    }
    double empty = measure("[]", tenants, n);
    (void)printf("%8.2f us  without plugins\n", empty / 1000);
    for (; first < argc; first++) {
        (void)printf("%+8.2f us  %s\n", (measure(argv[first], tenants, n) - empty) / 1000,
                     argv[first]);
    }
    return 0;
}
