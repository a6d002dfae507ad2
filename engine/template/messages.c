/* SPDX-License-Identifier: Apache-2.0 */
#include "messages.h"

#include "base/buf.h"

enum { MAX_CONTENT_BYTES = 256 << 20 };

struct rework {
    yyjson_mut_doc *doc;
    struct weir_error *err;
    size_t message; /* index, for errors */
};

static int no_memory(struct rework *w)
{
    return weir_error_set(w->err, WEIR_E_NOMEM, "out of memory");
}

static int check_parts(struct rework *w, yyjson_mut_val *content)
{
    size_t i, n;
    yyjson_mut_val *part;
    yyjson_mut_arr_foreach(content, i, n, part)
    {
        bool text = yyjson_mut_equals_str(yyjson_mut_obj_get(part, "type"), "text") &&
                    yyjson_mut_is_str(yyjson_mut_obj_get(part, "text"));
        if (!text) {
            return weir_error_set(w->err, WEIR_E_ARG,
                                  "messages[%zu].content[%zu]: this model takes text parts only",
                                  w->message, i);
        }
    }
    return 0;
}

static yyjson_mut_val *join_parts(struct rework *w, yyjson_mut_val *content)
{
    struct weir_buf text;
    weir_buf_init(&text, MAX_CONTENT_BYTES);
    size_t i, n;
    yyjson_mut_val *part;
    yyjson_mut_arr_foreach(content, i, n, part)
    {
        yyjson_mut_val *s = yyjson_mut_obj_get(part, "text");
        if (i) {
            weir_buf_add_char(&text, '\n');
        }
        weir_buf_add(&text, yyjson_mut_get_str(s), yyjson_mut_get_len(s));
    }
    yyjson_mut_val *joined =
        text.failed ? NULL : yyjson_mut_strncpy(w->doc, text.data ? text.data : "", text.len);
    weir_buf_finish(&text);
    return joined;
}

static int rework_content(struct rework *w, yyjson_mut_val *message, bool parts)
{
    yyjson_mut_val *content = yyjson_mut_obj_get(message, "content");
    if (!yyjson_mut_is_arr(content)) {
        return 0;
    }
    int r = check_parts(w, content);
    if (r < 0 || parts) {
        return r;
    }
    yyjson_mut_val *joined = join_parts(w, content), *key = yyjson_mut_str(w->doc, "content");
    return joined && key && yyjson_mut_obj_replace(message, key, joined) ? 0 : no_memory(w);
}

static int rework_call(struct rework *w, yyjson_mut_val *call)
{
    yyjson_mut_val *function = yyjson_mut_obj_get(call, "function");
    yyjson_mut_val *text = yyjson_mut_obj_get(function, "arguments");
    if (!yyjson_mut_is_str(text)) {
        return 0;
    }
    yyjson_doc *doc = yyjson_read(yyjson_mut_get_str(text), yyjson_mut_get_len(text), 0);
    if (!doc) {
        return 0;
    }
    yyjson_mut_val *value = yyjson_val_mut_copy(w->doc, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    yyjson_mut_val *key = yyjson_mut_str(w->doc, "arguments");
    return value && key && yyjson_mut_obj_replace(function, key, value) ? 0 : no_memory(w);
}

static int rework_message(struct rework *w, yyjson_mut_val *message, bool parts)
{
    if (!yyjson_mut_is_obj(message)) {
        return weir_error_set(w->err, WEIR_E_ARG, "messages[%zu]: must be an object", w->message);
    }
    int r = rework_content(w, message, parts);
    size_t i, n;
    yyjson_mut_val *call;
    yyjson_mut_arr_foreach(yyjson_mut_obj_get(message, "tool_calls"), i, n, call)
    {
        r = r < 0 ? r : rework_call(w, call);
    }
    return r;
}

int weir_template_messages(yyjson_val *messages, bool parts, yyjson_doc **ret_doc,
                           struct weir_error *err)
{
    struct rework w = {.doc = yyjson_mut_doc_new(NULL), .err = err};
    yyjson_mut_val *copy = w.doc ? yyjson_val_mut_copy(w.doc, messages) : NULL;
    int r = copy ? 0 : no_memory(&w);
    size_t n;
    yyjson_mut_val *message;
    yyjson_mut_arr_foreach(copy, w.message, n, message)
    {
        r = r < 0 ? r : rework_message(&w, message, parts);
    }
    yyjson_doc *doc = NULL;
    if (r == 0) {
        yyjson_mut_doc_set_root(w.doc, copy);
        doc = yyjson_mut_doc_imut_copy(w.doc, NULL);
        r = doc ? 0 : no_memory(&w);
    }
    yyjson_mut_doc_free(w.doc);
    if (r == 0) {
        *ret_doc = doc;
    }
    return r;
}
