/* SPDX-License-Identifier: Apache-2.0 */
#include "tool_constraint.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH_BYTES = 96, MAX_REF_BYTES = 512, MAX_SCHEMA_DEPTH = 100 };

void weir_tool_constraint_init(struct weir_tool_constraint *c, size_t max_schema_bytes)
{
    weir_buf_init(&c->prefix, 256);
    weir_buf_init(&c->schema, max_schema_bytes);
    weir_buf_init(&c->suffix, 256);
}

void weir_tool_constraint_finish(struct weir_tool_constraint *c)
{
    weir_buf_finish(&c->prefix);
    weir_buf_finish(&c->schema);
    weir_buf_finish(&c->suffix);
}

struct rewrite {
    yyjson_mut_doc *doc;
    const char *path; /* where the parameters stand: "/properties/arguments" */
    int code;
};

static void rewrite_refs(struct rewrite *w, yyjson_mut_val *v, int depth);

static void rewrite_ref(struct rewrite *w, yyjson_mut_val *target)
{
    char text[MAX_REF_BYTES];
    const char *old = yyjson_mut_get_str(target);
    if (!old || old[0] != '#') {
        return;
    }
    int n = snprintf(text, sizeof(text), "#%s%s", w->path, old + 1);
    yyjson_mut_val *fresh =
        n > 0 && (size_t)n < sizeof(text) ? yyjson_mut_strncpy(w->doc, text, (size_t)n) : NULL;
    if (!fresh) {
        w->code = WEIR_E_NOMEM;
        return;
    }
    yyjson_mut_set_str(target, yyjson_mut_get_str(fresh));
}

static void rewrite_object(struct rewrite *w, yyjson_mut_val *v, int depth)
{
    size_t i, n;
    yyjson_mut_val *key, *value;
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): yyjson links the members to a ring
    yyjson_mut_obj_foreach(v, i, n, key, value)
    {
        if (yyjson_mut_equals_str(key, "$ref") && yyjson_mut_is_str(value)) {
            rewrite_ref(w, value);
        } else {
            rewrite_refs(w, value, depth + 1);
        }
    }
}

static void rewrite_refs(struct rewrite *w, yyjson_mut_val *v, int depth)
{
    if (depth > MAX_SCHEMA_DEPTH) {
        w->code = WEIR_E_TOOBIG;
    }
    if (w->code < 0) {
        return;
    }
    if (yyjson_mut_is_obj(v)) {
        rewrite_object(w, v, depth);
    } else if (yyjson_mut_is_arr(v)) {
        size_t i, n;
        yyjson_mut_val *item;
        yyjson_mut_arr_foreach(v, i, n, item)
        {
            rewrite_refs(w, item, depth + 1);
        }
    }
}

/* {"type":"object","properties":{"name":{"const":N},ARGS:parameters},...} or NULL. */
static yyjson_mut_val *call_schema(yyjson_mut_doc *doc, const struct weir_tool_format *format,
                                   yyjson_val *function, const char *path, int *ret_code)
{
    char below[MAX_PATH_BYTES];
    int n = snprintf(below, sizeof(below), "%s/properties/%s", path, format->args_key);
    if (n < 0 || (size_t)n >= sizeof(below)) {
        return NULL;
    }
    yyjson_val *parameters = yyjson_obj_get(function, "parameters");
    yyjson_mut_val *args =
        yyjson_is_obj(parameters) ? yyjson_val_mut_copy(doc, parameters) : yyjson_mut_obj(doc);
    if (args && yyjson_mut_obj_size(args) == 0) {
        (void)yyjson_mut_obj_add_str(doc, args, "type", "object");
    }
    struct rewrite w = {.doc = doc, .path = below};
    rewrite_refs(&w, args, 0);
    *ret_code = w.code;
    yyjson_mut_val *call = yyjson_mut_obj(doc);
    yyjson_mut_val *properties = yyjson_mut_obj(doc), *name = yyjson_mut_obj(doc);
    yyjson_mut_val *required = yyjson_mut_arr(doc);
    yyjson_mut_val *value = yyjson_val_mut_copy(doc, yyjson_obj_get(function, "name"));
    bool ok = w.code == 0 && args && value && yyjson_mut_obj_add_val(doc, name, "const", value) &&
              yyjson_mut_obj_add_val(doc, properties, "name", name) &&
              yyjson_mut_obj_add_val(doc, properties, format->args_key, args) &&
              yyjson_mut_arr_add_str(doc, required, "name") &&
              yyjson_mut_arr_add_str(doc, required, format->args_key) &&
              yyjson_mut_obj_add_str(doc, call, "type", "object") &&
              yyjson_mut_obj_add_val(doc, call, "properties", properties) &&
              yyjson_mut_obj_add_val(doc, call, "required", required) &&
              yyjson_mut_obj_add_bool(doc, call, "additionalProperties", false);
    return ok ? call : NULL;
}

