/* SPDX-License-Identifier: Apache-2.0 */
/* Checks and measures the GPU backend on a device, through the step interface and nothing else.
 *
 *     model_check BACKEND same MODEL.gguf [EXACT]   logits and greedy text against the CPU backend,
 *                                              and logits against exact ones (make_exact.py)
 *     model_check BACKEND speed TYPE [TINY]    an 8B-shaped synthetic model: decode, prefill, long
 *                                              attention, host gap
 *
 * BACKEND is cuda, hip or emu; TYPE is F16, Q8_0, Q4_K or Q4_0. Every figure is one line
 * "name value unit", for the table that scripts/gpu-check prints. Exit 1: something is wrong. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/model.h"
#include "backends/gpu/model.h"
#include "base/clock.h"
#include "engine/gguf/gguf.h"
#include "engine/tokenizer/tokenizer.h"
#include "kernels/kv/kv_layout.h"
#include "tests/gpu/backends.h"
#include "tests/gpu/synthetic.h"

enum { TEXT_TOKENS = 192, GREEDY_TOKENS = 48, PAGES_MAX = 1 << 16, PARTS_MAX = 64 };

static void figure(const char *name, double value, const char *unit)
{
    printf("FIGURE %-44s %12.6g %s\n", name, value, unit);
    fflush(stdout);
}

static int fail(const char *what, const struct weir_error *err)
{
    printf("FAILED %s: %s\n", what, err ? err->message : "");
    return 1;
}

/* ---- against the CPU backend ---- */

typedef int (*step_fn)(void *model, const weir_step_batch *batch, weir_step_result *results);
typedef int (*logits_fn)(void *model, float *out);

struct runner {
    const char *name;
    void *model;
    step_fn step;
    logits_fn logits;
    uint32_t n_vocab;
    uint32_t pages[PAGES_MAX];
};

static int cpu_step(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    return weir_cpu_model_step(model, batch, results);
}

static int cpu_logits(void *model, float *out)
{
    const struct weir_cpu_model *m = model;
    memcpy(out, weir_cpu_model_logits(m, 0), m->info.n_vocab * sizeof(float));
    return 0;
}

static int gpu_step(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    return weir_gpu_model_step(model, batch, results);
}

static int gpu_logits(void *model, float *out)
{
    return weir_gpu_model_logits(model, 0, out);
}

