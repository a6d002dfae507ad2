/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: creating and destroying, requests of all kinds, two workers at a time. */
#include <pthread.h>

#include "core/plugin/plugins_internal.h"
#include "sdk/kit/bench.h"

enum { LIVES = 50, ROUNDS = 200 };

void weir_kit_check_life(struct weir_kit_probe *p)
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    bool ok = true;
    for (int i = 0; i < LIVES && ok; i++) {
        struct weir_plugin_chain *chain = weir_kit_bench_chain(&b, NULL);
        ok = chain != NULL;
        if (ok) {
            weir_kit_stage_advance(&b.stage, 1000000);
            weir_kit_bench_end(&b, chain);
        }
    }
    weir_kit_bench_finish(&b);
}

static const weir_usage usage_of_test = {
    .struct_size = sizeof(usage_of_test),
    .http_status = 200,
    .finish = WEIR_FINISH_STOP,
    .n_choices = 1,
    .prompt_tokens = 12,
    .completion_tokens = 3,
    .total_us = 1000,
};

void weir_kit_check_requests(struct weir_kit_probe *p)
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    struct weir_plugin_chain *chain = weir_kit_bench_chain(&b, NULL);
    for (unsigned i = 0; chain && i < WEIR_KIT_N_REQUESTS; i++) {
        struct weir_plugin_guard *g = &chain->links[0].instance->guard;
        uint64_t failures = g->failures;
        struct weir_kit_request r;
        weir_kit_bench_request(&r, i);
        (void)weir_kit_request_begin(&r, chain, b.stage.loop);
        (void)weir_kit_bench_drive(&b, &r);
        if (i == 0 && g->failures != failures) {
            weir_kit_find(p, "a hook failed (or gave an unknown verdict) on an ordinary request");
        }
        weir_plugin_run_complete(&r.run, &usage_of_test);
        weir_plugin_run_complete(&r.run, &usage_of_test);
        if (chain->links[0].instance->lib->policy.on_complete &&
            weir_plugin_guard_calls(g, WEIR_HOOK_COMPLETE) != 1) {
            weir_kit_find(p, "on_complete did not run exactly once");
        }
        weir_kit_request_finish(&r);
        weir_plugin_guard_finish(g); /* no quarantine between requests */
        (void)weir_plugin_guard_init(g, (struct weir_plugin_limits){0});
    }
    if (chain) {
        weir_kit_bench_end(&b, chain);
    }
    weir_kit_bench_finish(&b);
}

struct worker {
    struct weir_kit_bench *bench;
    struct weir_plugin_chain *chain;
    struct weir_plugin_loop *loop;
};

static void no_wake(void *arg)
{
    (void)arg;
}

/* A second worker: its own loop, the same instance. Suspended requests are abandoned. */
static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct weir_kit_request r;
        weir_kit_bench_request(&r, i % WEIR_KIT_N_REQUESTS);
        (void)weir_kit_request_begin(&r, w->chain, w->loop);
        (void)weir_kit_bench_suspend(&r);
        weir_plugin_loop_turn(w->loop);
        weir_kit_request_finish(&r);
        weir_plugin_loop_turn(w->loop);
    }
    return NULL;
}

void weir_kit_check_threads(struct weir_kit_probe *p)
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    struct weir_plugin_chain *chain = weir_kit_bench_chain(&b, NULL);
    struct worker workers[2];
    pthread_t threads[2];
    for (int i = 0; chain && i < 2; i++) {
        workers[i] = (struct worker){&b, chain, NULL};
        (void)weir_plugin_loop_create(*weir_plugin_loop_clock(b.stage.loop), no_wake, NULL,
                                      &workers[i].loop);
        (void)pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (int i = 0; chain && i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    if (chain) {
        weir_kit_bench_end(&b, chain);
        for (int i = 0; i < 2; i++) {
            weir_plugin_loop_destroy(workers[i].loop);
        }
    }
    weir_kit_bench_finish(&b);
}
