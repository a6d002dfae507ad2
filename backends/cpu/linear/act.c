/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/linear/act.h"

#include "backends/cpu/linear/isa.h"

size_t weir_cpu_act_bytes(uint32_t n_cols, uint32_t n_tokens)
{
    size_t n_groups = ((size_t)n_tokens + WEIR_CPU_ACT_LANES - 1) / WEIR_CPU_ACT_LANES;
    size_t bytes = n_groups * (n_cols / WEIR_CPU_BLOCK) * sizeof(struct weir_cpu_act_block);
    return (bytes + 63) & ~(size_t)63;
}

void weir_cpu_act_init(struct weir_cpu_act *a, void *storage, uint32_t n_cols, uint32_t n_tokens)
{
    *a = (struct weir_cpu_act){
        .n_cols = n_cols,
        .n_blocks = n_cols / WEIR_CPU_BLOCK,
        .n_tokens_max = n_tokens,
        .groups = storage,
    };
}

void weir_cpu_act_set_rows(struct weir_cpu_act *a, const float *x, size_t ldx)
{
    a->x = x;
    a->ldx = ldx;
}

void weir_cpu_act_quantise_row(struct weir_cpu_act *a, const struct weir_cpu_isa *isa,
                               uint32_t token, const float *x)
{
    struct weir_cpu_act_block *blocks =
        a->groups + (size_t)(token / WEIR_CPU_ACT_LANES) * a->n_blocks;
    isa->quantise(x, a->n_blocks, blocks, token % WEIR_CPU_ACT_LANES);
}

void weir_cpu_act_quantise(struct weir_cpu_act *a, const struct weir_cpu_isa *isa,
                           uint32_t token_begin, uint32_t token_end)
{
    for (uint32_t token = token_begin; token < token_end; token++) {
        weir_cpu_act_quantise_row(a, isa, token, a->x + token * a->ldx);
    }
}
