/* SPDX-License-Identifier: Apache-2.0 */
/* Check: output that the plugin pauses goes on, whoever ends the pause and however slow the client.
 */
#include "core/plugin/plugins_internal.h"
#include "sdk/kit/bench.h"

enum { ROUNDS = 30, N_TOKENS = 300 };

enum ending { PATIENT, STRANGER, LEAVES, ENDINGS };

struct output {
    struct weir_kit_bench *bench;
    struct weir_kit_request *request;
    uint64_t n_out, n_delivered;
};

static void count(void *arg, const weir_chunk *c)
{
    struct output *o = arg;
    o->n_out += c->n_tokens;
    o->request->numbers[WEIR_NUMBER_OUTPUT_TOKENS] = (int64_t)o->n_out;
    o->request->has_number[WEIR_NUMBER_OUTPUT_TOKENS] = true;
}

/* The client takes all that has gone out. */
static void deliver(struct output *o, uint64_t n_tokens)
{
    if (n_tokens > o->n_delivered) {
        o->n_delivered = n_tokens;
        weir_plugin_run_delivered(&o->request->run, n_tokens);
    }
}

/* Somebody else ends every pause of the run. */
static void resume_as_stranger(struct output *o)
{
    struct weir_tickets *tickets = o->bench->stage.plugins->tickets;
    for (uint32_t slot = 0; slot < 256; slot++) { /* more than a run can have */
        for (uint32_t generation = 1; generation < 8; generation++) {
            (void)weir_tickets_resume(tickets, (uint64_t)slot << 32 | generation, WEIR_E_CANCELLED,
                                      (weir_str){"\xff{", 2});
        }
    }
}

/* Waits for the end of a pause; false: the run is over. */
static bool wait_for_output(struct output *o, enum ending ending)
{
    struct weir_plugin_run *run = &o->request->run;
    if (ending == LEAVES) {
        weir_plugin_run_abandon(run);
        return false;
    }
    if (ending == STRANGER) {
        resume_as_stranger(o);
    }
    for (int i = 0; i < 8 && weir_plugin_run_is_paused(run); i++) {
        while (weir_plugin_run_is_paused(run) && weir_kit_stage_wait(&o->bench->stage, 20)) {
        }
        if (weir_plugin_run_is_paused(run)) {
            weir_kit_stage_advance(&o->bench->stage, UINT64_C(61) * 1000000);
        }
    }
    if (weir_plugin_run_is_paused(run)) {
        weir_kit_find(o->bench->probe,
                      "output is still held back after 8 timeouts, although the client has taken "
                      "all that came before");
        return false;
    }
    return o->request->output == WEIR_PLUGIN_DONE;
}

static bool push(struct output *o, uint32_t kind, enum ending ending)
{
    const weir_chunk c = {.struct_size = sizeof(c),
                          .kind = kind,
                          .text = {"x", kind == WEIR_CHUNK_TEXT ? 1 : 0},
                          .n_tokens = kind == WEIR_CHUNK_TEXT ? 1 : 0,
                          .finish = kind == WEIR_CHUNK_FINISH ? WEIR_FINISH_STOP : 0};
    uint64_t before = o->n_out;
    (void)weir_plugin_run_chunk(&o->request->run, &c, count, o);
    if (!weir_plugin_run_is_paused(&o->request->run)) {
        if (weir_kit_random(o->bench->probe, 50) == 0) {
            deliver(o, o->n_out);
        }
        return true;
    }
    deliver(o, before); /* but the chunk that is held back */
    return wait_for_output(o, ending);
}

static void run_one(struct weir_kit_bench *b, struct weir_plugin_chain *chain, enum ending ending)
{
    struct weir_kit_request r;
    weir_kit_bench_request(&r, 0);
    (void)weir_kit_request_begin(&r, chain, b->stage.loop);
    struct output o = {.bench = b, .request = &r};
    bool runs = weir_kit_bench_drive(b, &r) == WEIR_PLUGIN_DONE;
    for (uint32_t i = 0; i < N_TOKENS && runs; i++) {
        runs = push(&o, WEIR_CHUNK_TEXT, ending);
    }
    runs = runs && push(&o, WEIR_CHUNK_FINISH, ending);
    if (runs) {
        deliver(&o, o.n_out);
    }
    weir_plugin_run_complete(&r.run,
                             &(weir_usage){.struct_size = sizeof(weir_usage),
                                           .http_status = runs ? 200 : 499,
                                           .finish = runs ? WEIR_FINISH_STOP : WEIR_FINISH_CANCEL,
                                           .n_choices = 1,
                                           .prompt_tokens = 12,
                                           .completion_tokens = o.n_out,
                                           .delivered_tokens = o.n_delivered});
    weir_kit_request_finish(&r);
}

void weir_kit_check_output(struct weir_kit_probe *p)
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    struct weir_plugin_chain *chain = NULL;
    if (!b.lib->policy.on_chunk && !b.lib->policy.on_delivered) {
        weir_kit_skip(p, "it has neither on_chunk nor on_delivered");
    } else {
        chain = weir_kit_bench_chain(&b, NULL);
    }
    for (int i = 0; chain && i < ROUNDS; i++) {
        run_one(&b, chain, (enum ending)(i % ENDINGS));
    }
    if (chain) {
        weir_kit_bench_end(&b, chain);
    }
    weir_kit_bench_finish(&b);
}
