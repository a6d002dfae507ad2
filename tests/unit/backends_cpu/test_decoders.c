/* SPDX-License-Identifier: Apache-2.0 */
/* Small models of every architecture against golden logits, and batch invariance: the same bits
 * alone, in a batch, in chunks, and over shared pages. Runs on every instruction set of the
 * machine; `test_decoders --short` leaves out what takes minutes under an emulator. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/model.h"

enum { STREAMS = 16, ROWS_MAX = 16, GOLDEN_TOKENS = 300, GEN = 12 };

static const char *const names[] = {"llama", "qwen2", "qwen3", "gemma3"};
static const char *const isas[] = {"avx512+vnni", "avx512", "avx2", "neon+i8mm", "neon", "scalar"};
enum { N_ISAS = sizeof(isas) / sizeof(isas[0]) };
static const char *const kv_types[] = {"f16", "int8"};
static int is_short;

struct golden {
    uint32_t n_tokens, n_rows, n_vocab;
    float error; /* of llama.cpp */
    int32_t tokens[GOLDEN_TOKENS];
    uint32_t rows[ROWS_MAX];
    float *logits;
};

static void path_of(const char *name, const char *suffix, char *path, size_t n)
{
    snprintf(path, n, "%s/tests/golden/decoders/%s.%s", WEIR_SOURCE_DIR, name, suffix);
}

