/* SPDX-License-Identifier: Apache-2.0 */
/* The device's sampler against engine/sampling on the same logits: the same tokens, not similar
 * ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sampling/philox.h"
#include "engine/sampling/sample.h"
#include "kernels/logits_adjust/logits_adjust.h"
#include "kernels/logprobs/logprobs.h"
#include "kernels/sample/sample.h"
#include "tests/kernels/check.h"

enum { VOCAB = 2011, STRIDE = 2012, ROWS = 24, MASK_WORDS = (VOCAB + 31) / 32 };

static float logits[ROWS * STRIDE], row_copy[VOCAB];
static const float neutral_top_p = 1.0f;

/* About a language model's shape: few large ones, a long tail, some exact ties. */
static void fill_logits(uint32_t seed, float spread)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        for (uint32_t i = 0; i < STRIDE; i++) {
            const double u = weir_philox_uniform(seed + r, i);
            const double v = weir_philox_uniform(seed + r + 1000, i);
            const double normal = sqrt(-2 * log(u + 1e-12)) * cos(6.283185307179586 * v);
            logits[r * STRIDE + i] = (float)(round(normal * spread * 64) / 64);
        }
    }
}

struct scratch {
    uint32_t *keys;
    float *weights;
    int32_t *candidates;
};

static struct scratch make_scratch(struct weir_test_device *device)
{
    const size_t n = (size_t)ROWS * VOCAB * 4;
    return (struct scratch){.keys = weir_test_array(device, NULL, n),
                            .weights = weir_test_array(device, NULL, n),
                            .candidates = weir_test_array(device, NULL, n)};
}

static void run_sample(struct weir_test_device *device, const struct weir_sample_row *rows,
                       const float *device_logits, const float *raw, const double *log_sums,
                       struct weir_sample_result *results)
{
    const struct scratch s = make_scratch(device);
    const struct weir_sample_args args = {
        .logits = device_logits,
        .raw = raw,
        .log_sums = log_sums,
        .rows = weir_test_array(device, rows, ROWS * sizeof(rows[0])),
        .results = weir_test_array(device, NULL, ROWS * sizeof(results[0])),
        .ids = weir_test_array(device, NULL, ROWS * sizeof(int32_t)),
        .keys = s.keys,
        .weights = s.weights,
        .candidates = s.candidates,
        .n_rows = ROWS,
        .n_vocab = VOCAB,
        .stride = STRIDE,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_sample_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.results, results, ROWS * sizeof(results[0]));
    int32_t ids[ROWS];
    weir_test_fetch(device, args.ids, ids, sizeof(ids));
    for (uint32_t r = 0; r < ROWS; r++) {
        if (ids[r] != results[r].token) {
            results[r].token = -2;
        }
    }
}

static int check_filters(struct weir_test_device *device, const weir_sampling *sampling,
                         float spread)
{
    struct weir_sample_row rows[ROWS];
    struct weir_sample_result results[ROWS];
    fill_logits(17, spread);
    for (uint32_t r = 0; r < ROWS; r++) {
        rows[r] = (struct weir_sample_row){.seed = 0x123456789ABCu + r % 3,
                                           .index = r,
                                           .temperature = sampling->temperature,
                                           .typical_p = sampling->typical_p,
                                           .top_p = sampling->top_p,
                                           .min_p = sampling->min_p,
                                           .top_k = sampling->top_k};
    }
    run_sample(device, rows, weir_test_array(device, logits, sizeof(logits)), NULL, NULL, results);
    weir_test_device_reset(device);
    struct weir_sampler *s = NULL;
    if (weir_sampler_create(VOCAB, &s) < 0) {
        abort();
    }
    int n_wrong = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        weir_sampling sp = *sampling;
        sp.seed = rows[r].seed;
        const weir_step_part part = {
            .flags = WEIR_STEP_SAMPLE, .sampling = &sp, .sample_index = rows[r].index};
        weir_step_result want = {0};
        memcpy(row_copy, logits + r * STRIDE, sizeof(row_copy));
        if (weir_sample(s, row_copy, &part, &want) < 0) {
            abort();
        }
        n_wrong += results[r].status != WEIR_SAMPLE_OK || results[r].token != want.tokens[0];
    }
    weir_sampler_destroy(s);
    if (n_wrong) {
        fprintf(stderr,
                "sample: %d of %d tokens differ (temperature %g, top_k %d, typical_p %g, top_p %g, "
                "min_p %g, spread %g)\n",
                n_wrong, ROWS, (double)sampling->temperature, sampling->top_k,
                (double)sampling->typical_p, (double)sampling->top_p, (double)sampling->min_p,
                (double)spread);
    }
    return n_wrong != 0;
}

