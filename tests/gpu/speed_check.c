/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gpu/speed_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/gpu/model.h"
#include "base/clock.h"
#include "engine/gguf/gguf.h"
#include "kernels/kv/kv_layout.h"
#include "tests/gpu/profile.h"
#include "tests/gpu/synthetic.h"

enum { PARTS_MAX = 64 };

void gpu_check_figure(const char *name, double value, const char *unit)
{
    printf("FIGURE %-44s %12.6g %s\n", name, value, unit);
    fflush(stdout);
}

int gpu_check_fail(const char *what, const struct weir_error *err)
{
    printf("FAILED %s: %s\n", what, err ? err->message : "");
    return 1;
}

/* Any tokens: only speed counts. */
void gpu_check_make_text(int32_t *tokens, uint32_t n, uint32_t n_vocab)
{
    uint32_t state = 12345;
    for (uint32_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((state >> 8) % (n_vocab < 6000 ? n_vocab : 6000));
    }
}

static double matmul_flops_per_token(const struct weir_hparams *hp)
{
    double q = (double)hp->n_head * hp->head_dim;
    double kv = (double)hp->n_head_kv * hp->head_dim;
    double layer = hp->n_embd * (q + 2 * kv) + q * hp->n_embd + 3.0 * hp->n_embd * hp->n_ff;
    return 2 * layer * hp->n_layer;
}

struct speed {
    struct weir_gpu_model *model;
    uint32_t n_parts, pages_each, n_vocab;
    double flops_per_token; /* of its matrices */
    uint32_t *pages;        /* [n_parts][pages_each] */
    int32_t *tokens;
};

/* What a host does beside the device: nothing but taking time. */
static void work_us(uint64_t duration_us)
{
    const uint64_t end_us = weir_clock_mono_us() + duration_us;
    while (weir_clock_mono_us() < end_us) {
    }
}

/* between_us: of work between the step's two halves; -1 takes it in one. */
static int step_around(const struct speed *s, uint32_t n_parts, uint32_t pos, uint32_t n_tokens,
                       int64_t between_us)
{
    static weir_step_part parts[PARTS_MAX];
    static weir_step_result results[PARTS_MAX];
    memset(results, 0, sizeof(results));
    for (uint32_t i = 0; i < n_parts; i++) {
        parts[i] = (weir_step_part){
            .slot = i,
            .flags = WEIR_STEP_SAMPLE,
            .pos = pos,
            .n_tokens = n_tokens,
            .tokens = s->tokens,
            .pages = s->pages + (size_t)i * s->pages_each,
            .n_pages = s->pages_each,
        };
    }
    weir_step_batch batch = {.struct_size = sizeof(batch),
                             .part_size = sizeof(parts[0]),
                             .parts = parts,
                             .n_parts = n_parts,
                             .n_tokens = n_parts * n_tokens};
    int rc = between_us < 0 ? weir_gpu_model_step(s->model, &batch, results)
                            : weir_gpu_model_begin(s->model, &batch, results);
    if (rc >= 0 && between_us >= 0) {
        work_us((uint64_t)between_us);
        rc = weir_gpu_model_end(s->model);
    }
    for (uint32_t i = 0; rc >= 0 && i < n_parts; i++) {
        rc = results[i].rc;
    }
    return rc;
}

static int step_all(const struct speed *s, uint32_t n_parts, uint32_t pos, uint32_t n_tokens)
{
    return step_around(s, n_parts, pos, n_tokens, -1);
}

/* Reads one figure of stats(). */
struct wanted {
    const char *name;
    double value;
};

static void take_stat(void *arg, const char *name, double value)
{
    struct wanted *w = arg;
    if (strcmp(w->name, name) == 0) {
        w->value = value;
    }
}

