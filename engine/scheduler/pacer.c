/* SPDX-License-Identifier: Apache-2.0 */
#include "pacer.h"

/* A mixed step may take this many times a pure decode step. The promise to streams is below 3; the
 * rest is for steps that overshoot, as kernels take rows by the tile and cost comes in stairs, and
 * for what a machine takes away meanwhile. */
static const double STRETCH = 1.6;

enum {
    MIN_TOKENS = 2,   /* a prompt always moves on; also the first chunk, of unknown cost */
    STALE_STEPS = 64, /* steps after which a pure one is measured again */
    FIRST_CHUNK = 64, /* tokens of a chunk of unknown cost */
    LEAST_CHUNK = 16, /* below, a step is all overhead */
    PIECES = 16,      /* of a chunk */
};

static uint32_t bucket_of(uint32_t n_decode)
{
    uint32_t b = 0;
    while (b + 1 < WEIR_PACER_BUCKETS && (1u << b) < n_decode) {
        b++;
    }
    return b;
}

static void average(double *mean, double sample, double weight)
{
    *mean += (sample - *mean) * weight;
}

static const double USUAL = 1.0 / 8; /* weight of a sample that many others follow */
static const double RARE = 1.0 / 2;

/* A time: the first sample counts in full, and one step that the system held up not more than four
 * usual ones. */
static void average_time(double *mean, double took, double weight)
{
    if (*mean <= 0) {
        *mean = took;
    } else {
        average(mean, took < 4 * *mean ? took : 4 * *mean, weight);
    }
}

/* A pure step's time, by which all budgets are measured: it rises a little with each sample however
 * late that was, since one that the system held up would let the next mixed steps be as long. */
static void average_pure(double *mean, double took, double weight)
{
    static const double MOST_RISE = 1.25;
    average_time(mean, *mean > 0 && took > MOST_RISE * *mean ? MOST_RISE * *mean : took, weight);
}

/* What a round takes beyond a pure step. */
static double spare_us(const struct weir_pacer *p, uint32_t n_decode)
{
    return (STRETCH - 1) * p->decode_us[bucket_of(n_decode)];
}

uint32_t weir_pacer_prompt_tokens(const struct weir_pacer *p, uint32_t n_decode)
{
    uint32_t b = bucket_of(n_decode);
    if (p->decode_us[b] <= 0 || p->n_steps - p->measured_at[b] > STALE_STEPS) {
        return 0;
    }
    if (p->prompt_tokens <= 0) {
        return MIN_TOKENS;
    }
    double budget_us = spare_us(p, n_decode);
    double least_us = budget_us / 64; /* noise can make the difference vanish */
    double extra_us = p->extra_us > least_us ? p->extra_us : least_us;
    double fit = budget_us * p->prompt_tokens / extra_us;
    double grown = p->last_tokens * 1.25 + 1;
    fit = fit < grown ? fit : grown;
    return fit > MIN_TOKENS ? (uint32_t)fit : MIN_TOKENS;
}

uint32_t weir_pacer_tokens_in(const struct weir_pacer *p, uint32_t us)
{
    if (p->chunk_us <= 0) {
        return FIRST_CHUNK;
    }
    double fit = us * p->chunk_tokens / p->chunk_us;
    return fit < LEAST_CHUNK ? LEAST_CHUNK : fit < UINT16_MAX ? (uint32_t)fit : UINT16_MAX;
}

uint32_t weir_pacer_piece_us(const struct weir_pacer *p, uint32_t n_decode)
{
    double us = spare_us(p, n_decode) - p->late_us;
    return us < 0 ? 0 : us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

uint32_t weir_pacer_prefill_tokens(const struct weir_pacer *p, uint32_t n_decode)
{
    double us = p->pieces_us_per_token;
    double fit = us > 0 ? PIECES * spare_us(p, n_decode) / us : LEAST_CHUNK;
    return fit < LEAST_CHUNK ? LEAST_CHUNK : fit < UINT16_MAX ? (uint32_t)fit : UINT16_MAX;
}

void weir_pacer_record_prefill(struct weir_pacer *p, uint32_t n_tokens, uint64_t took_us)
{
    average_time(&p->pieces_us_per_token, (double)took_us / n_tokens, RARE);
}

static void record_chunk(struct weir_pacer *p, uint32_t n_tokens, double took)
{
    double weight = p->chunk_tokens > 0 ? USUAL : 1;
    average_time(&p->chunk_us, took, USUAL);
    average(&p->chunk_tokens, n_tokens, weight);
}

void weir_pacer_record(struct weir_pacer *p, uint32_t n_decode, uint32_t n_prompt_tokens,
                       uint64_t took_us)
{
    double took = took_us > 0 ? (double)took_us : 1;
    p->n_steps++;
    average_time(&p->step_us, took, USUAL);
    if (n_decode == 0) {
        record_chunk(p, n_prompt_tokens, took);
        return;
    }
    uint32_t b = bucket_of(n_decode);
    if (n_prompt_tokens == 0) {
        bool stale = p->n_steps - p->measured_at[b] > STALE_STEPS;
        p->late_us = p->decode_us[b] > 0 && took > p->decode_us[b] ? took - p->decode_us[b] : 0;
        average_pure(&p->decode_us[b], took, stale ? RARE : USUAL);
        p->measured_at[b] = p->n_steps;
        return;
    }
    double most = 8 * p->decode_us[b];
    double extra = (took < most ? took : most) - p->decode_us[b];
    if (p->prompt_tokens <= 0) {
        p->extra_us = extra;
        p->prompt_tokens = n_prompt_tokens;
    } else {
        average(&p->extra_us, extra, USUAL);
        average(&p->prompt_tokens, n_prompt_tokens, USUAL);
    }
    p->last_tokens = n_prompt_tokens;
}
