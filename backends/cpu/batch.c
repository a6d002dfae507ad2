/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/batch.h"

#include <stdbool.h>
#include <stdlib.h>

#include "backends/cpu/ops/ops.h"

enum {
    TILE_ROWS = 48,       /* query rows per attention item: K and V are read once for all */
    READ_ROWS = 5,        /* what reading them costs, in rows */
    ITEMS_PER_THREAD = 4, /* fewer items than this per thread: split the keys as well */
    PARTIALS_LIMIT = 4096
};

int weir_cpu_batch_init(struct weir_cpu_batch *b, const struct weir_hparams *hparams,
                        const struct weir_cpu_limits *limits)
{
    uint32_t group = hparams->n_head / hparams->n_head_kv;
    uint32_t tile = group < TILE_ROWS ? TILE_ROWS / group : 1;
    uint32_t n_chunks = limits->n_ctx / WEIR_CPU_ATTEND_CHUNK + 1;
    size_t max_partials = (size_t)n_chunks * hparams->n_head_kv;
    if (max_partials > PARTIALS_LIMIT) {
        max_partials = PARTIALS_LIMIT;
    }
    size_t n_tiles = limits->max_tokens / tile + limits->max_parts;
    *b = (struct weir_cpu_batch){
        .limits = *limits,
        .n_head_kv = hparams->n_head_kv,
        .group = group,
        .tile_queries = tile,
        .max_items = (uint32_t)(n_tiles * hparams->n_head_kv + max_partials),
        .max_partials = (uint32_t)max_partials,
    };
    b->token = calloc(limits->max_tokens, sizeof(*b->token));
    b->pos = calloc(limits->max_tokens, sizeof(*b->pos));
    b->part_of = calloc(limits->max_tokens, sizeof(*b->part_of));
    b->rope_rows = calloc(limits->max_tokens, sizeof(*b->rope_rows));
    b->parts = calloc(limits->max_parts, sizeof(*b->parts));
    b->out_parts = calloc(limits->max_parts, sizeof(*b->out_parts));
    b->out_rows = calloc(limits->max_parts, sizeof(*b->out_rows));
    b->items = calloc(b->max_items, sizeof(*b->items));
    b->merges = calloc(b->max_partials, sizeof(*b->merges));
    if (!b->token || !b->pos || !b->part_of || !b->rope_rows || !b->parts || !b->out_parts ||
        !b->out_rows || !b->items || !b->merges) {
        weir_cpu_batch_finish(b);
        return WEIR_E_NOMEM;
    }
    return 0;
}

void weir_cpu_batch_finish(struct weir_cpu_batch *b)
{
    free(b->token);
    free(b->pos);
    free(b->part_of);
    free(b->rope_rows);
    free(b->parts);
    free(b->out_parts);
    free(b->out_rows);
    free(b->items);
    free(b->merges);
    *b = (struct weir_cpu_batch){0};
}

static int check_part(const struct weir_cpu_batch *b, const weir_step_part *in)
{
    if (in->n_tokens == 0 || in->n_tokens > b->limits.n_ctx ||
        in->pos > b->limits.n_ctx - in->n_tokens) {
        return WEIR_E_ARG;
    }
    uint32_t n_pages = (in->pos + in->n_tokens + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS;
    if (in->n_pages < n_pages) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < n_pages; i++) {
        if (in->pages[i] >= b->limits.n_pages) {
            return WEIR_E_ARG;
        }
    }
    for (uint32_t i = 0; i < in->n_tokens; i++) {
        if (in->tokens[i] < 0 || (uint32_t)in->tokens[i] >= b->limits.n_vocab) {
            return WEIR_E_ARG;
        }
    }
    return 0;
}

static void add_rows(struct weir_cpu_batch *b, const weir_step_part *in, weir_step_result *result)
{
    uint32_t row = b->n_tokens;
    for (uint32_t i = 0; i < in->n_tokens; i++) {
        b->token[row + i] = in->tokens[i];
        b->pos[row + i] = in->pos + i;
        b->part_of[row + i] = b->n_parts;
        if (in->n_tokens > 1) {
            b->rope_rows[b->n_rope_rows++] = row + i;
        }
    }
    b->n_tokens += in->n_tokens;
    if (in->flags & WEIR_STEP_SAMPLE) {
        b->out_parts[b->n_out] = b->n_parts;
        b->out_rows[b->n_out++] = b->n_tokens - 1;
    }
    b->parts[b->n_parts++] = (struct weir_cpu_part){in, result, row};
}

