/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler against a plain one that sorts everything in double precision. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sampling/philox.h"
#include "engine/sampling/sample.h"

enum { VOCAB = 1201, DRAWS = 4000 };

struct ref_candidate {
    double logit, p, shift;
    int32_t id;
};

static const weir_sampling neutral = {.struct_size = sizeof(weir_sampling),
                                      .temperature = 1.0f,
                                      .top_p = 1.0f,
                                      .typical_p = 1.0f,
                                      .repetition_penalty = 1.0f};

/* Logits of about a language model's shape: few large ones, a long tail, some exact ties. */
static void fill_logits(float *logits, uint32_t n, uint32_t seed, float spread)
{
    for (uint32_t i = 0; i < n; i++) {
        double u = weir_philox_uniform(seed, i);
        double v = weir_philox_uniform(seed + 1000, i);
        double normal = sqrt(-2 * log(u + 1e-12)) * cos(6.283185307179586 * v);
        logits[i] = (float)(round(normal * spread * 64) / 64);
    }
}

static int by_p(const void *a, const void *b)
{
    const struct ref_candidate *x = a;
    const struct ref_candidate *y = b;
    return x->logit != y->logit ? (x->logit < y->logit) - (x->logit > y->logit) : x->id - y->id;
}

static int by_shift(const void *a, const void *b)
{
    const struct ref_candidate *x = a;
    const struct ref_candidate *y = b;
    return x->shift != y->shift ? (x->shift > y->shift) - (x->shift < y->shift) : x->id - y->id;
}

static void normalise(struct ref_candidate *c, uint32_t n, double temperature)
{
    double max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        max = c[i].logit > max ? c[i].logit : max;
    }
    for (uint32_t i = 0; i < n; i++) {
        c[i].p = exp((c[i].logit - max) / temperature);
        sum += c[i].p;
    }
    for (uint32_t i = 0; i < n; i++) {
        c[i].p /= sum;
    }
}

static uint32_t mass_prefix(const struct ref_candidate *c, uint32_t n, double mass)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += c[i].p;
        if (sum >= mass) {
            return i + 1;
        }
    }
    return n;
}

/* The filters in their order; returns the kept candidates with their probabilities. */
static uint32_t reference(const float *logits, uint32_t n, const weir_sampling *sp,
                          struct ref_candidate *c)
{
    for (uint32_t i = 0; i < n; i++) {
        c[i] = (struct ref_candidate){.logit = logits[i], .id = (int32_t)i};
    }
    qsort(c, n, sizeof(*c), by_p);
    if (sp->top_k > 0 && (uint32_t)sp->top_k < n) {
        n = (uint32_t)sp->top_k;
    }
    normalise(c, n, sp->temperature);
    if (sp->typical_p < 1.0f) {
        double entropy = 0;
        for (uint32_t i = 0; i < n; i++) {
            entropy -= c[i].p > 0 ? c[i].p * log(c[i].p) : 0;
        }
        for (uint32_t i = 0; i < n; i++) {
            c[i].shift = c[i].p > 0 ? (float)fabs(-log(c[i].p) - entropy) : INFINITY;
        }
        qsort(c, n, sizeof(*c), by_shift);
        n = mass_prefix(c, n, sp->typical_p);
        qsort(c, n, sizeof(*c), by_p);
        normalise(c, n, sp->temperature);
    }
    if (sp->top_p < 1.0f) {
        n = mass_prefix(c, n, sp->top_p);
        normalise(c, n, sp->temperature);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (c[i].p >= sp->min_p * c[0].p) {
            c[kept++] = c[i];
        }
    }
    normalise(c, kept, sp->temperature);
    return kept;
}

/* Draws many times and compares counts: nothing outside the kept set, and a chi-square over the
 * candidates that are expected often, below its mean plus 5 standard deviations. */
static void check_distribution(const weir_sampling *sampling, float spread)
{
    static float logits[VOCAB];
    static float row[VOCAB];
    static struct ref_candidate want[VOCAB];
    static uint32_t counts[VOCAB];
    memset(counts, 0, sizeof(counts));
    fill_logits(logits, VOCAB, 7, spread);
    uint32_t n = reference(logits, VOCAB, sampling, want);
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(VOCAB, &s), 0);
    weir_sampling sp = *sampling;
    weir_step_part part = {.sampling = &sp};
    for (uint32_t i = 0; i < DRAWS; i++) {
        memcpy(row, logits, sizeof(row));
        sp.seed = 99 + i / 100;
        part.sample_index = i % 100;
        weir_step_result result = {0};
        assert_int_equal(weir_sample(s, row, &part, &result), 0);
        counts[result.tokens[0]]++;
    }
    double chi = 0;
    uint32_t n_bins = 0;
    for (uint32_t i = 0; i < n; i++) {
        double expected = want[i].p * DRAWS;
        double got = counts[want[i].id];
        counts[want[i].id] = 0;
        if (expected >= 10) {
            chi += (got - expected) * (got - expected) / expected;
            n_bins++;
        }
    }
    for (uint32_t i = 0; i < VOCAB; i++) {
        assert_int_equal(counts[i], 0);
    }
    assert_true(chi < n_bins + 5 * sqrt(2.0 * n_bins + 1));
    weir_sampler_destroy(s);
}