/* What one row of the next check asks for, and what the engine's sampler needs for the same. */
struct request {
    weir_sampling sampling;
    weir_logit_bias bias[4];
    int32_t history[40];
    uint32_t mask[MASK_WORDS];
    weir_step_part part;
};

static void make_request(struct request *q, uint32_t r)
{
    q->sampling = (weir_sampling){.struct_size = sizeof(weir_sampling),
                                  .temperature = r % 3 ? 0.9f : 0.0f,
                                  .top_p = r % 2 ? 0.9f : neutral_top_p,
                                  .typical_p = 1,
                                  .repetition_penalty = r % 4 ? 1.3f : 1.0f,
                                  .presence_penalty = r % 5 ? 0.4f : 0.0f,
                                  .frequency_penalty = 0.15f,
                                  .seed = r};
    const weir_logit_bias bias[4] = {
        {(int32_t)r, 2.5f}, {700, -3.0f}, {(int32_t)r, 1.25f}, {VOCAB, 9.0f}};
    memcpy(q->bias, bias, sizeof(bias));
    q->sampling.bias = q->bias;
    q->sampling.n_bias = r % 2 ? 4 : 0;
    for (uint32_t i = 0; i < 40; i++) {
        q->history[i] = (int32_t)((i * i * 7 + r) % 60) - 1;
    }
    for (uint32_t w = 0; w < MASK_WORDS; w++) {
        q->mask[w] = 0x5A5A5A5Au << (w + r) % 5 | 1u << r % 32;
    }
    q->part = (weir_step_part){.flags = WEIR_STEP_SAMPLE | WEIR_STEP_LOGPROBS,
                               .n_top = r % 21,
                               .sampling = &q->sampling,
                               .history = q->history,
                               .n_history = 40,
                               .n_history_prompt = 25,
                               .mask = r % 3 == 1 ? q->mask : NULL,
                               .sample_index = r};
}

static struct request requests[ROWS];

static void run_logprobs(struct weir_test_device *device, const float *device_logits, float *raw,
                         double *log_sums, struct weir_logprobs_top *top)
{
    struct weir_logprobs_row rows[ROWS];
    for (uint32_t r = 0; r < ROWS; r++) {
        rows[r] = (struct weir_logprobs_row){.row = ROWS - 1 - r,
                                             .n_top = requests[ROWS - 1 - r].part.n_top};
    }
    const struct scratch s = make_scratch(device);
    const struct weir_logprobs_args args = {
        .logits = device_logits,
        .raw = raw,
        .rows = weir_test_array(device, rows, sizeof(rows)),
        .log_sums = log_sums,
        .top = weir_test_array(device, NULL, ROWS * WEIR_LOGPROBS_MAX * sizeof(top[0])),
        .keys = s.keys,
        .weights = s.weights,
        .candidates = s.candidates,
        .n_rows = ROWS,
        .n_vocab = VOCAB,
        .stride = STRIDE,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_logprobs_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.top, top, ROWS * WEIR_LOGPROBS_MAX * sizeof(top[0]));
}

