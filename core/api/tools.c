/* SPDX-License-Identifier: Apache-2.0 */
#include "tools.h"

#include <stdio.h>

#include "api_request.h"
#include "param.h"

static int check_tool(yyjson_val *tool, size_t index, weir_refusal *refusal)
{
    static const weir_str tool_keys[] = {
        WEIR_STR_INIT("type"), WEIR_STR_INIT("function"), {NULL, 0}};
    static const weir_str function_keys[] = {WEIR_STR_INIT("name"),
                                             WEIR_STR_INIT("description"),
                                             WEIR_STR_INIT("parameters"),
                                             WEIR_STR_INIT("strict"),
                                             {NULL, 0}};
    char param[64];
    (void)snprintf(param, sizeof(param), "tools[%zu]", index);
    yyjson_val *function = yyjson_obj_get(tool, "function");
    if (!yyjson_equals_str(yyjson_obj_get(tool, "type"), "function") || !yyjson_is_obj(function)) {
        return weir_refuse(refusal, 400, param, "invalid_value",
                           "Invalid '%s': must be {\"type\": \"function\", \"function\": {...}}.",
                           param);
    }
    int r = weir_param_known_keys(tool, param, tool_keys, refusal);
    (void)snprintf(param, sizeof(param), "tools[%zu].function", index);
    if (r == 0) {
        r = weir_param_known_keys(function, param, function_keys, refusal);
    }
    yyjson_val *name = yyjson_obj_get(function, "name");
    yyjson_val *parameters = yyjson_obj_get(function, "parameters");
    if (r == 0 &&
        (!yyjson_is_str(name) || yyjson_get_len(name) == 0 || yyjson_get_len(name) > 64)) {
        (void)snprintf(param, sizeof(param), "tools[%zu].function.name", index);
        r = weir_refuse(refusal, 400, param, "invalid_value",
                        "Invalid '%s': a string of 1 to 64 characters is required.", param);
    }
    if (r == 0 && parameters && !yyjson_is_obj(parameters)) {
        (void)snprintf(param, sizeof(param), "tools[%zu].function.parameters", index);
        r = weir_param_wrong_type(parameters, param, "an object (JSON Schema)", refusal);
    }
    return r;
}

int weir_tools_check(yyjson_val *tools, weir_refusal *refusal)
{
    if (!yyjson_is_arr(tools)) {
        return weir_param_wrong_type(tools, "tools", "an array", refusal);
    }
    if (yyjson_arr_size(tools) == 0 || yyjson_arr_size(tools) > WEIR_MAX_TOOLS) {
        return weir_refuse(refusal, 400, "tools", "invalid_value",
                           "Invalid 'tools': 1 to %d tools are allowed.", WEIR_MAX_TOOLS);
    }
    size_t i, n;
    yyjson_val *tool;
    yyjson_arr_foreach(tools, i, n, tool)
    {
        int r = check_tool(tool, i, refusal);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int weir_tool_choice_read(yyjson_val *v, uint32_t *ret_choice, weir_str *ret_name,
                          weir_refusal *refusal)
{
    static const char *const words[] = {"none", "auto", "required"};
    for (uint32_t i = 0; i < 3; i++) {
        if (yyjson_equals_str(v, words[i])) {
            *ret_choice = i; /* WEIR_TOOLS_NONE, _AUTO, _REQUIRED */
            return 0;
        }
    }
    yyjson_val *name = yyjson_obj_get(yyjson_obj_get(v, "function"), "name");
    if (!yyjson_is_str(name)) {
        return weir_refuse(
            refusal, 400, "tool_choice", "invalid_value",
            "Invalid 'tool_choice': must be 'none', 'auto', 'required' or {\"type\": "
            "\"function\", \"function\": {\"name\": ...}}.");
    }
    *ret_choice = WEIR_TOOLS_NAMED;
    *ret_name = (weir_str){yyjson_get_str(name), yyjson_get_len(name)};
    return 0;
}

bool weir_tools_name_one(weir_str tools_json, weir_str name)
{
    yyjson_doc *doc = yyjson_read(tools_json.p, tools_json.n, 0);
    bool found = false;
    size_t i, n;
    yyjson_val *tool;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, tool)
    {
        found |= yyjson_equals_strn(yyjson_obj_get(yyjson_obj_get(tool, "function"), "name"),
                                    name.p, name.n);
    }
    yyjson_doc_free(doc);
    return found;
}
