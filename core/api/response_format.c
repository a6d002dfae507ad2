/* SPDX-License-Identifier: Apache-2.0 */
#include "response_format.h"

#include "api_request.h"
#include "param.h"

static int read_schema(yyjson_val *spec, yyjson_val **ret_schema, weir_refusal *refusal)
{
    static const weir_str known[] = {WEIR_STR_INIT("name"),
                                     WEIR_STR_INIT("description"),
                                     WEIR_STR_INIT("schema"),
                                     WEIR_STR_INIT("strict"),
                                     {NULL, 0}};
    const char *name = "response_format.json_schema";
    if (!yyjson_is_obj(spec)) {
        return weir_param_wrong_type(spec, name, "an object", refusal);
    }
    int r = weir_param_known_keys(spec, name, known, refusal);
    yyjson_val *schema = yyjson_obj_get(spec, "schema");
    if (r == 0 && !yyjson_is_obj(schema) && !yyjson_is_bool(schema)) {
        return weir_param_wrong_type(schema, "response_format.json_schema.schema", "an object",
                                     refusal);
    }
    *ret_schema = schema;
    return r;
}

int weir_response_format_read(yyjson_val *v, uint32_t *ret_format, yyjson_val **ret_schema,
                              weir_refusal *refusal)
{
    static const weir_str known[] = {
        WEIR_STR_INIT("type"), WEIR_STR_INIT("json_schema"), {NULL, 0}};
    if (!yyjson_is_obj(v)) {
        return weir_param_wrong_type(v, "response_format", "an object", refusal);
    }
    int r = weir_param_known_keys(v, "response_format", known, refusal);
    if (r < 0) {
        return r;
    }
    yyjson_val *type = yyjson_obj_get(v, "type");
    if (yyjson_equals_str(type, "text")) {
        *ret_format = WEIR_FORMAT_TEXT;
    } else if (yyjson_equals_str(type, "json_object")) {
        *ret_format = WEIR_FORMAT_JSON;
    } else if (yyjson_equals_str(type, "json_schema")) {
        *ret_format = WEIR_FORMAT_JSON_SCHEMA;
        return read_schema(yyjson_obj_get(v, "json_schema"), ret_schema, refusal);
    } else {
        return weir_refuse(refusal, 400, "response_format.type", "invalid_value",
                           "Invalid 'response_format.type': must be 'text', 'json_object' or "
                           "'json_schema'.");
    }
    return 0;
}