static int run_adjust(struct weir_test_device *device, float *device_logits)
{
    static struct weir_adjust_bias biases[ROWS * 4];
    static int32_t history[ROWS * 40];
    static uint32_t masks[ROWS * MASK_WORDS];
    static uint32_t counts[ROWS * VOCAB];
    struct weir_adjust_row rows[ROWS];
    int32_t status[ROWS];
    for (uint32_t r = 0; r < ROWS; r++) {
        const struct request *q = &requests[r];
        memcpy(&biases[r * 4], q->bias, sizeof(q->bias));
        memcpy(&history[r * 40], q->history, sizeof(q->history));
        memcpy(&masks[r * MASK_WORDS], q->mask, sizeof(q->mask));
        rows[r] = (struct weir_adjust_row){.row = r,
                                           .first_bias = r * 4,
                                           .n_bias = q->sampling.n_bias,
                                           .first_token = r * 40,
                                           .n_tokens = 40,
                                           .n_prompt = 25,
                                           .first_mask =
                                               q->part.mask ? r * MASK_WORDS : WEIR_ADJUST_NO_MASK,
                                           .repetition = q->sampling.repetition_penalty,
                                           .presence = q->sampling.presence_penalty,
                                           .frequency = q->sampling.frequency_penalty};
    }
    const struct weir_adjust_args args = {
        .logits = device_logits,
        .rows = weir_test_array(device, rows, sizeof(rows)),
        .biases = weir_test_array(device, biases, sizeof(biases)),
        .history = weir_test_array(device, history, sizeof(history)),
        .masks = weir_test_array(device, masks, sizeof(masks)),
        .counts = weir_test_array(device, counts, sizeof(counts)),
        .status = weir_test_array(device, NULL, sizeof(status)),
        .n_rows = ROWS,
        .n_vocab = VOCAB,
        .stride = STRIDE,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_logits_adjust_launch(&args, &device->info.props, &launch));
    static uint32_t counts_after[ROWS * VOCAB];
    weir_test_fetch(device, args.counts, counts_after, sizeof(counts_after));
    weir_test_fetch(device, args.status, status, sizeof(status));
    int failed = memcmp(counts, counts_after, sizeof(counts)) != 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        failed |= status[r] != 0;
    }
    return failed;
}

static int are_same(const float *x, const float *y, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && x[i] == y[i] && signbit(x[i]) == signbit(y[i])) {
        i++;
    }
    return i == n;
}

/* Log-probabilities, adjustments and the choice together, as a step runs them. */
static int check_requests(struct weir_test_device *device)
{
    struct weir_sample_row rows[ROWS];
    struct weir_sample_result results[ROWS];
    static struct weir_logprobs_top top[ROWS * WEIR_LOGPROBS_MAX];
    static float adjusted[ROWS * STRIDE];
    fill_logits(23, 3.0f);
    for (uint32_t r = 0; r < ROWS; r++) {
        make_request(&requests[r], r);
        const weir_sampling *sp = &requests[r].sampling;
        rows[r] = (struct weir_sample_row){
            .seed = sp->seed,
            .index = r,
            .temperature = sp->temperature,
            .typical_p = 1,
            .top_p = sp->top_p,
            .flags = WEIR_SAMPLE_LOGPROB | (requests[r].part.mask ? WEIR_SAMPLE_MAY_LACK : 0)};
    }
    float *device_logits = weir_test_array(device, logits, sizeof(logits));
    float *raw = weir_test_array(device, NULL, sizeof(logits));
    double *log_sums = weir_test_array(device, NULL, ROWS * sizeof(double));
    run_logprobs(device, device_logits, raw, log_sums, top);
    int failed = run_adjust(device, device_logits);
    weir_test_fetch(device, device_logits, adjusted, sizeof(adjusted));
    run_sample(device, rows, device_logits, raw, log_sums, results);
    weir_test_device_reset(device);
    struct weir_sampler *s = NULL;
    if (weir_sampler_create(VOCAB, &s) < 0) {
        abort();
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        weir_step_result want = {0};
        memcpy(row_copy, logits + r * STRIDE, sizeof(row_copy));
        if (weir_sample(s, row_copy, &requests[r].part, &want) < 0) {
            abort();
        }
        failed |= !are_same(row_copy, adjusted + r * STRIDE, VOCAB);
        failed |= results[r].token != want.tokens[0];
        failed |= fabsf(results[r].logprob - want.logprobs[0]) > 2e-6f * fabsf(want.logprobs[0]);
        for (uint32_t i = 0; i < WEIR_LOGPROBS_MAX; i++) {
            const struct weir_logprobs_top *t = &top[r * WEIR_LOGPROBS_MAX + i];
            failed |= t->token != (i < want.n_top ? want.top[i].token : -1);
            failed |= i < want.n_top &&
                      fabsf(t->logprob - want.top[i].logprob) > 2e-6f * fabsf(t->logprob) + 1e-6f;
        }
    }
    weir_sampler_destroy(s);
    if (failed) {
        fprintf(stderr, "logits_adjust, logprobs or sample differ from engine/sampling\n");
    }
    return failed;
}