static int run_part(struct runner *r, const int32_t *tokens, uint32_t pos, uint32_t n,
                    int32_t *ret_next)
{
    weir_step_part part = {
        .flags = WEIR_STEP_SAMPLE,
        .pos = pos,
        .n_tokens = n,
        .tokens = tokens,
        .pages = r->pages,
        .n_pages = (pos + n + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS,
    };
    weir_step_result result = {0};
    weir_step_batch batch = {.struct_size = sizeof(batch),
                             .part_size = sizeof(part),
                             .parts = &part,
                             .n_parts = 1,
                             .n_tokens = n};
    int rc = r->step(r->model, &batch, &result);
    rc = rc < 0 ? rc : result.rc;
    *ret_next = result.tokens[0];
    return rc;
}

static double log_sum_exp(const float *x, uint32_t n)
{
    double max = x[0];
    for (uint32_t i = 1; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    double sum = exp(x[0] - max);
    for (uint32_t i = 1; i < n; i++) {
        sum += exp(x[i] - max);
    }
    return max + log(sum);
}

/* Of softmax(q) from softmax(p). */
static double divergence(const float *p, const float *q, uint32_t n)
{
    double lp = log_sum_exp(p, n);
    double lq = log_sum_exp(q, n);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += exp(p[i] - lp) * ((p[i] - lp) - (q[i] - lq));
    }
    return sum;
}

static const char TEXT[] =
    "The river had been rising for three days before anyone in the village thought to move the "
    "boats. It was spring, and in spring the water always came up a little, carrying branches and "
    "old leaves and now and then a plank from some bridge far up in the hills. The children stood "
    "on the wall and counted what went by. Their grandmother, who had seen the flood of her own "
    "childhood, said nothing, but on the second evening she carried the good chairs up to the loft "
    "and tied the goats to the apple tree behind the church.\n\nOn the morning of the fourth day "
    "the sound of the water changed. It was lower now, almost a hum, and the birds had gone quiet. "
    "The teacher rang the bell, and everyone who could walk came to the square with ropes and "
    "buckets. They worked until it was dark, building a line of sacks from the mill to the old "
    "stone gate, and when the wave finally came it rose to within a hand of the top and stayed "
    "there all night. In the morning the sun came out, and the fields were a lake as far as anyone "
    "could see.";

/* TEXT as tokens of the model file. */
static int read_text(const char *path, int32_t *tokens, uint32_t *n_tokens)
{
    struct weir_error err = {0};
    struct weir_gguf *file = NULL;
    struct weir_tokenizer *tokenizer = NULL;
    size_t n = 0;
    int rc = weir_gguf_open(path, &file, &err);
    rc = rc < 0 ? rc : weir_tokenizer_create(file, &tokenizer, &err);
    if (rc >= 0) {
        rc = weir_tokenizer_encode(tokenizer, weir_str_from(TEXT), 0, (uint32_t *)tokens, *n_tokens,
                                   &n);
        rc = rc == WEIR_E_TOOBIG ? 0 : rc; /* the first ones are enough */
        *n_tokens = n < *n_tokens ? (uint32_t)n : *n_tokens;
    }
    weir_tokenizer_destroy(tokenizer);
    weir_gguf_destroy(file);
    return rc;
}

/* Any tokens: only speed counts. */
static void make_text(int32_t *tokens, uint32_t n, uint32_t n_vocab)
{
    uint32_t state = 12345;
    for (uint32_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((state >> 8) % (n_vocab < 6000 ? n_vocab : 6000));
    }
}

struct comparison {
    double sum, max;
    uint32_t n, n_top_equal;
};

static int compare_at(struct runner *cpu, struct runner *gpu, const int32_t *tokens, uint32_t pos,
                      uint32_t n, float *a, float *b, struct comparison *c)
{
    int32_t next_cpu = 0;
    int32_t next_gpu = 0;
    int rc = run_part(cpu, tokens + pos, pos, n, &next_cpu);
    rc = rc < 0 ? rc : run_part(gpu, tokens + pos, pos, n, &next_gpu);
    rc = rc < 0 ? rc : cpu->logits(cpu->model, a);
    rc = rc < 0 ? rc : gpu->logits(gpu->model, b);
    if (rc < 0) {
        return rc;
    }
    double kl = divergence(a, b, cpu->n_vocab);
    c->sum += kl;
    c->max = kl > c->max || kl != kl ? kl : c->max;
    c->n_top_equal += next_cpu == next_gpu;
    c->n++;
    return 0;
}

/* Prompts in pieces (prefill) and single tokens (decode) over the same positions. */
static int compare_logits(struct runner *cpu, struct runner *gpu, const int32_t *tokens,
                          uint32_t n_tokens, uint32_t n_single)
{
    static const uint32_t pieces[] = {1, 7, 16, 33, 64};
    float *a = malloc(cpu->n_vocab * sizeof(*a));
    float *b = malloc(cpu->n_vocab * sizeof(*b));
    struct comparison prefill = {0};
    struct comparison decode = {0};
    int rc = a && b ? 0 : WEIR_E_NOMEM;
    uint32_t pos = 0;
    for (uint32_t i = 0; rc >= 0 && pos < n_tokens - n_single; i++) {
        uint32_t left = n_tokens - n_single - pos;
        uint32_t n = pieces[i % 5] < left ? pieces[i % 5] : left;
        rc = compare_at(cpu, gpu, tokens, pos, n, a, b, &prefill);
        pos += n;
    }
    for (; rc >= 0 && pos < n_tokens; pos++) {
        rc = compare_at(cpu, gpu, tokens, pos, 1, a, b, &decode);
    }
    free(a);
    free(b);
    if (rc < 0) {
        return rc;
    }
    figure("prefill: mean KL from the CPU backend", prefill.sum / prefill.n, "nats");
    figure("prefill: largest KL", prefill.max, "nats");
    figure("decode: mean KL from the CPU backend", decode.sum / decode.n, "nats");
    figure("decode: largest KL", decode.max, "nats");
    figure("same most likely token",
           (double)(prefill.n_top_equal + decode.n_top_equal) / (prefill.n + decode.n), "of 1");
    /* The CPU backend rounds activations to 8 bits; most of the distance is its own. */
    bool good = prefill.sum / prefill.n < 3e-3 && decode.sum / decode.n < 3e-3;
    return good ? 0 : WEIR_E_DEVICE;
}

/* What make_exact.py wrote: logits behind some tokens of a text. */
struct exact {
    uint32_t n_tokens, n_rows, n_vocab;
    int32_t *tokens;
    uint32_t *rows;
    float *logits; /* [n_rows][n_vocab] */
};

static int read_exact(const char *path, struct exact *e)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return WEIR_E_IO;
    }
    uint32_t head[3] = {0};
    bool good = fread(head, sizeof(head[0]), 3, f) == 3 && head[0] <= 4096 && head[1] <= 256 &&
                head[2] <= 1u << 20;
    *e = (struct exact){.n_tokens = head[0], .n_rows = head[1], .n_vocab = head[2]};
    if (good) {
        size_t n = (size_t)e->n_rows * e->n_vocab;
        e->tokens = malloc(e->n_tokens * sizeof(*e->tokens));
        e->rows = malloc(e->n_rows * sizeof(*e->rows));
        e->logits = malloc(n * sizeof(*e->logits));
        good = e->tokens && e->rows && e->logits &&
               fread(e->tokens, sizeof(*e->tokens), e->n_tokens, f) == e->n_tokens &&
               fread(e->rows, sizeof(*e->rows), e->n_rows, f) == e->n_rows &&
               fread(e->logits, sizeof(*e->logits), n, f) == n;
    }
    fclose(f);
    return good ? 0 : WEIR_E_FORMAT;
}