static struct golden read_golden(const char *name)
{
    char path[512];
    struct golden g;
    path_of(name, "bin", path, sizeof(path));
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

/* NULL when the machine lacks the instruction set. */
static struct weir_cpu_model *load(const char *name, const char *isa, const char *kv_type,
                                   uint32_t n_threads)
{
    if (!weir_cpu_isa_find(isa) || !weir_cpu_ops_find(isa)) {
        return NULL;
    }
    char path[512];
    char options[64];
    path_of(name, "gguf", path, sizeof(path));
    snprintf(options, sizeof(options), "{\"isa\":\"%s\",\"kv_type\":\"%s\"}", isa, kv_type);
    weir_load_params params = {
        .struct_size = sizeof(params),
        .n_threads = n_threads,
        .max_sequences = STREAMS,
        .max_step_tokens = 320,
        .n_ctx = 400,
        .file = weir_str_from(path),
        .options_json = weir_str_from(options),
    };
    struct weir_cpu_model *m = NULL;
    struct weir_error err = {0};
    int rc = weir_cpu_model_load(NULL, &params, &m, &err);
    if (rc < 0) {
        print_message("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    return m;
}

static void run_step(struct weir_cpu_model *m, const weir_step_part *parts, uint32_t n_parts,
                     weir_step_result *results)
{
    weir_step_batch batch = {.struct_size = sizeof(batch),
                             .part_size = sizeof(*parts),
                             .parts = parts,
                             .n_parts = n_parts};
    memset(results, 0, n_parts * sizeof(*results));
    assert_int_equal(weir_cpu_model_step(m, &batch, results), 0);
    for (uint32_t i = 0; i < n_parts; i++) {
        assert_int_equal(results[i].rc, 0);
    }
}

/* One sequence's part, with the sequence's own pages from `first_page` on. */
static weir_step_part part_of(const uint32_t *pages, uint32_t slot, const int32_t *tokens,
                              uint32_t pos, uint32_t n)
{
    return (weir_step_part){
        .slot = slot,
        .flags = WEIR_STEP_SAMPLE,
        .pos = pos,
        .n_tokens = n,
        .tokens = tokens,
        .pages = pages,
        .n_pages = 400 / WEIR_PAGE_TOKENS,
    };
}

static void number_pages(uint32_t *pages, uint32_t slot)
{
    for (uint32_t i = 0; i < 400 / WEIR_PAGE_TOKENS; i++) {
        pages[i] = slot * (400 / WEIR_PAGE_TOKENS) + i;
    }
}

static void check_golden(const char *name, const char *isa)
{
    struct weir_cpu_model *m = load(name, isa, "f16", 2);
    if (!m) {
        return;
    }
    struct golden g = read_golden(name);
    uint32_t pages[400 / WEIR_PAGE_TOKENS];
    number_pages(pages, 3);
    double distance = 0;
    double length = 0;
    uint32_t pos = 0;
    uint32_t n_rows = strcmp(isa, "scalar") == 0 ? 7 : g.n_rows; /* it is slow */
    for (uint32_t r = 0; r < n_rows; r++) { /* chunks that end where a row is compared */
        weir_step_result result;
        weir_step_part part = part_of(pages, 0, g.tokens + pos, pos, g.rows[r] + 1 - pos);
        run_step(m, &part, 1, &result);
        const float *logits = weir_cpu_model_logits(m, 0);
        for (uint32_t i = 0; i < g.n_vocab; i++) {
            double want = g.logits[(size_t)r * g.n_vocab + i];
            distance += (logits[i] - want) * (logits[i] - want);
            length += want * want;
        }
        pos = g.rows[r] + 1;
    }
    double error = sqrt(distance / length);
    print_message("%s %s: relative error %.5f, llama.cpp %.5f\n", name, isa, error,
                  (double)g.error);
    assert_true(error <= 1.1 * g.error);
    free(g.logits);
    weir_cpu_model_unload(m);
}

static void logits_are_as_near_to_exact_as_llama_cpp(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < N_ISAS; k++) {
            check_golden(names[i], isas[k]);
        }
    }
}

/* Greedy continuation of one prompt, the prompt in pieces of `piece`; keeps every row of logits. */
static void run_alone(struct weir_cpu_model *m, const uint32_t *pages, const int32_t *prompt,
                      uint32_t n_prompt, uint32_t piece, int32_t *tokens, float *logits)
{
    weir_step_result result;
    for (uint32_t pos = 0; pos < n_prompt; pos += piece) {
        uint32_t n = n_prompt - pos < piece ? n_prompt - pos : piece;
        weir_step_part part = part_of(pages, 0, prompt + pos, pos, n);
        part.flags = pos + n == n_prompt ? WEIR_STEP_SAMPLE : 0;
        run_step(m, &part, 1, &result);
    }
    for (uint32_t i = 0; i < GEN; i++) {
        tokens[i] = result.tokens[0];
        memcpy(logits + (size_t)i * m->info.n_vocab, weir_cpu_model_logits(m, 0),
               m->info.n_vocab * sizeof(float));
        if (i + 1 < GEN) {
            weir_step_part part = part_of(pages, 0, &tokens[i], n_prompt + i, 1);
            run_step(m, &part, 1, &result);
        }
    }
}

static void check_pieces(struct weir_cpu_model *m, const int32_t *prompt, uint32_t n_prompt)
{
    static const uint32_t pieces[] = {1, 23, 64};
    const size_t n_bytes = (size_t)GEN * m->info.n_vocab * sizeof(float);
    float *whole = malloc(n_bytes);
    float *cut = malloc(n_bytes);
    assert_non_null(whole);
    assert_non_null(cut);
    uint32_t pages[400 / WEIR_PAGE_TOKENS];
    int32_t want[GEN];
    number_pages(pages, 0);
    run_alone(m, pages, prompt, n_prompt, n_prompt, want, whole);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        int32_t got[GEN];
        number_pages(pages, 1 + (uint32_t)i);
        run_alone(m, pages, prompt, n_prompt, pieces[i], got, cut);
        assert_memory_equal(got, want, sizeof(got));
        assert_memory_equal(cut, whole, n_bytes);
    }
    free(whole);
    free(cut);
}

/* Sixteen sequences of different lengths, prefilled one step and decoded in the next together. */
static void check_batch(struct weir_cpu_model *m, const int32_t *prompt)
{
    const uint32_t n_vocab = m->info.n_vocab;
    const size_t n_bytes = (size_t)GEN * n_vocab * sizeof(float);
    float *alone = malloc(STREAMS * n_bytes);
    assert_non_null(alone);
    static uint32_t pages[STREAMS][400 / WEIR_PAGE_TOKENS];
    int32_t want[STREAMS][GEN];
    uint32_t lengths[STREAMS];
    for (uint32_t s = 0; s < STREAMS; s++) {
        lengths[s] = 1 + (s * 37) % 280;
        number_pages(pages[s], s);
        run_alone(m, pages[s], prompt + s, lengths[s], 64, want[s], alone + s * n_bytes / 4);
    }
    weir_step_part parts[STREAMS];
    weir_step_result results[STREAMS];
    int32_t last[STREAMS];
    for (uint32_t s = 0; s < STREAMS; s++) { /* all but the last prompt token */
        for (uint32_t pos = 0; pos + 1 < lengths[s]; pos += 40) {
            uint32_t n = lengths[s] - 1 - pos < 40 ? lengths[s] - 1 - pos : 40;
            parts[0] = part_of(pages[s], s, prompt + s + pos, pos, n);
            parts[0].flags = 0;
            run_step(m, parts, 1, results);
        }
        last[s] = prompt[s + lengths[s] - 1];
    }
    for (uint32_t i = 0; i < GEN; i++) {
        for (uint32_t s = 0; s < STREAMS; s++) {
            parts[s] = part_of(pages[s], s, &last[s], lengths[s] - 1 + i, 1);
        }
        run_step(m, parts, STREAMS, results);
        for (uint32_t s = 0; s < STREAMS; s++) {
            last[s] = results[s].tokens[0];
            assert_int_equal(last[s], want[s][i]);
            assert_memory_equal(weir_cpu_model_logits(m, s),
                                alone + s * n_bytes / 4 + (size_t)i * n_vocab,
                                n_vocab * sizeof(float));
        }
    }
    free(alone);
}

