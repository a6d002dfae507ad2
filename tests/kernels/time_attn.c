/* SPDX-License-Identifier: Apache-2.0 */
/* Speed of attention and sampling at the shapes of an 8B model: 32 query heads, 8 KV heads of 128.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/attn/attn_decode.h"
#include "kernels/attn/attn_prefill.h"
#include "kernels/sample/sample.h"
#include "tests/kernels/check.h"

enum { N_HEAD = 32, N_HEAD_KV = 8, HEAD_DIM = 128, ROUNDS = 20 };

static void *must(void *p)
{
    if (!p) {
        abort();
    }
    return p;
}

/* Page numbers of n_seqs sequences, in a scattered order. */
static uint32_t *scattered_pages(uint32_t n)
{
    uint32_t *pages = must(malloc(n * sizeof(*pages)));
    for (uint32_t i = 0; i < n; i++) {
        pages[i] = i;
    }
    uint64_t state = 1;
    for (uint32_t i = n; i > 1; i--) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const uint32_t k = (uint32_t)((state >> 33) % i);
        const uint32_t t = pages[i - 1];
        pages[i - 1] = pages[k];
        pages[k] = t;
    }
    return pages;
}

/* A pool of one layer. Bytes 0x11: small numbers in both types. */
static struct weir_kv_view make_pool(struct weir_test_device *device, uint32_t type,
                                     uint32_t n_pages)
{
    const size_t n = weir_kv_page_bytes(type, 1, N_HEAD_KV, HEAD_DIM) * n_pages;
    uint8_t *bytes = must(malloc(n));
    memset(bytes, 0x11, n);
    uint8_t *pool = weir_test_array(device, bytes, n);
    free(bytes);
    return weir_kv_layer(pool, type, 1, 0, N_HEAD_KV, HEAD_DIM);
}

static float *make_rows(struct weir_test_device *device, size_t n)
{
    float *x = must(malloc(n * sizeof(*x)));
    weir_test_random(x, n, 1);
    float *rows = weir_test_array(device, x, n * sizeof(*x));
    free(x);
    return rows;
}

static void time_decode(struct weir_test_device *device, uint32_t type, uint32_t n_seqs,
                        uint32_t n_keys, double copy_bytes_per_s)
{
    const uint32_t n_pages = n_keys / WEIR_KV_PAGE_TOKENS;
    const uint32_t n_chunks = weir_attn_n_chunks(n_keys - 1);
    const uint32_t n_items = n_seqs * n_chunks;
    struct weir_kv_part *parts = must(malloc(n_seqs * sizeof(*parts)));
    struct weir_attn_item *items = must(malloc(n_items * sizeof(*items)));
    uint32_t *zeros = must(calloc((size_t)n_seqs * N_HEAD, sizeof(*zeros)));
    for (uint32_t i = 0; i < n_seqs; i++) {
        parts[i] = (struct weir_kv_part){.first_row = (int32_t)i,
                                         .pos = (int32_t)n_keys - 1,
                                         .n_tokens = 1,
                                         .table = (int32_t)i};
        for (uint32_t c = 0; c < n_chunks; c++) {
            items[i * n_chunks + c] =
                (struct weir_attn_item){.part = (int32_t)i, .chunk = (int32_t)c};
        }
    }
    uint32_t *pages = scattered_pages(n_seqs * n_pages);
    const uint32_t stride = (N_HEAD + 2 * N_HEAD_KV) * HEAD_DIM;
    const struct weir_attn_decode_args args = {
        .q = make_rows(device, (size_t)n_seqs * stride),
        .out_f16 = weir_test_array(device, NULL, (size_t)n_seqs * N_HEAD * HEAD_DIM * 2),
        .parts = weir_test_array(device, parts, n_seqs * sizeof(*parts)),
        .items = weir_test_array(device, items, n_items * sizeof(*items)),
        .n_items = weir_test_array(device, &n_items, sizeof(n_items)),
        .pages = weir_test_array(device, pages, (size_t)n_seqs * n_pages * sizeof(*pages)),
        .partials = weir_test_array(
            device, NULL, n_items * weir_attn_partial_floats(N_HEAD, HEAD_DIM) * sizeof(float)),
        .arrivals = weir_test_array(device, zeros, (size_t)n_seqs * N_HEAD * sizeof(*zeros)),
        .q_stride = stride,
        .out_stride = N_HEAD * HEAD_DIM,
        .pages_stride = n_pages,
        .n_head = N_HEAD,
        .scale = 0.088f,
    };
    enum { POOLS = 4 }; /* together more than any cache holds */
    struct weir_attn_decode_args all[POOLS];
    struct weir_gpu_launch launches[POOLS];
    for (int i = 0; i < POOLS; i++) {
        all[i] = args;
        all[i].kv = make_pool(device, type, n_seqs * n_pages);
        if (weir_attn_decode_launch(&all[i], n_items, &device->info.props, &launches[i]) != 1) {
            abort();
        }
    }
    const double s = (double)weir_test_time(device, launches, POOLS, ROUNDS) * 1e-3 / POOLS;
    const double bytes =
        (double)n_seqs * n_pages * weir_kv_page_bytes(type, 1, N_HEAD_KV, HEAD_DIM);
    printf("attn_decode %s, %2u x %6u keys: %8.2f us %6.0f GB/s %4.0f%% of copy\n",
           type == WEIR_KV_F16 ? "f16" : "i8 ", n_seqs, n_keys, s * 1e6, bytes / s * 1e-9,
           100 * bytes / s / copy_bytes_per_s);
    fflush(stdout);
    free(parts);
    free(items);
    free(zeros);
    free(pages);
    weir_test_device_reset(device);
}

