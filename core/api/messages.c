/* SPDX-License-Identifier: Apache-2.0 */
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>

#include "api_request.h"
#include "json_arena.h"
#include "param.h"

enum { MAX_PARAM = 64 };

enum role { ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE__COUNT };
static const char *const role_names[ROLE__COUNT] = {"system", "developer", "user", "assistant",
                                                    "tool"};

static int read_role(yyjson_val *v, const char *param, enum role *ret_role, weir_refusal *refusal)
{
    for (int i = 0; i < ROLE__COUNT && yyjson_is_str(v); i++) {
        if (yyjson_equals_str(v, role_names[i])) {
            *ret_role = (enum role)i;
            return 0;
        }
    }
    char name[MAX_PARAM];
    (void)snprintf(name, sizeof(name), "%s.role", param);
    if (!yyjson_is_str(v)) {
        return weir_param_wrong_type(v, name, "a string", refusal);
    }
    return weir_refuse(refusal, 400, name, "invalid_value",
                       "Invalid value: '%.40s'. Supported values are: 'system', 'developer', "
                       "'user', 'assistant', and 'tool'.",
                       yyjson_get_str(v));
}

static int check_part(yyjson_val *part, const char *param, weir_refusal *refusal)
{
    static const weir_str known[] = {WEIR_STR_INIT("type"), WEIR_STR_INIT("text"), {NULL, 0}};
    if (!yyjson_is_obj(part)) {
        return weir_param_wrong_type(part, param, "an object", refusal);
    }
    yyjson_val *type = yyjson_obj_get(part, "type");
    if (!yyjson_equals_str(type, "text")) {
        char name[MAX_PARAM];
        (void)snprintf(name, sizeof(name), "%s.type", param);
        return weir_refuse(refusal, 400, name, "unsupported_value",
                           "Content parts of type '%.40s' are not supported by this model. "
                           "Supported: 'text'.",
                           yyjson_is_str(type) ? yyjson_get_str(type) : "(none)");
    }
    if (!yyjson_is_str(yyjson_obj_get(part, "text"))) {
        char name[MAX_PARAM];
        (void)snprintf(name, sizeof(name), "%s.text", param);
        return weir_param_wrong_type(yyjson_obj_get(part, "text"), name, "a string", refusal);
    }
    return weir_param_known_keys(part, param, known, refusal);
}