/* A row is reached by one part from the row before: single tokens are decoding, else prefill. */
static int compare_exact(struct runner *r, const struct exact *e, const char *who)
{
    struct comparison sums[2] = {{0}}; /* prefill, decode */
    float *logits = malloc(e->n_vocab * sizeof(*logits));
    int rc = !logits ? WEIR_E_NOMEM : e->n_vocab == r->n_vocab ? 0 : WEIR_E_ARG;
    uint32_t pos = 0;
    for (uint32_t i = 0; rc >= 0 && i < e->n_rows; i++) {
        uint32_t n = e->rows[i] + 1 - pos;
        int32_t next = 0;
        rc = run_part(r, e->tokens + pos, pos, n, &next);
        rc = rc < 0 ? rc : r->logits(r->model, logits);
        if (rc >= 0) {
            struct comparison *c = &sums[n == 1];
            c->sum += divergence(e->logits + (size_t)i * e->n_vocab, logits, e->n_vocab);
            c->n++;
        }
        pos += n;
    }
    free(logits);
    static const char *const kinds[] = {"prefill", "decode"};
    bool good = true;
    for (int k = 0; rc >= 0 && k < 2; k++) {
        char name[96];
        double kl = sums[k].n ? sums[k].sum / sums[k].n : 0;
        snprintf(name, sizeof(name), "%s: mean KL from exact%s", kinds[k], who);
        figure(name, kl, "nats");
        good = good && kl < 1e-3;
    }
    return rc < 0 ? rc : good || who[0] ? 0 : WEIR_E_DEVICE;
}

static int greedy(struct runner *r, const int32_t *prompt, uint32_t n_prompt, int32_t *out,
                  uint32_t n)
{
    int rc = run_part(r, prompt, 0, n_prompt, &out[0]);
    for (uint32_t i = 1; rc >= 0 && i < n; i++) {
        rc = run_part(r, &out[i - 1], n_prompt + i - 1, 1, &out[i]);
    }
    return rc;
}

static int compare_greedy(struct runner *cpu, struct runner *gpu, const int32_t *prompt,
                          uint32_t n_prompt, uint32_t n)
{
    int32_t want[GREEDY_TOKENS];
    int32_t got[GREEDY_TOKENS];
    int rc = greedy(cpu, prompt, n_prompt, want, n);
    rc = rc < 0 ? rc : greedy(gpu, prompt, n_prompt, got, n);
    if (rc < 0) {
        return rc;
    }
    uint32_t same = 0;
    while (same < n && want[same] == got[same]) {
        same++;
    }
    figure("greedy tokens equal to the CPU backend's", same, "tokens");
    figure("greedy tokens compared", n, "tokens");
    return 0;
}