/* The one call, or anyOf all of them. */
static yyjson_mut_val *choice_schema(yyjson_mut_doc *doc, const struct weir_tool_format *format,
                                     yyjson_val *tools, weir_str name, const char *path,
                                     int *ret_code)
{
    yyjson_mut_val *all = yyjson_mut_arr(doc), *call = NULL;
    size_t i, n, n_calls = 0;
    bool any = !name.p && yyjson_arr_size(tools) > 1;
    yyjson_val *tool;
    yyjson_arr_foreach(tools, i, n, tool)
    {
        yyjson_val *function = yyjson_obj_get(tool, "function");
        yyjson_val *given = yyjson_obj_get(function, "name");
        if (!yyjson_is_str(given)) {
            *ret_code = WEIR_E_ARG;
            return NULL;
        }
        if (name.p &&
            !weir_str_eq((weir_str){yyjson_get_str(given), yyjson_get_len(given)}, name)) {
            continue;
        }
        char below[MAX_PATH_BYTES];
        (void)snprintf(below, sizeof(below), any ? "%s/anyOf/%zu" : "%s", path, n_calls);
        call = call_schema(doc, format, function, below, ret_code);
        if (!call || !yyjson_mut_arr_append(all, call)) {
            return NULL;
        }
        n_calls++;
        if (!any) {
            return call;
        }
    }
    if (n_calls == 0) {
        *ret_code = WEIR_E_ARG;
        return NULL;
    }
    yyjson_mut_val *choice = yyjson_mut_obj(doc);
    return yyjson_mut_obj_add_val(doc, choice, "anyOf", all) ? choice : NULL;
}

static yyjson_mut_val *root_schema(yyjson_mut_doc *doc, const struct weir_tool_format *format,
                                   yyjson_val *tools, weir_str name, bool parallel, int *ret_code)
{
    *ret_code = 0;
    if (!format->array) {
        return choice_schema(doc, format, tools, name, "", ret_code);
    }
    yyjson_mut_val *items = choice_schema(doc, format, tools, name, "/items", ret_code);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    bool ok = items && yyjson_mut_obj_add_str(doc, root, "type", "array") &&
              yyjson_mut_obj_add_val(doc, root, "items", items) &&
              yyjson_mut_obj_add_int(doc, root, "minItems", 1) &&
              (parallel || yyjson_mut_obj_add_int(doc, root, "maxItems", 1));
    return ok ? root : NULL;
}

static int fail(int code, struct weir_error *err)
{
    switch (code) {
    case WEIR_E_ARG: return weir_error_set(err, code, "tool_choice names no tool of the list");
    case WEIR_E_TOOBIG:
        return weir_error_set(err, code, "a tool's parameters are nested too deeply");
    default: return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
}

int weir_tool_constraint_build(const struct weir_tool_format *format, yyjson_val *tools,
                               weir_str name, bool parallel, struct weir_tool_constraint *ret,
                               struct weir_error *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    int code = WEIR_E_NOMEM;
    yyjson_mut_val *root = doc ? root_schema(doc, format, tools, name, parallel, &code) : NULL;
    size_t n = 0;
    char *text = root ? yyjson_mut_val_write(root, 0, &n) : NULL;
    if (text) {
        weir_buf_add(&ret->schema, text, n);
        weir_buf_add_text(&ret->prefix, format->begin);
        weir_buf_add_text(&ret->prefix, format->before);
        weir_buf_add_text(&ret->suffix, format->after);
        weir_buf_add_text(&ret->suffix, format->end);
    }
    free(text);
    yyjson_mut_doc_free(doc);
    bool built = text && !ret->schema.failed && !ret->prefix.failed && !ret->suffix.failed;
    return built ? 0 : fail(code, err);
}
