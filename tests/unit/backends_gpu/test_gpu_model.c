/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU backend on the emulator, through the step interface: golden logits, independence of batch
 * and cuts, sampling, bad parts, interrupts. Both wave widths. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/emu/backend.h"
#include "backends/gpu/model.h"
#include "kernels/emu/emu.h"
#include "kernels/kv/kv_layout.h"
#include "tests/support/cmocka.h"
#include "tests/support/relative_error.h"

enum { STREAMS = 5, CTX = 400, PAGES = CTX / WEIR_PAGE_TOKENS, GOLDEN_TOKENS = 300, ROWS_MAX = 16 };
enum { WAVE_32 = 0, WAVE_64 = 2 }; /* devices of the emulator */

struct golden {
    uint32_t n_tokens, n_rows, n_vocab;
    float error; /* of llama.cpp */
    int32_t tokens[GOLDEN_TOKENS];
    uint32_t rows[ROWS_MAX];
    float *logits;
};

static void path_of(const char *suffix, char *path, size_t n)
{
    snprintf(path, n, "%s/tests/golden/decoders/qwen3.%s", WEIR_SOURCE_DIR, suffix);
}

static struct golden read_golden(void)
{
    char path[512];
    struct golden g;
    path_of("bin", path, sizeof(path));
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(&g, 4, 4, f), 4);
    assert_int_equal(g.n_tokens, GOLDEN_TOKENS);
    assert_true(g.n_rows <= ROWS_MAX);
    assert_int_equal(fread(g.tokens, 4, g.n_tokens, f), g.n_tokens);
    assert_int_equal(fread(g.rows, 4, g.n_rows, f), g.n_rows);
    size_t n = (size_t)g.n_rows * g.n_vocab;
    g.logits = malloc(n * sizeof(float));
    assert_non_null(g.logits);
    assert_int_equal(fread(g.logits, 4, n, f), n);
    fclose(f);
    return g;
}

static struct weir_gpu_model *load_with(uint32_t device, uint32_t kv_type, bool use_graphs)
{
    char path[512];
    path_of("gguf", path, sizeof(path));
    weir_load_params params = {
        .struct_size = sizeof(params),
        .device = device,
        .max_sequences = STREAMS,
        .max_step_tokens = 320,
        .n_ctx = CTX,
        .file = weir_str_from(path),
    };
    struct weir_gpu_options options;
    weir_gpu_options_init(&options);
    options.kv_type = kv_type;
    options.use_graphs = use_graphs;
    struct weir_gpu_model *m = NULL;
    struct weir_error err = {0};
    int rc = weir_gpu_model_load(&weir_emu_backend, &params, &options, &m, &err);
    if (rc < 0) {
        print_message("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    return m;
}

static struct weir_gpu_model *load(uint32_t device)
{
    return load_with(device, WEIR_KV_F16, true);
}

static void run_step(struct weir_gpu_model *m, const weir_step_part *parts, uint32_t n_parts,
                     weir_step_result *results)
{
    weir_step_batch batch = {.struct_size = sizeof(batch),
                             .part_size = sizeof(*parts),
                             .parts = parts,
                             .n_parts = n_parts};
    memset(results, 0, n_parts * sizeof(*results));
    int rc = weir_gpu_model_step(m, &batch, results);
    if (rc < 0) {
        print_message("%s\n", weir_emu_api()->error_text());
    }
    assert_int_equal(rc, 0);
    for (uint32_t i = 0; i < n_parts; i++) {
        assert_int_equal(results[i].rc, 0);
    }
}

static weir_step_part part_of(const uint32_t *pages, const int32_t *tokens, uint32_t pos,
                              uint32_t n)
{
    return (weir_step_part){
        .flags = WEIR_STEP_SAMPLE,
        .pos = pos,
        .n_tokens = n,
        .tokens = tokens,
        .pages = pages,
        .n_pages = PAGES,
    };
}

/* Pages of a stream, in an order of their own. */
static void number_pages(uint32_t *pages, uint32_t stream)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        pages[i] = (i * 7 % PAGES) * STREAMS + stream;
    }
}

