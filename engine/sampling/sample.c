/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sampling/sample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sampling/candidates.h"
#include "engine/sampling/philox.h"
#include "engine/sampling/scan.h"

enum { TOP_MAX = 20, SEEN = 1u << 31 };

/* Below it the softmax is an arg-max in floats anyhow. */
static const float TEMPERATURE_MIN = 1e-5f;

struct weir_sampler {
    uint32_t n_vocab;
    float *block_max;   /* [blocks of 64] */
    double *block_sums; /* [blocks of 1024] */
    float *terms;       /* [n_vocab] of a sum */
    float *raw;         /* [n_vocab] logits before any change, for log-probabilities */
    float *order;       /* [blocks of 64] scratch of nth_block_max */
    uint32_t *counts;   /* [n_vocab] all 0 between calls */
    struct weir_candidate *candidates; /* [n_vocab] */
    uint32_t n_candidates;
};

int weir_sampler_create(uint32_t n_vocab, struct weir_sampler **ret_sampler)
{
    struct weir_sampler *s = calloc(1, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    uint32_t n_blocks = weir_scan_blocks(n_vocab, WEIR_SCAN_BLOCK);
    s->n_vocab = n_vocab;
    s->block_max = calloc(n_blocks, sizeof(*s->block_max));
    s->block_sums = calloc(weir_scan_blocks(n_vocab, WEIR_SCAN_SUM_BLOCK), sizeof(*s->block_sums));
    s->terms = calloc(n_vocab, sizeof(*s->terms));
    s->raw = calloc(n_vocab, sizeof(*s->raw));
    s->order = calloc(n_blocks, sizeof(*s->order));
    s->counts = calloc(n_vocab, sizeof(*s->counts));
    s->candidates = calloc(n_vocab, sizeof(*s->candidates));
    if (!s->block_max || !s->block_sums || !s->terms || !s->raw || !s->order || !s->counts ||
        !s->candidates) {
        weir_sampler_destroy(s);
        return WEIR_E_NOMEM;
    }
    *ret_sampler = s;
    return 0;
}

void weir_sampler_destroy(struct weir_sampler *s)
{
    if (!s) {
        return;
    }
    free(s->block_max);
    free(s->block_sums);
    free(s->terms);
    free(s->raw);
    free(s->order);
    free(s->counts);
    free(s->candidates);
    free(s);
}

static bool in_vocab(const struct weir_sampler *s, int32_t token)
{
    return token >= 0 && (uint32_t)token < s->n_vocab;
}

static bool has_penalties(const weir_sampling *sp)
{
    return sp->repetition_penalty != 1.0f || sp->presence_penalty != 0.0f ||
           sp->frequency_penalty != 0.0f;
}

/* Each token of the history once. Repetition as in Keskar et al., "CTRL", arXiv 1909.05858;
 * presence and frequency as OpenAI documents them. */
static void apply_penalties(struct weir_sampler *s, float *logits, const weir_step_part *part)
{
    const weir_sampling *sp = part->sampling;
    for (uint32_t i = 0; i < part->n_history; i++) {
        if (in_vocab(s, part->history[i])) {
            uint32_t *count = &s->counts[part->history[i]];
            *count = (*count | SEEN) + (i >= part->n_history_prompt);
        }
    }
    for (uint32_t i = 0; i < part->n_history; i++) {
        int32_t token = part->history[i];
        if (!in_vocab(s, token) || s->counts[token] == 0) {
            continue;
        }
        uint32_t n = s->counts[token] & ~SEEN;
        s->counts[token] = 0;
        float l = logits[token];
        l = l > 0 ? l / sp->repetition_penalty : l * sp->repetition_penalty;
        l -= (float)n * sp->frequency_penalty + (n > 0 ? sp->presence_penalty : 0.0f);
        logits[token] = l;
    }
}

static void apply_mask(float *logits, const uint32_t *mask, uint32_t n_vocab)
{
    for (uint32_t begin = 0; begin < n_vocab; begin += 32) {
        uint32_t bits = mask[begin / 32];
        if (bits == UINT32_MAX) {
            continue;
        }
        uint32_t n = n_vocab - begin < 32 ? n_vocab - begin : 32;
        for (uint32_t i = 0; i < n; i++) {
            if (!(bits >> i & 1)) {
                logits[begin + i] = -INFINITY;
            }
        }
    }
}

/* Returns true when the logits may have changed. */
static bool adjust(struct weir_sampler *s, float *logits, const weir_step_part *part)
{
    const weir_sampling *sp = part->sampling;
    bool changed = false;
    if (sp) {
        for (uint32_t i = 0; i < sp->n_bias; i++) {
            if (in_vocab(s, sp->bias[i].token)) {
                logits[sp->bias[i].token] += sp->bias[i].bias;
                changed = true;
            }
        }
        if (has_penalties(sp) && part->n_history > 0) {
            apply_penalties(s, logits, part);
            changed = true;
        }
    }
    if (part->mask) {
        apply_mask(logits, part->mask, s->n_vocab);
        changed = true;
    }
    return changed;
}

static int32_t arg_max(const struct weir_sampler *s, const float *logits, float max)
{
    uint32_t b = 0;
    while (s->block_max[b] != max) {
        b++;
    }
    uint32_t i = b * WEIR_SCAN_BLOCK;
    while (logits[i] != max) {
        i++;
    }
    return (int32_t)i;
}

/* A value with at least n logits at or above it: the n-th largest block maximum; -inf when there
 * are fewer blocks. */
static float floor_of_largest(struct weir_sampler *s, uint32_t n)
{
    uint32_t n_blocks = weir_scan_blocks(s->n_vocab, WEIR_SCAN_BLOCK);
    if (n > n_blocks || n == 0) {
        return -INFINITY;
    }
    memcpy(s->order, s->block_max, n_blocks * sizeof(float));
    uint32_t begin = 0;
    uint32_t end = n_blocks;
    while (end - begin > 1) { /* quickselect, three ways: maxima are often equal under a mask */
        float pivot = s->order[begin + (end - begin) / 2];
        uint32_t larger = begin;
        uint32_t smaller = end;
        for (uint32_t i = begin; i < smaller;) {
            float v = s->order[i];
            if (v > pivot) {
                s->order[i++] = s->order[larger];
                s->order[larger++] = v;
            } else if (v < pivot) {
                s->order[i] = s->order[--smaller];
                s->order[smaller] = v;
            } else {
                i++;
            }
        }
        if (n - 1 < larger) {
            end = larger;
        } else if (n - 1 >= smaller) {
            begin = smaller;
        } else {
            return pivot;
        }
    }
    return s->order[begin];
}

/* Candidates with logit >= low (and above -inf), in order of id; key -logit. */
static void gather(struct weir_sampler *s, const float *logits, float low)
{
    uint32_t n = 0;
    for (uint32_t b = 0; b < weir_scan_blocks(s->n_vocab, WEIR_SCAN_BLOCK); b++) {
        if (s->block_max[b] < low || s->block_max[b] == -INFINITY) {
            continue;
        }
        uint32_t begin = b * WEIR_SCAN_BLOCK;
        uint32_t rest = s->n_vocab - begin;
        uint32_t end = begin + (rest < WEIR_SCAN_BLOCK ? rest : WEIR_SCAN_BLOCK);
        for (uint32_t i = begin; i < end; i++) {
            if (logits[i] >= low && logits[i] > -INFINITY) {
                s->candidates[n++] = (struct weir_candidate){
                    .key = -logits[i], .logit = logits[i], .id = (int32_t)i};
            }
        }
    }
    s->n_candidates = n;
}

static double weigh(struct weir_sampler *s, float max, float inverse_temperature)
{
    double sum = 0;
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        struct weir_candidate *c = &s->candidates[i];
        c->weight = weir_scan_exp((c->logit - max) * inverse_temperature);
        sum += c->weight;
    }
    return sum;
}

