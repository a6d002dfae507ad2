/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A prompt's chunk that is worked off in pieces between the steps of those that decode.
 *
 * Why: a step with even one prompt token reads all of the prompt's keys and values so far, in every
 * layer: behind thousands of tokens that alone takes longer than streams may wait. A chunk of many
 * tokens reads them once, and between two of its layers there is room for a step. (Known as layered
 * prefill.)
 * How: the scheduler begins a chunk in place of putting it into the batch, where the backend has
 * prefill_begin() and sequences decode; each round runs the step, sends its tokens on their way and
 * then works on the chunk for as long as the pacer says. One chunk at a time.
 * Ownership: the sequence is the scheduler's; drop() before it gives up its pages or its slot.
 * Threads: the engine's. Errors: as the backend's step. */
#include <stdbool.h>
#include <stdint.h>

#include "weir/backend_step.h"

struct weir_scheduler;
struct weir_sequence;

struct weir_prefill {
    struct weir_sequence *sequence; /* NULL: none is under way */
    weir_step_part part;
    weir_step_batch batch; /* of that part */
    weir_step_result result;
    uint64_t spent_us;
    bool slows; /* somebody whose smoothness counts against it decodes */
};

bool weir_prefill_is_possible(const struct weir_scheduler *s);
/* q computes n_tokens more, at most what the pacer and the backend allow; false: nothing began (its
 * job may have failed). */
bool weir_prefill_begin(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens);
/* Tokens for a chunk that begins now. */
uint32_t weir_prefill_room(const struct weir_scheduler *s);
/* A piece of the chunk under way; when that is its end, its sequence takes what came of it. */
int weir_prefill_run(struct weir_scheduler *s);
/* Forgets q's chunk, if the one under way is q's. */
void weir_prefill_drop(struct weir_scheduler *s, const struct weir_sequence *q);
