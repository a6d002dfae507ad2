/* SPDX-License-Identifier: Apache-2.0 */
/* Checks and measures the GPU backend on a device, through the step interface and nothing else.
 *
 *     model_check BACKEND same MODEL.gguf [EXACT]   logits and greedy text against the CPU backend,
 *                                              and logits against exact ones (make_exact.py)
 *     model_check BACKEND speed TYPE [TINY]    an 8B-shaped synthetic model (speed_check.h)
 *     model_check BACKEND split TYPE [TINY]    the same over two devices
 *     model_check BACKEND profile TYPE [TINY]  each kernel's time in a step
 *     model_check BACKEND batch MODEL.gguf [TINY]   decoding of a full batch
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
#include "tests/gpu/speed_check.h"

enum { TEXT_TOKENS = 192, GREEDY_TOKENS = 48, PAGES_MAX = 1 << 16 };

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
    gpu_check_figure("prefill: mean KL from the CPU backend", prefill.sum / prefill.n, "nats");
    gpu_check_figure("prefill: largest KL", prefill.max, "nats");
    gpu_check_figure("decode: mean KL from the CPU backend", decode.sum / decode.n, "nats");
    gpu_check_figure("decode: largest KL", decode.max, "nats");
    gpu_check_figure("same most likely token",
                     (double)(prefill.n_top_equal + decode.n_top_equal) / (prefill.n + decode.n),
                     "of 1");
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
        gpu_check_figure(name, kl, "nats");
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
    gpu_check_figure("greedy tokens equal to the CPU backend's", same, "tokens");
    gpu_check_figure("greedy tokens compared", n, "tokens");
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
        return gpu_check_fail("load on the CPU", &err);
    }
    struct weir_gpu_model *g = NULL;
    uint64_t begin_us = weir_clock_mono_us();
    if (weir_gpu_model_load(backend, &params, &options, &g, &err) < 0) {
        weir_cpu_model_unload(c);
        return gpu_check_fail("load on the device", &err);
    }
    gpu_check_figure("load", (double)(weir_clock_mono_us() - begin_us) * 1e-6, "s");
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

int main(int argc, char **argv)
{
    const struct weir_gpu_backend *backend = argc > 1 ? gpu_backend_find(argv[1]) : NULL;
    if (!backend || argc < 4) {
        fprintf(stderr,
                "usage: model_check cuda|hip|emu same MODEL.gguf [EXACT]\n"
                "       model_check cuda|hip|emu speed|split|profile F16|Q8_0|Q4_K|Q4_0 [tiny]\n"
                "       model_check cuda|hip|emu batch MODEL.gguf [tiny]\n"
                "split: the model over two devices; profile: each kernel's time in a step;\n"
                "batch: decoding of a full batch\n");
        return 2;
    }
    if (strcmp(argv[2], "same") == 0) {
        return check_same(backend, argv[3], argc > 4 ? argv[4] : NULL);
    }
    const bool is_tiny = argc > 4 && strcmp(argv[4], "tiny") == 0;
    if (strcmp(argv[2], "batch") == 0) {
        return gpu_check_batch(backend, argv[3], is_tiny);
    }
    if (strcmp(argv[2], "profile") == 0) {
        return gpu_check_profile(backend, argv[3], is_tiny);
    }
    const bool is_split = strcmp(argv[2], "split") == 0;
    return gpu_check_speed(backend, argv[3], is_tiny, is_split ? 2 : 1);
}
