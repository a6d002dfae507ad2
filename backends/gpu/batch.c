/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/batch.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, STRIDE_UNIT = 4, MAX_ITEMS = 8192 };

static uint32_t divide_up(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

/* Enough for every sequence at full length, within a bound: each item has a partial result of some
 * KB on the device. Beyond it, single tokens are attended to as tiles. */
static uint32_t most_items(const struct weir_gpu_limits *l)
{
    uint64_t long_part = weir_attn_n_chunks(l->n_ctx - 1);
    uint64_t short_part = weir_attn_n_chunks(WEIR_ATTN_SHORT - 1);
    uint64_t n = (long_part > short_part ? long_part : short_part) * l->max_parts;
    return n < MAX_ITEMS ? (uint32_t)n : MAX_ITEMS;
}

void weir_gpu_batch_lay_out(struct weir_gpu_batch *b, const struct weir_gpu_limits *l)
{
    b->limits = *l;
    b->pages_stride = divide_up(divide_up(l->n_ctx, WEIR_PAGE_TOKENS), STRIDE_UNIT) * STRIDE_UNIT;
    b->max_items = most_items(l);
    b->max_tiles = divide_up(l->max_rows, WEIR_ATTN_PREFILL_ROWS) + l->max_parts;
    const size_t sizes[WEIR_GPU_PIECE__COUNT] = {
        [WEIR_GPU_PIECE_COUNTS] = sizeof(uint32_t),
        [WEIR_GPU_PIECE_TOKENS] = l->max_rows * sizeof(int32_t),
        [WEIR_GPU_PIECE_POS] = l->max_rows * sizeof(int32_t),
        [WEIR_GPU_PIECE_TABLE] = l->max_rows * sizeof(int32_t),
        [WEIR_GPU_PIECE_PARTS] = l->max_parts * sizeof(struct weir_kv_part),
        [WEIR_GPU_PIECE_OUT_ROWS] = l->max_parts * sizeof(int32_t),
        [WEIR_GPU_PIECE_ITEMS] = (size_t)b->max_items * sizeof(struct weir_attn_item),
        [WEIR_GPU_PIECE_TILES] = (size_t)b->max_tiles * sizeof(struct weir_attn_tile),
        [WEIR_GPU_PIECE_PAGES] = (size_t)l->max_parts * b->pages_stride * sizeof(uint32_t),
    };
    b->offsets[0] = 0;
    for (int i = 0; i < WEIR_GPU_PIECE__COUNT; i++) {
        b->offsets[i + 1] = b->offsets[i] + (sizes[i] + ALIGN - 1) / ALIGN * ALIGN;
    }
}

int weir_gpu_batch_init(struct weir_gpu_batch *b, const struct weir_gpu_limits *limits, void *host,
                        void *device)
{
    *b = (struct weir_gpu_batch){.host = host, .device = device};
    weir_gpu_batch_lay_out(b, limits);
    b->parts = calloc(limits->max_parts, sizeof(*b->parts));
    b->out_parts = calloc(limits->max_parts, sizeof(*b->out_parts));
    if (!b->parts || !b->out_parts) {
        weir_gpu_batch_finish(b);
        return WEIR_E_NOMEM;
    }
    memset(host, 0, b->offsets[WEIR_GPU_PIECE__COUNT]);
    return 0;
}

void weir_gpu_batch_finish(struct weir_gpu_batch *b)
{
    free(b->parts);
    free(b->out_parts);
    *b = (struct weir_gpu_batch){0};
}

static int check_part(const struct weir_gpu_batch *b, const weir_step_part *in)
{
    const struct weir_gpu_limits *l = &b->limits;
    if (in->n_tokens == 0 || in->n_tokens > l->n_ctx || in->pos > l->n_ctx - in->n_tokens) {
        return WEIR_E_ARG;
    }
    uint32_t n_pages = divide_up(in->pos + in->n_tokens, WEIR_PAGE_TOKENS);
    if (in->n_pages < n_pages) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < n_pages; i++) {
        if (in->pages[i] >= l->n_pages) {
            return WEIR_E_ARG;
        }
    }
    for (uint32_t i = 0; i < in->n_tokens; i++) {
        if (in->tokens[i] < 0 || (uint32_t)in->tokens[i] >= l->n_vocab) {
            return WEIR_E_ARG;
        }
    }
    return 0;
}

