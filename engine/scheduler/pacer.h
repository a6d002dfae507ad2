/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How many prompt tokens may ride along in a step without holding up the streams that decode.
 *
 * Why: a long prompt in one piece freezes every running stream for as long as it takes. A fixed
 * chunk is too long on one machine and too short on the next, so the chunk follows measured time.
 * How: moving averages of a pure decode step's time, by number of rows, and of what prompt tokens
 * add to a step; a mixed step may then take STRETCH times the pure one. Time and tokens are
 * averaged apart, as on a busy machine the difference of two times is mostly noise. Where a row
 * count was never measured, or not lately, one pure step is asked for first: guessing there would
 * let the error of one average leak into the other. The chunk grows by a quarter at most from one
 * mixed step to the next, as the cost of a token is not constant: a kernel's tile may hold a few
 * for nothing. Where a prompt's chunk is worked off in pieces between pure steps, a piece may take
 * what a mixed step takes beyond a pure one, and the chunk has as many tokens as make PIECES of
 * those: few enough that one stage of one of its layers is short. What the step before a piece took
 * too long, the piece takes less: who else uses the memory or the processors mostly does so for
 * many steps, and their average follows slowly. Threads: the engine's. A plain value. */
#include <stdbool.h>
#include <stdint.h>

enum { WEIR_PACER_BUCKETS = 12 }; /* rows 1, 2, 3-4, 5-8, ... */

struct weir_pacer {
    double decode_us[WEIR_PACER_BUCKETS];     /* a pure decode step; 0: never measured */
    uint64_t measured_at[WEIR_PACER_BUCKETS]; /* value of n_steps then */
    double extra_us;                          /* what a mixed step took beyond a pure one ... */
    double prompt_tokens;          /* ... and the prompt tokens in it; 0: never measured */
    double chunk_us, chunk_tokens; /* of steps with prompt tokens alone; 0: never measured */
    double pieces_us_per_token;    /* of chunks in pieces; 0: never measured */
    double step_us;                /* any step */
    double late_us;                /* how much the last pure step took beyond the usual */
    uint32_t last_tokens;          /* prompt tokens of the last mixed step */
    uint64_t n_steps;
};

/* Prompt tokens for a step that also has n_decode rows (> 0), at least 0: 0 asks for a pure step.
 */
uint32_t weir_pacer_prompt_tokens(const struct weir_pacer *p, uint32_t n_decode);
/* Prompt tokens that make a step of about so long when no row decodes. */
uint32_t weir_pacer_tokens_in(const struct weir_pacer *p, uint32_t us);
/* How long a piece of a chunk may take behind the last step, of n_decode rows; 0: as short as it
 * can be. */
uint32_t weir_pacer_piece_us(const struct weir_pacer *p, uint32_t n_decode);
/* Tokens of a chunk in pieces that begins now, at least 1. */
uint32_t weir_pacer_prefill_tokens(const struct weir_pacer *p, uint32_t n_decode);
/* After a chunk in pieces. */
void weir_pacer_record_prefill(struct weir_pacer *p, uint32_t n_tokens, uint64_t took_us);
/* After each step. */
void weir_pacer_record(struct weir_pacer *p, uint32_t n_decode, uint32_t n_prompt_tokens,
                       uint64_t took_us);
