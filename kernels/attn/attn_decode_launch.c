/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attn/attn_decode.h"

#include "base/error.h"

enum {
    N_WARPS = 4,
    BLOCKS_PER_SM = 4, /* more than registers allow: the list's tail is shared out finer */
    ROWS_NV = 8,
    ROWS_CDNA = 16
};

static const struct {
    uint32_t head_dim;
    const char *names[2]; /* by type */
} variants[] = {
    {64, {"weir_attn_decode_f16_64", "weir_attn_decode_i8_64"}},
    {80, {"weir_attn_decode_f16_80", "weir_attn_decode_i8_80"}},
    {96, {"weir_attn_decode_f16_96", "weir_attn_decode_i8_96"}},
    {128, {"weir_attn_decode_f16_128", "weir_attn_decode_i8_128"}},
    {256, {"weir_attn_decode_f16_256", "weir_attn_decode_i8_256"}},
};

int weir_attn_has_head_dim(uint32_t head_dim)
{
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (variants[i].head_dim == head_dim) {
            return 1;
        }
    }
    return 0;
}

int weir_attn_decode_launch(const struct weir_attn_decode_args *args, uint32_t n_items_max,
                            const struct weir_gpu_props *props, struct weir_gpu_launch *out)
{
    const uint32_t n_head_kv = args->kv.n_head_kv;
    if (n_head_kv == 0 || args->n_head % n_head_kv != 0 || args->q_stride % 4 != 0 ||
        args->kv.type > WEIR_KV_I8) {
        return WEIR_E_ARG;
    }
    if (n_items_max == 0) {
        return 0;
    }
    const uint32_t group = args->n_head / n_head_kv;
    const uint32_t rows = props->lanes == 32 ? ROWS_NV : ROWS_CDNA;
    const uint32_t grid_y = n_head_kv * ((group + rows - 1) / rows);
    const uint32_t n_blocks = (props->n_sm * BLOCKS_PER_SM + grid_y - 1) / grid_y;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (variants[i].head_dim != args->kv.head_dim) {
            continue;
        }
        *out = (struct weir_gpu_launch){
            .kernel = variants[i].names[args->kv.type],
            .grid = {n_items_max < n_blocks ? n_items_max : n_blocks, grid_y, 1},
            .block = N_WARPS * props->lanes,
            .shared_bytes =
                weir_attn_decode_shared_bytes(args->kv.head_dim, args->kv.type, props->lanes),
            .args = args,
            .args_bytes = sizeof(*args),
        };
        return 1;
    }
    return WEIR_E_UNSUPPORTED;
}
