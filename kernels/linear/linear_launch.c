/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/linear/linear.h"

#include <stdbool.h>
#include <string.h>

#include "weir/types.h"

/* As in gemv.cu and batch.cu. */
enum { WAVES = 8, GEMV_STAGES_NV = 3, GEMV_STAGES_CDNA = 2, X_PAD = 8, TILE_PAD = 4 };
enum { BATCH_ROWS = WAVES * WEIR_TILE_ROWS, MAX_BATCH_COLS = 64 };
enum { SHARED_GOAL_NV = 110 * 1024, SHARED_GOAL_CDNA = 64 * 1024 };

struct kind_info {
    uint32_t k, bytes;
    const char *gemv, *batch[3], *large[4];
};

static const struct kind_info kind_infos[] = {
#define INFO(kind, k_, quants, high, scales)                                                       \
    [WEIR_MATRIX_##                                                                                \
        kind] = {.k = (k_),                                                                        \
                 .bytes = (quants) + (high) + (scales),                                            \
                 .gemv = "weir_gemv_" #kind,                                                       \
                 .batch = {"weir_batch16_" #kind, "weir_batch32_" #kind, "weir_batch64_" #kind},   \
                 .large = {"weir_large32_" #kind, "weir_large64_" #kind, "weir_large128_" #kind,   \
                           "weir_large256_" #kind}},
    WEIR_MATRIX_KINDS(INFO)
#undef INFO
};

size_t weir_linear_workspace_bytes(const struct weir_gpu_props *props)
{
    size_t counters = (size_t)props->n_sm * sizeof(uint32_t);
    return (size_t)2 * props->n_sm * BATCH_ROWS * MAX_BATCH_COLS * sizeof(float) + counters;
}

static uint32_t tiles_of(const struct weir_gpu_matrix *w)
{
    return (w->n_rows + WEIR_TILE_ROWS - 1) / WEIR_TILE_ROWS;
}

static int check(const struct weir_linear_args *args)
{
    if (args->n_w == 0 || args->n_w > WEIR_LINEAR_MAX_W || args->x_stride % 8 != 0 ||
        !args->y == !args->y_f16 || (args->add && !args->y)) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < args->n_w; i++) {
        if (args->w[i].kind >= WEIR_MATRIX__COUNT || args->w[i].n_cols % 8 != 0 ||
            args->w[i].n_cols != args->w[0].n_cols) {
            return WEIR_E_ARG;
        }
    }
    if (args->glu != WEIR_GLU_NONE && (args->n_w != 2 || args->w[0].kind != args->w[1].kind ||
                                       args->w[0].n_rows != args->w[1].n_rows || args->add)) {
        return WEIR_E_UNSUPPORTED;
    }
    return 0;
}

/* The most splits, up to `most`, that still fill the device once: a power of two. */
static uint32_t choose_splits(uint32_t n_units, uint32_t n_wanted, uint32_t most)
{
    uint32_t splits = 1;
    while (splits * 2 <= most && n_units * splits * 2 <= n_wanted) {
        splits *= 2;
    }
    return splits;
}

static uint32_t gemv_shared_bytes(const struct kind_info *kind, const struct weir_gpu_props *props,
                                  uint32_t splits, uint32_t n_tokens)
{
    uint32_t stages = props->lanes == 32 ? GEMV_STAGES_NV : GEMV_STAGES_CDNA;
    uint32_t ring = stages * (splits * n_tokens * (kind->k + X_PAD) * 2 + WAVES * kind->bytes);
    uint32_t sums = WAVES * WEIR_TILE_ROWS * 16 * (uint32_t)sizeof(float);
    return ring > sums ? ring : sums;
}

/* Tenths of a record's time that a turn of n blocks beside each other on a multiprocessor takes per
 * record of a wave: one alone leaves it idle a good part of the time. */
static uint32_t turn_cost(uint32_t n_beside, uint32_t n_records)
{
    static const uint32_t per_record[] = {0, 17, 22, 30};
    enum { START_AND_END = 10 };
    return n_beside == 0 ? 0 : per_record[n_beside] * n_records + START_AND_END;
}

/* How many waves share a row tile: what takes the least time on the busiest multiprocessor. */
static uint32_t choose_gemv_splits(const struct weir_gpu_props *props, const struct kind_info *kind,
                                   const struct weir_linear_args *args, uint32_t n_tiles,
                                   uint32_t most)
{
    uint32_t best = 1, best_cost = UINT32_MAX, n_records = args->w[0].n_records;
    for (uint32_t splits = 1; splits <= most && splits <= n_records; splits *= 2) {
        uint32_t shared = gemv_shared_bytes(kind, props, splits, args->n_tokens);
        if (shared > props->shared_bytes) {
            break;
        }
        uint32_t at_once = props->shared_bytes / shared;
        uint32_t most_at_once = WEIR_GEMV_BLOCKS(args->w[0].kind);
        at_once = at_once > most_at_once ? most_at_once : at_once;
        uint32_t per_block = most / splits;
        uint32_t blocks = (n_tiles + per_block - 1) / per_block;
        uint32_t full_turns = blocks / (at_once * props->n_sm);
        uint32_t left = blocks % (at_once * props->n_sm);
        uint32_t records = (n_records + splits - 1) / splits;
        uint32_t cost = full_turns * turn_cost(at_once, records) +
                        turn_cost((left + props->n_sm - 1) / props->n_sm, records);
        if (cost <= best_cost) {
            best = splits;
            best_cost = cost;
        }
    }
    return best;
}

static void plan_gemv(struct weir_linear_kernel_args *args, const struct weir_gpu_props *props,
                      uint32_t n_tiles, struct weir_gpu_launch *out)
{
    const struct kind_info *kind = &kind_infos[args->a.w[0].kind];
    uint32_t most = args->a.glu != WEIR_GLU_NONE ? WAVES / 2 : WAVES;
    uint32_t splits = choose_gemv_splits(props, kind, &args->a, n_tiles, most);
    args->n_k_splits = splits;
    uint32_t per_block = most / splits;
    *out = (struct weir_gpu_launch){
        .kernel = kind->gemv,
        .grid = {(n_tiles + per_block - 1) / per_block, 1, 1},
        .block = WAVES * props->lanes,
        .shared_bytes = gemv_shared_bytes(kind, props, splits, args->a.n_tokens),
    };
}

static uint32_t *counters_of(const struct weir_linear_kernel_args *args,
                             const struct weir_gpu_props *props)
{
    size_t n_sums = (size_t)2 * props->n_sm * BATCH_ROWS * MAX_BATCH_COLS;
    return args->a.workspace ? (uint32_t *)(void *)(args->a.workspace + n_sums) : NULL;
}

static void plan_batch(struct weir_linear_kernel_args *args, const struct weir_gpu_props *props,
                       uint32_t n_tiles, struct weir_gpu_launch *out)
{
    const struct kind_info *kind = &kind_infos[args->a.w[0].kind];
    uint32_t variant = args->a.n_tokens <= 16 ? 0 : args->a.n_tokens <= 32 ? 1 : 2;
    uint32_t cols = 16u << variant;
    uint32_t per_block = args->a.glu != WEIR_GLU_NONE ? WAVES / 2 : WAVES;
    uint32_t groups = (n_tiles + per_block - 1) / per_block;
    uint32_t slices = (args->a.n_tokens + cols - 1) / cols;
    uint32_t n_records = args->a.w[0].n_records;
    args->n_k_splits = args->a.workspace ? choose_splits(groups * slices, 2 * props->n_sm,
                                                         n_records > 3 ? n_records / 2 : 1)
                                         : 1;
    args->counters = counters_of(args, props);
    uint32_t stage = cols * (kind->k + X_PAD) * 2 + WAVES * kind->bytes;
    uint32_t stages = (uint32_t)(props->lanes == 32 ? SHARED_GOAL_NV : SHARED_GOAL_CDNA) / stage;
    stages = stages < 1 ? 1 : stages > 4 ? 4 : stages;
    uint32_t sums = cols * (BATCH_ROWS + TILE_PAD) * (uint32_t)sizeof(float);
    *out = (struct weir_gpu_launch){
        .kernel = kind->batch[variant],
        .grid = {groups, slices, args->n_k_splits},
        .block = WAVES * props->lanes,
        .shared_bytes = stages * stage > sums ? stages * stage : sums,
    };
}

static void plan_large(struct weir_linear_kernel_args *args, const struct weir_gpu_props *props,
                       uint32_t n_tiles, struct weir_gpu_launch *out)
{
    const struct kind_info *kind = &kind_infos[args->a.w[0].kind];
    uint32_t per_block = args->a.glu != WEIR_GLU_NONE ? WAVES / 2 : WAVES;
    uint32_t groups = (n_tiles + per_block - 1) / per_block;
    uint32_t n_tokens = args->a.n_tokens, n_records = args->a.w[0].n_records;
    /* 256 columns only where that fills the device. */
    uint32_t variant = n_tokens <= 32                                    ? 0
                       : n_tokens <= 64                                  ? 1
                       : groups * ((n_tokens + 255) / 256) < props->n_sm ? 2
                                                                         : 3;
    uint32_t cols = 32u << variant, slices = (n_tokens + cols - 1) / cols;
    /* The workspace has room for two blocks of 64 columns on each multiprocessor. */
    uint32_t wanted = props->n_sm * (variant == 2 ? 1 : 2);
    args->n_k_splits =
        args->a.workspace && variant < 3
            ? choose_splits(groups * slices, wanted, n_records > 3 ? n_records / 2 : 1)
            : 1;
    args->counters = counters_of(args, props);
    uint32_t steps = kind->k / 64;
    uint32_t ring = steps >= 4 ? (cols > 64 ? 2 : 3) : steps == 2 ? 3 : 4;
    uint32_t stages = 4 * cols * 128 + WAVES * ring * kind->bytes;
    uint32_t sums = cols * (BATCH_ROWS + TILE_PAD) * (uint32_t)sizeof(float);
    *out = (struct weir_gpu_launch){
        .kernel = kind->large[variant],
        .grid = {groups, slices, args->n_k_splits},
        .block = WAVES * props->lanes,
        .shared_bytes = stages > sums ? stages : sums,
    };
}

/* One launch for matrices first..end of one kind. */
static void plan_run(const struct weir_linear_args *args, const struct weir_gpu_props *props,
                     uint32_t first, uint32_t end, uint32_t y_at, int i,
                     struct weir_linear_plan *plan)
{
    struct weir_linear_kernel_args *to = &plan->args[i];
    *to = (struct weir_linear_kernel_args){.a = *args};
    to->a.n_w = end - first;
    uint32_t n_tiles = 0;
    for (uint32_t w = first; w < end; w++) {
        to->a.w[w - first] = args->w[w];
        to->a.bias[w - first] = args->bias[w];
        to->y_at[w - first] = y_at;
        y_at += args->w[w].n_rows;
        n_tiles += tiles_of(&args->w[w]);
    }
    if (args->glu != WEIR_GLU_NONE) {
        n_tiles /= 2;
    }
    /* Above four tokens x takes the room of blocks, which quantised weights need more: they have
     * more to do for each byte. */
    uint32_t most_gemv = props->lanes == 64 ? 16 : args->w[first].kind == WEIR_MATRIX_F16 ? 8 : 4;
    bool x_fits = gemv_shared_bytes(&kind_infos[args->w[first].kind], props, 1, args->n_tokens) <=
                  props->shared_bytes;
    if (args->n_tokens <= most_gemv && x_fits) {
        plan_gemv(to, props, n_tiles, &plan->launches[i]);
    } else if (args->n_tokens > 16 && props->has_wgmma) {
        plan_large(to, props, n_tiles, &plan->launches[i]);
    } else {
        plan_batch(to, props, n_tiles, &plan->launches[i]);
    }
    plan->launches[i].args = to;
    plan->launches[i].args_bytes = sizeof(*to);
}

int weir_linear_launch(const struct weir_linear_args *args, const struct weir_gpu_props *props,
                       struct weir_linear_plan *plan)
{
    int rc = check(args);
    if (rc < 0 || args->n_tokens == 0) {
        return rc;
    }
    int n = 0;
    uint32_t y_at = 0;
    for (uint32_t first = 0, end; first < args->n_w; first = end) {
        uint32_t n_rows = 0;
        for (end = first; end < args->n_w && args->w[end].kind == args->w[first].kind; end++) {
            n_rows += args->w[end].n_rows;
        }
        plan_run(args, props, first, end, y_at, n++, plan);
        y_at += n_rows;
    }
    return n;
}
