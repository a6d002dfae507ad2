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
/* Finds an object's members by their names, in one walk: found[i] is that of known[i], NULL where
 * there is none. The first key that is not known, or NULL. */
yyjson_val *weir_param_members(yyjson_val *object, const weir_str *known, size_t n_known,
                               yyjson_val **found);
/* Refuses the key as "param.key". */
int weir_param_unknown(yyjson_val *key, const char *param, weir_refusal *refusal);
/* Refuses every key of `object` that is not in the NULL-ended list, as "param.key". */
int weir_param_known_keys(yyjson_val *object, const char *param, const weir_str *known,
                          weir_refusal *refusal);