static void time_prefill(struct weir_test_device *device, uint32_t type, uint32_t pos,
                         uint32_t n_tokens)
{
    const uint32_t n_pages = (pos + n_tokens) / WEIR_KV_PAGE_TOKENS;
    const uint32_t n_tiles = n_tokens / WEIR_ATTN_PREFILL_ROWS;
    const struct weir_kv_part part = {.pos = (int32_t)pos, .n_tokens = (int32_t)n_tokens};
    struct weir_attn_tile *tiles = must(malloc(n_tiles * sizeof(*tiles)));
    for (uint32_t i = 0; i < n_tiles; i++) { /* the longest first */
        tiles[i] =
            (struct weir_attn_tile){.first = (int32_t)((n_tiles - 1 - i) * WEIR_ATTN_PREFILL_ROWS)};
    }
    uint32_t *pages = scattered_pages(n_pages);
    const uint32_t stride = (N_HEAD + 2 * N_HEAD_KV) * HEAD_DIM;
    const struct weir_attn_prefill_args args = {
        .q = make_rows(device, (size_t)n_tokens * stride),
        .out_f16 = weir_test_array(device, NULL, (size_t)n_tokens * N_HEAD * HEAD_DIM * 2),
        .parts = weir_test_array(device, &part, sizeof(part)),
        .tiles = weir_test_array(device, tiles, n_tiles * sizeof(*tiles)),
        .pages = weir_test_array(device, pages, n_pages * sizeof(*pages)),
        .kv = make_pool(device, type, n_pages),
        .q_stride = stride,
        .out_stride = N_HEAD * HEAD_DIM,
        .pages_stride = n_pages,
        .n_tiles = n_tiles,
        .n_head = N_HEAD,
        .is_causal = 1,
        .scale = 0.088f,
    };
    struct weir_gpu_launch launch;
    if (weir_attn_prefill_launch(&args, &device->info.props, &launch) != 1) {
        abort();
    }
    const double s = (double)weir_test_time(device, &launch, 1, ROUNDS) * 1e-3;
    const double n_scores = (double)n_tokens * pos + (double)n_tokens * (n_tokens + 1) / 2;
    printf("attn_prefill %s, %u tokens behind %u: %8.2f us %6.1f TFLOP/s\n",
           type == WEIR_KV_F16 ? "f16" : "i8 ", n_tokens, pos, s * 1e6,
           4.0 * n_scores * N_HEAD * HEAD_DIM / s * 1e-12);
    fflush(stdout);
    free(tiles);
    free(pages);
    weir_test_device_reset(device);
}