static void check_golden(uint32_t device, uint32_t kv_type, double most)
{
    struct weir_gpu_model *m = load_with(device, kv_type, true);
    struct golden g = read_golden();
    float *logits = malloc(g.n_vocab * sizeof(float));
    assert_non_null(logits);
    uint32_t pages[PAGES];
    number_pages(pages, 3);
    double worst = 0;
    uint32_t pos = 0;
    for (uint32_t r = 0; r < g.n_rows; r++) { /* chunks that end where a row is compared */
        weir_step_result result;
        weir_step_part part = part_of(pages, g.tokens + pos, pos, g.rows[r] + 1 - pos);
        run_step(m, &part, 1, &result);
        assert_int_equal(weir_gpu_model_logits(m, 0, logits), 0);
        double error = relative_error(logits, g.logits + (size_t)r * g.n_vocab, g.n_vocab);
        worst = error > worst ? error : worst;
        pos = g.rows[r] + 1;
    }
    print_message("device %u, kv %u: relative error %.5f, llama.cpp %.5f\n", device, kv_type, worst,
                  (double)g.error);
    assert_true(worst < most);
    free(logits);
    free(g.logits);
    weir_gpu_model_unload(m);
}

static void logits_are_near_to_exact(void **state)
{
    (void)state;
    check_golden(WAVE_32, WEIR_KV_F16, 0.004);
    check_golden(WAVE_64, WEIR_KV_F16, 0.004);
    check_golden(WAVE_32, WEIR_KV_I8, 0.03);
}

/* Prefills a stream in pieces and gives the logits behind its last token. */
static void logits_behind(struct weir_gpu_model *m, const uint32_t *pages, const int32_t *tokens,
                          uint32_t n, uint32_t piece, float *logits)
{
    weir_step_result result;
    for (uint32_t pos = 0; pos < n; pos += piece) {
        uint32_t k = n - pos < piece ? n - pos : piece;
        weir_step_part part = part_of(pages, tokens + pos, pos, k);
        part.flags = pos + k == n ? WEIR_STEP_SAMPLE : 0;
        run_step(m, &part, 1, &result);
    }
    assert_int_equal(weir_gpu_model_logits(m, 0, logits), 0);
}

static void cuts_and_batches_change_little(void **state)
{
    (void)state;
    static const uint32_t pieces[] = {90, 23, 64, 1};
    struct golden g = read_golden();
    struct weir_gpu_model *m = load(WAVE_32);
    uint32_t pages[STREAMS][PAGES];
    float *alone = malloc(g.n_vocab * sizeof(float));
    float *other = malloc(g.n_vocab * sizeof(float));
    assert_non_null(alone);
    assert_non_null(other);
    for (uint32_t s = 0; s < STREAMS; s++) {
        number_pages(pages[s], s);
    }
    logits_behind(m, pages[4], g.tokens, 91, 91, alone);
    for (uint32_t i = 0; i < 4; i++) {
        logits_behind(m, pages[i], g.tokens, 91, pieces[i], other);
        assert_true(relative_error(other, alone, g.n_vocab) < 0.004);
    }
    /* The last token of all streams in one decode step; three times: eager, captured, replayed. */
    for (int round = 0; round < 3; round++) {
        weir_step_part parts[STREAMS];
        weir_step_result results[STREAMS];
        for (uint32_t s = 0; s < STREAMS; s++) {
            parts[s] = part_of(pages[s], g.tokens + 90, 90, 1);
        }
        uint32_t n = round == 1 ? 3 : STREAMS; /* with and without padding in between */
        run_step(m, parts, n, results);
        for (uint32_t s = 0; s < n; s++) {
            assert_int_equal(weir_gpu_model_logits(m, s, other), 0);
            assert_true(relative_error(other, alone, g.n_vocab) < 0.004);
            assert_int_equal(results[s].n_tokens, 1);
        }
    }
    free(alone);
    free(other);
    free(g.logits);
    weir_gpu_model_unload(m);
}

