/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attn/attn_prefill.h"

#include "base/error.h"

enum { N_WARPS = 4 };

static const struct {
    uint32_t head_dim, tile_keys, row_bytes; /* of attn_tile.h */
    const char *names[2];                    /* by type */
} variants[] = {
    {64, 64, 128, {"weir_attn_prefill_f16_64", "weir_attn_prefill_i8_64"}},
    {80, 64, 176, {"weir_attn_prefill_f16_80", "weir_attn_prefill_i8_80"}},
    {96, 64, 208, {"weir_attn_prefill_f16_96", "weir_attn_prefill_i8_96"}},
    {128, 64, 256, {"weir_attn_prefill_f16_128", "weir_attn_prefill_i8_128"}},
    {256, 32, 512, {"weir_attn_prefill_f16_256", "weir_attn_prefill_i8_256"}},
};

int weir_attn_prefill_launch(const struct weir_attn_prefill_args *args,
                             const struct weir_gpu_props *props, struct weir_gpu_launch *out)
{
    const uint32_t n_head_kv = args->kv.n_head_kv;
    if (n_head_kv == 0 || args->n_head % n_head_kv != 0 || args->q_stride % 4 != 0 ||
        args->kv.type > WEIR_KV_I8) {
        return WEIR_E_ARG;
    }
    if (args->n_tiles == 0) {
        return 0;
    }
    const uint32_t n_stages = props->lanes == 32 ? 2 : 1;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (variants[i].head_dim != args->kv.head_dim) {
            continue;
        }
        /* struct tiles of attn_prefill.cu; large heads keep their queries there too. */
        const uint32_t head_dim = variants[i].head_dim;
        const uint32_t q_bytes = head_dim > 128 ? WEIR_ATTN_PREFILL_ROWS * head_dim * 2 : 16;
        *out = (struct weir_gpu_launch){
            .kernel = variants[i].names[args->kv.type],
            .grid = {args->n_tiles, args->n_head, 1},
            .block = N_WARPS * props->lanes,
            .shared_bytes = 2 * n_stages * variants[i].tile_keys * variants[i].row_bytes + q_bytes,
            .args = args,
            .args_bytes = sizeof(*args),
        };
        return 1;
    }
    return WEIR_E_UNSUPPORTED;
}