static void add_rows(struct weir_gpu_batch *b, const weir_step_part *in)
{
    int32_t *token = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_TOKENS);
    int32_t *pos = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_POS);
    int32_t *table = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_TABLE);
    for (uint32_t i = 0; i < in->n_tokens; i++) {
        token[b->n_rows + i] = in->tokens[i];
        pos[b->n_rows + i] = (int32_t)(in->pos + i);
        table[b->n_rows + i] = (int32_t)b->n_parts;
    }
}

static void add_attention(struct weir_gpu_batch *b, const weir_step_part *in)
{
    struct weir_attn_item *items = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_ITEMS);
    struct weir_attn_tile *tiles = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_TILES);
    uint32_t n_chunks = weir_attn_n_chunks(in->pos);
    if (in->n_tokens == 1 && n_chunks <= b->max_items - b->n_items) {
        for (uint32_t i = 0; i < n_chunks; i++) {
            items[b->n_items++] = (struct weir_attn_item){(int32_t)b->n_parts, (int32_t)i};
        }
        return;
    }
    /* Later tiles see more keys: they begin first. */
    uint32_t n_tiles = divide_up(in->n_tokens, WEIR_ATTN_PREFILL_ROWS);
    for (uint32_t i = n_tiles; i > 0; i--) {
        tiles[b->n_tiles++] = (struct weir_attn_tile){(int32_t)b->n_parts,
                                                      (int32_t)((i - 1) * WEIR_ATTN_PREFILL_ROWS)};
    }
}

static void add_part(struct weir_gpu_batch *b, const weir_step_part *in, weir_step_result *result)
{
    struct weir_kv_part *parts = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_PARTS);
    int32_t *out_rows = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_OUT_ROWS);
    uint32_t *pages = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_PAGES);
    uint32_t n_pages = divide_up(in->pos + in->n_tokens, WEIR_PAGE_TOKENS);
    add_rows(b, in);
    add_attention(b, in);
    parts[b->n_parts] = (struct weir_kv_part){
        .first_row = (int32_t)b->n_rows,
        .pos = (int32_t)in->pos,
        .n_tokens = (int32_t)in->n_tokens,
        .table = (int32_t)b->n_parts,
    };
    memcpy(pages + (size_t)b->n_parts * b->pages_stride, in->pages, n_pages * sizeof(*pages));
    if (in->flags & WEIR_STEP_SAMPLE) {
        out_rows[b->n_out] = (int32_t)(b->n_rows + in->n_tokens - 1);
        b->out_parts[b->n_out++] = b->n_parts;
    }
    b->parts[b->n_parts++] = (struct weir_gpu_part){in, result};
    b->n_rows += in->n_tokens;
}

int weir_gpu_batch_set(struct weir_gpu_batch *b, const weir_step_batch *in,
                       weir_step_result *results)
{
    b->n_parts = b->n_rows = b->n_out = b->n_items = b->n_tiles = 0;
    if (in->n_parts > b->limits.max_parts) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < in->n_parts; i++) {
        const weir_step_part *part =
            (const weir_step_part *)(const void *)((const char *)in->parts +
                                                   (size_t)i * in->part_size);
        results[i].rc = check_part(b, part);
        if (results[i].rc < 0) {
            continue;
        }
        if (part->n_tokens > b->limits.max_rows - b->n_rows) {
            return WEIR_E_ARG;
        }
        add_part(b, part, &results[i]);
    }
    *(uint32_t *)weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_COUNTS) = b->n_items;
    b->is_decode = b->n_rows > 0 && b->n_rows == b->n_out && b->n_tiles == 0;
    return 0;
}

void weir_gpu_batch_pad(struct weir_gpu_batch *b, uint32_t n)
{
    struct weir_kv_part *parts = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_PARTS);
    int32_t *out_rows = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_OUT_ROWS);
    int32_t *token = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_TOKENS);
    int32_t *pos = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_POS);
    int32_t *table = weir_gpu_batch_on_host(b, WEIR_GPU_PIECE_TABLE);
    for (uint32_t i = b->n_rows; i < n; i++) {
        token[i] = 0;
        pos[i] = -1;
        table[i] = 0;
        parts[i] = (struct weir_kv_part){.first_row = (int32_t)i, .pos = -1};
        out_rows[i] = (int32_t)i;
    }
}

size_t weir_gpu_batch_used_bytes(const struct weir_gpu_batch *b)
{
    return b->offsets[WEIR_GPU_PIECE_PAGES] +
           (size_t)b->n_parts * b->pages_stride * sizeof(uint32_t);
}