static void draws_follow_the_filtered_distribution(void **state)
{
    (void)state;
    const weir_sampling cases[] = {
        {.temperature = 1, .top_p = 1, .typical_p = 1},
        {.temperature = 0.5f, .top_p = 1, .typical_p = 1},
        {.temperature = 1, .top_k = 1, .top_p = 1, .typical_p = 1},
        {.temperature = 1, .top_k = 40, .top_p = 1, .typical_p = 1},
        {.temperature = 1.5f, .top_k = 200, .top_p = 0.9f, .typical_p = 1},
        {.temperature = 1, .top_p = 0.5f, .typical_p = 1},
        {.temperature = 2, .top_p = 0.95f, .typical_p = 1},
        {.temperature = 1, .top_p = 1e-6f, .typical_p = 1},
        {.temperature = 1, .top_p = 1, .typical_p = 0.4f},
        {.temperature = 1, .top_p = 1, .typical_p = 1, .min_p = 0.1f},
        {.temperature = 0.8f, .top_k = 100, .top_p = 0.9f, .typical_p = 0.8f, .min_p = 0.02f},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_sampling sp = cases[i];
        sp.struct_size = sizeof(sp);
        sp.repetition_penalty = 1.0f;
        check_distribution(&sp, 3.0f);
        check_distribution(&sp, 0.05f); /* nearly flat */
    }
}

static void greedy_takes_the_lowest_id_on_ties(void **state)
{
    (void)state;
    float logits[200] = {0};
    logits[70] = logits[71] = logits[150] = 2.5f;
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(200, &s), 0);
    weir_step_part part = {.flags = WEIR_STEP_SAMPLE};
    weir_step_result result = {0};

    assert_int_equal(weir_sample(s, logits, &part, &result), 0);

    assert_int_equal(result.n_tokens, 1);
    assert_int_equal(result.tokens[0], 70);
    weir_sampler_destroy(s);
}

static void a_seed_and_an_index_fix_the_draw(void **state)
{
    (void)state;
    static float logits[VOCAB];
    static float row[VOCAB];
    fill_logits(logits, VOCAB, 3, 1.0f);
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(VOCAB, &s), 0);
    weir_sampling sp = neutral;
    sp.seed = 42;
    weir_step_part part = {.sampling = &sp};
    int32_t first[50];
    for (int round = 0; round < 2; round++) {
        for (int i = 49; i >= 0; i--) {
            memcpy(row, logits, sizeof(row));
            part.sample_index = (uint64_t)i;
            weir_step_result result = {0};
            assert_int_equal(weir_sample(s, row, &part, &result), 0);
            if (round == 0) {
                first[i] = result.tokens[0];
            }
            assert_int_equal(result.tokens[0], first[i]);
        }
    }
    assert_int_not_equal(memcmp(first, first + 25, 25 * sizeof(first[0])), 0);
    weir_sampler_destroy(s);
}

static void penalties_and_bias_move_logits_as_documented(void **state)
{
    (void)state;
    enum { N = 64 };
    float logits[N] = {[3] = 4.0f, [4] = -2.0f, [5] = 3.0f, [6] = 1.0f};
    const int32_t history[] = {3, 4, 5, 5, 5, -1, N, 3};
    const weir_logit_bias bias[] = {{6, 0.5f}, {N + 1, 9.0f}};
    weir_sampling sp = neutral;
    sp.temperature = 0;
    sp.repetition_penalty = 2.0f;
    sp.presence_penalty = 0.25f;
    sp.frequency_penalty = 0.125f;
    sp.n_bias = 2;
    sp.bias = bias;
    weir_step_part part = {
        .sampling = &sp, .history = history, .n_history = 8, .n_history_prompt = 3};
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(N, &s), 0);
    for (int round = 0; round < 2; round++) { /* the counts are clean again the second time */
        float row[N];
        memcpy(row, logits, sizeof(row));
        weir_step_result result = {0};

        assert_int_equal(weir_sample(s, row, &part, &result), 0);

        assert_true(row[3] == 4.0f / 2 - 0.25f - 0.125f);
        assert_true(row[4] == -2.0f * 2);
        assert_true(row[5] == 3.0f / 2 - 0.25f - 2 * 0.125f);
        assert_true(row[6] == 1.5f);
        assert_int_equal(result.tokens[0], 3);
    }
    weir_sampler_destroy(s);
}

