/* SPDX-License-Identifier: Apache-2.0 */
#include "doc_json.h"

/* Recursion is bounded by WEIR_DOC_MAX_DEPTH. */
yyjson_mut_val *weir_doc_to_json(const struct weir_doc_node *node, yyjson_mut_doc *json)
{
    switch (node->type) {
    case WEIR_DOC_NULL: return yyjson_mut_null(json);
    case WEIR_DOC_BOOL: return yyjson_mut_bool(json, node->boolean);
    case WEIR_DOC_INT:
        /* As yyjson's reader does: only negative numbers have its signed subtype. */
        return node->integer < 0 ? yyjson_mut_sint(json, node->integer)
                                 : yyjson_mut_uint(json, (uint64_t)node->integer);
    case WEIR_DOC_FLOAT: return yyjson_mut_real(json, node->number);
    case WEIR_DOC_STRING: return yyjson_mut_strncpy(json, node->text.p, node->text.n);
    case WEIR_DOC_LIST:
    case WEIR_DOC_MAP: break;
    }
    bool is_map = node->type == WEIR_DOC_MAP;
    yyjson_mut_val *out = is_map ? yyjson_mut_obj(json) : yyjson_mut_arr(json);
    for (const struct weir_doc_node *c = node->first; c; c = c->next) {
        yyjson_mut_val *value = weir_doc_to_json(c, json);
        bool added = false;
        if (is_map) {
            yyjson_mut_val *key = yyjson_mut_strncpy(json, c->key.p, c->key.n);
            added = yyjson_mut_obj_add(out, key, value);
        } else {
            added = yyjson_mut_arr_add_val(out, value);
        }
        if (!added) {
            return NULL;
        }
    }
    return out;
}