static int check_same(const struct weir_gpu_backend *backend, const char *path,
                      const char *exact_path)
{
    struct weir_error err = {0};
    bool is_slow = strcmp(backend->name, "emu") == 0;
    weir_load_params params = {
        .struct_size = sizeof(params),
        .n_ctx = 512,
        .max_sequences = 4,
        .max_step_tokens = 128,
        .file = weir_str_from(path),
    };
    static struct runner cpu = {.name = "cpu", .step = cpu_step, .logits = cpu_logits};
    static struct runner gpu = {.name = "gpu", .step = gpu_step, .logits = gpu_logits};
    struct weir_gpu_options options;
    weir_gpu_options_init(&options);
    struct weir_cpu_model *c = NULL;
    if (weir_cpu_model_load(NULL, &params, &c, &err) < 0) {
        return fail("load on the CPU", &err);
    }
    struct weir_gpu_model *g = NULL;
    uint64_t begin_us = weir_clock_mono_us();
    if (weir_gpu_model_load(backend, &params, &options, &g, &err) < 0) {
        weir_cpu_model_unload(c);
        return fail("load on the device", &err);
    }
    figure("load", (double)(weir_clock_mono_us() - begin_us) * 1e-6, "s");
    cpu.model = c;
    gpu.model = g;
    cpu.n_vocab = gpu.n_vocab = c->info.n_vocab;
    for (uint32_t i = 0; i < PAGES_MAX; i++) { /* odd order: contiguous pages would hide mistakes */
        cpu.pages[i] = i;
        gpu.pages[i] = i ^ 1;
    }
    static int32_t text[TEXT_TOKENS];
    uint32_t n = is_slow ? 40 : TEXT_TOKENS;
    int rc = read_text(path, text, &n);
    rc = rc < 0 ? rc : compare_logits(&cpu, &gpu, text, n, is_slow ? 4 : 64);
    struct exact exact = {0};
    if (rc >= 0 && exact_path) {
        rc = read_exact(exact_path, &exact);
        rc = rc < 0 ? rc : compare_exact(&cpu, &exact, ", CPU backend");
        rc = rc < 0 ? rc : compare_exact(&gpu, &exact, "");
        free(exact.tokens);
        free(exact.rows);
        free(exact.logits);
    }
    if (rc >= 0) {
        rc = compare_greedy(&cpu, &gpu, text, 12, is_slow ? 6 : GREEDY_TOKENS);
    }
    weir_gpu_model_unload(g);
    weir_cpu_model_unload(c);
    printf("%s\n", rc < 0 ? "FAILED: the device and the CPU backend differ, or a step failed"
                          : "PASSED same");
    return rc < 0;
}

/* ---- speed ---- */

struct speed {
    struct weir_gpu_model *model;
    uint32_t n_parts, pages_each, n_vocab;
    uint32_t *pages; /* [n_parts][pages_each] */
    int32_t *tokens;
};

static int step_all(const struct speed *s, uint32_t n_parts, uint32_t pos, uint32_t n_tokens)
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
    int rc = weir_gpu_model_step(s->model, &batch, results);
    for (uint32_t i = 0; rc >= 0 && i < n_parts; i++) {
        rc = results[i].rc;
    }
    return rc;
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
    figure(name, seconds * 1e3, "ms");
    snprintf(name, sizeof(name), "%s decode b%u pos %u: tokens", type, n_parts, pos);
    figure(name, n_parts / seconds, "tok/s");
    snprintf(name, sizeof(name), "%s decode b%u pos %u: bytes read", type, n_parts, pos);
    figure(name, bytes / seconds * 1e-9, "GB/s");
    snprintf(name, sizeof(name), "%s decode b%u pos %u: host gap", type, n_parts, pos);
    figure(name, all > 0 ? 100 * (1 - busy / all) : 0, "%");
    *ret_s = seconds;
    return 0;
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
        figure(name, bytes / (far_s - near_s) * 1e-9, "GB/s");
    }
    return rc;
}

static double matmul_flops_per_token(const struct weir_hparams *hp)
{
    double q = (double)hp->n_head * hp->head_dim;
    double kv = (double)hp->n_head_kv * hp->head_dim;
    double layer = hp->n_embd * (q + 2 * kv) + q * hp->n_embd + 3.0 * hp->n_embd * hp->n_ff;
    return 2 * layer * hp->n_layer;
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
    figure(name, n_tokens / best, "tok/s");
    snprintf(name, sizeof(name), "%s prefill %u: rate", type, n_tokens);
    figure(name, flops / best * 1e-12, "TFLOP/s");
    return 0;
}

