/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Readers for single parameters: type and range checks that name what is wrong.
 *
 * Each returns 0 and the value, or WEIR_E_ARG with *refusal filled: `param` is the name given, the
 * sentence says what was found and what is allowed. Threads: any; pure. */
#include <stdbool.h>
#include <yyjson.h>

#include "base/error.h"
#include "weir/backend_stream.h"

int weir_param_number(yyjson_val *v, const char *param, double min, double max, float *ret_value,
                      weir_refusal *refusal);
int weir_param_uint(yyjson_val *v, const char *param, uint32_t min, uint32_t max,
                    uint32_t *ret_value, weir_refusal *refusal);
int weir_param_bool(yyjson_val *v, const char *param, bool *ret_value, weir_refusal *refusal);
int weir_param_str(yyjson_val *v, const char *param, size_t max_bytes, weir_str *ret_value,
                   weir_refusal *refusal);
/* "param must be <allowed>, not <type of v>" */
int weir_param_wrong_type(yyjson_val *v, const char *param, const char *allowed,
                          weir_refusal *refusal);
/* Refuses every key of `object` that is not in the NULL-ended list, as "param.key". */
int weir_param_known_keys(yyjson_val *object, const char *param, const weir_str *known,
                          weir_refusal *refusal);