static void a_mask_forbids_up_to_the_last_token(void **state)
{
    (void)state;
    enum { N = 77 }; /* the last word of the mask has bits beyond the vocabulary */
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(N, &s), 0);
    uint32_t mask[3] = {0, 0, 0};
    for (int allowed = 0; allowed < N; allowed++) {
        float logits[N];
        for (int i = 0; i < N; i++) {
            logits[i] = (float)(i * 37 % N);
        }
        memset(mask, 0, sizeof(mask));
        mask[allowed / 32] = 1u << allowed % 32;
        mask[2] |= ~0u << (N % 32);
        weir_sampling sp = neutral;
        sp.top_p = 0.9f;
        weir_step_part part = {.sampling = allowed % 2 ? &sp : NULL, .mask = mask};
        weir_step_result result = {0};
        assert_int_equal(weir_sample(s, logits, &part, &result), 0);
        assert_int_equal(result.tokens[0], allowed);
    }
    weir_sampler_destroy(s);
}

static void no_allowed_token_is_an_argument_error(void **state)
{
    (void)state;
    float logits[40] = {1.0f};
    const uint32_t mask[2] = {0, ~0u << 8};
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(40, &s), 0);
    weir_step_part part = {.mask = mask};
    weir_step_result result = {0};

    assert_int_equal(weir_sample(s, logits, &part, &result), WEIR_E_ARG);

    assert_int_equal(result.n_tokens, 0);
    weir_sampler_destroy(s);
}

static void logits_that_are_no_numbers_are_an_error(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(131, &s), 0);
    for (int i = 0; i < 3; i++) {
        float logits[131] = {0};
        logits[130] = bad[i];
        weir_step_part part = {0};
        weir_step_result result = {0};
        assert_int_equal(weir_sample(s, logits, &part, &result), WEIR_E_DEVICE);
    }
    weir_sampler_destroy(s);
}

static void logprobs_are_of_the_unchanged_distribution(void **state)
{
    (void)state;
    static float logits[VOCAB];
    static float row[VOCAB];
    static struct ref_candidate want[VOCAB];
    fill_logits(logits, VOCAB, 11, 3.0f);
    uint32_t n = reference(logits, VOCAB, &neutral, want);
    assert_int_equal(n, VOCAB);
    memcpy(row, logits, sizeof(row));
    const weir_logit_bias bias = {5, 100.0f};
    weir_sampling sp = neutral;
    sp.temperature = 0.7f;
    sp.n_bias = 1;
    sp.bias = &bias;
    weir_step_part part = {
        .flags = WEIR_STEP_SAMPLE | WEIR_STEP_LOGPROBS, .n_top = 20, .sampling = &sp};
    weir_step_result result = {0};
    struct weir_sampler *s = NULL;
    assert_int_equal(weir_sampler_create(VOCAB, &s), 0);

    assert_int_equal(weir_sample(s, row, &part, &result), 0);

    assert_int_equal(result.tokens[0], 5);
    for (uint32_t i = 0; i < VOCAB; i++) {
        if (want[i].id == 5) {
            assert_true(fabs(result.logprobs[0] - log(want[i].p)) < 1e-5);
        }
    }
    assert_int_equal(result.n_top, 20);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(result.top[i].token, want[i].id);
        assert_true(fabs(result.top[i].logprob - log(want[i].p)) < 1e-5);
    }
    weir_sampler_destroy(s);
}

/* The known answers of the Random123 distribution (kat_vectors, philox4x32 10). */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t out[4];
        weir_philox(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof(out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(greedy_takes_the_lowest_id_on_ties),
        cmocka_unit_test(a_seed_and_an_index_fix_the_draw),
        cmocka_unit_test(draws_follow_the_filtered_distribution),
        cmocka_unit_test(penalties_and_bias_move_logits_as_documented),
        cmocka_unit_test(a_mask_forbids_up_to_the_last_token),
        cmocka_unit_test(no_allowed_token_is_an_argument_error),
        cmocka_unit_test(logits_that_are_no_numbers_are_an_error),
        cmocka_unit_test(logprobs_are_of_the_unchanged_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
