/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Runs an automaton over bytes with all its possibilities side by side.
 *
 * What: a thread is a state and a stack; a level is the set of threads after so many bytes. Levels
 * lie one behind the other, so that a depth-first walk of a trie steps forth and back cheaply.
 * Stacks are linked frames, shared between threads; the same index is the same stack.
 * Bounds: past MAX_THREADS in a level, MAX_VISITED in a step, or the frames, further threads are
 * dropped: then less is allowed than could be, never more. A thread that could not come to an end
 * within WEIR_GRAMMAR_MAX_DEPTH is never made, so no live level is a dead end. `fuel` bounds the
 * work of a mask; a step without fuel finds nothing.
 * Ownership: one block of the caller's, a scratch without meaning between calls.
 * Threads: one owner. Errors: none; nothing is allocated. */
#include "engine/grammar/automaton.h"
#include "engine/grammar/token_trie.h"

enum {
    WEIR_WALK_MAX_THREADS = 48,
    WEIR_WALK_MAX_VISITED = 512,
    WEIR_WALK_MAX_LEVELS = WEIR_TRIE_MAX_PIECE_BYTES + 2,
    WEIR_WALK_MAX_FRAMES = 1 << 14,
};

struct weir_walk_thread {
    uint32_t state; /* one that takes bytes; or WEIR_STATE_POP without a frame: complete */
    uint32_t frame; /* 0: empty stack */
};

struct weir_walk_frame {
    uint32_t state;
    uint16_t parent; /* smaller than its own index */
    uint16_t depth;
};

struct weir_walker {
    const struct weir_automaton *automaton;
    int64_t fuel; /* threads that may still be visited */
    uint32_t n_visited, n_open;
    uint32_t n_frames; /* frame 0 is the empty stack */
    uint32_t fresh;    /* frames from here on were made in this step */
    uint32_t begin[WEIR_WALK_MAX_LEVELS], end[WEIR_WALK_MAX_LEVELS];
    uint32_t frames_at[WEIR_WALK_MAX_LEVELS]; /* frames in use up to that level */
    struct weir_walk_thread visited[WEIR_WALK_MAX_VISITED];
    uint32_t open[WEIR_WALK_MAX_VISITED]; /* indexes of those to go on from */
    struct weir_walk_thread threads[WEIR_WALK_MAX_LEVELS * WEIR_WALK_MAX_THREADS];
    struct weir_walk_frame frames[WEIR_WALK_MAX_FRAMES];
};

/* Level 0 becomes what can be reached from one state on an empty stack. */
void weir_walker_start(struct weir_walker *w, const struct weir_automaton *a, uint32_t state);
/* Level 0 becomes empty; load() then adds to it, threads whose frames were put in place. */
void weir_walker_clear(struct weir_walker *w, const struct weir_automaton *a);
void weir_walker_load(struct weir_walker *w, struct weir_walk_thread thread);
/* Makes `level`, some level above `below`, of what can be reached from one state on a stack of
 * `below`; returns how many threads it has. Levels between the two have no meaning then. */
uint32_t weir_walker_enter(struct weir_walker *w, uint32_t below, uint32_t level, uint32_t state,
                           uint32_t frame);
/* Makes level + 1 from level; returns how many threads it has. */
uint32_t weir_walker_step(struct weir_walker *w, uint32_t level, uint8_t byte);

static inline const struct weir_walk_thread *weir_walker_level(const struct weir_walker *w,
                                                               uint32_t level, uint32_t *ret_n)
{
    *ret_n = w->end[level] - w->begin[level];
    return &w->threads[w->begin[level]];
}