static int check_content(yyjson_val *content, const char *param, bool optional,
                         weir_refusal *refusal)
{
    if (yyjson_is_str(content) || (optional && (!content || yyjson_is_null(content)))) {
        return 0;
    }
    char name[MAX_PARAM];
    (void)snprintf(name, sizeof(name), "%s.content", param);
    if (!yyjson_is_arr(content)) {
        return weir_param_wrong_type(content, name, "a string or an array of content parts",
                                     refusal);
    }
    size_t i, n;
    yyjson_val *part;
    yyjson_arr_foreach(content, i, n, part)
    {
        char part_name[MAX_PARAM];
        (void)snprintf(part_name, sizeof(part_name), "%s[%zu]", name, i);
        int r = check_part(part, part_name, refusal);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int check_tool_calls(yyjson_val *calls, const char *param, weir_refusal *refusal)
{
    static const weir_str call_keys[] = {
        WEIR_STR_INIT("id"), WEIR_STR_INIT("type"), WEIR_STR_INIT("function"), {NULL, 0}};
    static const weir_str function_keys[] = {
        WEIR_STR_INIT("name"), WEIR_STR_INIT("arguments"), {NULL, 0}};
    if (!yyjson_is_arr(calls)) {
        return weir_param_wrong_type(calls, param, "an array", refusal);
    }
    size_t i, n;
    yyjson_val *call;
    yyjson_arr_foreach(calls, i, n, call)
    {
        char name[MAX_PARAM];
        (void)snprintf(name, sizeof(name), "%s[%zu]", param, i);
        yyjson_val *function = yyjson_obj_get(call, "function");
        if (!yyjson_is_str(yyjson_obj_get(function, "name")) ||
            !yyjson_is_str(yyjson_obj_get(function, "arguments"))) {
            return weir_refuse(refusal, 400, name, "invalid_value",
                               "'%s' must be {\"id\", \"type\": \"function\", \"function\": "
                               "{\"name\", \"arguments\"}}, name and arguments strings.",
                               name);
        }
        int r = weir_param_known_keys(call, name, call_keys, refusal);
        if (r == 0) {
            r = weir_param_known_keys(function, name, function_keys, refusal);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int check_message(yyjson_val *message, const char *param, enum role *ret_role,
                         weir_refusal *refusal)
{
    enum { AUTHOR, CONTENT, NAME, CALLS, CALL_ID, REASONING, REFUSAL, N };
    static const weir_str known[N] = {
        [AUTHOR] = WEIR_STR_INIT("role"),
        [CONTENT] = WEIR_STR_INIT("content"),
        [NAME] = WEIR_STR_INIT("name"),
        [CALLS] = WEIR_STR_INIT("tool_calls"),
        [CALL_ID] = WEIR_STR_INIT("tool_call_id"),
        [REASONING] = WEIR_STR_INIT("reasoning_content"),
        [REFUSAL] = WEIR_STR_INIT("refusal"),
    };
    yyjson_val *found[N];
    if (!yyjson_is_obj(message)) {
        return weir_param_wrong_type(message, param, "an object", refusal);
    }
    yyjson_val *unknown = weir_param_members(message, known, N, found);
    int r = read_role(found[AUTHOR], param, ret_role, refusal);
    if (r == 0 && unknown) {
        r = weir_param_unknown(unknown, param, refusal);
    }
    yyjson_val *calls = found[CALLS];
    char name[MAX_PARAM];
    if (r == 0 && calls && !yyjson_is_null(calls)) {
        (void)snprintf(name, sizeof(name), "%s.tool_calls", param);
        r = *ret_role == ROLE_ASSISTANT
                ? check_tool_calls(calls, name, refusal)
                : weir_refuse(refusal, 400, name, "invalid_value",
                              "Only messages with role 'assistant' may have 'tool_calls'.");
    }
    if (r == 0 && *ret_role == ROLE_TOOL && !yyjson_is_str(found[CALL_ID])) {
        (void)snprintf(name, sizeof(name), "%s.tool_call_id", param);
        r = weir_param_wrong_type(found[CALL_ID], name, "a string", refusal);
    }
    if (r == 0) {
        bool optional = *ret_role == ROLE_ASSISTANT && yyjson_arr_size(calls) > 0;
        r = check_content(found[CONTENT], param, optional, refusal);
    }
    return r;
}

/* The messages' text with developers as system. */
static int write_renamed(yyjson_val *messages, struct weir_arena *arena, weir_str *ret_json)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *copy = doc ? yyjson_val_mut_copy(doc, messages) : NULL;
    if (copy) {
        size_t i, n;
        yyjson_mut_val *message;
        yyjson_mut_arr_foreach(copy, i, n, message)
        {
            yyjson_mut_val *role = yyjson_mut_obj_get(message, "role");
            if (yyjson_mut_equals_str(role, role_names[ROLE_DEVELOPER])) {
                yyjson_mut_set_str(role, role_names[ROLE_SYSTEM]);
            }
        }
    }
    size_t n = 0;
    char *text = copy ? yyjson_mut_val_write(copy, 0, &n) : NULL;
    *ret_json = text ? weir_arena_copy(arena, (weir_str){text, n}) : (weir_str){NULL, 0};
    free(text);
    yyjson_mut_doc_free(doc);
    return ret_json->p ? 0 : WEIR_E_NOMEM;
}

/* "messages[12]", without printf: it is made for each message. */
static void name_message(char param[MAX_PARAM], size_t number)
{
    static const char begin[] = "messages[";
    char digits[24];
    size_t n = 0, at = sizeof(begin) - 1;
    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    memcpy(param, begin, at);
    while (n > 0) {
        param[at++] = digits[--n];
    }
    param[at++] = ']';
    param[at] = '\0';
}

int weir_messages_read(yyjson_val *messages, struct weir_arena *arena, weir_str *ret_json,
                       weir_refusal *refusal)
{
    if (!yyjson_is_arr(messages)) {
        return weir_param_wrong_type(messages, "messages", "an array", refusal);
    }
    size_t n_messages = yyjson_arr_size(messages);
    if (n_messages == 0 || n_messages > WEIR_MAX_MESSAGES) {
        return weir_refuse(refusal, 400, "messages",
                           n_messages ? "array_above_max_length" : "empty_array",
                           "Invalid 'messages': %zu messages; 1 to %d are allowed.", n_messages,
                           WEIR_MAX_MESSAGES);
    }
    bool rename_developer = false;
    size_t i, n;
    yyjson_val *message;
    yyjson_arr_foreach(messages, i, n, message)
    {
        char param[MAX_PARAM];
        name_message(param, i);
        enum role role = ROLE_USER;
        int r = check_message(message, param, &role, refusal);
        if (r < 0) {
            return r;
        }
        rename_developer |= role == ROLE_DEVELOPER;
    }
    int r = rename_developer ? write_renamed(messages, arena, ret_json)
                             : weir_json_write(messages, arena, ret_json);
    return r < 0 ? weir_refuse(refusal, 413, "messages", "request_too_large",
                               "The messages need more memory than one request may use.")
                 : 0;
}