/* Locally typical sampling: Meister et al., arXiv 2202.00666. Returns the kept weight. */
static double keep_typical(struct weir_sampler *s, double total, float typical_p)
{
    double entropy = 0;
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        double p = s->candidates[i].weight / total;
        entropy -= p > 0 ? p * log(p) : 0;
    }
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        struct weir_candidate *c = &s->candidates[i];
        double p = c->weight / total;
        c->key = p > 0 ? (float)fabs(-log(p) - entropy) : INFINITY;
    }
    s->n_candidates = weir_candidates_keep_mass(s->candidates, s->n_candidates, typical_p * total);
    double kept = 0;
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        struct weir_candidate *c = &s->candidates[i];
        c->key = -c->logit;
        kept += c->weight;
    }
    return kept;
}

static void keep_min_p(struct weir_sampler *s, float min_p)
{
    float largest = 0;
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        float w = s->candidates[i].weight;
        largest = w > largest ? w : largest;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        if (s->candidates[i].weight >= min_p * largest) {
            s->candidates[n++] = s->candidates[i];
        }
    }
    s->n_candidates = n;
}

/* Fills the candidates that can survive the filters and returns the weight of all that the first
 * filter behind top_k sees. */
static double first_candidates(struct weir_sampler *s, const float *logits, float max,
                               const weir_sampling *sp, float inverse_temperature)
{
    if (sp->top_k > 0 && (uint32_t)sp->top_k < s->n_vocab) {
        gather(s, logits, floor_of_largest(s, (uint32_t)sp->top_k));
        if (s->n_candidates > (uint32_t)sp->top_k) {
            weir_candidates_keep_count(s->candidates, s->n_candidates, (uint32_t)sp->top_k);
            s->n_candidates = (uint32_t)sp->top_k;
        }
        return weigh(s, max, inverse_temperature);
    }
    if (sp->typical_p < 1.0f) {
        gather(s, logits, -INFINITY);
        return weigh(s, max, inverse_temperature);
    }
    if (sp->top_p < 1.0f) {
        /* Mostly few tokens near the largest have the mass; else take all. */
        const float near = 12.0f / inverse_temperature;
        double total = weir_scan_sum_exp(logits, s->n_vocab, max, inverse_temperature, NULL, NULL);
        gather(s, logits, max - near);
        if (weigh(s, max, inverse_temperature) < sp->top_p * total) {
            gather(s, logits, -INFINITY);
            weigh(s, max, inverse_temperature);
        }
        return total;
    }
    gather(s, logits, max + (logf(sp->min_p) - 1e-3f) / inverse_temperature);
    return weigh(s, max, inverse_temperature);
}

