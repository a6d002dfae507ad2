/* SPDX-License-Identifier: Apache-2.0 */
/* Measures the CPU backend through its step functions: prefill, one stream, several streams, and
 * the machine's read bandwidth, which bounds decoding.
 *
 *     step_bench MODEL [n_threads] [n_streams] [n_prompt] [n_gen] [repeats] [options as JSON]
 *
 * Prints one JSON object; rates are medians. behind_prompt is one stream behind all of the prompt,
 * one_stream behind 128 tokens of it. */
#include <stdio.h>
#include <stdlib.h>

#include "backends/cpu/model.h"
#include "base/clock.h"

enum { STREAMS_MAX = 64, REPEATS_MAX = 32, STEP_TOKENS = 512, READ_BYTES = 256 << 20 };

struct bench {
    struct weir_cpu_model *model;
    uint32_t n_streams, n_prompt, n_gen;
    uint32_t pages_each;
    uint32_t *pages; /* [n_streams][pages_each] */
    int32_t *prompt; /* [n_prompt] */
    weir_step_part parts[STREAMS_MAX];
    weir_step_result results[STREAMS_MAX];
    int32_t last[STREAMS_MAX];
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

static void step_or_die(struct bench *b, uint32_t n_parts)
{
    weir_step_batch batch = {.struct_size = sizeof(batch),
                             .part_size = sizeof(weir_step_part),
                             .parts = b->parts,
                             .n_parts = n_parts};
    memset(b->results, 0, sizeof(b->results));
    int rc = weir_cpu_model_step(b->model, &batch, b->results);
    for (uint32_t i = 0; i < n_parts && rc >= 0; i++) {
        rc = b->results[i].rc;
    }
    if (rc < 0) {
        fprintf(stderr, "step: %s\n", weir_error_name(rc));
        exit(1);
    }
}

/* Prefills the prompt of one stream; returns seconds. */
static double prefill(struct bench *b, uint32_t stream, uint32_t n_prompt)
{
    uint64_t begin_us = weir_clock_mono_us();
    for (uint32_t pos = 0; pos < n_prompt; pos += STEP_TOKENS) {
        uint32_t n = n_prompt - pos < STEP_TOKENS ? n_prompt - pos : STEP_TOKENS;
        b->parts[0] = (weir_step_part){
            .slot = stream,
            .flags = pos + n == n_prompt ? WEIR_STEP_SAMPLE : 0,
            .pos = pos,
            .n_tokens = n,
            .tokens = b->prompt + pos,
            .pages = b->pages + (size_t)stream * b->pages_each,
            .n_pages = b->pages_each,
        };
        step_or_die(b, 1);
    }
    b->last[stream] = b->results[0].tokens[0];
    return (double)(weir_clock_mono_us() - begin_us) * 1e-6;
}

/* Decodes n_gen tokens on n streams behind n_prompt tokens; returns seconds. */
static double decode(struct bench *b, uint32_t n, uint32_t n_prompt)
{
    uint64_t begin_us = weir_clock_mono_us();
    for (uint32_t k = 0; k < b->n_gen; k++) {
        for (uint32_t i = 0; i < n; i++) {
            b->parts[i] = (weir_step_part){
                .slot = i,
                .flags = WEIR_STEP_SAMPLE,
                .pos = n_prompt + k,
                .n_tokens = 1,
                .tokens = &b->last[i],
                .pages = b->pages + (size_t)i * b->pages_each,
                .n_pages = b->pages_each,
            };
        }
        step_or_die(b, n);
        for (uint32_t i = 0; i < n; i++) {
            b->last[i] = b->results[i].tokens[0];
        }
    }
    return (double)(weir_clock_mono_us() - begin_us) * 1e-6;
}

struct read_job {
    const uint64_t *words;
    uint32_t n_threads;
    _Atomic uint64_t sum;
};

static void read_share(void *arg, uint32_t thread)
{
    struct read_job *job = arg;
    size_t n = READ_BYTES / sizeof(uint64_t) / job->n_threads;
    const uint64_t *p = job->words + n * thread;
    uint64_t s[16] = {0};
    for (size_t i = 0; i + 16 <= n; i += 16) {
        for (int k = 0; k < 16; k++) {
            s[k] += p[i + (size_t)k];
        }
    }
    for (int k = 0; k < 16; k++) {
        job->sum += s[k];
    }
}

/* Best of a few passes over more memory than any cache holds, bytes per second. */
static double read_bandwidth(struct weir_cpu_pool *pool)
{
    struct read_job job = {.n_threads = weir_cpu_pool_size(pool)};
    uint64_t *words = malloc(READ_BYTES);
    if (!words) {
        return 0;
    }
    memset(words, 1, READ_BYTES);
    job.words = words;
    double best = 0;
    for (int i = 0; i < 5; i++) {
        uint64_t begin_us = weir_clock_mono_us();
        weir_cpu_pool_run(pool, read_share, &job);
        double rate = READ_BYTES / ((double)(weir_clock_mono_us() - begin_us + 1) * 1e-6);
        best = rate > best ? rate : best;
    }
    free(words);
    return best;
}

static void measure(struct bench *b, uint32_t repeats)
{
    double one[REPEATS_MAX];
    double many[REPEATS_MAX];
    double pre[REPEATS_MAX];
    double behind[REPEATS_MAX];
    uint32_t short_prompt = b->n_prompt < 128 ? b->n_prompt : 128;
    prefill(b, 0, b->n_prompt); /* warm up */
    for (uint32_t r = 0; r < repeats; r++) {
        pre[r] = b->n_prompt / prefill(b, 0, b->n_prompt);
        behind[r] = b->n_gen / decode(b, 1, b->n_prompt);
        prefill(b, 0, short_prompt);
        one[r] = b->n_gen / decode(b, 1, short_prompt);
        for (uint32_t i = 0; i < b->n_streams; i++) {
            prefill(b, i, short_prompt);
        }
        many[r] = b->n_streams * b->n_gen / decode(b, b->n_streams, short_prompt);
    }
    double bandwidth = read_bandwidth(b->model->pool);
    double step_bytes = (double)b->model->info.step_bytes;
    double one_stream = median(one, repeats);
    printf("{\"device\":\"%s\",\"prefill_tokens\":%u,\"prefill_tok_s\":%.1f,"
           "\"one_stream_tok_s\":%.1f,\"behind_prompt_tok_s\":%.1f,\"streams\":%u,\"streams_tok_"
           "s\":%.1f,"
           "\"read_gb_s\":%.2f,\"step_bytes\":%.0f,\"roofline_tok_s\":%.1f,"
           "\"roofline_fraction\":%.3f}\n",
           b->model->info.device, b->n_prompt, median(pre, repeats), one_stream,
           median(behind, repeats), b->n_streams, median(many, repeats), bandwidth * 1e-9,
           step_bytes, bandwidth / step_bytes, one_stream * step_bytes / bandwidth);
}

static uint32_t argument(int argc, char **argv, int i, uint32_t fallback, uint32_t max)
{
    uint32_t value = argc > i ? (uint32_t)strtoul(argv[i], NULL, 10) : fallback;
    return value < 1 ? 1 : value > max ? max : value;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: step_bench MODEL [n_threads] [n_streams] [n_prompt] [n_gen] "
                        "[repeats] [options as JSON]\n");
        return 2;
    }
    static struct bench b;
    b.n_streams = argument(argc, argv, 3, 16, STREAMS_MAX);
    b.n_prompt = argument(argc, argv, 4, 512, 1 << 15);
    b.n_gen = argument(argc, argv, 5, 64, 1 << 12);
    uint32_t repeats = argument(argc, argv, 6, 5, REPEATS_MAX);
    weir_load_params params = {
        .struct_size = sizeof(params),
        .n_threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0,
        .max_sequences = b.n_streams,
        .max_step_tokens = STEP_TOKENS,
        .n_ctx = b.n_prompt + b.n_gen,
        .file = weir_str_from(argv[1]),
        .options_json = weir_str_from(argc > 7 ? argv[7] : "{}"),
    };
    struct weir_error err = {0};
    int rc = weir_cpu_model_load(NULL, &params, &b.model, &err);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], err.message);
        return 1;
    }
    b.pages_each = b.model->info.n_pages / b.n_streams;
    b.pages = calloc((size_t)b.n_streams * b.pages_each, sizeof(*b.pages));
    b.prompt = calloc(b.n_prompt, sizeof(*b.prompt));
    if (!b.pages || !b.prompt) {
        return 1;
    }
    for (uint32_t i = 0; i < b.n_streams * b.pages_each; i++) {
        b.pages[i] = i;
    }
    for (uint32_t i = 0; i < b.n_prompt; i++) {
        b.prompt[i] = (int32_t)(1000 + (i * 7919u) % 20000);
    }
    measure(&b, repeats);
    free(b.pages);
    free(b.prompt);
    weir_cpu_model_unload(b.model);
    return 0;
}
