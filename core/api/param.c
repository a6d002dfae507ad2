/* SPDX-License-Identifier: Apache-2.0 */
#include "param.h"

#include <stdarg.h>
#include <stdio.h>

#include "api_request.h"

int weir_refuse(weir_refusal *refusal, uint32_t status, const char *param, const char *code,
                const char *fmt, ...)
{
    *refusal = (weir_refusal){.struct_size = sizeof(*refusal), .status = status};
    (void)snprintf(refusal->param, sizeof(refusal->param), "%s", param);
    (void)snprintf(refusal->code, sizeof(refusal->code), "%s", code);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(refusal->message, sizeof(refusal->message), fmt, ap);
    va_end(ap);
    return WEIR_E_ARG;
}

static const char *type_name(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL: return "null";
    case YYJSON_TYPE_BOOL: return "a boolean";
    case YYJSON_TYPE_NUM: return yyjson_is_int(v) ? "an integer" : "a number";
    case YYJSON_TYPE_STR: return "a string";
    case YYJSON_TYPE_ARR: return "an array";
    case YYJSON_TYPE_OBJ: return "an object";
    default: return "missing";
    }
}

int weir_param_wrong_type(yyjson_val *v, const char *param, const char *allowed,
                          weir_refusal *refusal)
{
    return weir_refuse(refusal, 400, param, "invalid_type",
                       "Invalid type for '%s': expected %s, but got %s instead.", param, allowed,
                       type_name(v));
}

int weir_param_number(yyjson_val *v, const char *param, double min, double max, float *ret_value,
                      weir_refusal *refusal)
{
    if (!yyjson_is_num(v)) {
        return weir_param_wrong_type(v, param, "a number", refusal);
    }
    double value = yyjson_get_num(v);
    if (!(value >= min && value <= max)) {
        return weir_refuse(refusal, 400, param, "out_of_range",
                           "Invalid value for '%s': %g is outside %g to %g.", param, value, min,
                           max);
    }
    *ret_value = (float)value;
    return 0;
}

int weir_param_uint(yyjson_val *v, const char *param, uint32_t min, uint32_t max,
                    uint32_t *ret_value, weir_refusal *refusal)
{
    if (!yyjson_is_int(v)) {
        return weir_param_wrong_type(v, param, "an integer", refusal);
    }
    bool negative = yyjson_is_sint(v) && yyjson_get_sint(v) < 0;
    uint64_t value = negative ? 0 : yyjson_get_uint(v);
    if (negative || value < min || value > max) {
        return weir_refuse(refusal, 400, param, "out_of_range",
                           "Invalid value for '%s': %.0f is outside %u to %u.", param,
                           yyjson_get_num(v), min, max);
    }
    *ret_value = (uint32_t)value;
    return 0;
}

int weir_param_bool(yyjson_val *v, const char *param, bool *ret_value, weir_refusal *refusal)
{
    if (!yyjson_is_bool(v)) {
        return weir_param_wrong_type(v, param, "a boolean", refusal);
    }
    *ret_value = yyjson_get_bool(v);
    return 0;
}

int weir_param_str(yyjson_val *v, const char *param, size_t max_bytes, weir_str *ret_value,
                   weir_refusal *refusal)
{
    if (!yyjson_is_str(v)) {
        return weir_param_wrong_type(v, param, "a string", refusal);
    }
    if (yyjson_get_len(v) > max_bytes) {
        return weir_refuse(refusal, 400, param, "string_too_long",
                           "Invalid '%s': %zu bytes is longer than %zu.", param, yyjson_get_len(v),
                           max_bytes);
    }
    *ret_value = (weir_str){yyjson_get_str(v), yyjson_get_len(v)};
    return 0;
}

yyjson_val *weir_param_members(yyjson_val *object, const weir_str *known, size_t n_known,
                               yyjson_val **found)
{
    yyjson_val *unknown = NULL, *key = unsafe_yyjson_get_first(object);
    for (size_t k = 0; k < n_known; k++) {
        found[k] = NULL;
    }
    for (size_t left = yyjson_obj_size(object); left > 0; left--) {
        weir_str name = {unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key)};
        size_t k = 0;
        while (k < n_known && !weir_str_eq(name, known[k])) {
            k++;
        }
        if (k < n_known) {
            found[k] = found[k] ? found[k] : key + 1;
        } else if (!unknown) {
            unknown = key;
        }
        key = unsafe_yyjson_get_next(key + 1);
    }
    return unknown;
}

int weir_param_unknown(yyjson_val *key, const char *param, weir_refusal *refusal)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s.%s", param, yyjson_get_str(key));
    return weir_refuse(refusal, 400, name, "unknown_parameter", "Unknown parameter: '%s'.", name);
}

int weir_param_known_keys(yyjson_val *object, const char *param, const weir_str *known,
                          weir_refusal *refusal)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(object);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
        const weir_str *k = known;
        while (k->p && !yyjson_equals_strn(key, k->p, k->n)) {
            k++;
        }
        if (!k->p) {
            return weir_param_unknown(key, param, refusal);
        }
    }
    return 0;
}