static int check_refusals(struct weir_test_device *device)
{
    struct weir_sample_row rows[ROWS] = {{0}};
    struct weir_sample_result results[ROWS];
    fill_logits(5, 1.0f);
    logits[0 * STRIDE + 5] = NAN;
    logits[1 * STRIDE + VOCAB - 1] = INFINITY;
    logits[2 * STRIDE + 700] = -INFINITY;
    for (uint32_t i = 0; i < VOCAB; i++) {
        logits[3 * STRIDE + i] = -INFINITY;
        logits[4 * STRIDE + i] = i == 1234 ? -7.0f : -INFINITY;
        logits[5 * STRIDE + i] = 2.0f;
    }
    rows[3].flags = rows[4].flags = WEIR_SAMPLE_MAY_LACK;
    rows[4].temperature = 1.0f;
    rows[4].typical_p = rows[4].top_p = 1.0f;
    run_sample(device, rows, weir_test_array(device, logits, sizeof(logits)), NULL, NULL, results);
    weir_test_device_reset(device);
    const int is_right = results[0].status == WEIR_SAMPLE_NOT_FINITE &&
                         results[1].status == WEIR_SAMPLE_NOT_FINITE &&
                         results[2].status == WEIR_SAMPLE_NOT_FINITE &&
                         results[3].status == WEIR_SAMPLE_NOTHING && results[4].token == 1234 &&
                         results[5].token == 0;
    if (!is_right) {
        fprintf(stderr, "sample: wrong answer to logits that are no numbers, or to ties\n");
    }
    return !is_right;
}

int weir_check_sampling(struct weir_test_device *device)
{
    static const weir_sampling cases[] = {
        {.temperature = 0, .top_p = 1, .typical_p = 1},
        {.temperature = 1, .top_p = 1, .typical_p = 1},
        {.temperature = 0.5f, .top_p = 1, .typical_p = 1},
        {.temperature = 1, .top_k = 1, .top_p = 1, .typical_p = 1},
        {.temperature = 1, .top_k = 40, .top_p = 1, .typical_p = 1},
        {.temperature = 1.5f, .top_k = 1500, .top_p = 0.9f, .typical_p = 1},
        {.temperature = 1, .top_p = 0.5f, .typical_p = 1},
        {.temperature = 2, .top_p = 0.95f, .typical_p = 1},
        {.temperature = 1, .top_p = 1e-6f, .typical_p = 1},
        {.temperature = 1, .top_p = 1, .typical_p = 0.4f},
        {.temperature = 1, .top_p = 1, .typical_p = 1, .min_p = 0.1f},
        {.temperature = 0.8f, .top_k = 100, .top_p = 0.9f, .typical_p = 0.8f, .min_p = 0.02f},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_sampling sp = cases[i];
        sp.struct_size = sizeof(sp);
        sp.repetition_penalty = 1.0f;
        failed += check_filters(device, &sp, 3.0f);
        failed += check_filters(device, &sp, 0.05f); /* nearly flat */
    }
    return failed + check_requests(device) + check_refusals(device);
}