/* A prompt that begins with another sequence's full pages. */
static void check_shared_prefix(struct weir_cpu_model *m, const int32_t *prompt)
{
    enum { SHARED = 6 * WEIR_PAGE_TOKENS, N = 150 };
    const size_t n_bytes = (size_t)GEN * m->info.n_vocab * sizeof(float);
    float *cold = malloc(n_bytes);
    float *warm = malloc(n_bytes);
    assert_non_null(cold);
    assert_non_null(warm);
    uint32_t pages[400 / WEIR_PAGE_TOKENS];
    int32_t want[GEN];
    int32_t got[GEN];
    number_pages(pages, 0);
    run_alone(m, pages, prompt, N, N, want, cold);
    uint32_t shared[400 / WEIR_PAGE_TOKENS];
    number_pages(shared, 5);
    memcpy(shared, pages, SHARED / WEIR_PAGE_TOKENS * sizeof(pages[0]));
    weir_step_result result;
    weir_step_part part = part_of(shared, 1, prompt + SHARED, SHARED, N - SHARED);
    run_step(m, &part, 1, &result);
    for (uint32_t i = 0; i < GEN; i++) {
        got[i] = result.tokens[0];
        memcpy(warm + (size_t)i * m->info.n_vocab, weir_cpu_model_logits(m, 0),
               m->info.n_vocab * sizeof(float));
        part = part_of(shared, 1, &got[i], N + i, 1);
        run_step(m, &part, 1, &result);
    }
    assert_memory_equal(got, want, sizeof(got));
    assert_memory_equal(warm, cold, n_bytes);
    free(cold);
    free(warm);
}

static void results_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    if (is_short) {
        skip();
    }
    for (size_t i = 0; i < 4; i++) {
        struct golden g = read_golden(names[i]);
        for (uint32_t k = 0; k + 1 < N_ISAS; k++) { /* scalar has no tiles of several rows */
            struct weir_cpu_model *m =
                load(names[i], isas[k], kv_types[(i + k) % 2], 1 + k % 2 + (uint32_t)i % 2);
            if (m) {
                check_pieces(m, g.tokens, 270);
                check_batch(m, g.tokens);
                check_shared_prefix(m, g.tokens);
                weir_cpu_model_unload(m);
            }
        }
        free(g.logits);
    }
}

static void bad_parts_fail_alone(void **state)
{
    (void)state;
    struct weir_cpu_model *m = load("llama", weir_cpu_isa_find(NULL)->name, "f16", 1);
    assert_non_null(m);
    uint32_t pages[400 / WEIR_PAGE_TOKENS];
    uint32_t wild[400 / WEIR_PAGE_TOKENS];
    number_pages(pages, 0);
    number_pages(wild, 0);
    wild[0] = m->info.n_pages;
    const int32_t token = 7;
    const int32_t unknown = (int32_t)m->info.n_vocab;
    weir_step_part parts[] = {
        part_of(pages, 0, &unknown, 0, 1),
        part_of(wild, 1, &token, 0, 1),
        part_of(pages, 2, &token, m->info.n_ctx, 1),
        part_of(pages, 3, &token, 0, 1),
        part_of(pages, 4, &token, 0, 0),
    };
    weir_step_result results[5] = {{0}};
    weir_step_batch batch = {
        .struct_size = sizeof(batch), .part_size = sizeof(parts[0]), .parts = parts, .n_parts = 5};

    assert_int_equal(weir_cpu_model_step(m, &batch, results), 0);

    for (int i = 0; i < 5; i++) {
        assert_int_equal(results[i].rc, i == 3 ? 0 : WEIR_E_ARG);
        assert_int_equal(results[i].n_tokens, i == 3 ? 1 : 0);
    }
    weir_cpu_model_unload(m);
}

