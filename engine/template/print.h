/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Values as text: Python's str() and repr(), and JSON as Python's json.dumps() writes it.
 *
 * Why: models were trained on what these print; one space more or less is another prompt.
 * Threads: any; pure functions apart from *out and *steps.
 * Errors: NULL when all went well, else a constant sentence that says what cannot be printed. A
 * full buffer shows in out->failed only. */
#include "base/buf.h"
#include "engine/template/value.h"

/* str(): a string as it is, anything else as repr() has it; undefined is empty. */
const char *weir_tpl_print_str(struct weir_buf *out, const struct weir_tpl_value *v,
                               uint64_t *steps);
const char *weir_tpl_print_repr(struct weir_buf *out, const struct weir_tpl_value *v,
                                uint64_t *steps);

struct weir_tpl_json_style {
    bool ascii; /* escape everything above U+007F */
    bool sort_keys;
    weir_str indent;   /* one level; p == NULL: all in one line */
    weir_str item_sep; /* ", " */
    weir_str key_sep;  /* ": " */
};
const char *weir_tpl_print_json(struct weir_buf *out, const struct weir_tpl_value *v,
                                const struct weir_tpl_json_style *style, uint64_t *steps);
