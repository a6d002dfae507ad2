/* SPDX-License-Identifier: Apache-2.0 */
#include "pacer.h"

/* A mixed step may take this many times a pure decode step. The promise to streams is below 3; the
 * rest is for steps that overshoot: kernels take rows by the tile, so cost comes in stairs. */
static const double STRETCH = 1.75;

enum {
    MIN_TOKENS = 2,    /* a prompt always moves on; also the first chunk, of unknown cost */
    STALE_STEPS = 256, /* steps after which a pure one is measured again */
};

static uint32_t bucket_of(uint32_t n_decode)
{
    uint32_t b = 0;
    while (b + 1 < WEIR_PACER_BUCKETS && (1u << b) < n_decode) {
        b++;
    }
    return b;
}

static void average(double *mean, double sample)
{
    if (*mean <= 0) {
        *mean = sample;
        return;
    }
    /* One step that the system held up must not open the gate for long chunks. */
    if (sample > 4 * *mean) {
        sample = 4 * *mean;
    }
    *mean += (sample - *mean) / 8;
}

uint32_t weir_pacer_prompt_tokens(const struct weir_pacer *p, uint32_t n_decode)
{
    uint32_t b = bucket_of(n_decode);
    if (p->decode_us[b] <= 0 || p->n_steps - p->measured_at[b] > STALE_STEPS) {
        return 0;
    }
    if (p->prompt_token_us <= 0) {
        return MIN_TOKENS;
    }
    double fit = (STRETCH - 1) * p->decode_us[b] / p->prompt_token_us;
    double grown = (p->last_tokens > MIN_TOKENS ? p->last_tokens : MIN_TOKENS) * 1.5;
    if (fit > grown) {
        fit = grown;
    }
    return fit > MIN_TOKENS ? (uint32_t)fit : MIN_TOKENS;
}

void weir_pacer_record(struct weir_pacer *p, uint32_t n_decode, uint32_t n_prompt_tokens,
                       uint64_t took_us)
{
    double took = took_us > 0 ? (double)took_us : 1;
    p->n_steps++;
    average(&p->step_us, took);
    if (n_decode == 0) {
        return;
    }
    uint32_t b = bucket_of(n_decode);
    if (n_prompt_tokens == 0) {
        average(&p->decode_us[b], took);
        p->measured_at[b] = p->n_steps;
        return;
    }
    double extra = took - p->decode_us[b];
    double floor_us = p->decode_us[b] / 1000;
    double per_token = (extra > floor_us ? extra : floor_us) / n_prompt_tokens;
    average(&p->prompt_token_us, per_token);
    p->last_tokens = n_prompt_tokens;
}