static uint32_t tiles_of(const struct weir_cpu_batch *b, uint32_t tile_queries)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_parts; i++) {
        n += (b->parts[i].in->n_tokens + tile_queries - 1) / tile_queries;
    }
    return n;
}

/* The most queries per item, or fewer where the threads' shares are then more even. */
static uint32_t choose_tile(const struct weir_cpu_batch *b)
{
    uint32_t best = b->tile_queries;
    uint64_t least = UINT64_MAX;
    for (uint32_t cut = 1; cut <= 4 && b->tile_queries / cut >= 2; cut++) {
        uint32_t tile = b->tile_queries / cut;
        uint64_t n_items = (uint64_t)tiles_of(b, tile) * b->n_head_kv;
        uint64_t rounds = (n_items + b->limits.n_threads - 1) / b->limits.n_threads;
        uint64_t cost = rounds * ((uint64_t)tile * b->group + READ_ROWS);
        /* The chunks of single tokens need their places as well. */
        if (cost < least && n_items <= b->max_items - b->max_partials) {
            least = cost;
            best = tile;
        }
    }
    return best;
}

static void add_tiles(struct weir_cpu_batch *b, uint32_t part, uint32_t tile)
{
    const weir_step_part *in = b->parts[part].in;
    for (uint32_t first = 0; first < in->n_tokens; first += tile) {
        uint32_t rest = in->n_tokens - first;
        for (uint32_t head = 0; head < b->n_head_kv; head++) {
            b->items[b->n_items++] = (struct weir_cpu_attend_item){
                .part = part,
                .kv_head = head,
                .first = first,
                .n_queries = rest < tile ? rest : tile,
                .chunk = WEIR_CPU_ALL_CHUNKS,
            };
        }
    }
}

/* A single token's keys in chunks, each an item of its own. */
static void add_chunks(struct weir_cpu_batch *b, uint32_t part, uint32_t n_chunks)
{
    for (uint32_t head = 0; head < b->n_head_kv; head++) {
        b->merges[b->n_merges++] =
            (struct weir_cpu_merge_item){part, head, b->n_partials, n_chunks};
        for (uint32_t chunk = 0; chunk < n_chunks; chunk++) {
            b->items[b->n_items++] = (struct weir_cpu_attend_item){
                .part = part,
                .kv_head = head,
                .n_queries = 1,
                .chunk = chunk,
                .partial = b->n_partials++,
            };
        }
    }
}

static void plan_attention(struct weir_cpu_batch *b)
{
    const uint32_t n_whole = tiles_of(b, b->tile_queries) * b->n_head_kv;
    const bool split = b->limits.n_threads > 1 && n_whole < ITEMS_PER_THREAD * b->limits.n_threads;
    const uint32_t tile = choose_tile(b);
    for (uint32_t i = 0; i < b->n_parts; i++) {
        const weir_step_part *in = b->parts[i].in;
        uint32_t n_chunks = in->pos / WEIR_CPU_ATTEND_CHUNK + 1;
        if (split && in->n_tokens == 1 && n_chunks > 1 &&
            (uint64_t)b->n_partials + (uint64_t)n_chunks * b->n_head_kv <= b->max_partials) {
            add_chunks(b, i, n_chunks);
        } else {
            add_tiles(b, i, tile);
        }
    }
}

int weir_cpu_batch_set(struct weir_cpu_batch *b, const weir_step_batch *in,
                       weir_step_result *results)
{
    b->n_tokens = b->n_parts = b->n_rope_rows = b->n_out = 0;
    b->n_items = b->n_merges = b->n_partials = 0;
    if (in->n_parts > b->limits.max_parts) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < in->n_parts; i++) {
        const weir_step_part *part =
            (const weir_step_part *)((const char *)in->parts + (size_t)i * in->part_size);
        results[i].rc = check_part(b, part);
        if (results[i].rc < 0) {
            continue;
        }
        if (part->n_tokens > b->limits.max_tokens - b->n_tokens) {
            return WEIR_E_ARG;
        }
        add_rows(b, part, &results[i]);
    }
    plan_attention(b);
    return 0;
}
