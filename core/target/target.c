/* SPDX-License-Identifier: Apache-2.0 */
#include "target.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A ticket is a slot's number and the generation that it was given out with; while both agree, its
 * flow is there, so that looking it up needs no lock. */
struct slot {
    _Atomic uint32_t generation; /* odd: in use; who makes it even has ended the ticket */
    _Atomic uint32_t next_free;  /* while it is in the list of free ones */
    struct weir_flow *flow;
};

struct weir_target {
    weir_sink sink; /* first: the backend gives it back to us */
    const weir_backend_stream *backend;
    void *impl;
    char *name;
    uint32_t weight;
    struct weir_inbox *const *inboxes;
    uint32_t n_inboxes;
    void (*changed)(void *arg, struct weir_target *target);
    void *arg;
    struct slot *slots; /* [n_slots] */
    uint32_t n_slots;
    /* The first free slot, n_slots: none; above it a count of changes, so that one who has seen an
     * older list does not take it for this one. */
    _Atomic uint64_t free_list;
};

static struct weir_target *from_sink(const weir_sink *sink)
{
    return (struct weir_target *)(uintptr_t)sink;
}

/* The slot of a ticket that has not ended, or NULL. */
static struct slot *find_slot(struct weir_target *t, weir_ticket ticket)
{
    uint32_t index = (uint32_t)ticket, generation = (uint32_t)(ticket >> 32);
    struct slot *s = index < t->n_slots && (generation & 1) ? &t->slots[index] : NULL;
    return s && atomic_load_explicit(&s->generation, memory_order_acquire) == generation ? s : NULL;
}

static uint64_t list_from(uint64_t before, uint32_t first)
{
    return ((before >> 32) + 1) << 32 | first;
}

/* A free slot, the caller's alone; NULL: there is none. */
static struct slot *take_slot(struct weir_target *t)
{
    /* Acquire: the slot's last user is done with it. */
    uint64_t before = atomic_load_explicit(&t->free_list, memory_order_acquire);
    struct slot *s;
    uint32_t next;
    do {
        uint32_t index = (uint32_t)before;
        if (index >= t->n_slots) {
            return NULL;
        }
        s = &t->slots[index];
        /* What another thread has changed meanwhile, the count tells. */
        next = atomic_load_explicit(&s->next_free, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&t->free_list, &before, list_from(before, next),
                                                    memory_order_acquire, memory_order_acquire));
    return s;
}

static void give_slot(struct weir_target *t, struct slot *s)
{
    uint64_t before = atomic_load_explicit(&t->free_list, memory_order_relaxed);
    do {
        atomic_store_explicit(&s->next_free, (uint32_t)before, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&t->free_list, &before,
                                                    list_from(before, (uint32_t)(s - t->slots)),
                                                    memory_order_release, memory_order_relaxed));
}