static void time_sample(struct weir_test_device *device, const char *what, uint32_t n_rows,
                        const struct weir_sample_row *row)
{
    enum { VOCAB = 128256 };
    const size_t n = (size_t)n_rows * VOCAB;
    struct weir_sample_row *rows = must(malloc(n_rows * sizeof(*rows)));
    float *logits = must(malloc(n * sizeof(*logits)));
    weir_test_random(logits, n, 5);
    for (size_t i = 0; i < n; i++) {
        logits[i] *= 20.0f;
    }
    for (uint32_t i = 0; i < n_rows; i++) {
        rows[i] = *row;
        rows[i].index = i;
    }
    const struct weir_sample_args args = {
        .logits = weir_test_array(device, logits, n * sizeof(*logits)),
        .rows = weir_test_array(device, rows, n_rows * sizeof(*rows)),
        .results = weir_test_array(device, NULL, n_rows * sizeof(struct weir_sample_result)),
        .keys = weir_test_array(device, NULL, n * 4),
        .weights = weir_test_array(device, NULL, n * 4),
        .candidates = weir_test_array(device, NULL, n * 4),
        .n_rows = n_rows,
        .n_vocab = VOCAB,
        .stride = VOCAB,
    };
    struct weir_gpu_launch launch;
    if (weir_sample_launch(&args, &device->info.props, &launch) != 1) {
        abort();
    }
    printf("sample %s, %2u rows of %d: %8.2f us\n", what, n_rows, VOCAB,
           (double)weir_test_time(device, &launch, 1, ROUNDS) * 1e3);
    fflush(stdout);
    free(rows);
    free(logits);
    weir_test_device_reset(device);
}

void weir_time_attention(struct weir_test_device *device, double copy_bytes_per_s)
{
    time_decode(device, WEIR_KV_F16, 1, 32768, copy_bytes_per_s);
    time_decode(device, WEIR_KV_I8, 1, 32768, copy_bytes_per_s);
    time_decode(device, WEIR_KV_F16, 1, 2048, copy_bytes_per_s);
    time_decode(device, WEIR_KV_F16, 8, 8192, copy_bytes_per_s);
    time_decode(device, WEIR_KV_F16, 64, 2048, copy_bytes_per_s);
    time_decode(device, WEIR_KV_I8, 64, 2048, copy_bytes_per_s);
    time_prefill(device, WEIR_KV_F16, 0, 4096);
    time_prefill(device, WEIR_KV_I8, 0, 4096);
    time_prefill(device, WEIR_KV_F16, 16384, 512);
    const struct weir_sample_row greedy = {.typical_p = 1, .top_p = 1};
    const struct weir_sample_row plain = {.temperature = 1, .typical_p = 1, .top_p = 1};
    const struct weir_sample_row nucleus = {.temperature = 0.8f, .typical_p = 1, .top_p = 0.95f};
    const struct weir_sample_row top_k = {
        .temperature = 0.8f, .typical_p = 1, .top_p = 0.95f, .top_k = 40};
    const struct weir_sample_row typical = {.temperature = 1, .typical_p = 0.9f, .top_p = 1};
    time_sample(device, "greedy", 1, &greedy);
    time_sample(device, "plain", 1, &plain);
    time_sample(device, "top_p", 1, &nucleus);
    time_sample(device, "top_k and top_p", 1, &top_k);
    time_sample(device, "typical_p", 1, &typical);
    time_sample(device, "top_k and top_p", 64, &top_k);
}
