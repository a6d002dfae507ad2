/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Replicas with the billing plugin over one store and one clock, and clients of theirs.
 *
 * A replica that dies keeps its memory until the test ends, but its store calls go nowhere and its
 * clock stands still. Ownership: the world owns all. */
#include "core/store/memory.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/faulty_store.h"

enum { MAX_REPLICAS = 3 };

struct replica {
    struct weir_kit_stage stage;
    struct faulty_store store;
    bool is_there;
    bool is_dead;
    bool is_stuck;      /* lives, but its loops do not turn */
    bool keeps_answers; /* late answers are not released */
    enum fault fault;   /* for calls from number fault_at on */
    uint32_t fault_at;  /* number of the first call that is hit */
    uint32_t n_faults;  /* how many are hit; UINT32_MAX: all */
};

struct world {
    struct weir_store *store; /* the real one */
    uint64_t now_us;
    struct replica replicas[MAX_REPLICAS];
};

void world_init(struct world *w);
void world_finish(struct world *w);
/* Starts a replica with this configuration of the plugin ("{}"). */
struct replica *world_start(struct world *w, const char *config);
/* Moves the clock of all living replicas in steps of half a second. */
void world_pass(struct world *w, double seconds);
void replica_die(struct replica *p);
/* Calls from `at` on, `n` of them, fail in this way; counted from now. */
void replica_fault(struct replica *p, enum fault fault, uint32_t at, uint32_t n);
void replica_heal(struct replica *p);

struct client { /* and its request */
    struct replica *replica;
    struct weir_kit_request request;
    bool stream;
    uint64_t n_out, n_received;
    enum weir_plugin_outcome outcome; /* of the phases */
    bool ended;
};

/* A request of tenant "acme"; header NULL or the value of Idempotency-Key. Runs the phases; store
 * answers that are late come at once. */
void client_ask(struct client *c, struct replica *p, bool stream, const char *key,
                const char *body);
/* Generates up to n tokens, which the client of a stream receives ten by ten; fewer when the output
 * is held and does not go on after late answers were released. Returns how many went out. */
uint64_t client_generate(struct client *c, uint64_t n);
/* Tells the plugin what the client has received. */
void client_receive(struct client *c);
/* The answer ends; status 0: the client left. */
void client_end(struct client *c, uint32_t status);
/* For a request of a dead replica: frees it without a word. */
void client_forget(struct client *c);

struct ledger { /* what the ledger of a tenant says */
    uint32_t n_usage, n_adjustments;
    int64_t requests, prompt, cached, completion, delivered, amount;
    char last[2048]; /* the last entry */
};
void world_read(struct world *w, const char *tenant, struct ledger *ret_ledger);
uint32_t world_n_jobs(struct world *w, const char *queue); /* due within a year */