/* Counted by the linker's --wrap: every allocation of the backend and the engine. */
static size_t n_allocations;

void *__real_malloc(size_t n_bytes);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n_bytes);
void *__wrap_malloc(size_t n_bytes);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n_bytes);

void *__wrap_malloc(size_t n_bytes)
{
    n_allocations++;
    return __real_malloc(n_bytes);
}

void *__wrap_calloc(size_t n, size_t size)
{
    n_allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n_bytes)
{
    n_allocations++;
    return __real_realloc(p, n_bytes);
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    struct weir_cpu_model *m = load("gemma3", weir_cpu_isa_find(NULL)->name, "int8", 2);
    assert_non_null(m);
    uint32_t pages[400 / WEIR_PAGE_TOKENS];
    int32_t tokens[64] = {1, 2, 3};
    const weir_sampling sampling = {.struct_size = sizeof(sampling),
                                    .temperature = 1.0f,
                                    .top_k = 40,
                                    .top_p = 0.9f,
                                    .typical_p = 0.95f,
                                    .min_p = 0.01f,
                                    .repetition_penalty = 1.1f};
    number_pages(pages, 0);
    size_t before = n_allocations;

    for (uint32_t i = 0; i < 20; i++) {
        weir_step_result result;
        weir_step_part part = part_of(pages, 0, tokens, i * 10, i % 2 ? 1 : 10);
        part.flags |= WEIR_STEP_LOGPROBS;
        part.n_top = 5;
        part.sampling = &sampling;
        part.history = tokens;
        part.n_history = 64;
        part.sample_index = i;
        run_step(m, &part, 1, &result);
    }

    assert_int_equal(n_allocations, before);
    weir_cpu_model_unload(m);
}

static void *interrupt_later(void *arg)
{
    weir_cpu_exec_cancel(&((struct weir_cpu_model *)arg)->exec);
    return NULL;
}

/* Whenever the interrupt comes, a step ends cleanly and the next one works. */
static void a_step_can_be_interrupted(void **state)
{
    (void)state;
    struct weir_cpu_model *m = load("gemma3", weir_cpu_isa_find(NULL)->name, "f16", 3);
    assert_non_null(m);
    struct golden g = read_golden("gemma3");
    uint32_t pages[400 / WEIR_PAGE_TOKENS];
    number_pages(pages, 0);
    int n_cancelled = 0;
    for (int i = 0; i < 50; i++) {
        weir_step_result result = {0};
        weir_step_part part = part_of(pages, 0, g.tokens, 0, 200);
        weir_step_batch batch = {
            .struct_size = sizeof(batch), .part_size = sizeof(part), .parts = &part, .n_parts = 1};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, interrupt_later, m), 0);
        int rc = weir_cpu_model_step(m, &batch, &result);
        pthread_join(thread, NULL);
        assert_true(rc == 0 || rc == WEIR_E_CANCELLED);
        n_cancelled += rc == WEIR_E_CANCELLED;
    }
    print_message("%d of 50 steps were interrupted\n", n_cancelled);
    weir_step_result result;
    weir_step_part part = part_of(pages, 0, g.tokens, 0, 20);
    run_step(m, &part, 1, &result);
    free(g.logits);
    weir_cpu_model_unload(m);
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
    path_of("llama", "gguf", path, sizeof(path));
    int n_calls = 0;
    weir_load_params params = {.struct_size = sizeof(params),
                               .n_threads = 2,
                               .file = weir_str_from(path),
                               .progress = stop_at_once,
                               .progress_arg = &n_calls};
    struct weir_cpu_model *m = NULL;
    struct weir_error err = {0};
    assert_int_equal(weir_cpu_model_load(NULL, &params, &m, &err), WEIR_E_CANCELLED);
    assert_null(m);
    assert_int_equal(n_calls, 1);
}

int main(int argc, char **argv)
{
    is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_as_near_to_exact_as_llama_cpp),
        cmocka_unit_test(results_do_not_depend_on_the_batch),
        cmocka_unit_test(bad_parts_fail_alone),
        cmocka_unit_test(a_load_can_be_given_up),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(a_step_can_be_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
