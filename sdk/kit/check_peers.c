/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: hosts that are newer, barer or older than the plugin expects. */
#include <stdlib.h>

#include "core/plugin/plugins_internal.h"
#include "sdk/kit/bench.h"

/* A host table that has grown: garbage where this build's ends. */
struct grown_host {
    weir_host host; /* first: plugins hold this */
    unsigned char garbage[512];
    const weir_host *model; /* the table that it was made from */
    const char *const *missing;
};

static const void *get_some(const weir_host *h, const char *id)
{
    const struct grown_host *g = (const struct grown_host *)h;
    for (size_t i = 0; g->missing && g->missing[i]; i++) {
        if (strcmp(g->missing[i], id) == 0) {
            return NULL;
        }
    }
    return g->model->get_ext(h, id);
}

/* Drives all requests through an instance made with the table. */
static void drive(struct weir_kit_bench *b, weir_host *host)
{
    struct weir_plugin_chain *chain = weir_kit_bench_chain(b, host);
    for (unsigned i = 0; chain && i < WEIR_KIT_N_REQUESTS; i++) {
        struct weir_kit_request r;
        weir_kit_bench_request(&r, i);
        (void)weir_kit_request_begin(&r, chain, b->stage.loop);
        (void)weir_kit_bench_drive(b, &r);
        weir_kit_request_finish(&r);
    }
    if (chain) {
        weir_kit_bench_end(b, chain);
    }
}

static void with_host(struct weir_kit_probe *p, bool newer, bool bare)
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    const char *const *wants = b.lib->about.wants;
    if (bare && (!wants || !wants[0])) {
        weir_kit_skip(p, "it wants no extension");
        weir_kit_bench_finish(&b);
        return;
    }
    struct weir_plugin_instance *model = NULL;
    struct grown_host *g = calloc(1, sizeof(*g));
    if (g && weir_plugins_host(b.stage.plugins, b.lib, &model, NULL) == 0) {
        weir_host table = *weir_plugin_instance_host(model);
        g->host = table;
        g->model = &table;
        g->host.get_ext = get_some;
        g->missing = bare ? wants : NULL;
        memset(g->garbage, 0xA5, sizeof(g->garbage));
        if (newer) {
            g->host.struct_size = sizeof(weir_host) + sizeof(g->garbage);
            g->host.abi_minor = UINT16_MAX;
        }
        drive(&b, &g->host);
    }
    weir_plugin_instance_destroy(model);
    free(g);
    weir_kit_bench_finish(&b);
}

void weir_kit_check_newer_host(struct weir_kit_probe *p)
{
    with_host(p, true, false);
}

void weir_kit_check_bare_host(struct weir_kit_probe *p)
{
    with_host(p, false, true);
}

/* The policy as a host sees it that knows only the first hooks, or more than there are. */
void weir_kit_check_policy_sizes(struct weir_kit_probe *p)
{
    static const uint32_t sizes[] = {
        offsetof(weir_policy, on_phase),     offsetof(weir_policy, on_resume),
        offsetof(weir_policy, on_chunk),     offsetof(weir_policy, on_complete),
        offsetof(weir_policy, on_delivered), (uint32_t)sizeof(weir_policy),
        (uint32_t)sizeof(weir_policy) + 256,
    };
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    const weir_policy whole = b.lib->policy;
    struct {
        weir_policy policy;
        unsigned char garbage[256];
    } peer;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(&peer, 0xA5, sizeof(peer));
        peer.policy = whole;
        peer.policy.struct_size = sizes[i];
        weir_plugin_policy_read(&b.lib->policy, &peer.policy);
        drive(&b, NULL);
    }
    b.lib->policy = whole;
    weir_kit_bench_finish(&b);
}