static double stat_of(struct weir_gpu_model *m, const char *name)
{
    struct wanted w = {name, 0};
    weir_gpu_model_stats(m, take_stat, &w);
    return w.value;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median time of a decode step at `pos`, in seconds. */
static int time_decode(const struct speed *s, uint32_t n_parts, uint32_t pos, uint32_t n_steps,
                       double *ret_s)
{
    enum { STEPS_MAX = 256 };
    double times[STEPS_MAX];
    for (uint32_t i = 0; i < 3; i++) { /* capture and warm up */
        int rc = step_all(s, n_parts, pos, 1);
        if (rc < 0) {
            return rc;
        }
    }
    for (uint32_t i = 0; i < n_steps; i++) {
        uint64_t begin_us = weir_clock_mono_us();
        int rc = step_all(s, n_parts, pos + i, 1);
        if (rc < 0) {
            return rc;
        }
        times[i] = (double)(weir_clock_mono_us() - begin_us) * 1e-6;
    }
    qsort(times, n_steps, sizeof(times[0]), by_size);
    *ret_s = times[n_steps / 2];
    return 0;
}

static int measure_decode(const struct speed *s, const char *type, uint32_t n_parts, uint32_t pos,
                          uint32_t n_steps, double *ret_s)
{
    char name[96];
    double seconds = 0;
    double busy = stat_of(s->model, "gpu_busy_seconds");
    double all = stat_of(s->model, "gpu_step_seconds");
    int rc = time_decode(s, n_parts, pos, n_steps, &seconds);
    if (rc < 0) {
        return rc;
    }
    busy = stat_of(s->model, "gpu_busy_seconds") - busy;
    all = stat_of(s->model, "gpu_step_seconds") - all;
    const weir_model_info *info = weir_gpu_model_info(s->model);
    double bytes = (double)info->step_bytes + (double)info->kv_bytes_per_token * pos * n_parts;
    snprintf(name, sizeof(name), "%s decode b%u pos %u: step", type, n_parts, pos);
    gpu_check_figure(name, seconds * 1e3, "ms");
    snprintf(name, sizeof(name), "%s decode b%u pos %u: tokens", type, n_parts, pos);
    gpu_check_figure(name, n_parts / seconds, "tok/s");
    snprintf(name, sizeof(name), "%s decode b%u pos %u: bytes read", type, n_parts, pos);
    gpu_check_figure(name, bytes / seconds * 1e-9, "GB/s");
    snprintf(name, sizeof(name), "%s decode b%u pos %u: rate", type, n_parts, pos);
    gpu_check_figure(name, s->flops_per_token * n_parts / seconds * 1e-12, "TFLOP/s");
    snprintf(name, sizeof(name), "%s decode b%u pos %u: host gap", type, n_parts, pos);
    gpu_check_figure(name, all > 0 ? 100 * (1 - busy / all) : 0, "%");
    *ret_s = seconds;
    return 0;
}

/* How much of the host's work hides behind the device when it is done between the halves of a step:
 * work of a quarter of a step, behind the step and within it. */
static int measure_overlap(const struct speed *s, const char *type, uint32_t n_parts, uint32_t pos,
                           uint32_t n_steps, double step_s)
{
    const uint64_t work = (uint64_t)(step_s * 1e6 / 4) + 1;
    uint64_t took_us[2] = {0, 0};
    int rc = 0;
    for (int within = 0; within < 2; within++) {
        const uint64_t begin_us = weir_clock_mono_us();
        for (uint32_t i = 0; rc >= 0 && i < n_steps; i++) {
            rc = step_around(s, n_parts, pos + i, 1, within ? (int64_t)work : -1);
            if (!within) {
                work_us(work);
            }
        }
        took_us[within] = weir_clock_mono_us() - begin_us;
    }
    if (rc >= 0) {
        char name[96];
        snprintf(name, sizeof(name), "%s decode b%u pos %u: host work hidden", type, n_parts, pos);
        gpu_check_figure(
            name, 100 * ((double)took_us[0] - (double)took_us[1]) / (double)(work * n_steps), "%");
    }
    return rc;
}

/* Attention alone: what a step with long sequences takes beyond one with short ones. */
static int measure_attention(const struct speed *s, const char *type, uint32_t n_parts,
                             uint32_t pos, uint32_t n_steps)
{
    char name[96];
    double near_s = 0;
    double far_s = 0;
    int rc = measure_decode(s, type, n_parts, 100, n_steps, &near_s);
    rc = rc < 0 ? rc : measure_decode(s, type, n_parts, pos, n_steps, &far_s);
    if (rc >= 0) {
        double bytes =
            (double)weir_gpu_model_info(s->model)->kv_bytes_per_token * (pos - 100) * n_parts;
        snprintf(name, sizeof(name), "%s attention b%u at %u: bytes read", type, n_parts, pos);
        gpu_check_figure(name, bytes / (far_s - near_s) * 1e-9, "GB/s");
    }
    return rc;
}

/* A prompt in steps of the most tokens that the model takes. */
static int measure_prefill(const struct speed *s, const char *type, const struct weir_hparams *hp,
                           uint32_t n_tokens)
{
    char name[96];
    const uint32_t step_tokens = weir_gpu_model_info(s->model)->max_step_tokens;
    double best = INFINITY;
    for (int round = 0; round < 3; round++) {
        uint64_t begin_us = weir_clock_mono_us();
        for (uint32_t pos = 0; pos < n_tokens; pos += step_tokens) {
            uint32_t n = n_tokens - pos < step_tokens ? n_tokens - pos : step_tokens;
            int rc = step_all(s, 1, pos, n);
            if (rc < 0) {
                return rc;
            }
        }
        double seconds = (double)(weir_clock_mono_us() - begin_us) * 1e-6;
        best = seconds < best ? seconds : best;
    }
    double attention = 2.0 * 2.0 * hp->n_layer * hp->n_head * hp->head_dim * n_tokens / 2.0;
    double flops = (matmul_flops_per_token(hp) + attention) * n_tokens;
    snprintf(name, sizeof(name), "%s prefill %u: tokens", type, n_tokens);
    gpu_check_figure(name, n_tokens / best, "tok/s");
    snprintf(name, sizeof(name), "%s prefill %u: rate", type, n_tokens);
    gpu_check_figure(name, flops / best * 1e-12, "TFLOP/s");
    return 0;
}

static int measure_all(struct speed *s, const char *type, const struct weir_hparams *hp,
                       bool is_tiny, bool with_long)
{
    const uint32_t steps = is_tiny ? 4 : 64;
    double seconds = 0;
    int rc = measure_decode(s, type, 1, 100, steps, &seconds);
    rc = rc < 0 ? rc : measure_decode(s, type, 8, 100, steps, &seconds);
    const uint32_t many = is_tiny ? 8 : 64;
    rc = rc < 0 ? rc : measure_decode(s, type, many, 200, steps, &seconds);
    rc = rc < 0 ? rc : measure_overlap(s, type, many, 200, steps, seconds);
    rc = rc < 0 ? rc : measure_prefill(s, type, hp, is_tiny ? 80 : 4096);
    if (rc >= 0 && with_long) {
        uint32_t pos = is_tiny ? 600 : 32768;
        rc = measure_attention(s, type, 1, pos, is_tiny ? 2 : 32);
        rc = rc < 0 ? rc : measure_attention(s, type, is_tiny ? 2 : 4, pos, is_tiny ? 2 : 32);
    }
    return rc;
}

/* Sequences share what is behind their own part of the pool: only speed counts here. */
static void spread_pages(struct speed *s, uint32_t n_pages)
{
    for (uint32_t i = 0; i < s->n_parts; i++) {
        for (uint32_t p = 0; p < s->pages_each; p++) {
            s->pages[(size_t)i * s->pages_each + p] =
                (uint32_t)(((uint64_t)i * 64 + p * 7ull) % n_pages);
        }
    }
}

/* Where the time of a step goes: one sequence, many, a piece of a prompt. */
static int profile_kernels(const struct speed *s, const char *type, bool is_tiny)
{
    enum { STEPS = 3 };
    const uint32_t prompt = weir_gpu_model_info(s->model)->max_step_tokens;
    const struct {
        uint32_t n_parts, pos, n_tokens;
    } cases[] = {{1, 100, 1}, {is_tiny ? 8 : 64, 200, 1}, {1, 0, prompt}};
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t n_parts = cases[i].n_parts;
        const uint32_t n_tokens = cases[i].n_tokens;
        char label[64];
        snprintf(label, sizeof(label), "%s b%u of %u", type, n_parts, n_tokens);
        rc = step_all(s, n_parts, cases[i].pos, n_tokens); /* loads the kernels */
        gpu_profile_begin();
        for (uint32_t k = 0; rc >= 0 && k < STEPS; k++) {
            rc = step_all(s, n_parts, cases[i].pos, n_tokens);
        }
        rc = rc < 0 ? rc : gpu_profile_print(label, STEPS);
    }
    return rc;
}