/* Inverse of the distribution function in order of id, the one order that does not depend on how
 * the candidates were found. */
static int32_t draw_candidate(struct weir_sampler *s, double u)
{
    double total = 0;
    uint32_t n = 0; /* of the candidates that a draw can give */
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        struct weir_candidate c = s->candidates[i];
        if (c.weight > 0) {
            c.key = (float)c.id; /* exact: WEIR_MODEL_VOCAB_MAX is below 2^24 */
            s->candidates[n++] = c;
            total += c.weight;
        }
    }
    n = weir_candidates_keep_mass(s->candidates, n, u * total);
    int32_t last = 0;
    for (uint32_t i = 0; i < n; i++) {
        last = s->candidates[i].id > last ? s->candidates[i].id : last;
    }
    return last;
}

/* A draw from the whole softmax. */
static int32_t draw_any(struct weir_sampler *s, const float *logits, float max, float scale,
                        double u)
{
    double rest = u * weir_scan_sum_exp(logits, s->n_vocab, max, scale, s->terms, s->block_sums);
    uint32_t n_blocks = weir_scan_blocks(s->n_vocab, WEIR_SCAN_SUM_BLOCK);
    uint32_t b = 0;
    while (b + 1 < n_blocks && rest >= s->block_sums[b]) {
        rest -= s->block_sums[b++];
    }
    uint32_t last = UINT32_MAX; /* rounding may leave a rest behind the last token of the block */
    for (uint32_t i = b * WEIR_SCAN_SUM_BLOCK; i < s->n_vocab; i++) {
        if (s->terms[i] > 0) {
            last = i;
            rest -= s->terms[i];
            if (rest < 0) {
                break;
            }
        }
    }
    return last == UINT32_MAX ? arg_max(s, logits, max) : (int32_t)last;
}

