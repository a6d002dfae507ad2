/* SPDX-License-Identifier: Apache-2.0 */
/* The table of an instruction set, behind its kernels: ISA_TABLE, ISA_NAME, ISA_Q8_FLIP, ROWS,
 * span_float(), span_quantised(), quantise() and add_outliers() are defined before it; no include
 * guard by purpose. */

#define SPAN(name, function, type)                                                                 \
    static void name(const struct weir_cpu_span *w, const struct weir_cpu_act *a,                  \
                     uint32_t n_tokens, float *y, size_t ldy)                                      \
    {                                                                                              \
        function(type, w, a, n_tokens, y, ldy);                                                    \
    }
SPAN(span_f32, span_float, WEIR_TENSOR_F32)
SPAN(span_f16, span_float, WEIR_TENSOR_F16)
SPAN(span_bf16, span_float, WEIR_TENSOR_BF16)
SPAN(span_q4_0, span_quantised, WEIR_TENSOR_Q4_0)
SPAN(span_q4_1, span_quantised, WEIR_TENSOR_Q4_1)
SPAN(span_q5_0, span_quantised, WEIR_TENSOR_Q5_0)
SPAN(span_q5_1, span_quantised, WEIR_TENSOR_Q5_1)
SPAN(span_q8_0, span_quantised, WEIR_TENSOR_Q8_0)
SPAN(span_q4_k, span_quantised, WEIR_TENSOR_Q4_K)
SPAN(span_q5_k, span_quantised, WEIR_TENSOR_Q5_K)
SPAN(span_q6_k, span_quantised, WEIR_TENSOR_Q6_K)
#undef SPAN

const struct weir_cpu_isa ISA_TABLE = {
    .name = ISA_NAME,
    .tile_rows = ROWS,
    .q8_flip = ISA_Q8_FLIP,
    .quantise = quantise,
    .add_outliers = add_outliers,
    .span =
        {
            [WEIR_TENSOR_F32] = span_f32,
            [WEIR_TENSOR_F16] = span_f16,
            [WEIR_TENSOR_BF16] = span_bf16,
            [WEIR_TENSOR_Q4_0] = span_q4_0,
            [WEIR_TENSOR_Q4_1] = span_q4_1,
            [WEIR_TENSOR_Q5_0] = span_q5_0,
            [WEIR_TENSOR_Q5_1] = span_q5_1,
            [WEIR_TENSOR_Q8_0] = span_q8_0,
            [WEIR_TENSOR_Q4_K] = span_q4_k,
            [WEIR_TENSOR_Q5_K] = span_q5_k,
            [WEIR_TENSOR_Q6_K] = span_q6_k,
        },
};
