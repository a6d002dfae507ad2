/* SPDX-License-Identifier: Apache-2.0 */
#include "embedding_input.h"

#include "api_request.h"
#include "param.h"

static const char name[] = "input";

static int refuse_empty(weir_refusal *refusal)
{
    return weir_refuse(refusal, 400, name, "invalid_value", "'input' must not be empty.");
}

static int check_tokens(yyjson_val *v, weir_refusal *refusal)
{
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(v, i, n, one)
    {
        uint32_t token = 0;
        int r = weir_param_uint(one, name, 0, INT32_MAX, &token, refusal);
        if (r < 0) {
            return r;
        }
    }
    return n ? 0 : refuse_empty(refusal);
}

/* A text, or an array of token ids. */
static int check_one(yyjson_val *v, weir_refusal *refusal)
{
    if (yyjson_is_str(v)) {
        return yyjson_get_len(v) ? 0 : refuse_empty(refusal);
    }
    return yyjson_is_arr(v)
               ? check_tokens(v, refusal)
               : weir_param_wrong_type(v, name, "texts or arrays of token ids", refusal);
}

int weir_embedding_input_check(yyjson_val *v, uint32_t *ret_n_inputs, weir_refusal *refusal)
{
    *ret_n_inputs = 1;
    if (!yyjson_is_arr(v) || yyjson_is_int(yyjson_arr_get_first(v))) {
        return check_one(v, refusal);
    }
    size_t i, n = yyjson_arr_size(v);
    if (n == 0) {
        return refuse_empty(refusal);
    }
    if (n > WEIR_EMBEDDING_MAX_INPUTS) {
        return weir_refuse(refusal, 400, name, "array_above_max_length",
                           "Invalid 'input': at most %d texts.", WEIR_EMBEDDING_MAX_INPUTS);
    }
    yyjson_val *one;
    yyjson_arr_foreach(v, i, n, one)
    {
        int r = check_one(one, refusal);
        if (r < 0) {
            return r;
        }
    }
    *ret_n_inputs = (uint32_t)n;
    return 0;
}
