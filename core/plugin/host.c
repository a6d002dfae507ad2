/* SPDX-License-Identifier: Apache-2.0 */
/* The host table: extensions, memory, log and time. */
#include <stdlib.h>

#include "base/log.h"
#include "core/plugin/host_store.h"
#include "core/plugin/plugins_internal.h"
#include "weir/answer.h"
#include "weir/plugin.h"
#include "weir/store.h"

/* Before each block: its size, and padding to keep malloc's alignment. */
union alloc_head {
    size_t n_bytes;
    max_align_t align;
};

static const void *get_ext(const weir_host *h, const char *id)
{
    if (strcmp(id, WEIR_EXT_METRICS) == 0) {
        return &weir_host_metrics;
    }
    if (strcmp(id, WEIR_EXT_ADMIN) == 0) {
        return &weir_host_admin;
    }
    if (strcmp(id, WEIR_EXT_ANSWER) == 0) {
        return &weir_host_answer;
    }
    if (strcmp(id, WEIR_EXT_TARGETS) == 0) {
        return &weir_host_targets;
    }
    if (strcmp(id, WEIR_EXT_TENANTS) == 0 && weir_host_instance(h)->plugins->options.tenants) {
        return &weir_host_tenants;
    }
    if (strcmp(id, WEIR_EXT_SLAS) == 0 && weir_host_instance(h)->plugins->options.slas) {
        return &weir_host_slas;
    }
    if (strcmp(id, WEIR_EXT_STORE) == 0 && weir_host_instance(h)->plugins->options.store) {
        return weir_host_store(weir_host_instance(h)->plugins->options.store);
    }
    return NULL;
}

/* The calling thread's; NULL: it is no loop's. */
static struct weir_pieces *pieces(void)
{
    struct weir_plugin_loop *loop = weir_plugin_loop_own();
    return loop ? weir_plugin_loop_pieces(loop) : NULL;
}

static void *alloc(const weir_host *h, size_t n_bytes)
{
    if (n_bytes > PTRDIFF_MAX - sizeof(union alloc_head)) {
        return NULL;
    }
    union alloc_head *head = weir_pieces_take(pieces(), sizeof(*head) + n_bytes);
    if (!head) {
        return NULL;
    }
    head->n_bytes = n_bytes;
    struct weir_plugin_instance *inst = weir_host_instance(h);
    atomic_fetch_add_explicit(&inst->alive, WEIR_INSTANCE_ONE_ALLOC + n_bytes,
                              memory_order_relaxed);
    return head + 1;
}

static void release(const weir_host *h, void *p)
{
    if (!p) {
        return;
    }
    union alloc_head *head = (union alloc_head *)p - 1;
    struct weir_plugin_instance *inst = weir_host_instance(h);
    size_t n_bytes = head->n_bytes;
    atomic_fetch_sub_explicit(&inst->alive, WEIR_INSTANCE_ONE_ALLOC + n_bytes,
                              memory_order_relaxed);
    weir_pieces_give(pieces(), head, sizeof(*head) + n_bytes);
}

static void write_log(const weir_host *h, int level, weir_req *r, weir_str message)
{
    if (level < WEIR_LEVEL_ERROR || level > WEIR_LEVEL_TRACE ||
        !weir_log_enabled((enum weir_log_level)level)) {
        return;
    }
    const struct weir_plugin_instance *inst = weir_host_instance(h);
    weir_str id = {NULL, 0};
    if (r && inst->plugins->options.ops->get(r, WEIR_FIELD_REQUEST_ID, &id) < 0) {
        id = (weir_str){NULL, 0};
    }
    char id_text[128];
    size_t n = id.n < sizeof(id_text) - 1 ? id.n : sizeof(id_text) - 1;
    if (n) {
        memcpy(id_text, id.p, n);
    }
    id_text[n] = '\0';
    weir_log((enum weir_log_level)level, inst->component, n ? id_text : NULL, "%.*s",
             (int)(message.n < 4096 ? message.n : 4096), message.p ? message.p : "");
}

static int log_enabled(const weir_host *h, int level)
{
    (void)h;
    return level >= WEIR_LEVEL_ERROR && level <= WEIR_LEVEL_TRACE &&
           weir_log_enabled((enum weir_log_level)level);
}

static uint64_t now_us(const weir_host *h)
{
    const struct weir_plugin_clock *c =
        weir_plugin_loop_clock(weir_host_instance(h)->plugins->options.main_loop);
    return c->mono_ns(c->arg) / 1000;
}

static uint64_t wall_us(const weir_host *h)
{
    const struct weir_plugin_clock *c =
        weir_plugin_loop_clock(weir_host_instance(h)->plugins->options.main_loop);
    return c->wall_us(c->arg);
}

static uint64_t turn_us(const weir_host *h)
{
    struct weir_plugin_loop *loop = weir_plugin_loop_own();
    return loop ? weir_plugin_loop_turn_us(loop) : now_us(h);
}

static uint64_t turn_wall_us(const weir_host *h)
{
    struct weir_plugin_loop *loop = weir_plugin_loop_own();
    return loop ? weir_plugin_loop_turn_wall_us(loop) : wall_us(h);
}

void weir_host_fill(weir_host *host, struct weir_plugin_instance *inst)
{
    *host = (weir_host){
        .struct_size = sizeof(*host),
        .abi_major = WEIR_ABI_MAJOR,
        .abi_minor = WEIR_ABI_MINOR,
        .version = WEIR_VERSION,
        .impl = inst,
        .get_ext = get_ext,
        .alloc = alloc,
        .free = release,
        .log = write_log,
        .log_enabled = log_enabled,
        .now_us = now_us,
        .wall_us = wall_us,
        .turn_us = turn_us,
        .turn_wall_us = turn_wall_us,
    };
    weir_host_fill_timers(host);
    weir_host_fill_request(host);
}