static void a_shared_prefix_is_read_from_other_pages(void **state)
{
    (void)state;
    enum { SHARED = 4 * WEIR_PAGE_TOKENS, N = 100 };
    struct golden g = read_golden();
    struct weir_gpu_model *m = load(WAVE_64);
    float *cold = malloc(g.n_vocab * sizeof(float));
    float *warm = malloc(g.n_vocab * sizeof(float));
    assert_non_null(cold);
    assert_non_null(warm);
    uint32_t pages[PAGES];
    uint32_t shared[PAGES];
    number_pages(pages, 0);
    number_pages(shared, 1);
    logits_behind(m, pages, g.tokens, N, N, cold);
    memcpy(shared, pages, SHARED / WEIR_PAGE_TOKENS * sizeof(pages[0]));
    weir_step_result result;
    weir_step_part part = part_of(shared, g.tokens + SHARED, SHARED, N - SHARED);
    run_step(m, &part, 1, &result);
    assert_int_equal(weir_gpu_model_logits(m, 0, warm), 0);
    assert_true(relative_error(warm, cold, g.n_vocab) < 0.004);
    free(cold);
    free(warm);
    free(g.logits);
    weir_gpu_model_unload(m);
}

static int32_t arg_max(const float *x, uint32_t n, const uint32_t *mask)
{
    int32_t best = -1;
    for (uint32_t i = 0; i < n; i++) {
        if ((!mask || (mask[i / 32] >> i % 32 & 1)) && (best < 0 || x[i] > x[best])) {
            best = (int32_t)i;
        }
    }
    return best;
}

/* Each row with wishes of its own, in one step. */
static void rows_are_sampled_as_each_asks(void **state)
{
    (void)state;
    struct golden g = read_golden();
    struct weir_gpu_model *m = load(WAVE_32);
    uint32_t pages[STREAMS][PAGES];
    float *logits = malloc(g.n_vocab * sizeof(float));
    uint32_t *mask = calloc((g.n_vocab + 31) / 32, sizeof(*mask));
    assert_non_null(logits);
    assert_non_null(mask);
    for (uint32_t s = 0; s < STREAMS; s++) {
        number_pages(pages[s], s);
        logits_behind(m, pages[s], g.tokens, 20, 20, logits);
    }
    const int32_t top = arg_max(logits, g.n_vocab, NULL);
    for (uint32_t i = 0; i < g.n_vocab; i += 3) {
        mask[i / 32] |= 1u << i % 32;
    }
    mask[top / 32] &= ~(1u << top % 32);
    const weir_logit_bias bias = {.token = 7, .bias = 1000.0f};
    const weir_sampling biased = {.struct_size = sizeof(biased),
                                  .top_p = 1,
                                  .typical_p = 1,
                                  .repetition_penalty = 1,
                                  .n_bias = 1,
                                  .bias = &bias};
    const weir_sampling penalised = {.struct_size = sizeof(penalised),
                                     .top_p = 1,
                                     .typical_p = 1,
                                     .repetition_penalty = 1,
                                     .presence_penalty = 1000.0f};
    const weir_sampling hot = {.struct_size = sizeof(hot),
                               .temperature = 1,
                               .top_k = 5,
                               .top_p = 1,
                               .typical_p = 1,
                               .repetition_penalty = 1,
                               .seed = 42};
    weir_step_part parts[STREAMS];
    weir_step_result results[STREAMS];
    weir_step_result again[STREAMS];
    for (uint32_t s = 0; s < STREAMS; s++) {
        parts[s] = part_of(pages[s], g.tokens + 19, 19, 1);
    }
    parts[0].mask = mask;
    parts[1].sampling = &biased;
    parts[2].sampling = &penalised;
    parts[2].history = &top;
    parts[2].n_history = 1;
    parts[3].flags |= WEIR_STEP_LOGPROBS;
    parts[3].n_top = 4;
    parts[4].sampling = &hot;
    run_step(m, parts, STREAMS, results);
    run_step(m, parts, STREAMS, again);

    assert_int_equal(weir_gpu_model_logits(m, 3, logits), 0);
    double sum = exp((double)logits[0] - logits[top]);
    for (uint32_t i = 1; i < g.n_vocab; i++) {
        sum += exp((double)logits[i] - logits[top]);
    }
    assert_int_equal(results[0].tokens[0], arg_max(logits, g.n_vocab, mask));
    assert_int_equal(results[1].tokens[0], 7);
    assert_int_not_equal(results[2].tokens[0], top);
    assert_int_equal(results[3].tokens[0], top);
    assert_int_equal(results[3].n_top, 4);
    assert_int_equal(results[3].top[0].token, top);
    assert_true(fabs(results[3].logprobs[0] + log(sum)) < 1e-3);
    assert_true(results[3].top[1].logprob <= results[3].top[0].logprob);
    assert_int_equal(results[4].tokens[0], again[4].tokens[0]);
    free(logits);
    free(mask);
    free(g.logits);
    weir_gpu_model_unload(m);
}

