/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/linear/linear.h"

#include <stdbool.h>
#include <string.h>

#include "weir/types.h"

/* As in gemv.cu and batch.cu. */
enum { WAVES = 8, GEMV_STAGES_NV = 3, GEMV_STAGES_CDNA = 2, X_PAD = 8, TILE_PAD = 4 };
enum { GEMV_ZEROS = 256, GEMV_X_WHOLE = 32 * 1024, GEMV_X_PART = 16 * 1024 };
enum { BATCH_ROWS = WAVES * WEIR_TILE_ROWS, MAX_BATCH_COLS = 64 };
enum { SHARED_GOAL_NV = 110 * 1024, SHARED_GOAL_CDNA = 64 * 1024 };

struct kind_info {
    uint32_t k, bytes;
    const char *gemv[2], *batch[3], *large[4];
};

static const struct kind_info kind_infos[] = {
#define INFO(kind, k_, quants, high, scales)                                                       \
    [WEIR_MATRIX_##                                                                                \
        kind] = {.k = (k_),                                                                        \
                 .bytes = (quants) + (high) + (scales),                                            \
                 .gemv = {"weir_gemv8_" #kind, "weir_gemv2_" #kind},                               \
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

/* Columns of gemv's sums for each token: those that tokens do not need hold blocks (gemv.cu). */
static uint32_t gemv_columns(const struct weir_gpu_props *props,
                             const struct weir_linear_args *args)
{
    uint32_t columns = props->lanes == 64 ? 16 : 8;
    if (args->w[0].kind == WEIR_MATRIX_F16) {
        return 1;
    }
    return args->n_tokens > columns / 8 ? 2 : 8;
}

static uint32_t gemv_most_tokens(const struct weir_gpu_props *props, uint32_t kind)
{
    uint32_t columns = props->lanes == 64 ? 16 : 8;
    return kind == WEIR_MATRIX_F16 ? columns : columns / 2;
}

/* How gemv shares out its waves and its shared memory. */
struct gemv_layout {
    uint32_t splits, x_turns, shared_bytes;
};

/* With this many splits. The whole x where it leaves room for blocks beside this one, else two
 * parts of it; a part must last until the stages that are asked for with it have come. */
static struct gemv_layout lay_out_gemv(const struct weir_gpu_props *props,
                                       const struct weir_linear_args *args, uint32_t splits)
{
    const struct kind_info *kind = &kind_infos[args->w[0].kind];
    uint32_t stages = props->lanes == 32 ? GEMV_STAGES_NV : GEMV_STAGES_CDNA;
    uint32_t rings = WAVES * stages * kind->bytes + GEMV_ZEROS * 2;
    uint32_t turns = (args->w[0].n_records + splits - 1) / splits;
    uint32_t turn_bytes = splits * kind->k * 2 * args->n_tokens;
    uint32_t pad_bytes = X_PAD * 2 * args->n_tokens;
    struct gemv_layout to = {splits, turns, 0};
    uint64_t whole = (uint64_t)turns * turn_bytes + pad_bytes;
    if (whole <= GEMV_X_WHOLE && rings + whole <= props->shared_bytes) {
        to.shared_bytes = rings + (uint32_t)whole;
    } else {
        uint32_t most = GEMV_X_PART / turn_bytes;
        to.x_turns = most < stages - 1 ? stages - 1 : most;
        to.x_turns = to.x_turns < turns ? to.x_turns : turns;
        uint32_t parts = to.x_turns < turns ? 2 : 1;
        to.shared_bytes = rings + parts * (to.x_turns * turn_bytes + pad_bytes);
    }
    uint32_t sums = WAVES * WEIR_TILE_ROWS * 16 * (uint32_t)sizeof(float);
    to.shared_bytes = to.shared_bytes > sums ? to.shared_bytes : sums;
    return to;
}

/* Tenths of the time that a multiprocessor's share of the bandwidth takes for a record of each of a
 * block's waves: what a turn takes with n blocks side by side. One alone waits for latencies. */
static uint32_t turn_cost(uint32_t n_beside, uint32_t n_records)
{
    static const uint32_t per_record[] = {0, 13, 21, 30};
    enum { START_AND_END = 10 };
    return n_beside == 0 ? 0 : per_record[n_beside] * n_records + START_AND_END;
}

/* How many waves share a row tile: what takes the least time on the busiest multiprocessor. */
static struct gemv_layout choose_gemv(const struct weir_gpu_props *props,
                                      const struct weir_linear_args *args, uint32_t n_tiles,
                                      uint32_t most)
{
    struct gemv_layout best = lay_out_gemv(props, args, 1);
    uint32_t best_cost = UINT32_MAX, n_records = args->w[0].n_records;
    uint32_t most_at_once = WEIR_GEMV_BLOCKS(args->w[0].kind, gemv_columns(props, args));
    for (uint32_t splits = 1; splits <= most && splits <= n_records; splits *= 2) {
        struct gemv_layout layout = lay_out_gemv(props, args, splits);
        if (layout.shared_bytes > props->shared_bytes) {
            break;
        }
        /* A multiprocessor has what a block may have and a kilobyte, and takes one for each. */
        uint32_t at_once = (props->shared_bytes + 1024) / (layout.shared_bytes + 1024);
        at_once = at_once > most_at_once ? most_at_once : at_once;
        uint32_t per_block = most / splits;
        uint32_t blocks = (n_tiles + per_block - 1) / per_block;
        uint32_t full_turns = blocks / (at_once * props->n_sm);
        uint32_t left = blocks % (at_once * props->n_sm);
        uint32_t records = (n_records + splits - 1) / splits;
        uint32_t cost = full_turns * turn_cost(at_once, records) +
                        turn_cost((left + props->n_sm - 1) / props->n_sm, records);
        if (cost <= best_cost) {
            best = layout;
            best_cost = cost;
        }
    }
    return best;
}

static void plan_gemv(struct weir_linear_kernel_args *args, const struct weir_gpu_props *props,
                      uint32_t n_tiles, struct weir_gpu_launch *out)
{
    uint32_t most = args->a.glu != WEIR_GLU_NONE ? WAVES / 2 : WAVES;
    struct gemv_layout layout = choose_gemv(props, &args->a, n_tiles, most);
    args->n_k_splits = layout.splits;
    args->n_x_turns = layout.x_turns;
    uint32_t per_block = most / layout.splits, columns = gemv_columns(props, &args->a);
    *out = (struct weir_gpu_launch){
        .kernel = columns == 1 ? "weir_gemv1_F16"
                               : kind_infos[args->a.w[0].kind].gemv[columns == 8 ? 0 : 1],
        .grid = {(n_tiles + per_block - 1) / per_block, 1, 1},
        .block = WAVES * props->lanes,
        .shared_bytes = layout.shared_bytes,
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
    if (args->n_tokens <= gemv_most_tokens(props, args->w[first].kind) &&
        lay_out_gemv(props, &to->a, 1).shared_bytes <= props->shared_bytes) {
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