/* Ends the ticket; what it was for, or NULL when it had ended. */
static struct weir_flow *release(struct weir_target *t, weir_ticket ticket)
{
    uint32_t generation = (uint32_t)(ticket >> 32);
    struct slot *s = find_slot(t, ticket);
    /* Of two who end it, one does. */
    if (!s ||
        !atomic_compare_exchange_strong_explicit(&s->generation, &generation, generation + 1,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return NULL;
    }
    struct weir_flow *flow = s->flow;
    s->flow = NULL;
    give_slot(t, s);
    return flow;
}

static int sink_push(const weir_sink *sink, weir_ticket ticket, const weir_chunk *chunk)
{
    const struct slot *s = find_slot(from_sink(sink), ticket);
    return s ? weir_flow_push(s->flow, chunk) : WEIR_E_GONE;
}

static void sink_finish(const weir_sink *sink, weir_ticket ticket, const weir_outcome *outcome)
{
    struct weir_flow *flow = release(from_sink(sink), ticket);
    if (flow) {
        weir_flow_end(flow, outcome);
    }
}

static void sink_notify(const weir_sink *sink)
{
    struct weir_target *t = from_sink(sink);
    t->changed(t->arg, t);
}

static void sink_flush(const weir_sink *sink)
{
    struct weir_target *t = from_sink(sink);
    for (uint32_t i = 0; i < t->n_inboxes; i++) {
        weir_inbox_wake(t->inboxes[i]);
    }
}

static int make_slots(struct weir_target *t, uint32_t n)
{
    t->slots = calloc(n, sizeof(*t->slots));
    if (!t->slots) {
        return WEIR_E_NOMEM;
    }
    t->n_slots = n;
    for (uint32_t i = 0; i < n; i++) {
        atomic_init(&t->slots[i].next_free, i + 1); /* n: end of the list */
    }
    atomic_init(&t->free_list, 0);
    return 0;
}

static int open_impl(struct weir_target *t, const struct weir_target_config *config,
                     struct weir_error *err)
{
    if (config->open) {
        return config->open(config->open_arg, &t->sink, &t->impl, err);
    }
    weir_str why = {NULL, 0};
    int r = t->backend->open(config->host, config->config_json, &t->sink, &t->impl, &why);
    return r < 0 ? weir_error_set(err, r, "%.*s", (int)why.n, why.n ? why.p : "") : 0;
}

int weir_target_create(const struct weir_target_config *config, struct weir_target **ret_target,
                       struct weir_error *err)
{
    struct weir_target *t = calloc(1, sizeof(*t));
    if (!t) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    t->sink = (weir_sink){.struct_size = sizeof(t->sink),
                          .max_tickets = config->max_flows,
                          .push = sink_push,
                          .finish = sink_finish,
                          .notify = sink_notify,
                          .flush = sink_flush};
    t->backend = config->backend;
    t->weight = config->weight;
    t->inboxes = config->inboxes;
    t->n_inboxes = config->n_inboxes;
    t->changed = config->changed;
    t->arg = config->arg;
    t->name = strdup(config->name);
    int r = t->name ? make_slots(t, config->max_flows) : WEIR_E_NOMEM;
    weir_error_set(err, r, "%s", weir_error_name(r));
    if (r == 0) {
        /* The target may call notify before open returns, and asks *ret_target then. */
        *ret_target = t;
        r = open_impl(t, config, err);
    }
    for (uint32_t i = 0; r == 0 && weir_target_is_on_loops(t) && i < t->n_inboxes; i++) {
        t->backend->loop_begin(t->impl, i, t->inboxes[i]->loop);
    }
    if (r < 0) {
        weir_error_prefix(err, "target %s", config->name);
        t->impl = NULL;
        *ret_target = NULL;
        weir_target_destroy(t);
    }
    return r;
}

void weir_target_destroy(struct weir_target *t)
{
    if (!t) {
        return;
    }
    if (t->impl) {
        t->backend->close(t->impl);
    }
    free(t->slots);
    free(t->name);
    free(t);
}

const char *weir_target_name(const struct weir_target *t)
{
    return t->name;
}

uint32_t weir_target_weight(const struct weir_target *t)
{
    return t->weight;
}

void weir_target_read_status(struct weir_target *t, weir_target_status *ret_status)
{
    *ret_status =
        (weir_target_status){.struct_size = sizeof(*ret_status), .state = WEIR_TARGET_LOADING};
    if (t->impl) {
        t->backend->status(t->impl, ret_status);
    }
}

void weir_target_each_stat(struct weir_target *t,
                           void (*each)(void *arg, const char *name, double value), void *arg)
{
    if (t->impl && WEIR_HAS_FN(t->backend, stats)) {
        t->backend->stats(t->impl, each, arg);
    }
}

int weir_target_prepare(struct weir_target *t, const weir_generation *g,
                        weir_prepared *ret_prepared, weir_refusal *refusal)
{
    *ret_prepared = (weir_prepared){.struct_size = sizeof(*ret_prepared)};
    return t->backend->prepare(t->impl, g, ret_prepared, refusal);
}

void weir_target_discard(struct weir_target *t, void *prepared_state)
{
    t->backend->discard(t->impl, prepared_state);
}

weir_ticket weir_target_begin(struct weir_target *t, struct weir_flow *flow)
{
    struct slot *s = take_slot(t);
    if (!s) {
        return 0;
    }
    s->flow = flow;
    uint32_t generation = atomic_load_explicit(&s->generation, memory_order_relaxed) + 1;
    atomic_store_explicit(&s->generation, generation, memory_order_release); /* the flow is there */
    return (uint64_t)generation << 32 | (uint32_t)(s - t->slots);
}

void weir_target_forget(struct weir_target *t, weir_ticket ticket)
{
    (void)release(t, ticket);
}

int weir_target_submit(struct weir_target *t, const weir_generation *g,
                       const weir_prepared *prepared, weir_ticket ticket)
{
    return t->backend->submit(t->impl, g, prepared, ticket);
}

void weir_target_cancel(struct weir_target *t, weir_ticket ticket)
{
    t->backend->cancel(t->impl, ticket);
}

void weir_target_wake(struct weir_target *t, weir_ticket ticket)
{
    t->backend->wake(t->impl, ticket);
}

bool weir_target_is_on_loops(const struct weir_target *t)
{
    return WEIR_HAS_FN(t->backend, loop_begin) && WEIR_HAS_FN(t->backend, loop_end);
}

bool weir_target_loop_end(struct weir_target *t, uint32_t loop)
{
    return !weir_target_is_on_loops(t) || t->backend->loop_end(t->impl, loop) != WEIR_E_BUSY;
}

bool weir_target_has_check(const struct weir_target *t)
{
    return WEIR_HAS_FN(t->backend, check);
}

int weir_target_check(struct weir_target *t, weir_str path, uint32_t timeout_ms)
{
    return weir_target_has_check(t) ? t->backend->check(t->impl, path, timeout_ms)
                                    : WEIR_E_UNSUPPORTED;
}

int64_t weir_target_tokenize(struct weir_target *t, weir_str text, int add_special, int32_t *out,
                             size_t cap)
{
    if (!WEIR_HAS_FN(t->backend, tokenize)) {
        return WEIR_E_UNSUPPORTED;
    }
    return t->backend->tokenize(t->impl, text, add_special, out, cap);
}

int64_t weir_target_detokenize(struct weir_target *t, const int32_t *tokens, size_t n_tokens,
                               char *out, size_t cap)
{
    if (!WEIR_HAS_FN(t->backend, detokenize)) {
        return WEIR_E_UNSUPPORTED;
    }
    return t->backend->detokenize(t->impl, tokens, n_tokens, out, cap);
}