static int32_t draw(struct weir_sampler *s, const float *logits, float max,
                    const weir_step_part *part)
{
    const weir_sampling *sp = part->sampling;
    const float inverse_temperature = 1.0f / sp->temperature;
    const double u = weir_philox_uniform(sp->seed, part->sample_index);
    bool has_top_k = sp->top_k > 0 && (uint32_t)sp->top_k < s->n_vocab;
    if (!has_top_k && sp->typical_p >= 1.0f && sp->top_p >= 1.0f && !(sp->min_p > 0.0f)) {
        return draw_any(s, logits, max, inverse_temperature, u);
    }
    double total = first_candidates(s, logits, max, sp, inverse_temperature);
    if (sp->typical_p < 1.0f) {
        total = keep_typical(s, total, sp->typical_p);
    }
    if (sp->top_p < 1.0f) {
        s->n_candidates =
            weir_candidates_keep_mass(s->candidates, s->n_candidates, sp->top_p * total);
    }
    if (sp->min_p > 0.0f) {
        keep_min_p(s, sp->min_p);
    }
    return draw_candidate(s, u);
}

/* The likeliest tokens and the logarithm of the softmax's denominator. Uses block_max. */
static double give_top(struct weir_sampler *s, const float *logits, float max, uint32_t n_top,
                       weir_step_result *result)
{
    double log_sum = max + log(weir_scan_sum_exp(logits, s->n_vocab, max, 1.0f, NULL, NULL));
    n_top = n_top < TOP_MAX ? n_top : TOP_MAX;
    n_top = n_top < s->n_vocab ? n_top : s->n_vocab;
    if (n_top > 0) {
        gather(s, logits, floor_of_largest(s, n_top));
        weir_candidates_keep_count(s->candidates, s->n_candidates, n_top);
        weir_candidates_sort(s->candidates, n_top);
    }
    for (uint32_t i = 0; i < n_top; i++) {
        result->top[i].token = s->candidates[i].id;
        result->top[i].logprob = (float)(s->candidates[i].logit - log_sum);
    }
    result->n_top = n_top;
    return log_sum;
}

int weir_sample(struct weir_sampler *s, float *logits, const weir_step_part *part,
                weir_step_result *result)
{
    const weir_sampling *sp = part->sampling;
    const bool wants_logprobs = part->flags & WEIR_STEP_LOGPROBS;
    if (!weir_scan_finite(logits, s->n_vocab)) {
        return WEIR_E_DEVICE;
    }
    float max = weir_scan_max(logits, s->n_vocab, s->block_max);
    double log_sum = 0;
    if (wants_logprobs) {
        log_sum = give_top(s, logits, max, part->n_top, result);
        memcpy(s->raw, logits, s->n_vocab * sizeof(float));
    }
    if (adjust(s, logits, part)) {
        max = weir_scan_max(logits, s->n_vocab, s->block_max);
    }
    if (!(max > -INFINITY) || max == INFINITY) {
        return WEIR_E_ARG;
    }
    bool is_greedy = !sp || !(sp->temperature >= TEMPERATURE_MIN);
    int32_t token = is_greedy ? arg_max(s, logits, max) : draw(s, logits, max, part);
    result->tokens[0] = token;
    result->n_tokens = 1;
    if (wants_logprobs) {
        result->logprobs[0] = (float)(s->raw[token] - log_sum);
    }
    return 0;
}
