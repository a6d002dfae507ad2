/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

const struct weir_tpl_filter *weir_tpl_filter_find(weir_str name)
{
    const struct weir_tpl_filter *const tables[] = {weir_tpl_text_filters, weir_tpl_number_filters,
                                                    weir_tpl_sequence_filters,
                                                    weir_tpl_select_filters};
    for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++) {
        for (const struct weir_tpl_filter *f = tables[t]; f->name; f++) {
            if (weir_str_is(name, f->name)) {
                return f;
            }
        }
    }
    return NULL;
}