static void bad_parts_fail_alone(void **state)
{
    (void)state;
    struct weir_gpu_model *m = load(WAVE_32);
    const weir_model_info *info = weir_gpu_model_info(m);
    uint32_t pages[PAGES];
    uint32_t wild[PAGES];
    number_pages(pages, 0);
    number_pages(wild, 0);
    wild[0] = info->n_pages;
    const int32_t token = 7;
    const int32_t unknown = (int32_t)info->n_vocab;
    weir_step_part parts[] = {
        part_of(pages, &unknown, 0, 1),         part_of(wild, &token, 0, 1),
        part_of(pages, &token, info->n_ctx, 1), part_of(pages, &token, 0, 1),
        part_of(pages, &token, 0, 0),
    };
    weir_step_result results[5] = {{0}};
    weir_step_batch batch = {
        .struct_size = sizeof(batch), .part_size = sizeof(parts[0]), .parts = parts, .n_parts = 5};

    assert_int_equal(weir_gpu_model_step(m, &batch, results), 0);

    for (int i = 0; i < 5; i++) {
        assert_int_equal(results[i].rc, i == 3 ? 0 : WEIR_E_ARG);
        assert_int_equal(results[i].n_tokens, i == 3 ? 1 : 0);
    }
    weir_gpu_model_unload(m);
}

static int stop_at_once(void *arg, float fraction)
{
    (void)fraction;
    ++*(int *)arg;
    return 1;
}

static void a_load_can_be_given_up(void **state)
{
    (void)state;
    char path[512];
    path_of("gguf", path, sizeof(path));
    int n_calls = 0;
    weir_load_params params = {.struct_size = sizeof(params),
                               .file = weir_str_from(path),
                               .progress = stop_at_once,
                               .progress_arg = &n_calls};
    struct weir_gpu_options options;
    struct weir_gpu_model *m = NULL;
    struct weir_error err = {0};
    weir_gpu_options_init(&options);
    assert_int_equal(weir_gpu_model_load(&weir_emu_backend, &params, &options, &m, &err),
                     WEIR_E_CANCELLED);
    assert_null(m);
    assert_int_equal(n_calls, 1);
}

static void too_little_memory_is_refused_with_figures(void **state)
{
    (void)state;
    char path[512];
    path_of("gguf", path, sizeof(path));
    weir_load_params params = {
        .struct_size = sizeof(params), .n_ctx = CTX, .file = weir_str_from(path)};
    struct weir_gpu_options options;
    struct weir_gpu_model *m = NULL;
    struct weir_error err = {0};
    weir_gpu_options_init(&options);
    options.memory_bytes = 2 << 20;
    assert_int_equal(weir_gpu_model_load(&weir_emu_backend, &params, &options, &m, &err),
                     WEIR_E_NOMEM);
    assert_non_null(strstr(err.message, "has 2 MB for this model"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_near_to_exact),
        cmocka_unit_test(cuts_and_batches_change_little),
        cmocka_unit_test(a_shared_prefix_is_read_from_other_pages),
        cmocka_unit_test(rows_are_sampled_as_each_asks),
        cmocka_unit_test(bad_parts_fail_alone),
        cmocka_unit_test(a_load_can_be_given_up),
        cmocka_unit_test(too_little_memory_is_refused_with_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
