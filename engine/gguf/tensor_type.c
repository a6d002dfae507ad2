/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/gguf/tensor_type.h"

static const struct weir_tensor_type_info infos[] = {
    [WEIR_TENSOR_F32] = {"F32", 1, 4, true},
    [WEIR_TENSOR_F16] = {"F16", 1, 2, true},
    [WEIR_TENSOR_Q4_0] = {"Q4_0", 32, 18, true},
    [WEIR_TENSOR_Q4_1] = {"Q4_1", 32, 20, true},
    [WEIR_TENSOR_Q5_0] = {"Q5_0", 32, 22, true},
    [WEIR_TENSOR_Q5_1] = {"Q5_1", 32, 24, true},
    [WEIR_TENSOR_Q8_0] = {"Q8_0", 32, 34, true},
    [9] = {"Q8_1", 32, 40, false},
    [10] = {"Q2_K", 256, 84, false},
    [11] = {"Q3_K", 256, 110, false},
    [WEIR_TENSOR_Q4_K] = {"Q4_K", 256, 144, true},
    [WEIR_TENSOR_Q5_K] = {"Q5_K", 256, 176, true},
    [WEIR_TENSOR_Q6_K] = {"Q6_K", 256, 210, true},
    [15] = {"Q8_K", 256, 292, false},
    [16] = {"IQ2_XXS", 256, 66, false},
    [17] = {"IQ2_XS", 256, 74, false},
    [18] = {"IQ3_XXS", 256, 98, false},
    [19] = {"IQ1_S", 256, 50, false},
    [20] = {"IQ4_NL", 32, 18, false},
    [21] = {"IQ3_S", 256, 110, false},
    [22] = {"IQ2_S", 256, 82, false},
    [23] = {"IQ4_XS", 256, 136, false},
    [24] = {"I8", 1, 1, false},
    [25] = {"I16", 1, 2, false},
    [26] = {"I32", 1, 4, false},
    [27] = {"I64", 1, 8, false},
    [28] = {"F64", 1, 8, false},
    [29] = {"IQ1_M", 256, 56, false},
    [WEIR_TENSOR_BF16] = {"BF16", 1, 2, true},
    [34] = {"TQ1_0", 256, 54, false},
    [35] = {"TQ2_0", 256, 66, false},
    [39] = {"MXFP4", 32, 17, false},
    [40] = {"NVFP4", 64, 36, false},
    [41] = {"Q1_0", 128, 18, false},
};

const struct weir_tensor_type_info *weir_tensor_type_info(uint32_t type)
{
    if (type >= sizeof(infos) / sizeof(infos[0]) || !infos[type].name) {
        return NULL;
    }
    return &infos[type];
}

size_t weir_tensor_row_bytes(uint32_t type, uint64_t n_elems)
{
    const struct weir_tensor_type_info *info = weir_tensor_type_info(type);
    size_t n_bytes = 0;
    if (!info || n_elems % info->block_elems != 0 ||
        __builtin_mul_overflow(n_elems / info->block_elems, (uint64_t)info->block_bytes,
                               &n_bytes)) {
        return 0;
    }
    return n_bytes;
}