static int measure_all(struct speed *s, const char *type, const struct weir_hparams *hp,
                       bool is_tiny, bool with_long)
{
    const uint32_t steps = is_tiny ? 4 : 64;
    double seconds = 0;
    int rc = measure_decode(s, type, 1, 100, steps, &seconds);
    rc = rc < 0 ? rc : measure_decode(s, type, 8, 100, steps, &seconds);
    rc = rc < 0 ? rc : measure_decode(s, type, is_tiny ? 8 : 64, 200, steps, &seconds);
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

static int check_speed(const struct weir_gpu_backend *backend, const char *type, bool is_tiny)
{
    static const struct {
        const char *name;
        uint32_t type;
    } types[] = {{"F16", WEIR_TENSOR_F16},
                 {"Q8_0", WEIR_TENSOR_Q8_0},
                 {"Q4_K", WEIR_TENSOR_Q4_K},
                 {"Q4_0", WEIR_TENSOR_Q4_0}};
    uint32_t k = 0;
    while (k < 4 && strcmp(types[k].name, type) != 0) {
        k++;
    }
    if (k == 4) {
        fprintf(stderr, "%s: no such type\n", type);
        return 2;
    }
    const struct synthetic_shape *shape = is_tiny ? &synthetic_tiny : &synthetic_8b;
    struct synthetic *source = synthetic_create(shape, types[k].type);
    if (!source) {
        return fail("no memory for the synthetic model", NULL);
    }
    weir_load_params params = {
        .struct_size = sizeof(params),
        .n_ctx = is_tiny ? 1024 : 33024,
        .max_sequences = is_tiny ? 8 : 64,
        .max_step_tokens = is_tiny ? 64 : 2048,
    };
    struct weir_gpu_options options;
    struct weir_error err = {0};
    weir_gpu_options_init(&options);
    struct speed s = {.n_parts = params.max_sequences};
    uint64_t begin_us = weir_clock_mono_us();
    int rc =
        weir_gpu_model_create(backend, synthetic_model(source), &params, &options, &s.model, &err);
    if (rc < 0) {
        synthetic_destroy(source);
        return fail("load", &err);
    }
    char name[96];
    const weir_model_info *info = weir_gpu_model_info(s.model);
    double load_s = (double)(weir_clock_mono_us() - begin_us) * 1e-6;
    snprintf(name, sizeof(name), "%s load", type);
    figure(name, load_s, "s");
    snprintf(name, sizeof(name), "%s weights", type);
    figure(name, (double)info->weight_bytes * 1e-9, "GB");
    struct weir_hparams hp = synthetic_model(source)->hparams;
    synthetic_destroy(source);

    s.pages_each = (params.n_ctx + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS;
    s.pages = calloc((size_t)s.n_parts * s.pages_each, sizeof(*s.pages));
    s.tokens = calloc(params.max_step_tokens, sizeof(*s.tokens));
    if (s.pages && s.tokens) {
        spread_pages(&s, info->n_pages);
        make_text(s.tokens, params.max_step_tokens, hp.n_vocab);
        rc = measure_all(&s, type, &hp, is_tiny, k == 0 || is_tiny);
    } else {
        rc = WEIR_E_NOMEM;
    }
    weir_gpu_model_unload(s.model);
    free(s.pages);
    free(s.tokens);
    printf("%s speed %s\n", rc < 0 ? "FAILED" : "PASSED", type);
    return rc < 0;
}

int main(int argc, char **argv)
{
    const struct weir_gpu_backend *backend = argc > 1 ? gpu_backend_find(argv[1]) : NULL;
    if (!backend || argc < 4) {
        fprintf(stderr, "usage: model_check cuda|hip|emu same MODEL.gguf [EXACT]\n"
                        "       model_check cuda|hip|emu speed F16|Q8_0|Q4_K|Q4_0 [tiny]\n");
        return 2;
    }
    if (strcmp(argv[2], "same") == 0) {
        return check_same(backend, argv[3], argc > 4 ? argv[4] : NULL);
    }
    return check_speed(backend, argv[3], argc > 4 && strcmp(argv[4], "tiny") == 0);
}
