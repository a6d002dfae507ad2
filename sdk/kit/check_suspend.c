/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: suspended requests whose end is not what the plugin hopes for. */
#include "core/plugin/plugins_internal.h"
#include "sdk/kit/bench.h"

/* Gives a plugin's own threads the time to send their late answers (real time). */
static void let_late_answers_come(struct weir_kit_bench *b)
{
    while (weir_kit_stage_wait(&b->stage, 100)) {
    }
}

/* Runs `act` on every kind of request that the plugin suspends. */
static void with_suspended(struct weir_kit_probe *p,
                           void (*act)(struct weir_kit_bench *b, struct weir_kit_request *r))
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    struct weir_plugin_chain *chain = weir_kit_bench_chain(&b, NULL);
    unsigned n = 0;
    for (unsigned i = 0; chain && i < WEIR_KIT_N_REQUESTS; i++) {
        struct weir_kit_request r;
        weir_kit_bench_request(&r, i);
        (void)weir_kit_request_begin(&r, chain, b.stage.loop);
        if (weir_kit_bench_suspend(&r)) {
            n++;
            act(&b, &r);
            let_late_answers_come(&b);
        }
        weir_kit_request_finish(&r);
    }
    if (chain && n == 0) {
        weir_kit_skip(p, "it suspended none of the requests");
    }
    if (chain) {
        weir_kit_bench_end(&b, chain);
    }
    weir_kit_bench_finish(&b);
}

static void time_out(struct weir_kit_bench *b, struct weir_kit_request *r)
{
    /* The clock jumps before the plugin's own resume is let in: the timer wins where both wait. */
    const weir_ticket ticket = r->run.ticket;
    for (int i = 0; i < 8 && r->n_resumed == 0; i++) {
        weir_kit_stage_advance(&b->stage, UINT64_C(61) * 1000000);
    }
    if (r->n_resumed != 1) {
        weir_kit_find(b->probe, "after its timeout a request went on %u times, not once",
                      r->n_resumed);
    }
    if (weir_tickets_resume(b->stage.plugins->tickets, ticket, 0, (weir_str){NULL, 0}) !=
        WEIR_E_GONE) {
        weir_kit_find(b->probe, "a ticket outlived its timeout");
    }
}

void weir_kit_check_timeout(struct weir_kit_probe *p)
{
    with_suspended(p, time_out);
}

/* Somebody else ends the suspension, with an error and bytes that the plugin does not expect. */
static void resume_as_stranger(struct weir_kit_bench *b, struct weir_kit_request *r)
{
    static const char odd[] = "\xff\0{]";
    struct weir_tickets *tickets = b->stage.plugins->tickets;
    const weir_ticket ticket = r->run.ticket;
    int first = weir_tickets_resume(tickets, ticket, WEIR_E_CANCELLED, (weir_str){odd, 5});
    int second = weir_tickets_resume(tickets, ticket, 0, (weir_str){NULL, 0});
    if (first == 0 && second != WEIR_E_GONE) {
        weir_kit_find(b->probe, "a ticket was resumed twice");
    }
    weir_kit_stage_turn(&b->stage);
    for (int i = 0; i < 8 && r->n_resumed == 0; i++) {
        weir_kit_stage_advance(&b->stage, UINT64_C(61) * 1000000);
    }
    if (r->n_resumed != 1) {
        weir_kit_find(b->probe, "a resumed request went on %u times, not once", r->n_resumed);
    }
}

void weir_kit_check_stranger(struct weir_kit_probe *p)
{
    with_suspended(p, resume_as_stranger);
}

static void leave(struct weir_kit_bench *b, struct weir_kit_request *r)
{
    const weir_ticket ticket = r->run.ticket;
    weir_plugin_run_abandon(&r->run);
    weir_plugin_run_complete(&r->run, &(weir_usage){.struct_size = sizeof(weir_usage),
                                                    .http_status = 499,
                                                    .finish = WEIR_FINISH_CANCEL});
    let_late_answers_come(b);
    weir_kit_stage_advance(&b->stage, UINT64_C(61) * 1000000);
    if (r->n_resumed != 0) {
        weir_kit_find(b->probe, "a request went on after its client had left");
    }
    if (weir_tickets_resume(b->stage.plugins->tickets, ticket, 0, (weir_str){NULL, 0}) !=
        WEIR_E_GONE) {
        weir_kit_find(b->probe, "a ticket outlived its client");
    }
}

void weir_kit_check_leaving(struct weir_kit_probe *p)
{
    with_suspended(p, leave);
}
