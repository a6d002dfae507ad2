/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/linear/act.h"

#include <string.h>

#include "backends/cpu/linear/isa.h"

enum { ALIGN = 64 };

static size_t aligned(size_t n_bytes)
{
    return (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t group_bytes(uint32_t n_cols, uint32_t n_tokens)
{
    size_t n_groups = ((size_t)n_tokens + WEIR_CPU_ACT_LANES - 1) / WEIR_CPU_ACT_LANES;
    return aligned(n_groups * (n_cols / WEIR_CPU_BLOCK) * sizeof(struct weir_cpu_act_block));
}

size_t weir_cpu_act_bytes(uint32_t n_cols, uint32_t n_tokens)
{
    return group_bytes(n_cols, n_tokens) +
           aligned((size_t)n_tokens * WEIR_CPU_OUTLIERS_MAX * sizeof(float));
}

void weir_cpu_act_init(struct weir_cpu_act *a, void *storage, uint32_t n_cols, uint32_t n_tokens)
{
    *a = (struct weir_cpu_act){
        .n_cols = n_cols,
        .n_blocks = n_cols / WEIR_CPU_BLOCK,
        .n_tokens_max = n_tokens,
        .groups = storage,
    };
    if (storage) { /* NULL where only the size is counted */
        a->outliers = (float *)(void *)((char *)storage + group_bytes(n_cols, n_tokens));
    }
}

void weir_cpu_act_set_rows(struct weir_cpu_act *a, const float *x, size_t ldx)
{
    a->x = x;
    a->ldx = ldx;
}

/* Quantises the block of an outlier column again, without the outliers. */
static void take_out(const struct weir_cpu_isa *isa, const struct weir_cpu_outliers *o, uint32_t i,
                     const float *x, struct weir_cpu_act_block *blocks, uint32_t lane)
{
    const uint32_t block = o->columns[i] / WEIR_CPU_BLOCK;
    float rest[WEIR_CPU_BLOCK];
    memcpy(rest, x + (size_t)block * WEIR_CPU_BLOCK, sizeof(rest));
    for (uint32_t k = 0; k < o->n; k++) {
        if (o->columns[k] / WEIR_CPU_BLOCK == block) {
            rest[o->columns[k] % WEIR_CPU_BLOCK] = 0.0f;
        }
    }
    isa->quantise(rest, 1, blocks + block, lane);
}

void weir_cpu_act_quantise_row(struct weir_cpu_act *a, const struct weir_cpu_isa *isa,
                               const struct weir_cpu_outliers *outliers, uint32_t token,
                               const float *x)
{
    const uint32_t lane = token % WEIR_CPU_ACT_LANES;
    struct weir_cpu_act_block *blocks =
        a->groups + (size_t)(token / WEIR_CPU_ACT_LANES) * a->n_blocks;
    isa->quantise(x, a->n_blocks, blocks, lane);
    for (uint32_t i = 0; i < outliers->n; i++) {
        take_out(isa, outliers, i, x, blocks, lane);
        a->outliers[(size_t)token * WEIR_CPU_OUTLIERS_MAX + i] = x[outliers->columns[i]];
    }
}

void weir_cpu_act_quantise(struct weir_cpu_act *a, const struct weir_cpu_isa *isa,
                           const struct weir_cpu_outliers *outliers, uint32_t token_begin,
                           uint32_t token_end)
{
    for (uint32_t token = token_begin; token < token_end; token++) {
        weir_cpu_act_quantise_row(a, isa, outliers, token, a->x + token * a->ldx);
    }
}