/* What is taken of a model that is loaded. */
enum figures { WHOLE, WHOLE_AND_LONG, BATCH, KERNELS };

static int measure(struct speed *s, const char *label, const struct weir_hparams *hp, bool is_tiny,
                   enum figures figures)
{
    double seconds = 0;
    if (figures == KERNELS) {
        return profile_kernels(s, label, is_tiny);
    }
    if (figures == BATCH) {
        return measure_decode(s, label, s->n_parts, 200, is_tiny ? 4 : 64, &seconds);
    }
    return measure_all(s, label, hp, is_tiny, figures == WHOLE_AND_LONG);
}

/* Loads the model and measures it. */
static int run(const struct weir_gpu_backend *backend, const struct weir_model *source,
               const char *label, bool is_tiny, uint32_t n_devices, enum figures figures)
{
    const uint32_t n_ctx = is_tiny ? 1024 : figures == BATCH ? 512 : 33024;
    weir_load_params params = {
        .struct_size = sizeof(params),
        .n_ctx = n_ctx,
        .max_sequences = is_tiny ? 8 : PARTS_MAX,
        .max_step_tokens = is_tiny ? 64 : 2048,
        .devices = (const uint32_t[]){0, 1},
        .n_devices = n_devices,
    };
    struct weir_gpu_options options;
    struct weir_error err = {0};
    weir_gpu_options_init(&options);
    options.use_graphs = figures != KERNELS;
    struct speed s = {.n_parts = params.max_sequences};
    s.flops_per_token = matmul_flops_per_token(&source->hparams);
    uint64_t begin_us = weir_clock_mono_us();
    int rc = weir_gpu_model_create(backend, source, &params, &options, &s.model, &err);
    if (rc < 0) {
        return gpu_check_fail("load", &err);
    }
    char name[96];
    const weir_model_info *info = weir_gpu_model_info(s.model);
    double load_s = (double)(weir_clock_mono_us() - begin_us) * 1e-6;
    snprintf(name, sizeof(name), "%s load", label);
    gpu_check_figure(name, load_s, "s");
    snprintf(name, sizeof(name), "%s weights", label);
    gpu_check_figure(name, (double)info->weight_bytes * 1e-9, "GB");

    s.pages_each = (params.n_ctx + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS;
    s.pages = calloc((size_t)s.n_parts * s.pages_each, sizeof(*s.pages));
    s.tokens = calloc(params.max_step_tokens, sizeof(*s.tokens));
    if (s.pages && s.tokens) {
        spread_pages(&s, info->n_pages);
        gpu_check_make_text(s.tokens, params.max_step_tokens, source->hparams.n_vocab);
        rc = measure(&s, label, &source->hparams, is_tiny, figures);
    } else {
        rc = WEIR_E_NOMEM;
    }
    weir_gpu_model_unload(s.model);
    free(s.pages);
    free(s.tokens);
    printf("%s speed %s\n", rc < 0 ? "FAILED" : "PASSED", label);
    return rc < 0;
}

/* NULL: no such type, or no memory; said. */
static struct synthetic *make_synthetic(const char *type, bool is_tiny)
{
    static const struct {
        const char *name;
        uint32_t type;
    } types[] = {{"F16", WEIR_TENSOR_F16},
                 {"Q8_0", WEIR_TENSOR_Q8_0},
                 {"Q4_K", WEIR_TENSOR_Q4_K},
                 {"Q4_0", WEIR_TENSOR_Q4_0}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, type) == 0) {
            struct synthetic *made =
                synthetic_create(is_tiny ? &synthetic_tiny : &synthetic_8b, types[i].type);
            if (!made) {
                printf("FAILED no memory for the synthetic model\n");
            }
            return made;
        }
    }
    printf("FAILED %s: no such type\n", type);
    return NULL;
}

