/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include <stdio.h>
#include <yyjson.h>

#include "core/plugin/plugins_internal.h"
#include "tests/support/cmocka.h"

enum { TICK_US = 500 * 1000, START_S = 1000 };

static uint64_t world_now(void *arg)
{
    const struct world *w = arg;
    return w->now_us;
}

void world_init(struct world *w)
{
    *w = (struct world){.now_us = UINT64_C(1000000) * START_S};
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.now_us = world_now, .now_arg = w}, &w->store),
        0);
}

static enum fault decide(void *arg, uint32_t number, enum weir_store_op op)
{
    const struct replica *p = arg;
    (void)op;
    if (p->is_dead) {
        return FAULT_DEAD;
    }
    bool hit = number >= p->fault_at && number - p->fault_at < p->n_faults;
    return hit ? p->fault : FAULT_NONE;
}

struct replica *world_start(struct world *w, const char *config)
{
    struct replica *p = w->replicas;
    while (p->is_there) {
        p++;
    }
    *p = (struct replica){.is_there = true};
    faulty_store_init(&p->store, w->store);
    p->store.decide = decide;
    p->store.arg = p;
    assert_int_equal(
        weir_kit_stage_init(&p->stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    p->stage.plugins->options.store = &p->store.store;
    char plugins[4096];
    struct weir_error err = {0};
    (void)snprintf(plugins, sizeof(plugins), "[{billing: %s}]", config);
    if (weir_kit_stage_configure(&p->stage, plugins, "{}", &err) < 0) {
        fail_msg("%s", err.message);
    }
    return p;
}

static void settle_down(struct replica *p)
{
    if (p->is_dead || p->is_stuck) {
        return;
    }
    do {
        weir_kit_stage_turn(&p->stage);
    } while (!p->keeps_answers && faulty_store_release(&p->store));
    weir_kit_stage_turn(&p->stage);
}

void world_pass(struct world *w, double seconds)
{
    for (int i = 0; i < (int)(seconds * 1000000 / TICK_US); i++) {
        w->now_us += TICK_US;
        for (struct replica *p = w->replicas; p < w->replicas + MAX_REPLICAS; p++) {
            if (p->is_there && !p->is_dead && !p->is_stuck) {
                weir_kit_stage_advance(&p->stage, TICK_US);
                settle_down(p);
            }
        }
    }
}

void replica_die(struct replica *p)
{
    p->is_dead = true;
}

void replica_fault(struct replica *p, enum fault fault, uint32_t at, uint32_t n)
{
    p->fault = fault;
    p->fault_at = p->store.n_calls + at;
    p->n_faults = n;
}

void replica_heal(struct replica *p)
{
    p->n_faults = 0;
    p->keeps_answers = false;
    settle_down(p);
}

void world_finish(struct world *w)
{
    for (struct replica *p = w->replicas; p < w->replicas + MAX_REPLICAS; p++) {
        if (p->is_there) {
            p->is_dead = p->is_stuck = p->keeps_answers = false;
            p->n_faults = 0;
            settle_down(p);
            weir_kit_stage_finish(&p->stage);
            faulty_store_finish(&p->store);
        }
    }
    weir_store_destroy(w->store);
}

/* ---- clients ---- */

void client_ask(struct client *c, struct replica *p, bool stream, const char *key, const char *body)
{
    *c = (struct client){.replica = p, .stream = stream};
    assert_int_equal(weir_kit_request_init(&c->request, body), 0);
    weir_kit_request_field(&c->request, WEIR_FIELD_TENANT, "acme");
    weir_kit_request_field(&c->request, WEIR_FIELD_KEY_ID, "web");
    weir_kit_request_field(&c->request, WEIR_FIELD_TARGET, "m/0");
    c->request.numbers[WEIR_NUMBER_STREAM] = stream;
    if (key) {
        weir_kit_request_header(&c->request, "Idempotency-Key", key);
    }
    struct weir_plugin_chain *chain = weir_plugins_chain(p->stage.plugins);
    assert_int_equal(weir_kit_request_begin(&c->request, chain, p->stage.loop), 0);
    weir_plugin_chain_unref(chain);
    for (int phase = WEIR_PHASE_HEADERS; phase <= WEIR_PHASE_ADMIT && !c->outcome; phase++) {
        c->outcome = weir_plugin_run_phase(&c->request.run, (enum weir_phase)phase);
        while (c->outcome == WEIR_PLUGIN_SUSPENDED) {
            uint32_t n = c->request.n_resumed;
            settle_down(p);
            if (c->request.n_resumed == n) { /* nobody answers: the suspension times out */
                weir_kit_stage_advance(&p->stage, UINT64_C(6000000));
            }
            assert_int_equal(c->request.n_resumed, n + 1);
            c->outcome = c->request.outcome;
        }
    }
}

void client_receive(struct client *c)
{
    if (c->n_received < c->n_out) {
        c->n_received = c->n_out;
        weir_plugin_run_delivered(&c->request.run, c->n_received);
    }
}

static void emit(void *arg, const weir_chunk *chunk)
{
    (void)arg;
    (void)chunk;
}

/* The chunk is held: what came before reaches the client, late answers come. */
static bool wait_for_output(struct client *c)
{
    if (c->stream) {
        client_receive(c);
    }
    settle_down(c->replica);
    return !weir_plugin_run_is_paused(&c->request.run) && c->request.output == WEIR_PLUGIN_DONE;
}

uint64_t client_generate(struct client *c, uint64_t n)
{
    uint64_t before = c->n_out;
    for (uint64_t i = 0; i < n; i++) {
        const weir_chunk chunk = {
            .struct_size = sizeof(chunk), .kind = WEIR_CHUNK_TEXT, .text = {"x", 1}, .n_tokens = 1};
        (void)weir_plugin_run_chunk(&c->request.run, &chunk, emit, NULL);
        if (weir_plugin_run_is_paused(&c->request.run) && !wait_for_output(c)) {
            break;
        }
        c->n_out++;
        c->request.numbers[WEIR_NUMBER_OUTPUT_TOKENS] = (int64_t)c->n_out;
        c->request.has_number[WEIR_NUMBER_OUTPUT_TOKENS] = true;
        if (c->stream && c->n_out % 10 == 0) {
            client_receive(c);
        }
    }
    if (c->stream) {
        client_receive(c);
    }
    return c->n_out - before;
}

void client_end(struct client *c, uint32_t status)
{
    if (status == 200) {
        client_receive(c);
    }
    bool left = status != 200;
    if (left) {
        weir_plugin_run_abandon(&c->request.run);
    }
    weir_plugin_run_complete(&c->request.run,
                             &(weir_usage){.struct_size = sizeof(weir_usage),
                                           .http_status = status          ? status
                                                          : c->n_received ? 200
                                                                          : 499,
                                           .finish = left ? WEIR_FINISH_CANCEL : WEIR_FINISH_STOP,
                                           .n_choices = 1,
                                           .prompt_tokens = 12,
                                           .cached_tokens = 4,
                                           .completion_tokens = c->n_out,
                                           .delivered_tokens = c->n_received,
                                           .error_code = weir_str_from(left ? "client_gone" : "")});
    weir_kit_request_finish(&c->request);
    c->ended = true;
}

void client_forget(struct client *c)
{
    if (!c->ended) {
        client_end(c, 0);
    }
}

/* ---- the ledger ---- */

static int64_t number(yyjson_val *entry, const char *name)
{
    return yyjson_get_sint(yyjson_obj_get(entry, name));
}

static void add_entry(struct ledger *l, weir_str text)
{
    yyjson_doc *doc = yyjson_read(text.p, text.n, 0);
    yyjson_val *e = yyjson_doc_get_root(doc);
    assert_true(yyjson_is_obj(e));
    bool usage = strcmp(yyjson_get_str(yyjson_obj_get(e, "type")), "usage") == 0;
    l->n_usage += usage;
    l->n_adjustments += !usage;
    l->requests += number(e, "requests");
    l->prompt += number(e, "prompt_tokens");
    l->cached += number(e, "cached_tokens");
    l->completion += number(e, "completion_tokens");
    l->delivered += number(e, "delivered_tokens");
    l->amount += number(e, "amount_micro");
    (void)snprintf(l->last, sizeof(l->last), "%.*s", (int)text.n, text.p);
    yyjson_doc_free(doc);
}

static void on_read(void *arg, const weir_store_result *r)
{
    assert_int_equal(r->rc, 0);
    for (uint32_t i = 0; i < r->n_items; i++) {
        add_entry(arg, r->items[i].value);
    }
}

void world_read(struct world *w, const char *tenant, struct ledger *ret_ledger)
{
    *ret_ledger = (struct ledger){0};
    /* The kit's wall clock starts in January 2026. */
    const struct weir_store_call call = {.op = WEIR_STORE_READ,
                                         .tenant = weir_str_from(tenant),
                                         .key = weir_str_from("usage/2026-01"),
                                         .n = WEIR_STORE_MAX_ITEMS};
    assert_int_equal(weir_store_call(w->store, &call, on_read, ret_ledger), 0);
}

static void on_claimed(void *arg, const weir_store_result *r)
{
    *(uint32_t *)arg = r->n_items;
}

uint32_t world_n_jobs(struct world *w, const char *queue)
{
    uint32_t n = 0;
    const struct weir_store_call call = {.op = WEIR_STORE_JOB_CLAIM,
                                         .key = weir_str_from(queue),
                                         .number = 1,
                                         .n = WEIR_STORE_MAX_ITEMS};
    uint64_t now_us = w->now_us;
    w->now_us += UINT64_C(365) * 86400 * 1000000;
    assert_int_equal(weir_store_call(w->store, &call, on_claimed, &n), 0);
    w->now_us = now_us;
    return n;
}
