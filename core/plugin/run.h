/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One request's way through the plugins; embedded in the request.
 *
 * Use by core/request, all on the request's loop:
 *   run_init(); then for each phase run_phase(); SUSPENDED: wait for resumed(); ANSWERED: send what
 *   ops->deny or ops->respond stored; DONE: go on. Then run_chunk() for every chunk; while
 *   run_is_paused(), nothing goes out. run_delivered() as the client takes it; run_complete() once
 *   the end is known; run_finish() last.
 * A client that leaves: run_abandon() (also while suspended), then run_complete(), run_finish().
 * Ownership: the run owns its reference to the chain; state lives in the request's arena.
 * Threads: the request's loop only. Errors: WEIR_E_NOMEM from init, when the arena is full.
 * Time: a look at the clock costs more than many a hook, so only the hooks of some requests are
 * timed (weir_plugin_loop_draw) and count for the others. Of those, the kernel's ticks tell which
 * hook overran its budget, and a tick is a small part of that.
 * Invariant: on_complete of every plugin runs exactly once per run that entered a phase; a
 * quarantined plugin's too, since billing and cleaning up hang on it. */
#include "base/arena.h"
#include "core/plugin/chain.h"
#include "core/plugin/tickets.h"

enum weir_plugin_outcome {
    WEIR_PLUGIN_DONE,      /* every plugin of the phase continued */
    WEIR_PLUGIN_ANSWERED,  /* the answer is stored in the request; skip to on_complete */
    WEIR_PLUGIN_SUSPENDED, /* `resumed` will be called */
};

enum {
    WEIR_PLUGIN_MAX_HELD_BYTES = 64 * 1024, /* text held back per plugin and choice */
    WEIR_PLUGIN_MAX_CHOICES = 64,           /* as WEIR_MAX_CHOICES of a generation */
};

struct weir_plugin_run;
/* A suspended phase has gone on to its end; never called with SUSPENDED. */
typedef void (*weir_plugin_resumed)(struct weir_plugin_run *run, enum weir_plugin_outcome outcome);

struct weir_plugin_choice; /* what plugins hold back of one choice */
struct weir_plugin_pause;  /* a plugin's hold on the output */

struct weir_plugin_run {
    struct weir_plugin_chain *chain;
    weir_req *req;
    struct weir_plugin_loop *loop;
    struct weir_arena *arena;
    weir_plugin_resumed resumed;
    char *state;        /* every plugin's req_state_size bytes */
    weir_ticket ticket; /* of the suspension; 0: none */
    int phase;          /* enum weir_phase while a phase runs or is suspended, else 0 */
    uint32_t turn;      /* place in the phase's list of who is there */
    uint32_t called;    /* plugin whose hook was called last */
    uint32_t lane;      /* of the loop, in what guards count */
    uint32_t weight;    /* how many hooks one of this run's stands for; 0: they are not timed */
    bool in_phase_hook;
    const struct weir_plugin_instance *may_pause; /* whose hook may pause the output now */
    bool answered;                                /* this hook called deny() or respond() */
    bool responded;                               /* … and it was respond() */
    bool entered;                                 /* a phase was begun: on_complete is owed */
    bool completed;
    bool abandoned;
    uint64_t chunks_done; /* bits of plugins, in the list, that answered WEIR_CHUNK_REST */
    uint32_t chunks_from; /* first plugin that sees chunks; those in front saw a replay's before */
    uint32_t n_choices;   /* no choice from here on has one in `choices` */
    struct weir_plugin_pause *pauses; /* [chain->n], in the arena; NULL until the first */
    uint32_t n_pauses;                /* that are open */
    /* Set by the owner after init; NULL: host->pause() is refused. Called on the loop, never from
     * within run_chunk(), when the last pause has ended. DONE: output goes on; ANSWERED: the run
     * ends as an error, with what ops->deny stored. */
    weir_plugin_resumed output_resumed;
    /* Last, and neither cleared nor used but where a plugin sees chunks. */
    struct weir_plugin_choice *choices[WEIR_PLUGIN_MAX_CHOICES];
};

/* Takes its own reference to the chain. */
int weir_plugin_run_init(struct weir_plugin_run *run, struct weir_plugin_chain *chain,
                         weir_req *req, struct weir_plugin_loop *loop, struct weir_arena *arena,
                         weir_plugin_resumed resumed);
enum weir_plugin_outcome weir_plugin_run_phase(struct weir_plugin_run *run, enum weir_phase phase);

enum weir_plugin_chunk_outcome {
    WEIR_PLUGIN_CHUNK_OK,    /* 0..n chunks were emitted */
    WEIR_PLUGIN_CHUNK_ENDED, /* a plugin ended the choice: its FINISH was emitted, stop generating
                              */
};
/* Passes one chunk through the plugins and emits what comes out, in order, within the call; an
 * emitted chunk's bytes are borrowed. `seq` is numbered anew per choice. Chunks of a choice that
 * has ended are swallowed (ENDED again). Logprobs go with the text: where a plugin holds text back
 * or replaces it, those of the pieces concerned are left out. */
enum weir_plugin_chunk_outcome
weir_plugin_run_chunk(struct weir_plugin_run *run, const weir_chunk *chunk,
                      void (*emit)(void *arg, const weir_chunk *chunk), void *arg);

/* Do plugins see the output at all? */
bool weir_plugin_run_shows_chunks(const struct weir_plugin_run *run);

/* A plugin has paused the output: neither what the last run_chunk() emitted nor anything behind it
 * may go out until `output_resumed`. */
bool weir_plugin_run_is_paused(const struct weir_plugin_run *run);
/* Gives up all pauses; `output_resumed` is not called. */
void weir_plugin_run_unpause(struct weir_plugin_run *run);
/* The client's socket has taken n_tokens tokens by now, which is more than before. */
void weir_plugin_run_delivered(struct weir_plugin_run *run, uint64_t n_tokens);

/* Idempotent: the second call does nothing. */
void weir_plugin_run_complete(struct weir_plugin_run *run, const weir_usage *usage);
/* The client left: a suspension ends, its ticket is gone, `resumed` is not called. */
void weir_plugin_run_abandon(struct weir_plugin_run *run);
/* After complete (which it calls with an empty usage when it was forgotten). */
void weir_plugin_run_finish(struct weir_plugin_run *run);