static int run_synthetic(const struct weir_gpu_backend *backend, const char *type,
                         const char *label, bool is_tiny, uint32_t n_devices, enum figures figures)
{
    struct synthetic *source = make_synthetic(type, is_tiny);
    if (!source) {
        return 1;
    }
    int status = run(backend, synthetic_model(source), label, is_tiny, n_devices, figures);
    synthetic_destroy(source);
    return status;
}

int gpu_check_speed(const struct weir_gpu_backend *backend, const char *type, bool is_tiny,
                    uint32_t n_devices)
{
    char label[32];
    snprintf(label, sizeof(label), "%s%s", type, n_devices > 1 ? " on two" : "");
    const bool with_long = n_devices == 1 && (strcmp(type, "F16") == 0 || is_tiny);
    return run_synthetic(backend, type, label, is_tiny, n_devices,
                         with_long ? WHOLE_AND_LONG : WHOLE);
}

int gpu_check_profile(const struct weir_gpu_backend *backend, const char *type, bool is_tiny)
{
    return run_synthetic(gpu_profile_of(backend), type, type, is_tiny, 1, KERNELS);
}

int gpu_check_batch(const struct weir_gpu_backend *backend, const char *path, bool is_tiny)
{
    struct weir_error err = {0};
    struct weir_gguf *gguf = NULL;
    struct weir_model source = {0};
    if (weir_gguf_open(path, &gguf, &err) < 0) {
        return gpu_check_fail("open", &err);
    }
    int status = weir_model_init(&source, gguf, &err) < 0
                     ? gpu_check_fail("read", &err)
                     : run(backend, &source, "file", is_tiny, 1, BATCH);
    weir_model_finish(&source);
    weir_gguf_destroy(gguf);
    return status;
}
