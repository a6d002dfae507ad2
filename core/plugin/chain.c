/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/chain.h"

#include <stdlib.h>

#include "core/plugin/host_store.h"
#include "core/plugin/plugins_internal.h"
#include "core/plugin/run_internal.h"

enum {
    STATE_ALIGN = 16,
    MIN_TICKED_BUDGET_US = 40 * 1000, /* of some ticks of the slowest kernel */
};

int weir_plugin_chain_create(struct weir_plugins *ps, struct weir_plugin_chain **ret_chain)
{
    struct weir_plugin_chain *chain = calloc(1, sizeof(*chain));
    if (!chain) {
        return WEIR_E_NOMEM;
    }
    atomic_init(&chain->refs, 1);
    chain->plugins = ps;
    uint64_t budget_us = ps->options.limits.hook_budget_us; /* 0: the usual one */
    chain->times_all = budget_us > 0 && budget_us < MIN_TICKED_BUDGET_US;
    *ret_chain = chain;
    return 0;
}

static void list_hook(struct weir_plugin_chain *chain, enum weir_plugin_hook hook, bool is_there)
{
    struct weir_plugin_hook_list *l = &chain->hooks[hook];
    if (is_there) {
        l->at[l->n++] = (uint8_t)(chain->n - 1);
    }
}

void weir_plugin_chain_add(struct weir_plugin_chain *chain, struct weir_plugin_instance *inst)
{
    const weir_policy *policy = &inst->lib->policy;
    chain->links[chain->n++] = (struct weir_plugin_link){inst, policy, chain->state_bytes};
    chain->state_bytes += (policy->req_state_size + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
    for (int phase = WEIR_PHASE_HEADERS; phase <= WEIR_PHASE_REPLAY; phase++) {
        if (phase != WEIR_PHASE_OUTPUT) {
            list_hook(chain, weir_plugin_phase_hook(phase),
                      policy->on_phase && (policy->phases & WEIR_PHASE_BIT(phase)));
        }
    }
    list_hook(chain, WEIR_HOOK_CHUNK, policy->on_chunk);
    list_hook(chain, WEIR_HOOK_DELIVERED, policy->on_delivered);
    list_hook(chain, WEIR_HOOK_COMPLETE, policy->on_complete);
}

void weir_plugin_chain_destroy(struct weir_plugin_chain *chain)
{
    for (uint32_t i = chain->n; i-- > 0;) {
        weir_plugin_instance_destroy(chain->links[i].instance);
    }
    free(chain);
}

bool weir_plugin_chain_is_idle(const struct weir_plugin_chain *chain)
{
    bool idle = true;
    for (uint32_t i = 0; i < chain->n; i++) {
        idle &= weir_instance_store_is_idle(chain->links[i].instance);
    }
    return idle;
}

struct weir_plugin_chain *weir_plugin_chain_ref(struct weir_plugin_chain *chain)
{
    atomic_fetch_add_explicit(&chain->refs, 1, memory_order_relaxed);
    return chain;
}

void weir_plugin_chain_unref(struct weir_plugin_chain *chain)
{
    /* Release: our uses come before; acquire in the last one: everybody's uses come before. */
    if (!chain || atomic_fetch_sub_explicit(&chain->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct weir_plugins *ps = chain->plugins;
    pthread_mutex_lock(&ps->lock);
    chain->next_dead = ps->dead;
    ps->dead = chain;
    weir_plugin_loop_post(ps->options.main_loop, &ps->reap);
    pthread_mutex_unlock(&ps->lock);
}

size_t weir_plugin_chain_n(const struct weir_plugin_chain *chain)
{
    return chain->n;
}

bool weir_plugin_chain_has_chunk_hooks(const struct weir_plugin_chain *chain)
{
    return chain->hooks[WEIR_HOOK_CHUNK].n > 0;
}

static void add_field(struct weir_buf *out, const char *name, weir_str value)
{
    weir_buf_printf(out, "\"%s\":", name);
    weir_buf_add_json_str(out, value);
    weir_buf_add_char(out, ',');
}

static void add_hooks(const struct weir_plugin_guard *g, struct weir_buf *out)
{
    weir_buf_add_text(out, "\"hooks\":{");
    for (int i = 0; i < WEIR_HOOK__COUNT; i++) {
        weir_buf_printf(out, "%s\"%s\":{\"calls\":%llu,\"seconds\":%.9f}", i ? "," : "",
                        weir_plugin_hook_name((enum weir_plugin_hook)i),
                        (unsigned long long)weir_plugin_guard_calls(g, (enum weir_plugin_hook)i),
                        (double)weir_plugin_guard_ns(g, (enum weir_plugin_hook)i) / 1e9);
    }
    weir_buf_add_text(out, "},");
}

static void add_instance(const struct weir_plugin_instance *inst, struct weir_buf *out)
{
    const weir_plugin *about = &inst->lib->about;
    const struct weir_plugin_guard *g = &inst->guard;
    const struct weir_plugin_clock *clock =
        weir_plugin_loop_clock(inst->plugins->options.main_loop);
    uint64_t now_us = clock->mono_ns(clock->arg) / 1000;
    weir_buf_add_char(out, '{');
    add_field(out, "name", weir_str_from(about->name));
    add_field(out, "version", weir_str_from(about->version));
    add_field(out, "path", weir_str_from(inst->lib->path));
    add_field(out, "sha256", weir_str_from(inst->lib->sha256));
    add_field(out, "on_error", weir_str_from(inst->fail_open ? "open" : "closed"));
    weir_buf_printf(out, "\"quarantined\":%s,\"failures\":%llu,\"overruns\":%llu,",
                    now_us < atomic_load(&g->quarantined_until_us) ? "true" : "false",
                    (unsigned long long)atomic_load(&g->failures),
                    (unsigned long long)atomic_load(&g->overruns));
    add_hooks(g, out);
    weir_buf_printf(out, "\"alloc_bytes\":%llu,\"routes\":[",
                    (unsigned long long)weir_instance_alloc_bytes(inst));
    for (uint32_t i = 0; i < inst->n_routes; i++) {
        weir_buf_printf(out, "%s{", i ? "," : "");
        add_field(out, "method", weir_str_from(inst->routes[i].method));
        weir_buf_add_text(out, "\"path\":");
        weir_buf_add_json_str(out, weir_str_from(inst->routes[i].path));
        weir_buf_add_char(out, '}');
    }
    weir_buf_add_text(out, "]}");
}

void weir_plugin_chain_status(const struct weir_plugin_chain *chain, struct weir_buf *out)
{
    weir_buf_add_char(out, '[');
    for (uint32_t i = 0; i < chain->n; i++) {
        if (i) {
            weir_buf_add_char(out, ',');
        }
        add_instance(chain->links[i].instance, out);
    }
    weir_buf_add_char(out, ']');
}
